"""What became of the rows and cells of a prediction of many rows, and whether they have drifted."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tabulate import tabulate

from obesity_levels.data.cells import CAUSES, UNREADABLE, losses_of
from obesity_levels.data.losses import Loss
from obesity_levels.drift.histograms import Cells, Judgement, Reference, judge
from obesity_levels.io import NO_LABEL, join_names, level_indices
from obesity_levels.prediction.table import Predicted
from obesity_levels.schema import ANSWERS, LABEL, LEVELS

_SIZE = len(LEVELS)


class Account:
    """Counts of rows. Those of parts of a table add up to those of the table. `reference` is the model's, if any.

    `counts` are arrays of whole numbers:
    - `rows`: rows read, and those of them in which nothing was answered;
    - `predictions`, shape (7,): the others by level;
    - `missing`, shape (16, causes): cells set missing by question and cause;
    - `drift`: the counts that the drift verdict needs;
    - `labels`, shape (7, 7): of rows with a label, if that was read, by label and prediction;
    - `covered`: those of them whose label is in the prediction set.

    `first_losses` are the losses of a block in which a column has many: they have its texts.
    """

    def __init__(self, reference: Reference | None) -> None:
        self.reference = reference
        self._cells = Cells(reference.columns) if reference else None
        self.counts = {
            "rows": np.zeros(2, np.int64),
            "predictions": np.zeros(_SIZE, np.int64),
            "missing": np.zeros((len(ANSWERS), len(CAUSES)), np.int64),
            "drift": np.zeros(self._cells.total if self._cells else 0, np.int64),
            "labels": np.zeros((_SIZE, _SIZE), np.int64),
            "covered": np.zeros(1, np.int64),
        }
        self.first_losses: dict[str, Loss] = {}

    def add_rows(
        self, rows: pd.DataFrame, predicted: Predicted, max_lost_share: float = 0, *, evaluate: bool = False
    ) -> None:
        """Count a block of `rows` and what was predicted for them, with `evaluate` their labels too.

        A column that loses more than `max_lost_share` of all rows loses as much of some block, and is described there.
        """
        counts = self.counts
        counts["rows"] += len(rows), int((~predicted.answered).sum())
        counts["predictions"] += np.bincount(predicted.levels, minlength=_SIZE)
        counts["missing"] += np.array([predicted.cells[name].counts() for name in ANSWERS])
        answers = {name: predicted.cells[name] for name in ANSWERS if name not in self.first_losses}
        self.first_losses |= {loss.column: loss for loss in losses_of(rows, answers, max_lost_share)}
        if self._cells is not None:
            counts["drift"] += self._cells.count_many(predicted.matrix, predicted.levels)
        if evaluate:
            labels = level_indices(predicted.cells[LABEL].values)[predicted.answered]
            known = labels != NO_LABEL
            pairs = labels[known] * _SIZE + predicted.levels[known]
            counts["labels"] += np.bincount(pairs, minlength=_SIZE**2).reshape(_SIZE, _SIZE)
            if predicted.sets is not None:
                counts["covered"] += int((predicted.sets[known] >> labels[known] & 1).sum())

    def add(self, other: "Account") -> None:
        """Add the counts of other rows."""
        self.add_counts(other.counts_json())
        self.first_losses = other.first_losses | self.first_losses

    def add_counts(self, counts: dict[str, list[Any]]) -> None:
        """Add counts that are kept as `counts_json` gives them. Raises ValueError if they are others."""
        added = {name: np.array(found, np.int64) for name, found in counts.items()}
        if {name: found.shape for name, found in added.items()} != {name: n.shape for name, n in self.counts.items()}:
            raise ValueError("not the counts of an account")
        for name, found in added.items():
            self.counts[name] += found

    def counts_json(self) -> dict[str, list[Any]]:
        """The counts as JSON-like content, to be kept with the rows. No answer of a person is in them."""
        return {name: found.tolist() for name, found in self.counts.items()}

    def losses(self) -> list[Loss]:
        """The columns with cells that are unreadable or off their scale, in all rows.

        Their texts are of one block with many, and there are none of rows that another run has read.
        """
        found = []
        rows = int(self.counts["rows"][0])
        for name, counts in zip(ANSWERS, self.counts["missing"], strict=True):
            if lost := int(counts[UNREADABLE:].sum()):
                first = self.first_losses.get(name)
                filled = rows - int(counts[:UNREADABLE].sum())
                found.append(Loss(name, filled, lost, first.texts if first else {}, first.looks_like if first else []))
        return found

    def drift(self) -> Judgement | None:
        """The verdict on all rows with a prediction; None without a reference."""
        if self.reference is None or self._cells is None:
            return None
        return judge(self.reference, self._cells, self.counts["drift"])

    def scores(self) -> dict[str, Any]:
        """Scores of the rows with a label: accuracy, F1 weighted by support, recall by level, coverage of the sets.

        Nothing if there is none; None for a level that no row has.
        """
        labels: npt.NDArray[np.int64] = self.counts["labels"]
        support, predicted, right = labels.sum(axis=1), labels.sum(axis=0), labels.diagonal()
        if not (rows := int(support.sum())):
            return {}
        f1 = 2 * right / np.maximum(support + predicted, 1)
        recalls = [int(r) / int(n) if n else None for r, n in zip(right, support, strict=True)]
        return {
            "rows": rows,
            "accuracy": int(right.sum()) / rows,
            "f1_weighted": float((f1 * support).sum() / rows),
            "prediction_set_coverage": int(self.counts["covered"][0]) / rows,
            "recall": dict(zip(LEVELS, recalls, strict=True)),
        }

    def to_dict(self) -> dict[str, Any]:
        """The account as JSON-like content."""
        rows, unanswered = self.counts["rows"].tolist()
        missing = {
            name: dict(zip(CAUSES, counts, strict=True))
            for name, counts in zip(ANSWERS, self.counts["missing"].tolist(), strict=True)
        }
        content = {
            "rows": rows,
            "rows_without_an_answer": unanswered,
            "predictions": dict(zip(LEVELS, self.counts["predictions"].tolist(), strict=True)),
            "cells_set_missing": missing,
        }
        if judgement := self.drift():
            rate = self.reference and self.reference.false_alarms("counts", judgement.rows)
            content["drift"] = {
                "verdict": judgement.verdict,
                "alarms": [column.name for column in judgement.columns if column.alarm],
                "false_alarm_rate": rate and {"rows": rate.rows, "rate": rate.rate},
            }
        return content | ({"scores": scores} if (scores := self.scores()) else {})

    def __str__(self) -> str:
        """The account as tables for a terminal."""
        found = self.to_dict()
        levels = tabulate(found["predictions"].items(), ["predicted", "rows"], "github", intfmt=",")
        lines = [f"rows: {found['rows']:,}, of which {found['rows_without_an_answer']:,} have no answer", "", levels]
        causes = [(name, *row.values()) for name, row in found["cells_set_missing"].items() if any(row.values())]
        if causes:
            lines += ["", tabulate(causes, ["cells set missing", *CAUSES], "github", intfmt=",")]
        if scores := found.get("scores"):
            flat = {name: score for name, score in scores.items() if isinstance(score, float)}
            flat |= {f"recall of {level}": score for level, score in scores["recall"].items()}
            rows = [(name.replace("_", " "), score) for name, score in flat.items()]
            lines += ["", tabulate(rows, [f"of {scores['rows']:,} rows with a label", ""], "github", floatfmt=".4f")]
        if drift := found.get("drift"):
            alarms = f" in {join_names(drift['alarms'])}" if drift["alarms"] else ""
            lines += ["", f"drift: {drift['verdict']}{alarms}"]
            if rate := drift["false_alarm_rate"]:
                lines.append(f"(of batches of {rate['rows']} rows without drift {rate['rate']:.1%} alarm)")
        return "\n".join(lines)
