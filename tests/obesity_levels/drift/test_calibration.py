import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from obesity_levels.drift import calibration
from obesity_levels.drift.scenarios import cases


@pytest.fixture
def quick(drift_params):
    calibrate = msgspec.structs.replace(drift_params.calibrate, sizes=[50, 100_000], draws=20, power_draws=5)
    scenarios = msgspec.structs.replace(drift_params.scenarios, intensities=[0.3])
    return msgspec.structs.replace(drift_params, calibrate=calibrate, scenarios=scenarios)


def test_with_many_rows_the_threshold_of_the_psi_is_that_of_the_chi_squared_approximation():
    """Yurdakul & Naranjo (2020): PSI / (1/n + 1/m) is chi-squared with one degree of freedom less than cells."""
    found = calibration.psi_thresholds(np.full(10, 1000), [2000, 20_000], 0.01, draws=20_000, seed=1)
    expected = [stats.chi2.isf(0.01, 9) * (1 / size + 1 / 10_000) for size in (2000, 20_000)]
    assert found == pytest.approx(expected, rel=0.05)


def test_the_threshold_of_the_psi_is_lower_for_more_rows():
    found = calibration.psi_thresholds(np.array([700, 20, 3, 0]), [50, 200, 1000, 10_000], 0.01, draws=20_000, seed=1)
    assert found == sorted(found, reverse=True)


@given(st.integers(0, 100), st.integers(200, 5000), st.integers(10, 500))
def test_the_share_of_missing_rows_is_over_its_threshold_with_no_more_than_its_chance(missing, rows, size):
    (threshold,) = calibration.missing_thresholds(missing, rows, [size], 0.01)
    most = int(np.floor(threshold * size))
    over, at_one_less = (stats.betabinom.sf(k, size, missing + 0.5, rows - missing + 0.5) for k in (most, most - 1))
    assert over <= 0.01 < at_one_less or most == 0


def test_a_rate_has_its_exact_interval():
    """Clopper & Pearson: with no alarm in 100 the upper end solves (1 - p)^100 = 0.025."""
    found = calibration.rate(np.zeros(100, dtype=bool))
    assert (found.rate, found.batches) == (0, 100)
    assert found.interval == pytest.approx((0, 1 - 0.025**0.01), abs=1e-6)


def test_batches_are_drawn_without_replacement():
    drawn = calibration.draw(60, 50, 200, np.random.default_rng(0))
    assert drawn.shape == (200, 50)
    assert all(len(set(batch)) == 50 for batch in drawn.tolist())
    assert set(drawn.ravel().tolist()) == set(range(60))


def test_sizes_of_which_there_are_not_so_many_rows_are_left_out(world, quick):
    for by_size in calibration.false_alarm_rates(world.detector, world.held_out, quick.calibrate).values():
        assert set(by_size) == {"50"}


def test_the_number_of_processes_changes_nothing(world, quick, monkeypatch):
    rates, shares = [], []
    for processes in ("1", "2"):
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", processes)
        rates.append(calibration.false_alarm_rates(world.detector, world.held_out, quick.calibrate))
        shares.append(calibration.power(world.detector, world.held_out, world.train, quick))
    assert rates[0] == rates[1]
    pd.testing.assert_frame_equal(*shares, check_exact=True)


def test_each_scenario_is_reported_with_its_scores_before_and_after(world, quick):
    found, errors = calibration.try_scenarios(world.detector, world.held_out, world.train, quick)
    assert [(name, float(i)) for name, by_intensity in found.items() for i in by_intensity] == cases(quick.scenarios)
    assert len(errors) == len(cases(quick.scenarios))
    unit_error = found["unit_error"]["1.0"]
    assert unit_error["verdict"] == "drift"
    assert unit_error["causes"] == ["unit_error"]
    accuracy = unit_error["accuracy"]
    assert accuracy["after"] < accuracy["before"] == found["noise"]["1.0"]["accuracy"]["before"]
    assert "Height" in unit_error["columns"]
    assert "Height" in unit_error["recommendation"]
