import numpy as np
import pytest

from obesity_levels.drift.batch import CHOICES, NUMBERS
from obesity_levels.drift.scenarios import SCENARIOS, Setting, cases
from obesity_levels.schema import CATEGORIES, LEVELS, SCALES


@pytest.fixture
def apply(world, fresh, drift_params):
    def applied(name: str, intensity: float, seed: int = 1):
        setting = Setting(drift_params.scenarios, world.train.moments(), np.random.default_rng(seed))
        return SCENARIOS[name](fresh, intensity, setting)

    return applied


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_rows(apply, name):
    one, same, other = (apply(name, 0.5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.numbers, same.numbers)
    np.testing.assert_array_equal(one.choices, same.choices)
    if name != "feature_shift":  # which has nothing random in it
        different = (one.numbers != other.numbers) & ~(np.isnan(one.numbers) & np.isnan(other.numbers))
        assert different.any() or (one.choices != other.choices).any()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_batch_that_is_changed_keeps_its_rows_and_is_itself_left_alone(apply, fresh, name):
    numbers, choices, labels = fresh.numbers.copy(), fresh.choices.copy(), fresh.labels.copy()
    assert len(apply(name, 1.0)) == len(fresh)
    np.testing.assert_array_equal(fresh.numbers, numbers)
    np.testing.assert_array_equal(fresh.choices, choices)
    np.testing.assert_array_equal(fresh.labels, labels)


def test_a_feature_shift_moves_means_and_spreads_where_no_scale_ends(apply, fresh, world):
    height = NUMBERS.index("Height")
    mean, sd = (part[height] for part in world.train.moments())
    shifted = apply("feature_shift", 0.3).numbers[:, height]
    expected = mean + 0.3 * sd + (fresh.numbers[:, height] - mean) * 1.3
    np.testing.assert_allclose(shifted, expected)


def test_a_feature_shift_stays_on_the_scales(apply):
    low, high = np.array([SCALES[name] for name in NUMBERS]).T
    numbers = apply("feature_shift", 1.0).numbers
    assert ((numbers >= low) & (numbers <= high)).all()


@pytest.mark.parametrize("intensity", [0.1, 0.5])
def test_missing_values_blank_their_share_of_the_cells(apply, intensity):
    batch = apply("missing_values", intensity)
    blank = np.concatenate([np.isnan(batch.numbers), batch.choices == -1], axis=1)
    assert blank.mean() == pytest.approx(intensity, abs=0.03)


def test_label_imbalance_moves_its_share_of_the_rows_to_one_level(apply, fresh, drift_params):
    level = LEVELS.index(drift_params.scenarios.imbalance_level)
    before, after = ((batch.labels == level).mean() for batch in (fresh, apply("label_imbalance", 0.5)))
    assert after == pytest.approx(before + 0.5 * (1 - before), abs=0.08)


def test_label_imbalance_brings_whole_rows_that_were_there(apply, fresh):
    known, brought = (
        np.column_stack([batch.numbers, batch.labels]).tolist() for batch in (fresh, apply("label_imbalance", 0.5))
    )
    assert all(row in known for row in brought)


def test_a_level_that_no_row_has_leaves_the_batch_as_it_is(apply, fresh, world, drift_params):
    without = fresh.take(np.flatnonzero(fresh.labels != LEVELS.index(drift_params.scenarios.imbalance_level)))
    setting = Setting(drift_params.scenarios, world.train.moments(), np.random.default_rng(1))
    same = SCENARIOS["label_imbalance"](without, 0.5, setting)
    np.testing.assert_array_equal(same.numbers, without.numbers)


def test_noise_hits_its_share_of_the_numbers_and_no_category(apply, fresh, drift_params):
    batch = apply("noise", 1.0)
    hit = (batch.numbers != fresh.numbers).mean()
    assert hit == pytest.approx(drift_params.scenarios.noise_share, abs=0.03)
    np.testing.assert_array_equal(batch.choices, fresh.choices)


def test_a_category_swap_hits_its_share_and_always_gives_another_category(apply, fresh, drift_params):
    batch = apply("category_swap", 1.0)
    hit = (batch.choices != fresh.choices).mean()
    assert hit == pytest.approx(drift_params.scenarios.swap_share, abs=0.03)
    counts = np.array([len(CATEGORIES[name]) for name in CHOICES])
    assert ((batch.choices >= 0) & (batch.choices < counts)).all()


def test_a_unit_error_hits_its_share_of_the_rows(apply, fresh):
    weight = NUMBERS.index("Weight")
    ratio = apply("unit_error", 0.5).numbers[:, weight] / fresh.numbers[:, weight]
    assert sorted(set(ratio.round(6))) == [0.92, 1.0]
    assert (ratio < 1).mean() == pytest.approx(0.5, abs=0.1)


def test_every_scenario_is_simulated_the_field_errors_in_full(drift_params):
    found = cases(drift_params.scenarios)
    assert {name for name, _ in found} == set(SCENARIOS)
    assert {i for name, i in found if name in ("noise", "category_swap", "unit_error", "unit_error_lb_in")} == {1.0}
