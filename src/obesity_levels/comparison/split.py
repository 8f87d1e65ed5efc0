"""Two models in production, each with units of its own: whether the split can be trusted, and what it shows."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from obesity_levels.comparison.outcomes import first_of_each_unit
from obesity_levels.comparison.sequence import confidence_sequence
from obesity_levels.errors import ComparisonError

REFUSED_BELOW = 0.001
"""p-value below which a split is refused. Both tests are exact, so each look refuses at most 1 in 1,000 good splits."""


class Arm(NamedTuple):
    """The units that one model predicted: all, those of which the truth is known, and those it was right about."""

    version: str
    units: int
    known: int
    right: int

    @property
    def accuracy(self) -> float:
        """The share of the known units that it was right about."""
        return self.right / self.known


class Split(NamedTuple):
    """Two arms, and the challenger's accuracy less the champion's.

    `once` is the interval for one look, `always` the one for any number of looks; `repeated` are outcomes that were not
    counted, because their unit had an earlier one.
    """

    champion: Arm
    challenger: Arm
    repeated: int
    difference: float
    once: tuple[float, float]
    always: tuple[float, float]


def compare_arms(
    outcomes: pd.DataFrame, champion: str, share: float, alpha: float, planned: int, min_units: int
) -> Split:
    """Compare the two models of `outcomes`, as `read_outcomes` gives them; the version `champion` is one of them.

    `share` is the share of the units that the challenger was to get. Raises ComparisonError where the arms are not
    comparable: a unit is in both, they do not have the planned shares (a sample-ratio mismatch, by the binomial
    test), the truth is known of different shares of them (by Fisher's), or of fewer than `min_units` in either.

    `once` is Newcombe's hybrid score interval, "Interval estimation for the difference between independent proportions"
    (1998), method 10; for `always`, and `planned`, see `confidence_sequence`.
    """
    arms_of_unit = outcomes.drop_duplicates(["unit", "model_version"])["unit"].value_counts()
    in_both = int((arms_of_unit > 1).sum())
    if in_both:
        raise ComparisonError(
            f"{in_both:,} of {len(arms_of_unit):,} units were predicted by both models: the split is not sticky, its"
            " ids have changed, or one arm was down. Find out which, and split again by another name"
        )
    units = first_of_each_unit(outcomes)
    arms = [_arm(units, units["model_version"] == champion), _arm(units, units["model_version"] != champion)]
    _check_shares(arms, share)
    _check_labels(arms)
    if min(arm.known for arm in arms) < min_units:
        raise ComparisonError(
            f"the truth is known of {arms[0].known:,} and {arms[1].known:,} units: wait until it is of {min_units} each"
        )
    right, known = ([getattr(arm, name) for arm in arms] for name in ("right", "known"))
    once = confint_proportions_2indep(right[1], known[1], right[0], known[0], method="newcomb", alpha=alpha)
    always = confidence_sequence(np.array(right), np.array(known), alpha, planned)
    return Split(
        champion=arms[0],
        challenger=arms[1],
        repeated=len(outcomes) - len(units),
        difference=arms[1].accuracy - arms[0].accuracy,
        once=(float(once[0]), float(once[1])),
        always=(float(always[0]), float(always[1])),
    )


def _arm(units: pd.DataFrame, mask: pd.Series) -> Arm:
    of_arm = units[mask]
    known = of_arm["right"].dropna()
    return Arm(of_arm["model_version"].iloc[0], len(of_arm), len(known), int(known.sum()))


def _check_shares(arms: list[Arm], share: float) -> None:
    got, total = arms[1].units, sum(arm.units for arm in arms)
    if stats.binomtest(got, total, share).pvalue < REFUSED_BELOW:
        raise ComparisonError(
            f"the challenger has {got:,} of {total:,} units ({got / total:.1%}), and not {share:.1%} of them"
            f" (p < {REFUSED_BELOW}): units of one arm are lost, or --share is not that of the ingress. Find the"
            " cause: until then a difference of the arms says nothing about the models"
        )


def _check_labels(arms: list[Arm]) -> None:
    if stats.fisher_exact([[arm.known, arm.units - arm.known] for arm in arms]).pvalue < REFUSED_BELOW:
        shares = " and of ".join(f"{arm.known / arm.units:.1%} of {arm.version}'s units" for arm in arms)
        raise ComparisonError(
            f"the truth is known of {shares} (p < {REFUSED_BELOW}): labels that come in differently make the arms"
            " different. Wait until they are complete, or find out what decides of whom the truth becomes known"
        )
