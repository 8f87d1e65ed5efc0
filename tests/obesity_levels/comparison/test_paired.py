"""Two models on the same rows: the test, its interval, its power, and groups of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from obesity_levels.comparison.paired import compare_groups, compare_rows
from obesity_levels.comparison.report import paired_report

ALPHA = 0.05


def models(won: int, lost: int, both: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Which rows the champion and the challenger are right on."""
    counts = [won, lost, both, neither]
    return np.repeat([False, True, True, False], counts), np.repeat([True, False, True, False], counts)


def test_p_is_that_of_mcnemars_exact_test_by_hand():
    # 8 of 10 rows that tell the models apart: 2 * (45 + 10 + 1) / 2**10
    assert compare_rows(*models(8, 2, 90), ALPHA).p == pytest.approx(2 * 56 / 1024)


def test_the_interval_is_the_one_of_bonett_and_price_by_hand():
    found = compare_rows(*models(8, 2, 90), ALPHA)
    up, down, rows = 9, 3, 102
    half = 1.959964 * ((up + down) / rows - ((up - down) / rows) ** 2) ** 0.5 / rows**0.5
    assert (found.low, found.high) == pytest.approx(((up - down) / rows - half, (up - down) / rows + half), abs=1e-6)


def test_the_verdict_is_by_p_where_the_interval_leaves_0_out():
    found = compare_rows(*models(7, 1, 42), ALPHA)
    assert found.p > ALPHA
    assert found.low > 0
    assert paired_report(found, {}, ALPHA).verdict == "too few rows to tell"


counts = st.integers(0, 50)


@given(won=counts, lost=counts, both=st.integers(1, 200), neither=counts)
def test_exchanging_the_models_changes_the_sign_of_the_difference_and_nothing_else(won, lost, both, neither):
    one = compare_rows(*models(won, lost, both, neither), ALPHA)
    other = compare_rows(*models(lost, won, both, neither), ALPHA)
    assert other.difference == -one.difference
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert other.p == pytest.approx(one.p)
    assert one.difference == pytest.approx(one.challenger - one.champion)


@pytest.mark.parametrize(("rows", "down", "up"), [(300, 0.01, 0.02), (5_900, 0.0072, 0.0123), (100, 0, 0.03)])
def test_95_of_100_intervals_hold_the_true_difference(rows, down, up):
    rng = np.random.default_rng(1)
    held = 0
    for won, lost, _ in rng.multinomial(rows, [up, down, 1 - up - down], size=1_000):
        found = compare_rows(*models(won, lost, rows - won - lost), ALPHA)
        held += found.low <= up - down <= found.high
    assert held / 1_000 >= 0.935  # 0.95 less two standard errors


def test_equal_models_are_told_apart_in_at_most_5_of_100_cases_and_the_better_one_in_75_of_5900_rows():
    rng, rows = np.random.default_rng(2), 5_900

    def found(down: float, up: float) -> float:
        drawn = rng.multinomial(rows, [up, down, 1 - up - down], size=2_000)
        results = [compare_rows(*models(won, lost, rows - won - lost), ALPHA) for won, lost, _ in drawn]
        return np.mean([one.p < ALPHA and (one.difference > 0 or up == down) for one in results])

    assert found(0.01, 0.01) <= 0.05
    assert found(0.0072, 0.0123) >= 0.75


def test_groups_of_equal_models_alarm_in_at_most_5_of_100_cases_all_together():
    rng, rows, groups = np.random.default_rng(3), 2_000, 10
    group = np.arange(rows) % groups
    masks = {str(at): group == at for at in range(groups)}
    alarms = 0
    for _ in range(300):
        kind = rng.choice(3, size=rows, p=[0.05, 0.05, 0.9])
        found = compare_groups(kind != 0, kind != 1, masks, ALPHA)
        alarms += any(one.p < ALPHA for one in found.values())
    assert alarms <= stats.binom.ppf(0.999, 300, 0.05)


def test_a_group_on_which_the_challenger_is_worse_is_found_and_an_empty_one_is_left_out():
    champion, challenger = models(40, 30, 800)
    worse = champion & ~challenger
    found = compare_groups(champion, challenger, {"worse": worse, "rest": ~worse, "empty": worse & ~worse}, ALPHA)
    assert list(found) == ["worse", "rest"]
    assert found["worse"].p < ALPHA
    assert found["worse"].difference == -1
