"""The drift monitor: counts of what was predicted, over a sliding window of rows, and the verdict over them.

Counts only: no row is kept. Several workers count in one window, which lies in a file that they share, in the folder of
their metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from obesity_levels.drift.histograms import Cells, Column, ColumnJudgement, Counts, Judgement, Reference, Verdict, judge
from obesity_levels.model.features import Matrix
from service.contract import DriftColumn, DriftStatus
from service.together import Gathered, on_event_loop

Levels = npt.NDArray[np.int64]

# The window slides by a tenth of its rows. A block is full with a tenth of them, and may get nearly twice as many.
_BLOCKS = 10
_SLOTS = _BLOCKS + 1
# Rows wait until a worker has counted so many, and are published together: seen before and after a single row, counts
# would tell what is in it.
_FEWEST_PUBLISHED = 50
# Ahead of the counts: the slot that is filled now, all rows that were ever counted, and the rows in each slot.
_CURRENT, _EVER, _ROWS = 0, 1, 2
_HEADER = _ROWS + _SLOTS
# Computing the verdict is not repeated within so many seconds.
_SECONDS = 1.0
# A count below is not shown, and others are rounded down to a multiple of it: so few rows may be recognised.
_FEWEST_SHOWN = 5
_DIGITS = 2


class Monitor:
    """Counts rows against a drift reference, over a window of 500 rows or more.

    `shared` is a folder in which several workers count together. Once the service's event loop is in `loop`, any thread
    may call `observe`; all else is for the thread of that loop.
    """

    def __init__(self, reference: Reference, window: int, shared: Path | None = None) -> None:
        self.reference = reference
        self.window = max(window, _BLOCKS * _FEWEST_PUBLISHED)
        self._cells = Cells(reference.columns)
        self._rows_of_block = self.window // _BLOCKS
        size = _HEADER + _SLOTS * self._cells.total
        memory: bytearray | mmap.mmap = bytearray(size * 8)
        self._lock: contextlib.nullcontext[None] | _SharedLock = contextlib.nullcontext()
        if shared is not None:
            file = os.open(shared / f"drift_{reference.model_version}.counts", os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(file, size * 8)
            memory = mmap.mmap(file, size * 8)
            self._lock = _SharedLock(file)
        # One after the other: the header, and the cells of each block.
        self._counts = memoryview(memory).cast("q")
        self._blocks = np.frombuffer(memory, np.int64, offset=_HEADER * 8).reshape(_SLOTS, -1)
        # This worker's own: rows that were answered just now, and counts of fewer rows than are published.
        self._answered = Gathered(self._count_answered)
        self._waiting = np.zeros(self._cells.total, np.int64)
        self._waiting_rows = 0
        self._judged: tuple[float, Judgement, Counts] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def observe(self, matrix: Matrix, levels: Sequence[int] | Levels) -> None:
        """Count rows of the model's input and the levels predicted for them; with a `loop`, some ms later."""
        if self.loop is None:
            self._count(matrix, np.asarray(levels))
        elif on_event_loop():
            self._gather(matrix, levels)
        else:
            self.loop.call_soon_threadsafe(self._gather, matrix, levels)

    def _gather(self, matrix: Matrix, levels: Sequence[int] | Levels) -> None:
        # Those of a large request are enough by themselves, and can wait for others: together they cost a third.
        rows = len(matrix) if len(matrix) < _FEWEST_PUBLISHED else 0
        self._answered.add((matrix, levels), rows)
        if self._waiting_rows + self._answered.rows >= _FEWEST_PUBLISHED:
            self._answered.hand_on()

    def _count_answered(self, answered: list[tuple[Matrix, Sequence[int] | Levels]]) -> None:
        matrices, levels = zip(*answered, strict=True)
        self._count(np.concatenate(matrices), np.concatenate(levels))

    def _count(self, matrix: Matrix, levels: Levels) -> None:
        first = max(len(matrix) - self.window, 0)  # what comes before would be forgotten at once
        with self._lock:
            self._counts[_EVER] += first
        for begin in range(first, len(matrix), self._rows_of_block):
            part = slice(begin, begin + self._rows_of_block)
            rows, found = len(levels[part]), self._cells.count(matrix[part], levels[part])
            if rows >= _FEWEST_PUBLISHED:
                self._publish(found, rows)
            else:
                self._wait(found, rows)

    def _wait(self, found: Counts, rows: int) -> None:
        """Keep counts of few rows back, until they are enough to be published."""
        self._waiting += found
        self._waiting_rows += rows
        if self._waiting_rows >= _FEWEST_PUBLISHED:
            self._publish(self._waiting, self._waiting_rows)
            self._waiting[:] = self._waiting_rows = 0

    def counts(self) -> Counts:
        """The rows of the window by cell, without those in waiting."""
        with self._lock:
            counts: Counts = self._blocks.sum(axis=0)
        return counts

    def judgement(self) -> tuple[Judgement, Counts]:
        """The verdict over the published rows of the window, at most a second old, and the counts that it is of."""
        now = time.monotonic()
        if self._judged is None or now - self._judged[0] > _SECONDS:
            self._answered.hand_on()
            counts = self.counts()
            self._judged = (now, judge(self.reference, self._cells, counts), counts)
        return self._judged[1:]

    def status(self) -> DriftStatus:
        """What GET /drift answers. With too few rows to tell nothing is said of the columns, which would be of them."""
        judgement, counts = self.judgement()
        columns = []
        if judgement.verdict != "too few rows to tell":
            judged = enumerate(zip(self.reference.columns, judgement.columns, strict=True))
            columns = [
                self._column(column, found, *self._cells.of_column(counts, at)) for at, (column, found) in judged
            ]
        rate = self.reference.false_alarms("counts", judgement.rows)
        return DriftStatus(judgement.verdict, judgement.rows, self.window, self.reference.model_version, rate, columns)

    def _column(self, column: Column, found: ColumnJudgement, counts: Counts, missing: Counts) -> DriftColumn:
        cells = zip([*column.labels, "missing"], [*counts.tolist(), int(missing)], strict=True)
        share = shown(int(missing))
        return DriftColumn(
            name=found.name,
            psi=None if found.psi is None else round(found.psi, _DIGITS),
            psi_critical=round(found.psi_critical, _DIGITS),
            missing_share=None if share is None else round(share / int(counts.sum() + missing), _DIGITS),
            missing_critical=round(found.missing_critical, _DIGITS),
            alarm=found.alarm,
            counts={label: shown(count) for label, count in cells},
        )

    def collect(self) -> Iterable[Metric]:
        """The verdict and each column's PSI, as prometheus-client asks for them."""
        judgement, _ = self.judgement()
        verdict = GaugeMetricFamily("obesity_drift_verdict", "1 for the verdict over the window", labels=["verdict"])
        for name in get_args(Verdict):
            verdict.add_metric([name], float(name == judgement.verdict))
        yield verdict
        yield GaugeMetricFamily("obesity_drift_window_rows", "Rows in the window of the drift monitor", judgement.rows)
        # The window's rows stay the same where batches of a block's size follow one another: only this shows silence.
        yield CounterMetricFamily("obesity_drift_rows", "Rows that the drift monitor has counted", self._counts[_EVER])
        psi = GaugeMetricFamily("obesity_drift_psi", "Population stability index over the window", labels=["column"])
        if judgement.verdict != "too few rows to tell":
            for column in judgement.columns:
                if column.psi is not None:
                    psi.add_metric([column.name], round(column.psi, _DIGITS))
        yield psi

    def _publish(self, found: Counts, rows: int) -> None:
        """Add counts of `rows` to the block that is filled now; the oldest blocks are forgotten for them."""
        counts = self._counts
        with self._lock:
            slot = counts[_CURRENT]
            if counts[_ROWS + slot] >= self._rows_of_block:
                slot = counts[_CURRENT] = (slot + 1) % _SLOTS
                self._empty(slot)
            counts[_ROWS + slot] += rows
            counts[_EVER] += rows
            self._blocks[slot] += found
            for oldest in range(slot + 1, slot + _SLOTS):
                if sum(counts[_ROWS : _ROWS + _SLOTS]) <= self.window:
                    break
                self._empty(oldest % _SLOTS)

    def _empty(self, slot: int) -> None:
        self._counts[_ROWS + slot] = 0
        self._blocks[slot] = 0


class _SharedLock:
    """Keeps out the other workers; the end of a process lets go of it."""

    def __init__(self, file: int) -> None:
        self._file = file

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


def shown(count: int) -> int | None:
    """What is shown of a count of rows: None under 5, else the multiple of 5 that it reaches."""
    return None if count < _FEWEST_SHOWN else count - count % _FEWEST_SHOWN
