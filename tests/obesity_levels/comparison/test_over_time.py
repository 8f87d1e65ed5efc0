"""One model over time: when it alarms, and how often it does without a cause."""

import numpy as np
import pandas as pd
import pytest

from obesity_levels.comparison.over_time import judge_periods

EXPECTED = 0.97


def weeks(*counts: tuple[int, int]) -> pd.DataFrame:
    """Periods with these rows and right rows."""
    return pd.DataFrame(counts, columns=["rows", "right"])


def judged(params, *counts):
    return judge_periods(weeks(*counts), EXPECTED, params.drift.detect)


def test_a_week_that_lost_a_tenth_of_its_accuracy_alarms_and_no_other(params):
    found = judged(params, (300, 291), (300, 262), (300, 290)).table
    assert found["alarm"].tolist() == [False, True, False]
    assert found["accuracy"].tolist() == pytest.approx([0.97, 262 / 300, 290 / 300])


def test_a_small_loss_is_no_alarm_however_sure_it_is(params):
    found = judged(params, (100_000, 95_000)).table
    assert found["p"].iloc[0] < 1e-6
    assert not found["alarm"].iloc[0]


def test_a_week_of_too_few_rows_is_not_judged(params):
    found = judged(params, (49, 20), (50, 20)).table
    assert found["enough"].tolist() == found["alarm"].tolist() == [False, True]


def test_a_week_that_alarms_alone_does_not_as_one_of_eight(params):
    assert judged(params, (50, 45)).table["alarm"].all()
    assert not judged(params, (50, 45), *[(50, 50)] * 7).table["alarm"].any()


def test_better_than_expected_is_no_alarm(params):
    assert not judged(params, (300, 300)).table["alarm"].any()


@pytest.mark.parametrize("rows", [50, 100, 200])
def test_weeks_without_a_cause_alarm_as_often_as_is_said_at_most(params, rows):
    rng, runs, count = np.random.default_rng(6), 500, 8
    right = rng.binomial(rows, EXPECTED, (runs, count))
    found = [judged(params, *((rows, int(one)) for one in run)) for run in right]
    rate = np.mean([one.table["alarm"].any() for one in found])
    said = found[0].false_alarm_rate
    assert rate <= said + 3 * np.sqrt(said / runs)
    assert said <= 8 * params.drift.detect.alpha
