"""What is said of a batch: the verdict, why, how bad it is, what to do. As JSON: docs/drift_report.schema.json."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Meta
from tabulate import tabulate

from obesity_levels.drift.batch import NUMBERS, Batch
from obesity_levels.drift.histograms import LEVEL, Cells, FalseAlarmRate, Reference, Verdict
from obesity_levels.drift.tests import SCORES, Detector, Results, Scored, kolmogorov_smirnov
from obesity_levels.features import BMI
from obesity_levels.params import CausesParams, SeverityParams
from obesity_levels.schema import SCALES

SCHEMA_VERSION = 1

Severity = Literal["low", "medium", "high", "critical"]
Reason = Literal["distribution", "missing rate", "unseen categories"]
CauseName = Literal[
    "unit_error", "broken_field", "unseen_categories", "population_shift", "label_shift", "concept_drift"
]

# Of what is measured in a unit: a ratio to the reference that everybody knows, and what it then is.
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
# The medians of two samples may differ by so much.
_KNOWN_WITHIN = 1.2
# Outside of it a number is damaged beyond any unit.
_SMALLEST, _LARGEST = 1e-6, 1e9
_UNSEEN_SHOWN = 5
_LONGEST_SHOWN = 40
_FIELDS_SHOWN = 3


class Source(msgspec.Struct, frozen=True):
    """Where the batch came from: a file, or a scenario over the validation and test rows."""

    kind: Literal["file", "simulation"]
    name: str
    intensity: float | None = None


class Cause(msgspec.Struct, frozen=True):
    """A likely cause, the columns that show it, and why it is thought of."""

    cause: CauseName
    columns: list[str]
    detail: str


class ColumnReport(msgspec.Struct, frozen=True):
    """A column's tests. p-values are corrected over all tests of the batch; null is what could not be computed."""

    name: str
    kind: Literal["number", "category"]
    alarm: bool
    reasons: list[Reason]
    ks: Annotated[float | None, Meta(description="Kolmogorov–Smirnov statistic; null for categories")]
    psi: Annotated[float | None, Meta(description="population stability index")]
    psi_critical: Annotated[float | None, Meta(description="the PSI that is large for so many rows")]
    p_value: Annotated[float, Meta(description="that the distribution is the reference's")]
    missing_share: float
    missing_share_reference: float
    p_missing: Annotated[float, Meta(description="that no more rows are missing than in the reference")]
    unseen_share: Annotated[float, Meta(description="rows with a category that no reference row has")]
    unseen: Annotated[dict[str, int], Meta(description="the most frequent texts that are none of the categories")]


class Score(msgspec.Struct, frozen=True):
    """A score of the batch beside what is expected of rows without drift; `lost` is the share of it that is gone."""

    value: float
    expected: float
    lost: float
    p_value: float
    alarm: bool


class EstimatedAccuracy(Score, frozen=True):
    """Accuracy estimated from calibrated probabilities, with the error that such estimates had on simulated drift."""

    mean_absolute_error: float | None
    mean_error: Annotated[float | None, Meta(description="over 0: the estimates were too hopeful")]
    largest_error: float | None


class Performance(msgspec.Struct, frozen=True):
    """Scores where labels exist for enough rows, else null; the estimate needs none."""

    accuracy: Score | None
    f1_weighted: Score | None
    estimated_accuracy: EstimatedAccuracy


class Report(msgspec.Struct, frozen=True):
    """A drift report. `schema_version` rises when a reader of the old cannot read the new."""

    schema_version: int
    created: Annotated[str | None, Meta(description="UTC, ISO 8601")]
    source: Source
    model_version: str
    rows: int
    labelled_rows: int
    columns_ignored: Annotated[list[str], Meta(description="columns of the file that are not of the questionnaire")]
    verdict: Verdict
    severity: Annotated[Severity | None, Meta(description="by the accuracy lost; null where there is no drift")]
    severity_basis: Annotated[
        Literal["measured", "estimated"] | None, Meta(description="the accuracy that the severity is by")
    ]
    recommendation: str
    causes: list[Cause]
    false_alarm_rate: FalseAlarmRate | None
    performance: Performance
    columns: list[ColumnReport]


