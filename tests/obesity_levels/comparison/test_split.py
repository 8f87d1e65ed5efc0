"""Two arms: splits that are refused, how often a good one is, and the intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from obesity_levels.comparison.split import compare_arms
from obesity_levels.errors import ComparisonError


def arms(champion: tuple[int, int, int], challenger: tuple[int, int, int]) -> pd.DataFrame:
    """Outcomes of two arms, of each the units, those whose truth is known, and those predicted right."""
    rows = []
    for version, (units, known, right) in {"a": champion, "b": challenger}.items():
        of_arm = np.repeat([1.0, 0.0, np.nan], [right, known - right, units - known])
        rows.append(
            pd.DataFrame({"unit": [f"{version}{at}" for at in range(units)], "model_version": version, "right": of_arm})
        )
    return pd.concat(rows, ignore_index=True)


def compared(outcomes: pd.DataFrame, champion: str = "a", share: float = 0.5, alpha: float = 0.05):
    return compare_arms(outcomes, champion, share, alpha, planned=5_000, min_units=50)


def test_the_difference_is_the_challengers_accuracy_less_the_champions():
    found = compared(arms((1000, 1000, 960), (1000, 1000, 980)))
    assert found.difference == pytest.approx(0.02)
    assert compared(arms((1000, 1000, 960), (1000, 1000, 980)), champion="b").difference == pytest.approx(-0.02)


def test_the_interval_of_one_look_is_the_one_of_newcombes_example():
    # Newcombe (1998), table II, case (a): 56/70 - 48/80, interval 0.0524 to 0.3339
    found = compared(arms((80, 80, 48), (70, 70, 56)))
    assert found.once == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_interval_of_every_look_is_the_wider_one():
    found = compared(arms((1000, 1000, 960), (1000, 1000, 980)))
    assert found.always[0] < found.once[0] < found.difference < found.once[1] < found.always[1]


def test_a_smaller_alpha_makes_both_intervals_wider():
    usual, strict = (compared(arms((1000, 1000, 960), (1000, 1000, 980)), alpha=alpha) for alpha in (0.05, 0.01))
    assert strict.once[0] < usual.once[0] < usual.once[1] < strict.once[1]
    assert strict.always[0] < usual.always[0] < usual.always[1] < strict.always[1]


def test_a_split_that_is_uneven_by_3_points_at_5000_units_is_refused():
    with pytest.raises(ComparisonError, match=r"2,650 of 5,000 units \(53.0%\), and not 50.0%"):
        compared(arms((2350, 2350, 2280), (2650, 2650, 2570)))


def test_it_is_refused_by_the_planned_share_and_not_by_an_even_one():
    outcomes = arms((4500, 4500, 4365), (500, 500, 485))
    compared(outcomes, share=0.1)
    with pytest.raises(ComparisonError, match=r"10.0%\), and not 50.0%"):
        compared(outcomes)


def is_uneven(units: int, of_challenger: int, share: float) -> bool:
    try:
        compared(arms((units - of_challenger, 0, 0), (of_challenger, 0, 0)), share=share)
    except ComparisonError as error:
        return f"and not {share:.1%}" in str(error)
    raise AssertionError("compared without a known truth")


def test_of_splits_that_are_as_planned_at_most_1_in_1000_is_refused_in_a_small_arm_too():
    units, share = 500, 0.01
    counts = np.arange(1, 50)
    refused = np.array([is_uneven(units, one, share) for one in counts])
    assert 0 < stats.binom.pmf(counts[refused], units, share).sum() <= 0.001


def test_units_in_both_arms_are_refused():
    outcomes = arms((1000, 1000, 960), (1000, 1000, 980))
    outcomes.loc[outcomes["unit"] == "b0", "unit"] = "a0"
    with pytest.raises(ComparisonError, match="1 of 1,999 units were predicted by both models"):
        compared(outcomes)


def test_labels_that_come_in_differently_are_refused():
    with pytest.raises(ComparisonError, match="the truth is known of 90.0% of a's units and of 80.0% of b's"):
        compared(arms((1000, 900, 860), (1000, 800, 780)))
    compared(arms((1000, 900, 860), (1000, 890, 870)))
    # 1 in 100 such splits: chi-squared gives 2 in 100,000
    compared(arms((4500, 4500, 4400), (500, 498, 490)), share=0.1)


def test_with_fewer_known_units_than_are_needed_it_says_to_wait():
    with pytest.raises(ComparisonError, match="known of 60 and 40 units: wait until it is of 50 each"):
        compared(arms((500, 60, 50), (500, 40, 38)))


def test_an_outcome_of_a_unit_that_has_one_already_is_not_counted():
    outcomes = arms((1000, 1000, 960), (1000, 1000, 980))
    found = compared(pd.concat([outcomes, outcomes.head(10)], ignore_index=True))
    assert found.repeated == 10
    assert (found.champion.units, found.champion.right) == (1000, 960)
