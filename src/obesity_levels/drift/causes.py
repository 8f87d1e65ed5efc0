"""Likely causes of drift; recommendation.txt.jinja says what to do about them."""

import math
from typing import Literal

import msgspec
import numpy as np

from obesity_levels.drift.batch import NUMBERS, Batch
from obesity_levels.drift.detection import Bools, Detector, Results, kolmogorov_smirnov
from obesity_levels.drift.histograms import LEVEL, Column, Floats
from obesity_levels.io import join_names
from obesity_levels.params import CausesParams
from obesity_levels.schema import BMI, SCALES

CauseName = Literal[
    "unit_error", "broken_field", "unseen_categories", "population_shift", "label_shift", "concept_drift"
]

# For each number that is measured in a unit: well-known ratios to the reference, and what they mean.
_KNOWN_RATIOS: dict[str, dict[float, str]] = {
    "Height": {
        39.370079: "inches, not metres",
        100: "centimetres, not metres",
        3.28084: "feet, not metres",
        1000: "millimetres, not metres",
    },
    "Weight": {2.204623: "pounds, not kilograms", 1000: "grams, not kilograms", 0.157473: "stones, not kilograms"},
    "Age": {12: "months, not years"},
}
# The medians of two samples may differ by this factor.
_KNOWN_WITHIN = 1.2
# Outside of these a number is damaged beyond any unit.
_SMALLEST, _LARGEST = 1e-6, 1e9
_TEXTS_SHOWN = 5
_LONGEST_SHOWN = 40
_FIELDS_SHOWN = 3


class Cause(msgspec.Struct, frozen=True):
    """A likely cause, the columns that show it, and the evidence."""

    cause: CauseName
    columns: list[str]
    detail: str


def find_causes(detector: Detector, results: Results, batch: Batch, train: Batch) -> list[Cause]:
    """The likely causes of the alarms of one `batch`, the most certain first; `train` are the reference rows."""
    columns = detector.reference.columns
    names = np.array([column.name for column in columns])
    missing, unseen = results.missing_alarm[0], results.unseen_alarm[0]
    distribution, any_alarm = results.distribution_alarm[0], results.column_alarm[0]
    missing_share, unseen_share = results.columns.missing_share[0], results.columns.unseen_share[0]

    ratios = _unit_errors(set(names[any_alarm]), set(names[distribution]), batch, train, detector.params.causes)
    # The BMI is computed from height and weight.
    explained = np.isin(names, [*ratios, *([BMI] if {"Height", "Weight"} & set(ratios) else [])])
    # A value that is not a known category counts as missing too: that alarm is the unseen category's.
    broken = missing & ~explained & ~(unseen & (2 * unseen_share >= missing_share))
    if broken.sum() > 1:
        broken &= names != BMI  # nobody fills in the BMI
    shifted = distribution & ~explained & ~unseen & (names != LEVEL)

    causes: list[tuple[CauseName, Bools, str]] = []
    if ratios:
        details = [
            f"{name} is {ratio:.3g} times the value in training, apparently in all rows{_meaning(name, ratio)}"
            for name, ratio in ratios.items()
        ]
        causes.append(("unit_error", explained & any_alarm, "; ".join(details)))
    if broken.any():
        causes.append(("broken_field", broken, _missing_detail(columns, broken, missing_share)))
    if unseen.any():
        texts = [text for name in names[unseen] for text in unseen_texts(batch, name)][:_TEXTS_SHOWN]
        shown = f": {', '.join(map(ascii, texts))}" if texts else ""
        answers = f"answers that no training row has, in {join_names(names[unseen])}{shown}"
        causes.append(("unseen_categories", unseen, answers))
    if shifted.any():
        numbers = np.array([column.edges is not None for column in columns])
        doubt = "" if (shifted & numbers).any() else ", or their categories are mixed up"
        are = "is" if shifted.sum() == 1 else "are"
        moved = f"{join_names(names[shifted])} {are} distributed differently than in training{doubt}"
        causes.append(("population_shift", shifted, moved))
    if set(names[any_alarm]) == {LEVEL}:
        mix = "levels are predicted in other shares, while no single answer has changed much"
        causes.append(("label_shift", any_alarm, mix))
    if not any_alarm.any():
        what = "fewer predictions are correct" if results.score_alarm[0, :2].any() else "the model is less confident"
        causes.append(("concept_drift", any_alarm, f"{what}, while every answer is distributed as it was"))
    return [Cause(cause, names[where].tolist(), detail) for cause, where, detail in causes]


