"""Simulated drift: batches changed as populations, forms and instruments change."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from obesity_levels.drift.batch import CHOICES, HIGHEST, LOWEST, NUMBERS, Batch
from obesity_levels.drift.histograms import Floats
from obesity_levels.params import ScenariosParams
from obesity_levels.schema import CATEGORIES, LEVELS

_CATEGORY_COUNTS = np.array([len(CATEGORIES[name]) for name in CHOICES])
FIELD_ERROR_INTENSITY = 1.0


class Setting(NamedTuple):
    """What a scenario is drawn from; `moments` are the mean and the standard deviation of each of NUMBERS."""

    params: ScenariosParams
    moments: tuple[Floats, Floats]
    rng: np.random.Generator


Scenario = Callable[[Batch, float, Setting], Batch]


def feature_shift(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """Another population: every number's mean moved by `intensity` standard deviations, its spread by 1 + `intensity`.

    Numbers are cut off at the ends of their scales.
    """
    mean, sd = setting.moments
    moved = mean + intensity * sd + (batch.numbers - mean) * (1 + intensity)
    return replace(batch, numbers=np.clip(moved, LOWEST, HIGHEST))


def missing_values(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """`intensity` of all cells blanked."""
    return replace(
        batch,
        numbers=np.where(setting.rng.random(batch.numbers.shape) < intensity, np.nan, batch.numbers),
        choices=np.where(setting.rng.random(batch.choices.shape) < intensity, -1, batch.choices),
    )


def label_imbalance(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """`intensity` of the rows replaced by rows of one level, drawn from the batch; unchanged if it has none of them."""
    of_level = np.flatnonzero(batch.labels == LEVELS.index(setting.params.imbalance_level))
    moved = setting.rng.random(len(batch)) < intensity
    at = np.arange(len(batch))
    if len(of_level):
        at[moved] = setting.rng.choice(of_level, size=int(moved.sum()))
    return batch.take(at)


def combined(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """The three above together."""
    for scenario in (label_imbalance, feature_shift, missing_values):
        batch = scenario(batch, intensity, setting)
    return batch


def noise(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """Normal noise of one standard deviation on `noise_share` of the numbers (times `intensity`)."""
    _, sd = setting.moments
    hit = setting.rng.random(batch.numbers.shape) < setting.params.noise_share * intensity
    return replace(batch, numbers=batch.numbers + hit * setting.rng.normal(0, 1, batch.numbers.shape) * sd)


def category_swap(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """`swap_share` (times `intensity`) of the categories replaced by another category of the same question."""
    shape = batch.choices.shape
    hit = (setting.rng.random(shape) < setting.params.swap_share * intensity) & (batch.choices >= 0)
    other = (batch.choices + setting.rng.integers(1, _CATEGORY_COUNTS, size=shape)) % _CATEGORY_COUNTS
    return replace(batch, choices=np.where(hit, other, batch.choices))


def unit_error(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """A tape and a scale that are off by constant ratios, in `intensity` of the rows."""
    return _multiplied(batch, setting.params.unit_error, intensity, setting.rng)


def unit_error_lb_in(batch: Batch, intensity: float, setting: Setting) -> Batch:
    """Pounds and inches for kilograms and metres, in `intensity` of the rows."""
    return _multiplied(batch, setting.params.unit_error_lb_in, intensity, setting.rng)


GRADED: dict[str, Scenario] = {
    scenario.__name__: scenario for scenario in (feature_shift, missing_values, label_imbalance, combined)
}
FIELD_ERRORS: dict[str, Scenario] = {
    scenario.__name__: scenario for scenario in (noise, category_swap, unit_error, unit_error_lb_in)
}
SCENARIOS = GRADED | FIELD_ERRORS
"""Name -> scenario. The GRADED ones are simulated at several intensities, FIELD_ERRORS at FIELD_ERROR_INTENSITY."""


def cases(params: ScenariosParams) -> list[tuple[str, float]]:
    """Every scenario with each intensity at which it is simulated."""
    return [(name, intensity) for name in GRADED for intensity in params.intensities] + [
        (name, FIELD_ERROR_INTENSITY) for name in FIELD_ERRORS
    ]


def _multiplied(batch: Batch, factors: Mapping[str, float], share: float, rng: np.random.Generator) -> Batch:
    factor = np.array([factors.get(name, 1.0) for name in NUMBERS])
    hit = rng.random(len(batch)) < share
    return replace(batch, numbers=np.where(hit[:, None], batch.numbers * factor, batch.numbers))
