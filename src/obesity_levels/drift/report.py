"""The drift report: verdict, severity, causes, and what to do. As JSON: docs/drift_report.schema.json."""

from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Meta
from tabulate import tabulate

from obesity_levels.drift.batch import Batch
from obesity_levels.drift.causes import Cause, find_causes, recommend, unseen_texts
from obesity_levels.drift.detection import SCORES, Detector, Results
from obesity_levels.drift.histograms import Cells, FalseAlarmRate, Reference, Verdict
from obesity_levels.drift.scoring import Scored
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
    accuracy = performance.accuracy
    lost = accuracy.lost if accuracy is not None and accuracy.alarm else 0.0
    score = accuracy or performance.estimated_accuracy
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
        recommendation=recommend(verdict, causes, detector.params.min_rows, lost),
        causes=causes,
        false_alarm_rate=known,
        performance=performance,
        columns=columns,
    )


def severity(lost: float, params: SeverityParams) -> Severity:
    """The severity of losing this share of the accuracy."""
    if lost < params.medium:
        return "low"
    if lost < params.high:
        return "medium"
    return "high" if lost < params.critical else "critical"


def distributions(reference: Reference, scored: Scored) -> dict[str, pd.DataFrame]:
    """For each column, the share of rows by cell (the index), in the reference ("training") and in the batch."""
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
    """The report as text for a terminal."""
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
        unseen=unseen_texts(batch, column.name),
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


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
