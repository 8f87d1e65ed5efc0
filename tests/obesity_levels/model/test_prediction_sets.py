import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from obesity_levels.model.features import MISSING
from obesity_levels.model.prediction_sets import Thresholds, fit_thresholds, has_bmi, prediction_sets
from obesity_levels.schema import PROFILES

PROBABILITIES = arrays(np.float64, (6, 7), elements=st.floats(0.01, 1)).map(lambda p: p / p.sum(axis=1, keepdims=True))
LIMITS = st.floats(0, 1)


def drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True probabilities, labels drawn from them, and which rows have a body-mass index: these are surer."""
    rng = np.random.default_rng(seed)
    known = rng.random(rows) < 0.8
    probabilities = np.where(
        known[:, None], rng.dirichlet(np.full(7, 0.05), rows), rng.dirichlet(np.full(7, 0.5), rows)
    )
    labels = (probabilities.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(max=6)
    return probabilities, labels, known


@pytest.mark.parametrize("coverage", [0.9, 0.95])
def test_new_rows_are_covered_as_often_as_promised_with_and_without_a_body_mass_index(coverage):
    found = []
    for seed in range(40):
        thresholds = fit_thresholds(*drawn(500, seed), coverage)
        probabilities, labels, known = drawn(2000, seed + 1000)
        covered = prediction_sets(probabilities, known, thresholds)[range(2000), labels]
        found.append([covered[known].mean(), covered[~known].mean()])
    # three standard errors of the mean over 40 fits to about 100 rows without a body-mass index
    assert (np.mean(found, axis=0) >= coverage - 3 * np.sqrt(coverage * (1 - coverage) / (40 * 100))).all()


def test_sets_are_no_larger_than_the_promise_needs():
    probabilities, labels, known = drawn(5000, 1)
    sets = prediction_sets(probabilities, known, fit_thresholds(probabilities, labels, known, 0.9))
    assert sets[range(5000), labels][~known].mean() == pytest.approx(0.9, abs=0.005)


@given(PROBABILITIES, LIMITS, LIMITS, arrays(bool, 6))
def test_the_most_probable_level_is_always_in_and_a_level_as_probable_as_one_that_is(probabilities, one, other, known):
    sets = prediction_sets(probabilities, known, Thresholds(one, other))
    assert sets[range(6), probabilities.argmax(axis=1)].all()
    for row, chosen in zip(probabilities, sets, strict=True):
        assert (row[chosen].min() >= row[~chosen]).all()


@given(st.integers(0, 18))
def test_a_group_with_too_few_rows_gets_all_seven_levels(rows):
    probabilities, labels, _ = drawn(100, 1)
    without = np.arange(100) < rows
    thresholds = fit_thresholds(probabilities, labels, ~without, 0.95)
    assert thresholds.without_bmi is None
    assert thresholds.with_bmi is not None
    sets = prediction_sets(probabilities, ~without, thresholds)
    assert sets[without].all()


def test_a_profile_without_the_body_mass_index_has_one_threshold():
    probabilities, labels, _ = drawn(100, 1)
    matrix = np.zeros((100, len(PROFILES["habits"])), np.float32)
    known = has_bmi(matrix, list(PROFILES["habits"]))
    assert not known.any()
    thresholds = fit_thresholds(probabilities, labels, known, 0.9)
    assert thresholds.with_bmi is None
    assert thresholds.without_bmi is not None


def test_the_body_mass_index_is_known_where_its_column_is_not_missing():
    matrix = np.full((2, len(PROFILES["full"])), MISSING, np.float32)
    matrix[0, -1] = 25
    assert has_bmi(matrix, list(PROFILES["full"])).tolist() == [True, False]
