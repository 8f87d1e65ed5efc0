"""The drift report: verdict, severity, causes, and what to do. As JSON: docs/drift_report.schema.json."""

import math
from bisect import bisect
from typing import Annotated, Literal, get_args

import msgspec
import pandas as pd
from msgspec import Meta
from tabulate import tabulate

from obesity_levels.data.losses import Loss
from obesity_levels.drift.batch import Batch, Scored
from obesity_levels.drift.causes import Cause, find_causes, unseen_texts
from obesity_levels.drift.detection import Detector, Results
from obesity_levels.drift.histograms import Cells, FalseAlarmRate, Reference, Verdict
from obesity_levels.io import render_template
from obesity_levels.params import SeverityParams

SCHEMA_VERSION = 1

Severity = Literal["low", "medium", "high", "critical"]
Reason = Literal["distribution", "missing rate", "unseen categories"]


class Source(msgspec.Struct, frozen=True):
    """The origin of the batch: a file, or a scenario applied to the validation and test rows."""

    kind: Literal["file", "simulation"]
    name: str
    intensity: float | None = None


class ColumnReport(msgspec.Struct, frozen=True):
    """The tests of a column. p-values are corrected over all tests of the batch; null means not computable."""

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
    """A score of the batch and its expected value without drift; `lost` is the share of the latter that is lost."""

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
    """Scores, null where too few rows have labels; the estimate needs no labels."""

    accuracy: Score | None
    f1_weighted: Score | None
    estimated_accuracy: EstimatedAccuracy


class Report(msgspec.Struct, frozen=True):
    """A drift report. `schema_version` rises when older readers cannot read a newer report."""

    schema_version: int
    created: Annotated[str | None, Meta(description="UTC, ISO 8601")]
    source: Source
    model_version: str
    rows: int
    labelled_rows: int
    columns_ignored: Annotated[list[str], Meta(description="columns of the file that are not of the questionnaire")]
    columns_lost: Annotated[list[Loss], Meta(description="columns of which many cells could not be read")]
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
    """The report on one `batch`, from the `results` of its tests; `train` are the reference rows."""
    reference, min_rows = detector.reference, detector.params.min_rows
    drifted, enough = bool(results.drift[0]), results.rows >= min_rows
    verdict: Verdict = "drift" if drifted else "no drift" if enough else "too few rows to tell"
    causes = find_causes(detector, results, batch, train) if drifted else []
    performance = _performance(detector, results)
    measured = performance.accuracy
    lost = (measured or performance.estimated_accuracy).lost
    kind = "labelled" if measured else "unlabelled"
    said = {"verdict": verdict, "causes": causes, "min_rows": min_rows, "accuracy": measured}
    return Report(
        schema_version=SCHEMA_VERSION,
        created=created,
        source=source,
        model_version=reference.model_version,
        rows=results.rows,
        labelled_rows=int(results.labelled[0]),
        columns_ignored=batch.ignored,
        columns_lost=batch.losses,
        verdict=verdict,
        severity=severity(lost, detector.params.severity) if drifted else None,
        severity_basis=("measured" if measured else "estimated") if drifted else None,
        recommendation=render_template("drift/recommendation.txt.jinja", **said),
        causes=causes,
        false_alarm_rate=reference.false_alarms(kind, results.rows) if enough else None,
        performance=performance,
        columns=[_column(detector, results, batch, at) for at in range(len(reference.columns))],
    )


def severity(lost: float, params: SeverityParams) -> Severity:
    """The severity of losing this share of the accuracy."""
    return get_args(Severity)[bisect([params.medium, params.high, params.critical], lost)]


def distributions(reference: Reference, scored: Scored) -> dict[str, pd.DataFrame]:
    """For each column, the share of rows by cell (the index), in the reference ("training") and in the batch."""
    cells = Cells(reference.columns)
    counts = cells.count(scored.matrix[0], scored.levels[0])
    found = {}
    for at, column in enumerate(reference.columns):
        current, missing = cells.of_column(counts, at)
        cell = [*column.labels, "missing"]
        rows = pd.DataFrame({"training": [*column.counts, column.missing], "batch": [*current, missing]}, index=cell)
        found[column.name] = rows / rows.sum()
    return found


def report_table(report: Report) -> str:
    """The report as text for a terminal."""
    rows = []
    for c in report.columns:
        numbers = (c.ks, c.psi, c.psi_critical, c.p_value, c.missing_share, c.missing_share_reference)
        rows.append([c.name, ", ".join(c.reasons), *numbers])
    headers = ["column", "alarm", "KS", "PSI", "PSI, critical", "p", "missing", "in training"]
    formats = ["", "", ".3f", ".3f", ".3f", ".3f", ".1%", ".1%"]
    table = tabulate(rows, headers, tablefmt="github", floatfmt=formats, numalign="left")
    return render_template("drift/report.txt.jinja", report=report, table=table)


def _column(detector: Detector, results: Results, batch: Batch, at: int) -> ColumnReport:
    column, found = detector.reference.columns[at], results.columns
    alarms = (results.distribution_alarm, results.missing_alarm, results.unseen_alarm)
    reasons = [reason for reason, alarm in zip(get_args(Reason), alarms, strict=True) if alarm[0, at]]
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
        unseen=unseen_texts(batch, column.name),
    )


def _performance(detector: Detector, results: Results) -> Performance:
    values = (results.scores[0], detector.expected, results.lost[0], results.p_scores[0], results.score_alarm[0])
    accuracy, f1, estimated = (Score(*each) for each in zip(*(of_scores.tolist() for of_scores in values), strict=True))
    measured = not math.isnan(accuracy.value)
    known = detector.reference.estimate
    errors = (known.mean_absolute_error, known.mean_error, known.largest_error) if known else (None, None, None)
    return Performance(
        accuracy if measured else None,
        f1 if measured else None,
        EstimatedAccuracy(*msgspec.structs.astuple(estimated), *errors),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