def build_report(
    detector: Detector, results: Results, batch: Batch, train: Batch, source: Source, created: str | None = None
) -> Report:
    """What is to be said of one `batch`, of which `results` were found; `train` are the rows it was compared with."""
    reference = detector.reference
    enough = results.rows >= detector.params.min_rows
    drifted = enough and bool(results.drift[0])
    verdict: Verdict = ("drift" if drifted else "no drift") if enough else "too few rows to tell"
    columns = [_column(detector, results, batch, at) for at in range(len(reference.columns))]
    causes = find_causes(detector, results, batch, train) if drifted else []
    labelled = int(results.labelled[0])
    judged = labelled >= detector.params.min_rows
    known = reference.false_alarms("labelled" if judged else "unlabelled", results.rows) if enough else None
    performance = _performance(detector, results)
    score = performance.accuracy or performance.estimated_accuracy
    return Report(
        schema_version=SCHEMA_VERSION,
        created=created,
        source=source,
        model_version=reference.model_version,
        rows=results.rows,
        labelled_rows=labelled,
        columns_ignored=batch.ignored,
        verdict=verdict,
        severity=severity(score.lost, detector.params.severity) if drifted else None,
        severity_basis=("measured" if performance.accuracy else "estimated") if drifted else None,
        recommendation=recommend(verdict, causes, detector.params.min_rows, performance.accuracy),
        causes=causes,
        false_alarm_rate=known,
        performance=performance,
        columns=columns,
    )


def severity(lost: float, params: SeverityParams) -> Severity:
    """How bad it is that this share of the accuracy is lost."""
    if lost < params.medium:
        return "low"
    if lost < params.high:
        return "medium"
    return "high" if lost < params.critical else "critical"


def find_causes(detector: Detector, results: Results, batch: Batch, train: Batch) -> list[Cause]:
    """The likely causes of the alarms of one batch, the surest first."""
    names = [column.name for column in detector.reference.columns]
    by_distribution, by_missing, by_unseen, any_reason = (
        {name for name, alarm in zip(names, alarms[0], strict=True) if alarm}
        for alarms in (results.distribution_alarm, results.missing_alarm, results.unseen_alarm, results.column_alarm)
    )
    causes: list[Cause] = []
    # Of what is measured in a unit. A unit goes wrong by itself; where the answers to other questions have moved too,
    # it is the people, unless the ratio is one of those that everybody knows.
    moved = by_distribution - {*_KNOWN_RATIOS, BMI, LEVEL}
    rule = detector.params.causes
    off: dict[str, float] = {}
    for name in _KNOWN_RATIOS:  # height first
        if name in any_reason:
            margin = rule.margin if "Height" in (name, *off) else 0.0
            ratio = constant_ratio(name, batch, train, rule, margin)
            if ratio and (ratio in _KNOWN_RATIOS[name] or (name in by_distribution and not moved)):
                off[name] = ratio
    explained = set(off)
    if explained & {"Height", "Weight"}:
        explained.add(BMI)  # which follows from them
    if off:
        details = [
            f"{name} is {ratio:.3g} times what it was, in all rows alike as far as can be seen{_meaning(name, ratio)}"
            for name, ratio in off.items()
        ]
        causes.append(Cause("unit_error", _in_order(names, explained & any_reason), "; ".join(details)))
    # texts that are no category are missing too
    by_texts = {
        name
        for at, name in enumerate(names)
        if 2 * results.columns.unseen_share[0, at] >= results.columns.missing_share[0, at]
    }
    broken = by_missing - explained - (by_unseen & by_texts)
    if broken != {BMI}:
        broken.discard(BMI)  # which nobody fills in
    if broken:
        causes.append(
            Cause("broken_field", _in_order(names, broken), _missing_detail(names, results, broken, detector))
        )
    if by_unseen:
        texts = [text for name in _in_order(names, by_unseen) for text in _most_frequent(batch, name)][:_UNSEEN_SHOWN]
        shown = f": {', '.join(map(ascii, texts))}" if texts else ""
        columns = _in_order(names, by_unseen)
        causes.append(
            Cause("unseen_categories", columns, f"answers that no training row has, in {_list(columns)}{shown}")
        )
    shifted = by_distribution - explained - by_unseen - {LEVEL}
    if shifted:
        columns = _in_order(names, shifted)
        only_categories = all(column.edges is None for column in detector.reference.columns if column.name in shifted)
        doubt = ", or their categories are mixed up" if only_categories else ""
        are = "is" if len(columns) == 1 else "are"
        causes.append(
            Cause("population_shift", columns, f"{_list(columns)} {are} distributed otherwise than in training{doubt}")
        )
    if any_reason == {LEVEL}:
        causes.append(
            Cause("label_shift", [LEVEL], "levels are predicted in other shares, while no single answer has moved much")
        )
    if not any_reason:
        what = "fewer predictions are right" if results.score_alarm[0, :2].any() else "the model is less sure"
        causes.append(Cause("concept_drift", [], f"{what}, while every answer is distributed as it was"))
    return causes


