"""Counts of what the model sees: their reference, how far two of them are apart, and a verdict from counts alone.

numpy and msgspec only, because the service imports it: it counts what it predicts, and keeps nothing else.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from obesity_levels.errors import ArtifactError
from obesity_levels.model.features import MISSING, Matrix

FORMAT = 1
LEVEL = "predicted_level"
"""Name of the column of predicted levels, which comes after the model's own columns."""

# Between MISSING and every scale.
_BELOW_ALL = MISSING / 2
# Edges lie on the numbers whose float32 has no bits below these: what is over an edge can be told from its upper half
# (which is a bfloat16), so a table of 65,536 entries has the cell of every number. 7 bits of fraction: steps under 1 %.
_LOWER_BITS = 16

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
    """The reference histogram of a column, and the thresholds that go with it.

    A number's cell i holds `edges[i - 1] <= x < edges[i]`, the first and the last are open; a category's cell i is
    `categories[i]`. `counts` are of the reference rows, by cell; rows where the column is missing are apart. The last
    two are thresholds for batches of each size of the reference: what a batch without drift exceeds with a chance of
    alpha divided by the number of such tests; about that for the first, simulated, at most that for the other.
    """

    name: str
    edges: list[float] | None
    categories: list[str] | None
    counts: list[int]
    missing: int
    psi_critical: list[float]
    missing_critical: list[float]

    @property
    def labels(self) -> list[str]:
        """What each cell holds, in words."""
        if self.edges is None:
            return self.categories or []
        return [f"< {self.edges[0]:.4g}", *(f">= {edge:.4g}" for edge in self.edges)]

    @property
    def missing_share(self) -> float:
        """Of the reference rows, the share in which this column is missing."""
        return self.missing / (self.missing + sum(self.counts))


class Thresholds(msgspec.Struct, frozen=True):
    """What a verdict from counts needs of params.yaml."""

    min_rows: int
    psi: float
    missing_rate: float


class Estimate(msgspec.Struct, frozen=True):
    """How accuracy is estimated without labels, and how far off that was on simulated drift.

    P(correct) = expit(intercept + slope * logit(confidence)). Errors are those of the estimated accuracy of all
    validation and test rows, over all scenarios at all their intensities; over 0 they are too hopeful.
    """

    intercept: float
    slope: float
    mean_absolute_error: float
    mean_error: float
    largest_error: float


class Reference(msgspec.Struct, frozen=True):
    """`drift_reference.json`: of which model, its columns, and how often the alarm is wrong.

    `sizes` are those of `Column.psi_critical`. `params` is the section of params.yaml that it was calibrated with.
    `false_alarm_rate` is by kind of batch (labelled, unlabelled, counts alone) and by its size. `format` rises when
    readers of the old cannot read the new.
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
        """The rate that was measured for the largest size of batch up to `rows`."""
        measured = self.false_alarm_rate.get(kind, {})
        size = max((int(size) for size in measured if int(size) <= rows), default=None)
        return None if size is None else FalseAlarmRate(size, measured[str(size)].rate, measured[str(size)].interval)


class ColumnJudgement(msgspec.Struct, frozen=True):
    """A column of a window of rows against its reference; `psi` is None where every row lacks it."""

    name: str
    psi: float | None
    psi_critical: float
    missing_share: float
    missing_critical: float
    alarm: bool


class Judgement(msgspec.Struct, frozen=True):
    """The verdict over a window of rows, and its columns."""

    verdict: Verdict
    rows: int
    columns: list[ColumnJudgement]


def load_reference(path: Path) -> Reference:
    """Read and check a drift reference. Raises ArtifactError that names the file and what to do."""
    try:
        reference = msgspec.json.decode(path.read_bytes(), type=Reference)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): run `dvc repro`, or `dvc pull`") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not a drift reference of this project ({error}); rebuild it") from error
    fits = (
        reference.format == FORMAT
        and reference.sizes
        and reference.sizes == sorted({size for size in reference.sizes if size > 0})
        and reference.columns[-1:]
        and all(map(_sound, reference.columns))
    )
    if not fits or any(len(column.psi_critical) != len(reference.sizes) for column in reference.columns):
        raise ArtifactError(f"{path} is not what this version of the code reads; rebuild it (dvc repro)")
    return reference


def _sound(column: Column) -> bool:
    cells = len(column.edges) + 1 if column.edges is not None else len(column.categories or ())
    edges = column.edges or []
    with np.errstate(over="ignore"):
        as_made = edges == sorted({float(edge) for edge in on_grid(edges)}) and all(edge >= 0 for edge in edges)
    return as_made and len(column.counts) == cells > 0 and sum(column.counts) > 0 and len(column.missing_critical) > 0


def quantile_edges(values: npt.NDArray[np.floating], bins: int) -> list[float]:
    """Edges of at most `bins` cells that hold about equally many of `values`, which are >= 0 (none is missing).

    Fewer where values repeat. Each edge is a quantile, rounded down to the grid of `on_grid`. A column of values that
    are one on that grid has three cells: below it, it, and above.
    """
    values = on_grid(values)
    low = values.min()
    if low == values.max():
        return [float(low), float(_next_on_grid(low))]
    inner = np.quantile(values, np.arange(1, bins) / bins, method="lower")
    edges = inner[inner > low] if (inner > low).any() else values[values > low].min(keepdims=True)
    return np.unique(edges.astype(float)).tolist()


def on_grid(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The largest numbers up to `values`, which are >= 0, that a float32 can write in its upper half."""
    return (_upper_halves(np.asarray(values, np.float32)) << _LOWER_BITS).view(np.float32)


