"""Histograms of what the model sees: the reference, the distance of two histograms, and a verdict from counts alone.

numpy and msgspec only, because the service imports it: it counts what it predicts, and keeps nothing else.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from obesity_levels.errors import ArtifactError
from obesity_levels.model.features import MISSING, Matrix

if TYPE_CHECKING:
    from obesity_levels.model.classifier import Manifest

FORMAT = 1
LEVEL = "predicted_level"
"""Name of the column of predicted levels, which follows the columns of the model."""

# Between MISSING and every scale.
_ABOVE_MISSING = MISSING / 2

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Verdict = Literal["drift", "no drift", "too few rows to tell"]


class Interval(msgspec.Struct, frozen=True):
    """A rate with its 95 % interval (Clopper & Pearson 1934), and the number of batches that it was measured on."""

    rate: float
    interval: tuple[float, float]
    batches: int


class FalseAlarmRate(msgspec.Struct, frozen=True):
    """How often such a batch alarms with no drift: measured on batches of `rows`, the largest size up to this one's."""

    rows: int
    rate: Annotated[float, Meta(ge=0, le=1)]
    interval: Annotated[tuple[float, float], Meta(description="95 %")]


class Column(msgspec.Struct, frozen=True):
    """The reference histogram of a column, with its thresholds.

    Cell i of a number holds `edges[i - 1] <= x < edges[i]`, the first and the last cell are open; cell i of a category
    holds `categories[i]`. `counts` are the reference rows by cell, without the `missing` ones. The thresholds are for
    batches of each size in `Reference.sizes`: a batch without drift exceeds one with a probability of alpha divided by
    the number of such tests (about that for the PSI, which is simulated; at most that for missing rows).
    """

    name: str
    edges: list[float] | None
    categories: list[str] | None
    counts: list[int]
    missing: int
    psi_critical: list[float]
    missing_critical: list[float]

    @property
    def cells(self) -> int:
        """The number of cells, without that of missing rows."""
        return len(self.categories or ()) if self.edges is None else len(self.edges) + 1

    @property
    def labels(self) -> list[str]:
        """The content of each cell, in words."""
        if self.edges is None:
            return self.categories or []
        return [f"< {self.edges[0]:.4g}", *(f">= {edge:.4g}" for edge in self.edges)]

    @property
    def missing_share(self) -> float:
        """The share of the reference rows in which this column is missing."""
        return self.missing / (self.missing + sum(self.counts))


class Thresholds(msgspec.Struct, frozen=True):
    """The params that a verdict from counts needs."""

    min_rows: int
    psi: float
    missing_rate: float


class Estimate(msgspec.Struct, frozen=True):
    """How accuracy is estimated without labels, and the errors of these estimates on simulated drift.

    P(correct) = expit(intercept + slope * logit(confidence)). The errors are those of the estimated accuracy of all
    validation and test rows, over all scenarios and intensities; a positive error is too optimistic.
    """

    intercept: float
    slope: float
    mean_absolute_error: float
    mean_error: float
    largest_error: float


class Reference(msgspec.Struct, frozen=True):
    """`drift_reference.json`: its model, its columns, and how often the alarm is wrong.

    `sizes` are the batch sizes of the thresholds of the columns. `params` is the section of params.yaml that it was
    calibrated with. `false_alarm_rate` is by kind of batch (labelled, unlabelled, counts alone) and by size. `format`
    rises when older code cannot read a newer reference.
    """

    format: int
    model_version: str
    columns: list[Column]
    sizes: list[int]
    thresholds: Thresholds
    params: dict[str, Any]
    false_alarm_rate: dict[str, dict[str, Interval]]
    estimate: Estimate | None

    def false_alarms(self, kind: str, rows: int) -> FalseAlarmRate | None:
        """The rate for the largest measured size of batch up to `rows`."""
        measured = self.false_alarm_rate.get(kind, {})
        size = max((int(size) for size in measured if int(size) <= rows), default=None)
        return None if size is None else FalseAlarmRate(size, measured[str(size)].rate, measured[str(size)].interval)


class ColumnJudgement(msgspec.Struct, frozen=True):
    """A column of a window of rows compared with its reference; `psi` is None where it is missing in every row."""

    name: str
    psi: float | None
    psi_critical: float
    missing_share: float
    missing_critical: float
    alarm: bool


class Judgement(msgspec.Struct, frozen=True):
    """The verdict on a window of rows, and its columns."""

    verdict: Verdict
    rows: int
    columns: list[ColumnJudgement]