def constant_ratio(name: str, batch: Batch, train: Batch, rule: CausesParams, margin: float = 0.0) -> float | None:
    """The ratio by which all values of a number differ from the reference's; None if that is not how they differ.

    One of those that everybody knows, where that fits; else that of the medians, unless adding the same to all values
    explains more (by `margin` / sqrt(rows) of Kolmogorov and Smirnov's statistic).
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
    """Kolmogorov and Smirnov's statistic of values, without those off their scale."""
    restored = _on_scale(name, restored)
    return float(kolmogorov_smirnov(reference, restored[None, :])[0][0]) if len(restored) else math.inf


def _on_scale(name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without those off their scale: with the right unit they would be there, so they are damaged besides."""
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


def recommend(verdict: Verdict, causes: list[Cause], min_rows: int, accuracy: Score | None = None) -> str:
    """What to do, in words that name the columns and the likely causes."""
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
    if accuracy is not None and accuracy.alarm and causes[0].cause != "concept_drift":
        said.append(
            f"{accuracy.lost:.0%} of the accuracy is lost: if the above does not explain it, look at the labels too."
        )
    return " ".join(said)


def distributions(reference: Reference, scored: Scored) -> dict[str, pd.DataFrame]:
    """Of each column, the share of rows by cell (the index), in the reference ("training") and in the batch."""
    cells = Cells(reference.columns)
    counts = cells.count(scored.matrix[0], scored.levels[0])
    found = {}
    for at, column in enumerate(reference.columns):
        current, missing = cells.of_column(counts, at)
        shares = {
            "training": np.array([*column.counts, column.missing], dtype=float),
            "batch": np.array([*current, missing], dtype=float),
        }
        found[column.name] = pd.DataFrame(
            {name: values / values.sum() for name, values in shares.items()}, index=[*column.labels, "missing"]
        )
    return found


def report_table(report: Report) -> str:
    """The report for a terminal."""
    columns = [
        [
            column.name,
            ", ".join(column.reasons) if column.alarm else "",
            *(f"{value:.3f}" if value is not None else "" for value in (column.ks, column.psi, column.psi_critical)),
            f"{column.p_value:.3f}",
            f"{column.missing_share:.1%}",
            f"{column.missing_share_reference:.1%}",
        ]
        for column in report.columns
    ]
    headers = ["column", "alarm", "KS", "PSI", "PSI, critical", "p", "missing", "in training"]
    return f"{tabulate(columns, headers, tablefmt='github', disable_numparse=True)}\n\n{_summary(report)}"


def _summary(report: Report) -> str:
    lines = [f"{report.rows} rows, {report.labelled_rows} of them labelled; model {report.model_version}"]
    if report.columns_ignored:
        lines.append(f"columns that are not of the questionnaire, ignored: {', '.join(report.columns_ignored)}")
    performance = report.performance
    for name, score in (("accuracy", performance.accuracy), ("weighted F1", performance.f1_weighted)):
        if score is not None:
            lines.append(f"{name} {score.value:.3f}, expected {score.expected:.3f}{' (alarm)' if score.alarm else ''}")
    estimate = performance.estimated_accuracy
    alarm = " (alarm)" if estimate.alarm else ""
    lines.append(f"accuracy estimated without labels {estimate.value:.3f}, expected {estimate.expected:.3f}{alarm}")
    if estimate.mean_absolute_error is not None:
        mean, largest = estimate.mean_absolute_error, estimate.largest_error
        lines.append(f"(on simulated drift such estimates were off by {mean:.3f} on average, by {largest:.3f} at most)")
    lines.append(
        f"verdict: {report.verdict}"
        + (f" (severity, {report.severity_basis}: {report.severity})" if report.severity else "")
    )
    alarms = report.false_alarm_rate
    if alarms is not None:
        low, high = alarms.interval
        lines.append(
            f"false-alarm rate: {alarms.rate:.1%} ({low:.1%} to {high:.1%}),"
            f" measured on batches of {alarms.rows} rows without drift"
        )
    lines.append(report.recommendation)
    return "\n".join(lines)


def _column(detector: Detector, results: Results, batch: Batch, at: int) -> ColumnReport:
    column, found = detector.reference.columns[at], results.columns
    by_reason: dict[Reason, npt.NDArray[np.bool_]] = {
        "distribution": results.distribution_alarm,
        "missing rate": results.missing_alarm,
        "unseen categories": results.unseen_alarm,
    }
    enough = results.rows >= detector.params.min_rows
    reasons = [reason for reason, alarms in by_reason.items() if alarms[0, at] and enough]
    return ColumnReport(
        name=column.name,
        kind="category" if column.edges is None else "number",
        alarm=bool(reasons),
        reasons=reasons,
        ks=_finite(found.ks[0, at]),
        psi=_finite(found.psi[0, at]),
        psi_critical=_finite(found.psi_critical[0, at]),
        p_value=float(found.p_distribution[0, at]),
        missing_share=float(found.missing_share[0, at]),
        missing_share_reference=column.missing_share,
        p_missing=float(found.p_missing[0, at]),
        unseen_share=float(found.unseen_share[0, at]),
        unseen=_most_frequent(batch, column.name),
    )


def _performance(detector: Detector, results: Results) -> Performance:
    def score(at: int) -> Score:
        return Score(
            float(results.scores[0, at]),
            float(detector.expected[at]),
            float(results.lost[0, at]),
            float(results.p_scores[0, at]),
            bool(results.score_alarm[0, at]) and results.rows >= detector.params.min_rows,
        )

    accuracy, f1, estimated = range(len(SCORES))
    measured = not np.isnan(results.scores[0, accuracy])
    errors = detector.reference.estimate
    return Performance(
        score(accuracy) if measured else None,
        score(f1) if measured else None,
        EstimatedAccuracy(
            **msgspec.structs.asdict(score(estimated)),
            mean_absolute_error=errors.mean_absolute_error if errors else None,
            mean_error=errors.mean_error if errors else None,
            largest_error=errors.largest_error if errors else None,
        ),
    )


def _most_frequent(batch: Batch, name: str) -> dict[str, int]:
    """The texts that are none of a column's categories, the most frequent first; long ones are cut."""
    found = sorted(batch.unseen.get(name, {}).items(), key=lambda item: (-item[1], item[0]))[:_UNSEEN_SHOWN]
    return {text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…": count for text, count in found}


def _missing_detail(names: list[str], results: Results, broken: set[str], detector: Detector) -> str:
    now = {name: float(results.columns.missing_share[0, names.index(name)]) for name in _in_order(names, broken)}
    before = {column.name: column.missing_share for column in detector.reference.columns}
    most = sorted(now, key=lambda name: -now[name])[:_FIELDS_SHOWN]
    parts = [f"{name} in {now[name]:.0%} of the rows, against {before[name]:.0%}" for name in most]
    more = f" and {len(now) - _FIELDS_SHOWN} others" if len(now) > _FIELDS_SHOWN else ""
    return f"missing or off the scale more often than in training: {', '.join(parts)}{more}"


def _meaning(name: str, ratio: float) -> str:
    return f": {_KNOWN_RATIOS[name][ratio]}" if ratio in _KNOWN_RATIOS[name] else ""


def _in_order(names: list[str], chosen: set[str]) -> list[str]:
    return [name for name in names if name in chosen]


def _list(columns: list[str]) -> str:
    return ", ".join(columns[:-1]) + " and " + columns[-1] if len(columns) > 1 else "".join(columns)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