def _next_on_grid(value: np.float32) -> np.float32:
    return ((_upper_halves(np.atleast_1d(value)) + 1) << _LOWER_BITS).view(np.float32)[0]


def _upper_halves(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    return np.right_shift(values.view(np.uint32), np.uint32(_LOWER_BITS))


class Cells:
    """Where all cells lie in one flat array of counts: column by column, in each that of missing rows first."""

    def __init__(self, columns: Sequence[Column]) -> None:
        sizes = [len(column.counts) + 1 for column in columns]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self.total: int = self.starts[-1]
        # Below its first edge lies what is missing. A category's code is its place: 1 is the edge between 0 and 1.
        edges = [
            [_BELOW_ALL, *(range(1, len(column.counts)) if column.edges is None else column.edges)]
            for column in columns
        ]
        # The cell of each upper half of a number; a column (of all but the level) begins every 65,536.
        halves = (np.arange(1 << _LOWER_BITS, dtype=np.uint32) << _LOWER_BITS).view(np.float32)
        self._table = np.concatenate(
            [
                start + np.searchsorted(np.array(these, np.float32), halves, side="right")
                for start, these in zip(self.starts, edges[:-1], strict=False)
            ]
        ).astype(np.int16)
        self._columns = np.arange(len(columns) - 1) << _LOWER_BITS

    def count(self, matrix: Matrix, levels: npt.NDArray[np.integer]) -> Counts:
        """Rows of an input matrix, and the levels predicted for them, by cell: shape (total,)."""
        entries = _upper_halves(matrix) + self._columns
        counts = np.bincount(self._table.take(entries.ravel(), mode="clip"), minlength=self.total)
        of_levels = counts[self.starts[-2] + 1 :]
        of_levels += np.bincount(levels, minlength=len(of_levels))
        return counts

    def of_column(self, counts: Counts, at: int) -> tuple[Counts, Counts]:
        """Of counts, shape (..., total): those of a column by cell, shape (..., cells), and of its missing rows."""
        start, end = self.starts[at], self.starts[at + 1]
        return counts[..., start + 1 : end], counts[..., start]


def population_stability_index(reference: Counts, current: Counts) -> Floats:
    """Population stability index of histograms over the same cells.

    `reference` has shape (cells,), `current` (..., cells). A cell that is empty in one gets half a count there
    (Jeffreys), so the index is finite; one that is empty in both says nothing. Returns values >= 0, shape (...); 0
    means equal shares. Raises ValueError if the shapes differ or a histogram holds no observation.
    Siddiqi, Credit Risk Scorecards (2006), ch. 10.
    """
    before, now = _pair(reference, current)
    used = (before > 0) | (now > 0)
    expected, actual = (_shares(np.where(used, np.maximum(counts, 0.5), 0.0)) for counts in (before, now))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (actual - expected) * np.log(actual / expected)
    return np.where(used, terms, 0.0).sum(axis=-1)


def chi_squared(reference: Counts, current: Counts) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Pearson's statistic of homogeneity of histograms over the same cells, and its degrees of freedom.

    Shapes and errors as of `population_stability_index`; cells that are empty in both do not count.
    Pearson (1900); Agresti, Categorical Data Analysis (2013), 3.2.1.
    """
    before, now = _pair(reference, current)
    both = before + now
    used = both > 0
    statistic = np.zeros(both.shape[:-1])
    total = both.sum(axis=-1, keepdims=True)
    for counts in (before, now):
        expected = both * (counts.sum(axis=-1, keepdims=True) / total)
        statistic += np.divide((counts - expected) ** 2, expected, out=np.zeros_like(expected), where=used).sum(axis=-1)
    return statistic, used.sum(axis=-1) - 1


def judge(reference: Reference, cells: Cells, counts: Counts) -> Judgement:
    """The verdict over rows from their counts alone, shape (total,) as `cells`, the reference's, lays them out.

    A column alarms if its PSI is over both `thresholds.psi` and the critical value for so many rows, or if its share of
    missing rows is by more than `thresholds.missing_rate` above the reference's and over the critical value.
    """
    rows = int(counts[cells.starts[-2] :].sum())  # every row has a predicted level
    judged = (
        [_judged(reference, at, *cells.of_column(counts, at)) for at in range(len(reference.columns))] if rows else []
    )
    verdict: Verdict = "drift" if any(column.alarm for column in judged) else "no drift"
    return Judgement("too few rows to tell" if rows < reference.thresholds.min_rows else verdict, rows, judged)


def _judged(reference: Reference, at: int, counts: Counts, missing: Counts) -> ColumnJudgement:
    column, thresholds = reference.columns[at], reference.thresholds
    present = int(counts.sum())
    rows = present + int(missing)
    psi = float(population_stability_index(np.array(column.counts), counts)) if present else None
    psi_critical = (
        max(thresholds.psi, critical(reference.sizes, column.psi_critical, present)) if present else thresholds.psi
    )
    missing_critical = max(
        column.missing_share + thresholds.missing_rate, critical(reference.sizes, column.missing_critical, rows)
    )
    share = int(missing) / rows
    alarm = (psi is not None and psi > psi_critical) or share > missing_critical
    return ColumnJudgement(column.name, psi, psi_critical, share, missing_critical, alarm)


def critical(sizes: Sequence[int], thresholds: Sequence[float], rows: float) -> float:
    """The threshold for a batch of `rows`, between those for `sizes` (rising).

    Linear in 1 / sqrt(rows), as a share is; the PSI is linear in 1 / rows (Yurdakul & Naranjo, "Statistical properties
    of the population stability index", 2020), so between the sizes its threshold is a little high, never low. Below
    the sizes the first threshold grows with 1 / rows, above them the last one stays: neither makes an alarm likelier.
    """
    if rows < sizes[0]:
        return thresholds[0] * sizes[0] / rows
    return float(np.interp(-(rows**-0.5), -(np.array(sizes, dtype=float) ** -0.5), thresholds))


def _pair(reference: Counts, current: Counts) -> tuple[Floats, Floats]:
    before, now = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if before.ndim != 1 or now.shape[-1:] != before.shape:
        raise ValueError(f"histograms of shapes {before.shape} and {now.shape} have not the same cells")
    if not (before.sum() > 0 and (now.sum(axis=-1) > 0).all()):
        raise ValueError("a histogram without an observation has no shares")
    return np.broadcast_to(before, now.shape), now


def _shares(counts: Floats) -> Floats:
    return counts / counts.sum(axis=-1, keepdims=True)
