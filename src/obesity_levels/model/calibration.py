"""Calibration: an exponent that turns the scores of a model into probabilities that mean what they say."""

import numpy as np
import numpy.typing as npt
from scipy import optimize
from sklearn.metrics import log_loss

from obesity_levels.model.augmentation import Labels
from obesity_levels.model.classifier import Calibration, Probabilities
from obesity_levels.params import CalibrationParams
from obesity_levels.schema import LEVELS

_SMALLEST, _LARGEST = 0.1, 20.0
# Rounded before it is used: the last digits of an optimum differ from machine to machine.
_DIGITS = 4
_DIGITS_OF_SCORES = 6


def fit_calibration(scores: npt.NDArray[np.float64], labels: Labels, params: CalibrationParams) -> Calibration:
    """Fit the exponent by maximum likelihood: p is (score + offset) ** exponent, divided by its sum over the levels.

    `scores`, shape (rows, 7), are probabilities of rows that the model was not fitted on; `labels` are their levels.
    With an offset of 0 it is temperature scaling (Guo et al., "On Calibration of Modern Neural Networks" (2017)) of the
    log probabilities; the offset keeps a score of 0 from being impossible.
    """

    def loss(exponent: float) -> float:
        return log_loss(labels, calibrated(scores, params.offset, exponent), labels=range(len(LEVELS)))

    offset, exponent = 0.0, 1.0
    if params.method == "power":
        best = optimize.minimize_scalar(loss, bounds=(_SMALLEST, _LARGEST), method="bounded", options={"xatol": 1e-7})
        offset, exponent = params.offset, round(float(best.x), _DIGITS)
    before, after = (
        round(float(log_loss(labels, found, labels=range(len(LEVELS)))), 6)
        for found in (calibrated(scores, 0, 1), calibrated(scores, offset, exponent))
    )
    return Calibration(params.method, offset, exponent, before, after)


def calibrated(scores: npt.NDArray[np.float64], offset: float, exponent: float) -> npt.NDArray[np.float64]:
    """Probabilities, shape (rows, 7), of the scores of a model; what the ONNX file does at its end."""
    powers = (scores + offset) ** exponent
    return powers / powers.sum(axis=1, keepdims=True)


def uncalibrated(probabilities: Probabilities, calibration: Calibration | None) -> npt.NDArray[np.float64]:
    """The scores of which `calibrated` made these probabilities: it can be undone, because scores add up to 1.

    Rounded, because float32 leaves of a score of 0 a number whose logarithm is nothing but chance.
    """
    if calibration is None:
        return probabilities.astype(np.float64)
    roots = probabilities.astype(np.float64) ** (1 / calibration.exponent)
    total = 1 + probabilities.shape[1] * calibration.offset
    scores = roots / roots.sum(axis=1, keepdims=True) * total - calibration.offset
    return np.clip(scores, 0, 1).round(_DIGITS_OF_SCORES)
