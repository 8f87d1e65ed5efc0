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
_BITS = 1 << np.arange(len(LEVELS))
_NAMES = [[level for at, level in enumerate(LEVELS) if number >> at & 1] for number in range(2 ** len(LEVELS))]


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
    with_bmi, without = (0.0 if limit is None else limit for limit in (thresholds.with_bmi, thresholds.without_bmi))
    sets = probabilities >= np.where(bmi_known, with_bmi, without)[:, None]
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


def level_names(sets: Sets) -> list[list[str]]:
    """The levels in the set of each row, in order of severity."""
    # There are 128 sets, so their names are looked up: for 1,000 rows 40 times as fast as to list each.
    return list(map(_NAMES.__getitem__, (sets @ _BITS).tolist()))


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
