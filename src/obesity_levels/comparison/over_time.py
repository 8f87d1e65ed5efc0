"""One model in production: its accuracy by period, once the truth is known, beside what was measured before."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from obesity_levels.params import DetectParams


class Periods(NamedTuple):
    """`table` is indexed by period: rows, right, accuracy, its interval from low to high, p, enough, alarm.

    `false_alarm_rate` is the highest chance that any of the periods alarms although the accuracy is as expected.
    """

    table: pd.DataFrame
    false_alarm_rate: float


def judge_periods(periods: pd.DataFrame, expected: float, params: DetectParams) -> Periods:
    """Judge `periods`, as `by_period` gives them, by the rule of the drift report for labelled rows.

    A period alarms if so few right rows are unlikely at the `expected` accuracy (p < alpha, corrected over the periods
    as in the report, Benjamini & Hochberg) and a share of that accuracy is lost that is large (accuracy_drop). One with
    fewer than min_rows is not judged. The interval is Wilson's, 95 %.
    """
    rows, right = (periods[name].to_numpy() for name in ("rows", "right"))
    enough = rows >= params.min_rows
    p = np.ones(len(rows))
    by_chance = np.zeros(len(rows))
    if enough.any():
        p[enough] = stats.false_discovery_control(stats.binom.cdf(right[enough], rows[enough], expected))
        # uncorrected, so as many alarms as with the correction or more
        least_lost = np.floor((1 - params.accuracy_drop) * expected * rows + 1e-9)
        unlikely = stats.binom.ppf(params.alpha, rows, expected) - 1
        by_chance = np.where(enough, stats.binom.cdf(np.minimum(least_lost, unlikely), rows, expected), 0)
    accuracy = right / rows
    low, high = proportion_confint(right, rows, method="wilson")
    lost = 1 - accuracy / expected
    table = periods.assign(
        accuracy=accuracy,
        low=low,
        high=high,
        p=p,
        enough=enough,
        alarm=enough & (lost >= params.accuracy_drop) & (p < params.alpha),
    )
    return Periods(table, float(1 - np.prod(1 - by_chance)))
