import dataclasses
import json

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import metrics
from tests.obesity_levels.drift.conftest import CONFIDENCE, batch_of, with_column, with_wrong_labels

from obesity_levels.data.simulation import draw_people
from obesity_levels.drift.batch import Batch, Confidence, fit_confidence, score
from obesity_levels.drift.calibration import false_alarm_rates
from obesity_levels.drift.detection import exact_p, kolmogorov_smirnov
from obesity_levels.drift.histograms import LEVEL
from obesity_levels.drift.report import report_table
from obesity_levels.io import NO_LABEL
from obesity_levels.model.features import MISSING
from obesity_levels.schema import CATEGORIES, PROFILES

some_numbers = st.lists(st.sampled_from([0, 0.5, 1, 1.25, 2, 3, 7.5]) | st.floats(0, 100, width=32), min_size=1)


@given(some_numbers, some_numbers)
def test_kolmogorov_smirnov_is_that_of_scipy(reference, values):
    assume(round(len(reference) * len(values) / (len(reference) + len(values))) > 0)
    statistic, p = kolmogorov_smirnov(np.sort(reference), np.array([values]))
    expected = stats.ks_2samp(reference, values, method="asymp")
    assert statistic[0] == pytest.approx(expected.statistic, abs=1e-12)
    assert p[0] == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_kolmogorov_smirnov_of_many_batches_is_that_of_each_without_its_missing_values():
    rng = np.random.default_rng(0)
    reference, values = np.sort(rng.random(300)), rng.random((20, 50)) ** 1.2
    values[rng.random(values.shape) < 0.2] = MISSING
    statistic, p = kolmogorov_smirnov(reference, values)
    for at, row in enumerate(values):
        expected = stats.ks_2samp(reference, row[row != MISSING], method="asymp")
        assert (statistic[at], p[at]) == pytest.approx((expected.statistic, expected.pvalue))


def test_without_a_value_there_is_no_statistic_and_no_evidence():
    statistic, p = kolmogorov_smirnov(np.arange(5.0), np.full((1, 3), MISSING))
    assert np.isnan(statistic[0])
    assert p[0] == 1


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 30), st.integers(0, 30))
def test_two_sparse_cells_have_the_p_of_fishers_exact_test(a, b, c, d):
    expected = stats.fisher_exact([[a, b], [c, d]]).pvalue
    assert exact_p((a, b), (c, d), 99, 1) == pytest.approx(expected)


def test_more_sparse_cells_have_the_p_of_scipys_permutation_of_the_table():
    reference, current = (300, 6, 90, 4), (40, 3, 5, 2)
    method = stats.PermutationMethod(n_resamples=5000, rng=np.random.default_rng(2))
    expected = stats.chi2_contingency([reference, current], correction=False, method=method)
    assert exact_p(reference, current, 20_000, 1) == pytest.approx(expected.pvalue, abs=0.003)


def test_a_cell_that_is_sparse_in_the_reference_only_gets_the_exact_test_too(world, fresh):
    """A large batch expects many rows in a cell of which the reference expects few."""
    detector = world.detector
    at = PROFILES["full"].index("CALC")
    counts = detector._counts[at]
    many = counts * 10
    many[-1] = 0
    p = detector._homogeneous(at, many[None])[0]
    used = counts + many > 0
    assert p == exact_p(tuple(counts[used].tolist()), tuple(many[used].tolist()), detector.params.permutations, 1)


def test_a_p_value_of_random_tables_is_never_0():
    assert exact_p((1000, 1000, 2), (0, 0, 50), 99, 1) == pytest.approx(1 / 100)


def test_the_reference_itself_never_alarms(world):
    results = world.results(world.train)
    assert not results.column_alarm.any()
    np.testing.assert_allclose(results.columns.psi[0, :-1], 0, atol=1e-12)
    assert np.nanmax(results.columns.ks[0]) == 0


def test_p_values_are_those_of_scipy_corrected_over_all_tests_of_the_batch(world, fresh):
    matrix, train = fresh.matrix("full"), world.train.matrix("full")
    batch = score(fresh, world.classifier, CONFIDENCE)
    raw, results = world.detector.compare(batch), world.results(fresh)
    for at, name in enumerate(PROFILES["full"]):
        present = [rows[rows[:, at] != MISSING, at] for rows in (train, matrix)]
        expected = stats.ks_2samp(*present, method="asymp").pvalue
        if name in CATEGORIES:
            table = np.stack([np.bincount(codes.astype(int), minlength=4) for codes in present])
            table = table[:, table.any(axis=0)]
            if stats.contingency.expected_freq(table).min() < 5:
                continue
            expected = stats.chi2_contingency(table, correction=False).pvalue
        assert raw.p_distribution[0, at] == pytest.approx(expected)
    categories = [at for at, name in enumerate(PROFILES["full"]) if name in CATEGORIES]
    p_accuracy = stats.binom.cdf((batch.levels[0] == fresh.labels).sum(), len(fresh), world.detector.expected[0])
    p_f1 = world.detector._p_no_better(1, len(fresh), results.scores[0, 1:2])[0]
    columns = [raw.p_distribution[0], raw.p_missing[0], raw.p_unseen[0, categories]]
    corrected = stats.false_discovery_control(np.concatenate([*columns, [p_accuracy, p_f1, 1.0]]))
    found = results.columns.p_distribution[0]
    assert found.tolist() == pytest.approx(corrected[: len(found)].tolist())
    assert results.p_scores[0].tolist() == pytest.approx(corrected[-3:].tolist())