def load_reference(path: Path, manifest: "Manifest") -> Reference:
    """Read and check the drift reference of the model that `manifest` describes.

    Raises ArtifactError, which names the file and says what to do.
    """
    try:
        reference = msgspec.json.decode(path.read_bytes(), type=Reference)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): run `dvc repro`, or `dvc pull`") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(
            f"{path} is not a drift reference of this project ({error}); rebuild it (dvc repro)"
        ) from error
    sizes = reference.sizes
    rising = bool(sizes) and sizes[0] > 0 and sizes == sorted(set(sizes))
    complete = all(
        len(column.counts) == column.cells > 0
        and sum(column.counts) > 0
        and (column.edges or []) == sorted(set(column.edges or []))
        and len(column.psi_critical) == len(column.missing_critical) == len(sizes)
        for column in reference.columns
    )
    if reference.format != FORMAT or not (rising and complete and reference.columns):
        raise ArtifactError(f"{path} is not one that this version of the code reads; rebuild it (dvc repro)")
    columns = [column.name for column in reference.columns]
    if reference.model_version != manifest.version or columns != [*manifest.features, LEVEL]:
        raise ArtifactError(f"{path} belongs to another model than the one beside it: rebuild it (dvc repro)")
    return reference


def quantile_edges(values: npt.NDArray[np.float32], bins: int) -> list[float]:
    """Edges of at most `bins` cells with about the same number of `values`, none of which is missing.

    There are fewer cells where values repeat. Each edge is one of the values. A constant column has three cells: below
    the value, the value, and above it.
    """
    low = values.min()
    if low == values.max():
        return [float(low), float(np.nextafter(low, np.float32(np.inf)))]
    quantiles = np.quantile(values, np.arange(1, bins) / bins, method="lower")
    edges = quantiles[quantiles > low] if (quantiles > low).any() else values[values > low].min(keepdims=True)
    return np.unique(edges).tolist()


