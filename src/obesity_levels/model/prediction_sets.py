"""Prediction sets: the levels of a row of which one is the true one, with a probability that was promised.

numpy and msgspec only, because the service imports it.
"""

import math

import msgspec
import numpy as np
import numpy.typing as npt

from obesity_levels.model.features import MISSING, Matrix
from obesity_levels.schema import BMI, LEVELS

Sets = npt.NDArray[np.bool_]
"""Whether each level is in the set of a row, shape (rows, 7)."""

_DIGITS = 6
_FEW = 16
LEVELS_OF_SET = [[level for at, level in enumerate(LEVELS) if number >> at & 1] for number in range(2 ** len(LEVELS))]
"""The levels of each of the 128 sets, by the number that `set_numbers` gives it."""


class Thresholds(msgspec.Struct, frozen=True):
    """The least probability of a level in a set; None where too few rows were there to fit it: then all levels are in.

    One where the body-mass index is known, one where it is not; the second is that of all rows in profiles without it.
    """

    with_bmi: float | None
    without_bmi: float | None


def fit_thresholds(
    probabilities: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    bmi_known: npt.NDArray[np.bool_],
    coverage: float,
) -> Thresholds:
    """The thresholds of least ambiguous sets with the most probable level always in.

    `probabilities`, shape (rows, 7), are of rows that the model was not fitted on. A new row's set holds its level with
    a probability of at least `coverage` (Sadinle, Lei & Wasserman, "Least Ambiguous Set-Valued Classifiers With Bounded
    Error Levels" (2019), split by conformal prediction).
    """
    of_truth = probabilities[np.arange(len(labels)), labels]
    # a row whose most probable level is the true one is covered by any threshold
    needed = np.where(probabilities.argmax(axis=1) == labels, 1.0, of_truth)
    return Thresholds(*(_threshold(needed[group], coverage) for group in (bmi_known, ~bmi_known)))


def prediction_sets(
    probabilities: npt.NDArray[np.floating], bmi_known: npt.NDArray[np.bool_], thresholds: Thresholds
) -> Sets:
    """The set of each row: the most probable level, and those that are probable enough. Shapes: `fit_thresholds`."""
    with_bmi, without = thresholds.with_bmi or 0.0, thresholds.without_bmi or 0.0
    # The most probable level is in, so no threshold is above its probability.
    limits = np.minimum(np.where(bmi_known, with_bmi, without), probabilities.max(axis=1))
    return probabilities >= limits[:, None]


def level_sets(
    probabilities: npt.NDArray[np.float32], matrix: Matrix, features: list[str], thresholds: Thresholds
) -> list[list[str]]:
    """The levels in the prediction set of each row, in order of severity. `matrix` is the input of `probabilities`."""
    if len(matrix) <= _FEW:
        # The same in Python: numpy's calls cost 10 % of the requests of one patient a second.
        with_bmi, without = thresholds.with_bmi or 0.0, thresholds.without_bmi or 0.0
        found = []
        for row, inputs in zip(probabilities.tolist(), matrix, strict=True):
            bmi_known = features[-1] == BMI and inputs[-1] != MISSING
            limit = min(with_bmi if bmi_known else without, max(row))
            found.append([level for level, probability in zip(LEVELS, row, strict=True) if probability >= limit])
        return found
    # There are 128 sets, so their names are looked up: for 1,000 rows many times as fast as to list each.
    return list(map(LEVELS_OF_SET.__getitem__, set_numbers(probabilities, matrix, features, thresholds).tolist()))


def set_numbers(
    probabilities: npt.NDArray[np.float32], matrix: Matrix, features: list[str], thresholds: Thresholds
) -> npt.NDArray[np.uint8]:
    """The prediction set of each row as a number, shape (rows,), whose bit i says whether level i is in it."""
    sets = prediction_sets(probabilities, has_bmi(matrix, features), thresholds)
    return np.packbits(sets, axis=1, bitorder="little")[:, 0]


def has_bmi(matrix: Matrix, features: list[str]) -> npt.NDArray[np.bool_]:
    """Whether the body-mass index of each row of the input matrix is known; never in a profile without it."""
    return matrix[:, features.index(BMI)] != MISSING if BMI in features else np.zeros(len(matrix), dtype=bool)


def _threshold(needed: npt.NDArray[np.float64], coverage: float) -> float | None:
    """The largest threshold that leaves out so few rows that a new one is covered with the probability `coverage`."""
    left_out = math.floor(round((1 - coverage) * (len(needed) + 1), 9))
    if left_out == 0:
        return None
    # Rounded down, and away from the last bits, which differ from machine to machine.
    return math.floor(np.partition(needed, left_out - 1)[left_out - 1] * 10**_DIGITS) / 10**_DIGITS
