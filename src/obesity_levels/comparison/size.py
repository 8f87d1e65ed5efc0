"""How many rows it takes to find that the challenger is better, by the normal approximation."""

import math

import numpy as np
from scipy import stats
from statsmodels.stats.power import normal_sample_size_one_tail

from obesity_levels.comparison.sequence import half_width


def discordance_bounds(accuracy: float, lift: float) -> tuple[float, float]:
    """The least and the usual most share of rows on which only one of two models is right.

    Least: the challenger corrects errors and makes no new one. Most: both make their errors independently.
    """
    better = accuracy + lift
    return lift, accuracy * (1 - better) + better * (1 - accuracy)


def paired_rows(lift: float, discordant: float, alpha: float, power: float) -> int:
    """Rows to predict with both models, of which the share `discordant` tells them apart (McNemar's test).

    Connor, "Sample size for testing differences in proportions for the paired-sample design" (1987).
    """
    deviation = math.sqrt(discordant - lift**2)
    return math.ceil(normal_sample_size_one_tail(lift, power, alpha / 2, math.sqrt(discordant), deviation))


def split_units(accuracy: float, lift: float, share: float, alpha: float, power: float) -> int:
    """Units of both arms together, of which the challenger gets a `share`, for one look at the end."""
    arms = (1 - share, share)
    both = accuracy + share * lift
    pooled = math.sqrt(both * (1 - both) * sum(1 / arm for arm in arms))
    return math.ceil(normal_sample_size_one_tail(lift, power, alpha / 2, pooled, _deviation(accuracy, lift, share)))


def sequence_units(accuracy: float, lift: float, share: float, alpha: float, power: float) -> int:
    """The same for a confidence sequence that is planned for so many units. It may find the difference sooner."""
    # its width at the planned number is the same in standard errors, whatever that number is
    errors = float(half_width(1, alpha, 1))
    deviation = _deviation(accuracy, lift, share)
    return math.ceil(normal_sample_size_one_tail(lift, power, stats.norm.sf(errors), deviation, deviation))


def detectable_difference(rows: int, discordant: float, alpha: float, power: float) -> float:
    """About the least difference that so many `rows`, predicted by both models, show."""
    errors = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    return float(errors * np.sqrt(discordant / rows))


def _deviation(accuracy: float, lift: float, share: float) -> float:
    """Standard deviation of what one unit adds to the difference of the arms' accuracies."""
    return math.sqrt(sum(p * (1 - p) / arm for p, arm in ((accuracy, 1 - share), (accuracy + lift, share))))