class Cells:
    """The cells of all columns in one flat array of counts: column after column, the missing rows of each first."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.starts = np.concatenate([[0], np.cumsum([column.cells + 1 for column in columns])]).tolist()
        self.total: int = self.starts[-1]
        # Missing rows are below the first edge. A category's code is its index: 1 is the edge between 0 and 1.
        self._edges = [
            np.array([_ABOVE_MISSING, *(range(1, column.cells) if column.edges is None else column.edges)], np.float32)
            for column in columns[:-1]
        ]

    def count(self, matrix: Matrix, levels: npt.NDArray[np.integer]) -> Counts:
        """Count rows by cell.

        `matrix` is the input of one or more batches, shape (..., rows, columns), `levels` the predictions, shape
        (..., rows). Returns shape (..., total).
        """
        cells = np.empty((*matrix.shape[:-1], len(self._edges) + 1), np.int64)
        for at, edges in enumerate(self._edges):
            cells[..., at] = self.starts[at] + np.searchsorted(edges, matrix[..., at], side="right")
        cells[..., -1] = self.starts[-2] + 1 + levels
        batches = cells.reshape(math.prod(levels.shape[:-1]), -1)
        flat = batches + np.arange(len(batches))[:, None] * self.total
        counts = np.bincount(flat.ravel(), minlength=len(batches) * self.total)
        return counts.reshape(*levels.shape[:-1], self.total)

    def count_many(self, matrix: Matrix, levels: npt.NDArray[np.integer]) -> Counts:
        """The same for one batch of many rows, in a fifth of the time: sorted columns are cut at the edges."""
        counts = np.zeros(self.total, np.int64)
        for at, edges in enumerate(self._edges):
            below = np.searchsorted(np.sort(matrix[:, at]), edges)
            counts[self.starts[at] : self.starts[at + 1]] = np.diff(below, prepend=0, append=len(matrix))
        counts[self.starts[-2] + 1 :] = np.bincount(levels, minlength=self.total - self.starts[-2] - 1)
        return counts

    def of_column(self, counts: Counts, at: int) -> tuple[Counts, Counts]:
        """The counts of one column, shape (..., cells), and of its missing rows, from counts of shape (..., total)."""
        start, end = self.starts[at], self.starts[at + 1]
        return counts[..., start + 1 : end], counts[..., start]


def population_stability_index(reference: Counts, current: Counts) -> Floats:
    """Population stability index of histograms over the same cells.

    `reference` has shape (cells,), `current` (..., cells). A cell that is empty in one of them gets half a count there
    (Jeffreys), so the index is finite; a cell that is empty in both is ignored. Returns values >= 0, shape (...); 0
    means equal shares. Raises ValueError if the shapes differ or a histogram holds no observation.
    Siddiqi, Credit Risk Scorecards (2006), ch. 10.
    """
    observed = _observed(reference, current)
    used = observed.any(axis=0)
    filled = np.where(used, np.maximum(observed, 0.5), 0.0)
    expected, actual = filled / filled.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (actual - expected) * np.log(actual / expected)
    return np.where(used, terms, 0.0).sum(axis=-1)


def chi_squared(reference: Counts, current: Counts) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """Pearson's statistic of homogeneity of histograms over the same cells, and its degrees of freedom.

    The third result is the least expected count, over the cells of both histograms. Shapes and errors as in
    `population_stability_index`; cells that are empty in both are ignored.
    Pearson (1900); Agresti, Categorical Data Analysis (2013), 3.2.1.
    """
    observed = _observed(reference, current)
    both = observed.sum(axis=0)
    used = both > 0
    expected = both * (observed.sum(axis=-1, keepdims=True) / both.sum(axis=-1, keepdims=True))
    terms = np.divide((observed - expected) ** 2, expected, out=np.zeros_like(expected), where=used)
    least = np.where(used, expected, np.inf).min(axis=(0, -1))
    return terms.sum(axis=(0, -1)), used.sum(axis=-1) - 1, least


def judge(reference: Reference, cells: Cells, counts: Counts) -> Judgement:
    """The verdict on rows from their counts alone, shape (total,), in the layout of `cells`, those of the reference.

    A column alarms if its PSI is above both `thresholds.psi` and the critical value for that number of rows, or if its
    share of missing rows exceeds both that of the reference plus `thresholds.missing_rate` and the critical value. With
    fewer rows than `thresholds.min_rows` nothing is said of the columns.
    """
    rows = int(counts[cells.starts[-2] :].sum())  # every row has a predicted level
    if rows < reference.thresholds.min_rows:
        return Judgement("too few rows to tell", rows, [])
    judged = [
        _judge_column(reference, column, *cells.of_column(counts, at)) for at, column in enumerate(reference.columns)
    ]
    return Judgement("drift" if any(column.alarm for column in judged) else "no drift", rows, judged)


def _judge_column(reference: Reference, column: Column, counts: Counts, missing: Counts) -> ColumnJudgement:
    sizes, thresholds = reference.sizes, reference.thresholds
    present, rows = int(counts.sum()), int(counts.sum() + missing)
    psi, psi_critical = None, thresholds.psi
    if present:
        psi = float(population_stability_index(np.array(column.counts), counts))
        psi_critical = max(thresholds.psi, float(critical(sizes, column.psi_critical, present)))
    share, allowed = int(missing) / rows, column.missing_share + thresholds.missing_rate
    missing_critical = max(allowed, float(critical(sizes, column.missing_critical, rows)))
    alarm = (psi is not None and psi > psi_critical) or share > missing_critical
    return ColumnJudgement(column.name, psi, psi_critical, share, missing_critical, alarm)


def critical(sizes: Sequence[int], thresholds: Sequence[float], rows: npt.ArrayLike) -> Floats:
    """The threshold for batches of `rows`, interpolated between those for `sizes`, which rise.

    Interpolation is linear in 1 / sqrt(rows), as a share is. The PSI is linear in 1 / rows (Yurdakul & Naranjo,
    "Statistical properties of the population stability index", 2020), so between two sizes its threshold is slightly
    too high, never too low. Below the sizes the first threshold grows with 1 / rows, to infinity for 0 rows; above them
    the last one stays: neither makes an alarm more likely.
    """
    with np.errstate(divide="ignore"):
        below = thresholds[0] * sizes[0] / np.asarray(rows)
        between = np.interp(-1 / np.sqrt(rows), -1 / np.sqrt(sizes), thresholds)
    return np.where(np.asarray(rows) < sizes[0], below, between)


def _observed(reference: Counts, current: Counts) -> Floats:
    """Both histograms as numbers of the shape of `current`, one after the other."""
    before, now = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if before.ndim != 1 or now.shape[-1:] != before.shape:
        raise ValueError(f"histograms of shapes {before.shape} and {now.shape} do not have the same cells")
    if not (before.sum() > 0 and (now.sum(axis=-1) > 0).all()):
        raise ValueError("a histogram without observations has no shares")
    return np.stack(np.broadcast_arrays(before, now))