def _unit_errors(
    alarms: set[str], distribution: set[str], batch: Batch, train: Batch, rule: CausesParams
) -> dict[str, float]:
    """Numbers that differ from the reference by a constant ratio, with that ratio.

    `alarms` are the columns that alarm, `distribution` those whose distribution alarms. A unit error changes one
    column: if other answers have shifted too, these are other people, unless the ratio is a well-known one.
    """
    shifted = distribution - {*_KNOWN_RATIOS, BMI, LEVEL}
    found: dict[str, float] = {}
    for name in _KNOWN_RATIOS:  # height first
        if name in alarms:
            margin = rule.height_margin if "Height" in (name, *found) else 0.0
            ratio = constant_ratio(name, batch, train, rule, margin)
            if ratio and (ratio in _KNOWN_RATIOS[name] or (name in distribution and not shifted)):
                found[name] = ratio
    return found


def constant_ratio(name: str, batch: Batch, train: Batch, rule: CausesParams, margin: float = 0.0) -> float | None:
    """The ratio by which all values of a number differ from the reference; None if they differ in another way.

    A well-known ratio where one fits; else the ratio of the medians, unless adding a constant to all values explains
    more (by `margin` / sqrt(rows) of the Kolmogorov–Smirnov statistic).
    """
    at = NUMBERS.index(name)
    found, reference = batch.numbers[:, at], train.on_scale()[:, at]
    found = found[(found >= _SMALLEST) & (found <= _LARGEST)]
    reference = np.sort(reference[np.isfinite(reference)])
    if not len(found) or not len(reference):
        return None
    ratio = float(np.median(found) / np.median(reference))
    if abs(math.log(ratio)) < math.log(rule.min_ratio):
        return None
    for known in _KNOWN_RATIOS.get(name, ()):
        near = 1 / _KNOWN_WITHIN < ratio / known < _KNOWN_WITHIN
        if near and _distance(name, found / known, reference) <= rule.max_ks:
            return known
    restored = _on_scale(name, found / ratio)
    divided = _distance(name, restored, reference)
    added = _distance(name, found - (np.median(found) - np.median(reference)), reference)
    spread = restored.std() / reference.std() if len(restored) and reference.std() else math.inf
    alike = divided <= rule.max_ks and 1 / rule.max_spread_ratio <= spread <= rule.max_spread_ratio
    return ratio if alike and divided < added + margin / math.sqrt(len(found)) else None


def _distance(name: str, restored: Floats, reference: Floats) -> float:
    """Kolmogorov–Smirnov statistic of values, without those off their scale."""
    restored = _on_scale(name, restored)
    return float(kolmogorov_smirnov(reference, restored[None, :])[0][0]) if len(restored) else math.inf


def _on_scale(name: str, values: Floats) -> Floats:
    """The values on their scale. In the right unit, a value off its scale is damaged in another way."""
    low, high = SCALES[name]
    return values[(values >= low) & (values <= high)]


def unseen_texts(batch: Batch, name: str) -> dict[str, int]:
    """The most frequent texts of a column that are not a category, with their counts; long ones are cut."""
    found = sorted(batch.unseen.get(name, {}).items(), key=lambda item: (-item[1], item[0]))[:_TEXTS_SHOWN]
    return {text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…": count for text, count in found}


def _missing_detail(columns: list[Column], broken: Bools, missing_share: Floats) -> str:
    most = sorted(np.flatnonzero(broken), key=lambda at: -missing_share[at])
    parts = [
        f"{columns[at].name} in {missing_share[at]:.0%} of the rows, against {columns[at].missing_share:.0%}"
        for at in most[:_FIELDS_SHOWN]
    ]
    more = f" and {len(most) - _FIELDS_SHOWN} others" if len(most) > _FIELDS_SHOWN else ""
    return f"missing or off the scale more often than in training: {', '.join(parts)}{more}"


def _meaning(name: str, ratio: float) -> str:
    return f": {_KNOWN_RATIOS[name][ratio]}" if ratio in _KNOWN_RATIOS[name] else ""
