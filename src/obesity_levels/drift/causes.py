"""Likely causes of drift, and what to do about them."""

import math
from collections.abc import Collection
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from obesity_levels.drift.batch import NUMBERS, Batch
from obesity_levels.drift.detection import Detector, Results, kolmogorov_smirnov
from obesity_levels.drift.histograms import LEVEL, Verdict
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


class _Alarms:
    """Which columns alarm, by reason, and the names of columns in their order."""

    def __init__(self, detector: Detector, results: Results) -> None:
        self.names = [column.name for column in detector.reference.columns]
        self.distribution = self._named(results.distribution_alarm)
        self.missing = self._named(results.missing_alarm)
        self.unseen = self._named(results.unseen_alarm)
        self.any = self._named(results.column_alarm)

    def _named(self, alarms: npt.NDArray[np.bool_]) -> set[str]:
        return {name for name, alarm in zip(self.names, alarms[0], strict=True) if alarm}

    def ordered(self, chosen: Collection[str]) -> list[str]:
        return [name for name in self.names if name in chosen]


def find_causes(detector: Detector, results: Results, batch: Batch, train: Batch) -> list[Cause]:
    """The likely causes of the alarms of one `batch`, the most certain first; `train` are the reference rows."""
    alarms = _Alarms(detector, results)
    causes: list[Cause] = []
    ratios = _unit_errors(alarms, batch, train, detector.params.causes)
    explained = set(ratios)
    if explained & {"Height", "Weight"}:
        explained.add(BMI)  # it is computed from them
    if ratios:
        details = [
            f"{name} is {ratio:.3g} times what it was, in all rows alike as far as can be seen{_meaning(name, ratio)}"
            for name, ratio in ratios.items()
        ]
        causes.append(Cause("unit_error", alarms.ordered(explained & alarms.any), "; ".join(details)))
    broken = _broken_fields(alarms, results, explained)
    if broken:
        causes.append(Cause("broken_field", alarms.ordered(broken), _missing_detail(alarms, results, broken, detector)))
    if alarms.unseen:
        columns = alarms.ordered(alarms.unseen)
        texts = [text for name in columns for text in unseen_texts(batch, name)][:_TEXTS_SHOWN]
        shown = f": {', '.join(map(ascii, texts))}" if texts else ""
        causes.append(
            Cause("unseen_categories", columns, f"answers that no training row has, in {_list(columns)}{shown}")
        )
    shifted = alarms.ordered(alarms.distribution - explained - alarms.unseen - {LEVEL})
    if shifted:
        only_categories = all(column.edges is None for column in detector.reference.columns if column.name in shifted)
        doubt = ", or their categories are mixed up" if only_categories else ""
        are = "is" if len(shifted) == 1 else "are"
        causes.append(
            Cause("population_shift", shifted, f"{_list(shifted)} {are} distributed otherwise than in training{doubt}")
        )
    if alarms.any == {LEVEL}:
        causes.append(
            Cause("label_shift", [LEVEL], "levels are predicted in other shares, while no single answer has moved much")
        )
    if not alarms.any:
        what = "fewer predictions are right" if results.score_alarm[0, :2].any() else "the model is less sure"
        causes.append(Cause("concept_drift", [], f"{what}, while every answer is distributed as it was"))
    return causes


def _unit_errors(alarms: _Alarms, batch: Batch, train: Batch, rule: CausesParams) -> dict[str, float]:
    """Numbers that differ from the reference by a constant ratio, with that ratio.

    A unit goes wrong by itself: if other answers have shifted too, the people are others, unless the ratio is a
    well-known one.
    """
    shifted = alarms.distribution - {*_KNOWN_RATIOS, BMI, LEVEL}
    found: dict[str, float] = {}
    for name in _KNOWN_RATIOS:  # height first
        if name in alarms.any:
            margin = rule.margin if "Height" in (name, *found) else 0.0
            ratio = constant_ratio(name, batch, train, rule, margin)
            if ratio and (ratio in _KNOWN_RATIOS[name] or (name in alarms.distribution and not shifted)):
                found[name] = ratio
    return found


def _broken_fields(alarms: _Alarms, results: Results, explained: set[str]) -> set[str]:
    """Columns that are missing more often, unless their unit or an unknown text explains that."""
    # A text that is no category is missing too.
    unseen, missing = results.columns.unseen_share[0], results.columns.missing_share[0]
    by_texts = {name for at, name in enumerate(alarms.names) if 2 * unseen[at] >= missing[at]}
    broken = alarms.missing - explained - (alarms.unseen & by_texts)
    return broken if broken == {BMI} else broken - {BMI}  # nobody fills in the BMI


