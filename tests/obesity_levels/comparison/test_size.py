"""Rows that a comparison takes: figures that are known, and simulations of what is printed."""

import numpy as np
import pytest

from obesity_levels.comparison.paired import compare_rows
from obesity_levels.comparison.size import (
    detectable_difference,
    discordance_bounds,
    paired_rows,
    sequence_units,
    split_units,
)


def test_the_sizes_are_those_of_the_formulas_by_hand():
    z_alpha, z_power, lift, apart = 1.959964, 0.841621, 0.0051, 0.0195
    paired = ((z_alpha * apart**0.5 + z_power * (apart - lift**2) ** 0.5) / lift) ** 2
    assert paired_rows(lift, apart, 0.05, 0.8) == pytest.approx(paired, abs=1)
    # Fleiss, Levin & Paik (2003), formula 4.14 without the correction for continuity, for both arms
    p, q = 0.97, 0.98
    pooled = 2 * 0.975 * 0.025
    split = 2 * ((z_alpha * pooled**0.5 + z_power * (p * (1 - p) + q * (1 - q)) ** 0.5) / 0.01) ** 2
    assert split_units(p, 0.01, 0.5, 0.05, 0.8) == pytest.approx(split, abs=1)


def test_the_size_for_every_look_is_the_one_of_the_formula_by_hand():
    # the half width is 3.03512 standard errors at the planned number; a tenth of the units are the challenger's
    deviation = (0.97 * 0.03 / 0.9 + 0.98 * 0.02 / 0.1) ** 0.5
    by_hand = ((3.03512 + 0.841621) * deviation / 0.01) ** 2
    assert sequence_units(0.97, 0.01, 0.1, 0.05, 0.8) == pytest.approx(by_hand, abs=2)


def test_an_uneven_split_takes_more_units_and_so_does_looking_every_day():
    even = split_units(0.97, 0.01, 0.5, 0.05, 0.8)
    assert split_units(0.97, 0.01, 0.1, 0.05, 0.8) > 2 * even
    assert 1.5 * even < sequence_units(0.97, 0.01, 0.5, 0.05, 0.8) < 2.5 * even


def test_independent_errors_tell_models_apart_more_often_than_corrections_alone():
    assert discordance_bounds(0.97, 0.01) == pytest.approx((0.01, 0.97 * 0.02 + 0.03 * 0.98))


@pytest.mark.parametrize("apart", [0.01, 0.0488])
def test_of_as_many_paired_rows_as_are_printed_a_test_finds_the_difference_in_about_80_of_100_cases(apart):
    rows, lift = paired_rows(0.01, apart, 0.05, 0.8), 0.01
    up, down = (apart + lift) / 2, (apart - lift) / 2
    found = 0
    for won, lost, _ in np.random.default_rng(5).multinomial(rows, [up, down, 1 - up - down], size=1_000):
        champion = np.repeat([False, True, True], [won, lost, rows - won - lost])
        challenger = np.repeat([True, False, True], [won, lost, rows - won - lost])
        found += compare_rows(champion, challenger, 0.05).p < 0.05
    assert 0.74 <= found / 1_000 <= 0.86


def test_the_difference_that_rows_show_is_the_one_that_so_many_rows_are_needed_for():
    rows = paired_rows(0.0051, 0.0195, 0.05, 0.8)
    assert detectable_difference(rows, 0.0195, 0.05, 0.8) == pytest.approx(0.0051, rel=0.01)
