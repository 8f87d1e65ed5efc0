"""A confidence sequence: an interval that may be looked at again and again while units come in.

Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52 (2024), theorem 2.2.
"""

import numpy as np
import numpy.typing as npt
from scipy import special

Counts = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]


def confidence_sequence(right: Counts, units: Counts, alpha: float, planned: int) -> tuple[Floats, Floats]:
    """The ends of the interval for the challenger's accuracy less the champion's, shape (looks…).

    `right` are the units that each arm predicted right, `units` all that it predicted, at least one: shape (2, looks…),
    the champion first. The chance that the interval leaves out the true difference at any look is at most about
    `alpha`. It is closest for `planned` units of both arms together, a number that is chosen before the first look.
    """
    total = units.sum(axis=0)
    # With four more units, two of them right (Agresti & Coull 1998): in a small arm too few errors by chance would make
    # the interval too narrow.
    accuracy = (right + 2) / (units + 4)
    # What a unit adds to the difference of the means is its residual, divided by the share of its arm.
    variance = (accuracy * (1 - accuracy) * total / units).sum(axis=0)
    half = np.sqrt(variance) * half_width(total, alpha, planned)
    difference = right[1] / units[1] - right[0] / units[0]
    return np.maximum(difference - half, -1), np.minimum(difference + half, 1)


def half_width(units: Counts | int, alpha: float, planned: int) -> Floats:
    """Half the width of the interval for a mean of so many `units` with a standard deviation of 1."""
    # the rho that makes it least for `planned` units
    rho_squared = (-special.lambertw(-np.square(alpha) / np.e, -1).real - 1) / planned
    scale = np.multiply(units, rho_squared) + 1
    return np.sqrt(2 * scale / (np.square(units, dtype=float) * rho_squared) * np.log(np.sqrt(scale) / alpha))