def constant_ratio(name: str, batch: Batch, train: Batch, rule: CausesParams, margin: float = 0.0) -> float | None:
    """The ratio by which all values of a number differ from the reference; None if they differ in another way.

    A well-known ratio where one fits; else the ratio of the medians, unless adding a constant to all values explains
    more (by `margin` / sqrt(rows) of the Kolmogorov–Smirnov statistic).
    """
    at = NUMBERS.index(name)
    found, reference = batch.numbers[:, at], train.on_scale()[:, at]
    with np.errstate(invalid="ignore"):
        found = found[(found >= _SMALLEST) & (found <= _LARGEST)]
    reference = np.sort(reference[np.isfinite(reference)])
    if not len(found) or not len(reference):
        return None
    ratio = float(np.median(found) / np.median(reference))
    if abs(math.log(ratio)) < math.log(rule.least_ratio):
        return None
    for known in _KNOWN_RATIOS.get(name, ()):
        if (
            abs(math.log(ratio / known)) < math.log(_KNOWN_WITHIN)
            and _distance(name, found / known, reference) <= rule.alike
        ):
            return known
    restored = _on_scale(name, found / ratio)
    divided = _distance(name, restored, reference)
    added = _distance(name, found - (np.median(found) - np.median(reference)), reference)
    spread = restored.std() / reference.std() if len(restored) and reference.std() else math.inf
    alike = divided <= rule.alike and 1 / rule.spread_within <= spread <= rule.spread_within
    return ratio if alike and divided < added + margin / math.sqrt(len(found)) else None


def _distance(name: str, restored: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """Kolmogorov–Smirnov statistic of values, without those off their scale."""
    restored = _on_scale(name, restored)
    return float(kolmogorov_smirnov(reference, restored[None, :])[0][0]) if len(restored) else math.inf


def _on_scale(name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values on their scale. In the right unit, a value off its scale is damaged in another way."""
    low, high = SCALES[name]
    return values[(values >= low) & (values <= high)]


_ADVICE: dict[str, str] = {
    "unit_error": "If these are people like before, mend the unit or the instrument at its source and score them again;"
    " do not train on them.",
    "broken_field": "Look at the form or the export that fills {columns}: the model answers, but with less to go by.",
    "unseen_categories": "Map the new answers in {columns} to known ones, or train on rows that have them.",
    "population_shift": "Collect labels for such rows; where accuracy has fallen, train on them too"
    " (dvc exp run -S ingest.source=FILE.csv).",
    "label_shift": "Find out whether the mix of people has changed; compare scores level by level.",
    "concept_drift": "Check the labels and single answers by hand; if both are right, train on newer rows.",
}


def recommend(verdict: Verdict, causes: list[Cause], min_rows: int, accuracy_lost: float = 0.0) -> str:
    """What to do, in words that name the columns and the likely causes.

    `accuracy_lost` is the share of the accuracy that is lost, where the measured accuracy alarms, else 0.
    """
    if verdict == "too few rows to tell":
        return f"Collect at least {min_rows} rows before judging."
    if verdict == "no drift":
        return "Nothing to do."
    titles = {
        "unit_error": "Likely a unit error",
        "broken_field": "Likely a broken field",
        "unseen_categories": "Unknown answers",
        "population_shift": "Likely another population",
        "label_shift": "Likely another mix of levels",
        "concept_drift": "Likely noise in the answers, or labels given otherwise",
    }
    said = [
        f"{titles[cause.cause]}: {cause.detail}. {_ADVICE[cause.cause].format(columns=_list(cause.columns))}"
        for cause in causes
    ]
    if accuracy_lost and causes[0].cause != "concept_drift":
        said.append(
            f"{accuracy_lost:.0%} of the accuracy is lost: if the above does not explain it, look at the labels too."
        )
    return " ".join(said)


def unseen_texts(batch: Batch, name: str) -> dict[str, int]:
    """The most frequent texts of a column that are not a category, with their counts; long ones are cut."""
    found = sorted(batch.unseen.get(name, {}).items(), key=lambda item: (-item[1], item[0]))[:_TEXTS_SHOWN]
    return {text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…": count for text, count in found}


def _missing_detail(alarms: _Alarms, results: Results, broken: set[str], detector: Detector) -> str:
    shares = dict(zip(alarms.names, results.columns.missing_share[0].tolist(), strict=True))
    before = {column.name: column.missing_share for column in detector.reference.columns}
    most = sorted(alarms.ordered(broken), key=lambda name: -shares[name])
    parts = [f"{name} in {shares[name]:.0%} of the rows, against {before[name]:.0%}" for name in most[:_FIELDS_SHOWN]]
    more = f" and {len(most) - _FIELDS_SHOWN} others" if len(most) > _FIELDS_SHOWN else ""
    return f"missing or off the scale more often than in training: {', '.join(parts)}{more}"


def _meaning(name: str, ratio: float) -> str:
    return f": {_KNOWN_RATIOS[name][ratio]}" if ratio in _KNOWN_RATIOS[name] else ""


def _list(columns: list[str]) -> str:
    return ", ".join(columns[:-1]) + " and " + columns[-1] if len(columns) > 1 else "".join(columns)