def test_a_rise_of_missing_cells_has_the_p_of_a_one_sided_fisher_test(world, fresh):
    batch = with_column(fresh, "Age", lambda _: np.nan, rows=30)
    raw = world.detector.compare(score(batch, world.classifier, CONFIDENCE))
    expected = stats.fisher_exact([[30, 170], [0, 1500]], alternative="greater").pvalue
    assert raw.p_missing[0, PROFILES["full"].index("Age")] == pytest.approx(expected)


def test_a_small_effect_does_not_alarm_however_sure_it_is(world, population):
    many = batch_of(draw_people(population, 20_000, np.random.default_rng(5)))
    results = world.results(with_column(many, "Age", lambda years: years + 0.4))
    assert results.columns.p_distribution[0, PROFILES["full"].index("Age")] < 0.05
    assert not results.drift[0]


@pytest.mark.parametrize(
    ("name", "change", "rows", "reason"),
    [
        ("Age", lambda years: years + 8, None, "distribution"),
        ("Age", lambda years: years * np.nan, 30, "missing rate"),
        ("SMOKE", lambda codes: 1 - codes, None, "distribution"),
    ],
)
def test_a_sure_and_large_effect_alarms_in_its_column(world, fresh, name, change, rows, reason):
    assert world.alarms(with_column(fresh, name, change, rows)) == {name: [reason]}


def test_a_loss_of_accuracy_alarms_where_labels_are_known(world, fresh):
    batch = with_wrong_labels(fresh, 40)
    results = world.results(batch)
    assert not results.column_alarm.any()
    assert results.score_alarm[0].tolist() == [True, True, False]
    assert world.report(batch).verdict == "drift"
    assert world.report(without_labels(batch)).verdict == "no drift"


def test_accuracy_and_f1_are_those_of_scikit_learn(world, fresh):
    predicted = world.classifier.probabilities(fresh.matrix("full")).argmax(axis=1)
    results = world.results(fresh)
    assert results.scores[0, 0] == pytest.approx(metrics.accuracy_score(fresh.labels, predicted))
    assert results.scores[0, 1] == pytest.approx(metrics.f1_score(fresh.labels, predicted, average="weighted"))


def test_few_labels_do_not_count(world, fresh):
    labels = with_wrong_labels(fresh, 49).labels
    labels[49:] = NO_LABEL
    results = world.results(dataclasses.replace(fresh, labels=labels))
    assert results.labelled[0] == 49
    assert np.isnan(results.scores[0, :2]).all()
    assert not results.drift[0]


def test_the_false_alarm_rate_is_at_most_5_percent(world, drift_params):
    """300 batches of each size. Were the true rate 0.05, more than 31 alarms had a chance under 10⁻⁴."""
    params = msgspec.structs.replace(drift_params.calibrate, sizes=[50, 200], draws=300, seed=11)
    limit = stats.binom.isf(1e-4, 300, 0.05) / 300
    for kind, by_size in false_alarm_rates(world.detector, world.held_out, params).items():
        for size, rate in by_size.items():
            assert rate.rate <= limit, (kind, size)


def test_confidence_is_fitted_to_how_often_it_is_right():
    rng = np.random.default_rng(0)
    log_odds = rng.normal(1, 1, 20_000)
    confidence = np.clip(special.expit(log_odds), 0.2, 0.999)
    probabilities = np.full((len(confidence), 7), ((1 - confidence) / 6)[:, None])
    probabilities[:, 2] = confidence
    right = rng.random(len(confidence)) < special.expit(0.5 + 2 * special.logit(confidence))
    likely = confidence > 0.5
    fitted = fit_confidence(probabilities[likely], np.where(right, 2, 3)[likely])
    assert fitted == pytest.approx((0.5, 2), abs=0.2)
    assert fitted.probability_correct(probabilities[likely]).mean() == pytest.approx(right[likely].mean(), abs=0.005)


@pytest.mark.parametrize("label", [2, 3])
def test_confidence_is_left_as_it_is_where_all_are_right_or_none(label):
    probabilities = np.full((5, 7), 0.05)
    probabilities[:, 2] = 0.7
    assert fit_confidence(probabilities, np.full(5, label)) == Confidence(0.0, 1.0)


def without_labels(batch: Batch) -> Batch:
    return dataclasses.replace(batch, labels=np.full(len(batch), NO_LABEL))


STRANGE = {
    "all missing": lambda batch: dataclasses.replace(
        batch, numbers=batch.numbers * np.nan, choices=0 * batch.choices - 1
    ),
    "constant columns": lambda batch: dataclasses.replace(batch.take(np.zeros(200, dtype=int)), labels=batch.labels),
    "one row": lambda batch: batch.take(np.array([0])),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_batch_gets_an_answer_without_a_nan_or_a_warning(world, fresh, name):
    report = world.report(STRANGE[name](fresh))
    assert report.verdict == ("too few rows to tell" if name == "one row" else "drift")
    json.dumps(msgspec.to_builtins(report), allow_nan=False)
    assert "nan" not in report_table(report)


def test_a_million_rows_are_tested(world, fresh):
    report = world.report(fresh.take(np.tile(np.arange(200), 5000)))
    assert report.rows == 1_000_000
    assert {column.name for column in report.columns} == {*PROFILES["full"], LEVEL}
