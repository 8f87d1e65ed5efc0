"""The drift monitor: counts of what this process predicted, over a window of rows, and the verdict on them.

Counts only: no row is kept, but for up to 49 that wait in memory until they are 50.
"""

import threading
import time
from typing import get_args

import numpy as np
from prometheus_client import Counter, Gauge

from obesity_levels.drift.histograms import Cells, Column, ColumnJudgement, Counts, Judgement, Reference, Verdict, judge
from obesity_levels.model.classifier import Levels
from obesity_levels.model.features import Matrix
from service.schemas import DriftColumn, DriftStatus

# Rows join the window so many at a time: seen before and after a single row, the counts would tell what is in it.
_FEWEST_JOINED = 50
_SMALLEST_WINDOW = 500
# A count below is not shown, and others are rounded down to a multiple of it: so few rows may be recognised.
_FEWEST_SHOWN = 5
_DIGITS = 2
# The verdict is not computed again within so many seconds.
_SECONDS = 1.0

# The worst of all workers: the highest PSI, and every verdict that one of them has.
VERDICT = Gauge("obesity_drift_verdict", "1 for the verdict on the window", ["verdict"], multiprocess_mode="livemax")
PSI = Gauge("obesity_drift_psi", "Population stability index of the window", ["column"], multiprocess_mode="livemax")
WINDOW_ROWS = Gauge("obesity_drift_window_rows", "Rows in the window", multiprocess_mode="livemin")
# The window's rows may stand still while all is counted: only this shows that nothing is.
ROWS = Counter("obesity_drift_rows", "Rows that the drift monitor has counted")


class DriftMonitor:
    """Counts rows over a window, and judges them by a drift reference.

    The window is two arrays of counts: one that fills up to half of the window, and the full one before it. So it holds
    the last rows, between half of `window` and all of it. Any thread may call the methods.
    """

    def __init__(self, reference: Reference, window: int) -> None:
        self.reference = reference
        self.window = max(window, _SMALLEST_WINDOW)
        self._cells = Cells(reference.columns)
        self._counts = np.zeros((2, self._cells.total), np.int64)
        self._rows = 0  # of the array that fills, the first
        self._waiting: list[tuple[Matrix, Levels]] = []
        self._waiting_rows = 0
        self._judged: tuple[float, Judgement, Counts] | None = None
        self._lock = threading.Lock()

    def observe(self, matrix: Matrix, levels: Levels) -> None:
        """Count rows of the model's input and the levels predicted for them; few rows wait until they are 50."""
        ROWS.inc(len(levels))
        half = self.window // 2
        # Of more rows than half a window holds, the last ones replace it.
        last = slice(max(len(levels) - half + _FEWEST_JOINED, 0), None)
        with self._lock:
            self._waiting.append((matrix[last], levels[last]))
            self._waiting_rows += len(levels[last])
            if self._waiting_rows < _FEWEST_JOINED:
                return
            if self._rows + self._waiting_rows > half:
                self._counts[1] = self._counts[0]
                self._counts[0] = self._rows = 0
            matrices, predicted = zip(*self._waiting, strict=True)
            self._counts[0] += self._cells.count(np.concatenate(matrices), np.concatenate(predicted))
            self._rows += self._waiting_rows
            self._waiting, self._waiting_rows = [], 0
        self._judge()

    def status(self) -> DriftStatus:
        """The answer of GET /drift. With too few rows to tell, nothing is said of the columns."""
        judgement, counts = self._judge()
        columns = [
            self._column(self.reference.columns[at], found, *self._cells.of_column(counts, at))
            for at, found in enumerate(judgement.columns)
        ]
        rate = self.reference.false_alarms("counts", judgement.rows)
        return DriftStatus(judgement.verdict, judgement.rows, self.window, self.reference.model_version, rate, columns)

    def _judge(self) -> tuple[Judgement, Counts]:
        """The verdict on the window, at most a second old, and its counts; the metrics show it."""
        with self._lock:
            now = time.monotonic()
            if self._judged is None or now - self._judged[0] > _SECONDS:
                counts = self._counts.sum(axis=0)
                judgement = judge(self.reference, self._cells, counts)
                self._judged = (now, judgement, counts)
                WINDOW_ROWS.set(judgement.rows)
                for verdict in get_args(Verdict):
                    VERDICT.labels(verdict).set(verdict == judgement.verdict)
                for column in judgement.columns:
                    PSI.labels(column.name).set(round(column.psi or 0.0, _DIGITS))
            return self._judged[1:]

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


def shown(count: int) -> int | None:
    """What is shown of a count of rows: None under 5, else the multiple of 5 that it reaches."""
    return None if count < _FEWEST_SHOWN else count - count % _FEWEST_SHOWN
