import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from obesity_levels.model.calibration import calibrated, fit_calibration, uncalibrated
from obesity_levels.model.classifier import Calibration
from obesity_levels.params import CalibrationParams

# as of a forest of 50 trees
VOTES = arrays(np.int64, (5, 7), elements=st.integers(0, 50)).filter(lambda votes: votes.sum(axis=1).all())
SCORES = VOTES.map(lambda votes: votes / votes.sum(axis=1, keepdims=True))
EXPONENTS = st.floats(0.5, 5)


@given(SCORES, EXPONENTS)
def test_calibrated_probabilities_add_up_to_one_and_keep_the_order_of_the_scores(scores, exponent):
    found = calibrated(scores, 0.01, exponent)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for before, after in zip(scores, found, strict=True):
        assert (np.diff(after[np.argsort(before)]) >= 0).all()


@given(SCORES, EXPONENTS)
def test_what_calibration_did_can_be_undone_from_the_float32_of_the_file(scores, exponent):
    probabilities = calibrated(scores, 0.01, exponent).astype(np.float32)
    again = uncalibrated(probabilities, Calibration("power", 0.01, exponent, 0, 0))
    np.testing.assert_allclose(again, scores, atol=2e-6)


@pytest.mark.parametrize("exponent", [0.7, 1.0, 2.4])
def test_the_exponent_that_made_the_labels_is_found_and_makes_them_more_likely(exponent):
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.full(7, 0.5), size=20_000)
    truth = calibrated(scores, 0.01, exponent)
    labels = (truth.cumsum(axis=1) < rng.random((len(truth), 1))).sum(axis=1)
    fit = fit_calibration(scores, labels, CalibrationParams("power", 0.01))
    assert fit.exponent == pytest.approx(exponent, rel=0.03)
    assert fit.exponent == round(fit.exponent, 4)
    assert fit.log_loss_after <= fit.log_loss_before + 1e-3


def test_without_a_method_nothing_is_changed():
    fit = fit_calibration(np.full((7, 7), 1 / 7), np.arange(7), CalibrationParams("none", 0.01))
    assert (fit.offset, fit.exponent) == (0, 1)
    assert fit.log_loss_after == fit.log_loss_before == pytest.approx(np.log(7), abs=1e-6)
