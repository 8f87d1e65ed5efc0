"""The confidence sequence: how often it is wrong, looked at again and again, and what it finds."""

import numpy as np
import pytest

from obesity_levels.comparison.sequence import confidence_sequence, half_width

ALPHA = 0.05


def arms(accuracies, per_look: int, share: float = 0.5, looks: int = 30, simulations: int = 2_000):
    """Counts of two arms at each look, shape (2, simulations, looks): those predicted right, and all."""
    rng = np.random.default_rng(4)
    challenger = rng.binomial(per_look, share, (simulations, looks))
    units = np.stack([per_look - challenger, challenger])
    right = rng.binomial(units, np.reshape(accuracies, (2, 1, 1)))
    return right.cumsum(axis=-1), units.cumsum(axis=-1)


@pytest.mark.parametrize("accuracy", [0.85, 0.97])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.05])
@pytest.mark.parametrize("planned", [1_000, 6_000, 50_000])
def test_equal_models_looked_at_30_times_alarm_in_at_most_5_of_100_cases(accuracy, share, planned):
    right, units = arms((accuracy, accuracy), 600, share)
    low, high = confidence_sequence(right, units, ALPHA, planned)
    judged = (units >= 50).all(axis=0)  # min_rows: with fewer in either arm the command says to wait
    assert (((low > 0) | (high < 0)) & judged).any(axis=-1).mean() <= 0.05


def test_as_often_an_interval_for_one_look_alarms_in_more_than_20_of_100_cases():
    """So the test above can fail: the simulation has what makes looking again and again wrong."""
    right, units = arms((0.97, 0.97), 600)
    accuracy = right / units
    error = np.sqrt((accuracy * (1 - accuracy) / units).sum(axis=0))
    assert (np.abs(accuracy[1] - accuracy[0]) > 1.96 * error).any(axis=-1).mean() > 0.2


def test_a_better_challenger_is_found_by_the_planned_number_of_units_in_more_than_80_of_100_cases():
    right, units = arms((0.97, 0.98), 14_639 // 30)
    low, _ = confidence_sequence(right, units, ALPHA, 14_639)
    assert (low > 0).any(axis=-1).mean() >= 0.8


def test_the_width_is_that_of_the_paper_by_hand():
    # t rho² + 1 = 9.21197 for t = planned, the greater x of x - log x = 1 - 2 log α
    expected = np.sqrt(2 * 9.21197 / (1_000 * 8.21197) * np.log(np.sqrt(9.21197) / 0.05))
    assert half_width(1_000, ALPHA, 1_000) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.5])
def test_the_width_is_least_for_the_planned_number(alpha):
    widths = [half_width(1_000, alpha, planned) for planned in (960, 1_000, 1_040)]
    assert widths[1] == min(widths)


def test_arms_without_an_error_have_an_interval_with_a_width():
    low, high = confidence_sequence(np.array([50, 50]), np.array([50, 50]), ALPHA, 1_000)
    assert low < 0 < high


def test_no_interval_is_wider_than_differences_can_be():
    low, high = confidence_sequence(np.array([50, 0]), np.array([50, 50]), ALPHA, 10**20)
    assert (low, high) == (-1, 1)
