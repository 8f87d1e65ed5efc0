"""What became of the rows and cells of a prediction of many rows, and whether they have drifted."""

import numpy as np
import pandas as pd
from tabulate import tabulate

from obesity_levels.data.cleaning import CAUSES, UNREADABLE, losses_of
from obesity_levels.data.losses import Loss
from obesity_levels.drift.histograms import Cells, Judgement, Reference, judge
from obesity_levels.io import join_names
from obesity_levels.prediction.table import Predicted
from obesity_levels.schema import ANSWERS, LEVELS


class Account:
    """Counts over blocks of rows. `reference` is the model's drift reference, if it has one.

    `rows` were read, in `unanswered` of them nothing was answered; `predictions`, shape (7,), are the others by level;
    `missing`, shape (16, causes), are the cells set missing by question and cause.
    """

    def __init__(self, reference: Reference | None) -> None:
        self.rows = self.unanswered = 0
        self.predictions = np.zeros(len(LEVELS), np.int64)
        self.missing = np.zeros((len(ANSWERS), len(CAUSES)), np.int64)
        self._reference = reference
        self._cells = Cells(reference.columns) if reference else None
        self._drift = np.zeros(self._cells.total if self._cells else 0, np.int64)
        self._first_losses: dict[str, Loss] = {}

    def add(self, rows: pd.DataFrame, predicted: Predicted) -> None:
        """Count a block of `rows` and what was predicted for them."""
        self.rows += len(rows)
        self.unanswered += int((~predicted.answered).sum())
        self.predictions += np.bincount(predicted.levels, minlength=len(LEVELS))
        self.missing += np.array([predicted.cells[name].counts() for name in ANSWERS])
        answers = {name: predicted.cells[name] for name in ANSWERS if name not in self._first_losses}
        self._first_losses |= {loss.column: loss for loss in losses_of(rows, answers, 0)}
        if self._cells is not None:
            self._drift += self._cells.count(predicted.matrix, predicted.levels)

    def losses(self) -> list[Loss]:
        """The columns with cells that are unreadable or off their scale, in all rows; texts are of the first block."""
        found = []
        for name, loss in self._first_losses.items():
            counts = self.missing[ANSWERS.index(name)]
            filled = self.rows - int(counts[:UNREADABLE].sum())
            found.append(Loss(name, filled, int(counts[UNREADABLE:].sum()), loss.texts, loss.looks_like))
        return found

    def drift(self) -> Judgement | None:
        """The verdict on all rows with a prediction; None without a reference."""
        if self._reference is None or self._cells is None:
            return None
        return judge(self._reference, self._cells, self._drift)

    def __str__(self) -> str:
        """The account as tables for a terminal."""
        counts = zip(LEVELS, self.predictions.tolist(), strict=True)
        levels = tabulate(counts, ["predicted", "rows"], "github", intfmt=",")
        causes = [(name, *row) for name, row in zip(ANSWERS, self.missing.tolist(), strict=True) if sum(row)]
        missing = tabulate(causes, ["cells set missing", *CAUSES], "github", intfmt=",")
        lines = [f"rows: {self.rows:,}, of which {self.unanswered:,} have no answer", "", levels]
        if causes:
            lines += ["", missing]
        if judgement := self.drift():
            alarms = [column.name for column in judgement.columns if column.alarm]
            lines += ["", f"drift: {judgement.verdict}{' in ' + join_names(alarms) if alarms else ''}"]
            if self._reference and (rate := self._reference.false_alarms("counts", judgement.rows)):
                lines.append(f"(of batches of {rate.rows} rows without drift {rate.rate:.1%} alarm)")
        return "\n".join(lines)
