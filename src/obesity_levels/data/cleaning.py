"""Raw rows to clean rows, with an account of every cell and every row that changed. Nothing is invented."""

from typing import Any

import numpy as np
import pandas as pd

from obesity_levels.data.cells import CAUSES, EMPTY, MARKER, VALID, losses_of, read_cells
from obesity_levels.data.duplicates import merge_duplicates
from obesity_levels.data.losses import refuse_losses, refuse_pounds
from obesity_levels.data.source import extra_columns
from obesity_levels.errors import TooFewRowsError
from obesity_levels.params import CleanParams
from obesity_levels.schema import ANSWERS, LABEL, LEVELS

REASON = "reason"
REASONS = ("no_label", "unreadable_label", "nothing_answered")


def clean_rows(raw: pd.DataFrame, params: CleanParams) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Normalise cells, set invalid ones missing, reject rows without a label, merge duplicates.

    `raw` is a table as `read_raw` gives it. Returns
    - the clean rows: the 16 answers (numbers as float64 on their scale, categories as canonical text, NaN where
      missing) and the label, indexed by line number;
    - the rejected rows as they were read, with their REASON;
    - the account: rows read = kept + rejected + merged; of all cells read, those normalised and those set missing, by
      column and cause; of the rows kept, the cells restored from a duplicate; the columns that have lost many cells.

    Raises SourceError if too much of a column would be lost (`max_lost_share`) or weights look like pounds,
    TooFewRowsError if no row is left.
    """
    cells = read_cells(raw, params.missing_marks)
    losses = losses_of(raw, cells, min(params.reported_lost_share, params.max_lost_share))
    refuse_losses(losses, params.max_lost_share)
    rows = pd.DataFrame({name: column.values for name, column in cells.items()}, index=raw.index)
    refuse_pounds(rows)
    label_cause = cells[LABEL].cause
    unanswered = rows[list(ANSWERS)].isna().all(axis=1)
    conditions = [np.isin(label_cause, (EMPTY, MARKER)), label_cause != VALID, unanswered]
    reason = np.select(conditions, REASONS, default="")
    accepted = reason == ""
    if not accepted.any():
        raise TooFewRowsError(
            f"none of the {len(raw)} rows has both a readable label and an answer:"
            f" give rows whose '{LABEL}' is one of {', '.join(LEVELS)}"
        )
    kept, restored = merge_duplicates(rows[accepted], params.duplicates)

    rejected = raw[~accepted].copy()
    # the file may have a column of that name too
    rejected.insert(0, REASON, reason[~accepted], allow_duplicates=True)
    account = {
        "columns_dropped": extra_columns(list(raw.columns)),
        "rows": {
            "read": len(raw),
            "kept": len(kept),
            "rejected": {name: int((reason == name).sum()) for name in REASONS},
            "merged": int(accepted.sum()) - len(kept),
        },
        "cells": {
            "normalised": {name: int(column.normalised.sum()) for name, column in cells.items()},
            "set_missing": {
                name: dict(zip(CAUSES, column.counts().tolist(), strict=True)) for name, column in cells.items()
            },
            "restored": restored,
        },
        # without the texts: they are answers of people
        "lost": {
            loss.column: {"share": loss.share, "looks_like": ", ".join(loss.looks_like) or None} for loss in losses
        },
    }
    return kept, rejected, account
