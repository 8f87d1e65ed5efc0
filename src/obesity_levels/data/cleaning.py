"""Raw rows to clean rows, with an account of every cell and every row that changed. Nothing is invented."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.data.duplicates import merge_duplicates
from obesity_levels.data.losses import Loss, describe_loss, refuse_losses, refuse_pounds
from obesity_levels.data.source import extra_columns
from obesity_levels.errors import TooFewRowsError
from obesity_levels.params import CleanParams
from obesity_levels.schema import ANSWERS, CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES, category_key

REASON = "reason"
REASONS = ("no_label", "unreadable_label", "nothing_answered")
CAUSES = ("empty", "marker", "unreadable", "out_of_scale")

_VALID = -1
_EMPTY, _MARKER, UNREADABLE, _OUT_OF_SCALE = range(len(CAUSES))
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


class Cells(NamedTuple):
    """One column: its values, the cause of a missing one (index in CAUSES, else -1), and whether its text was changed.

    `found` are the values of a number, also those off its scale; None for categories.
    """

    values: pd.Series
    found: npt.NDArray[np.float64] | None
    cause: npt.NDArray[np.int8]
    normalised: npt.NDArray[np.bool_]


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
    conditions = [np.isin(label_cause, (_EMPTY, _MARKER)), label_cause != _VALID, unanswered]
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
                name: {cause: int((column.cause == number).sum()) for number, cause in enumerate(CAUSES)}
                for name, column in cells.items()
            },
            "restored": restored,
        },
        # without the texts: they are answers of people
        "lost": {
            loss.column: {"share": loss.share, "looks_like": ", ".join(loss.looks_like) or None} for loss in losses
        },
    }
    return kept, rejected, account


def read_cells(raw: pd.DataFrame, missing_marks: Sequence[str]) -> dict[str, Cells]:
    """Read the cells of those of the 17 columns that `raw` has; texts in `missing_marks` stand for missing answers."""
    return {name: _read_column(raw[name], name, missing_marks) for name in COLUMNS if name in raw}


def losses_of(raw: pd.DataFrame, cells: Mapping[str, Cells], least_share: float) -> list[Loss]:
    """The columns of `raw`, read as `cells`, of which at least `least_share` of the filled cells cannot be used."""
    losses = []
    for name, column in cells.items():
        lost = column.cause >= UNREADABLE  # or off its scale
        filled = int(lost.sum() + (column.cause == _VALID).sum())
        if lost.any() and lost.sum() >= least_share * filled:
            losses.append(describe_loss(raw[name], lost, filled))
    return losses


def _read_column(raw: pd.Series, name: str, missing_marks: Sequence[str]) -> Cells:
    # Each distinct text is read once: a column of a million texts has few.
    at, found = pd.factorize(raw, use_na_sentinel=False)
    text = found.str.strip()
    values: np.ndarray
    if name in SCALES:
        low, high = SCALES[name]
        readable = text.str.fullmatch(_NUMBER)
        values = text.where(readable).to_numpy(dtype=np.float64)
        valid = (values >= low) & (values <= high)
        normalised = found != text
    else:
        canonical = {category_key(category): category for category in (LEVELS if name == LABEL else CATEGORIES[name])}
        values = np.array([canonical.get(category_key(t)) for t in text], dtype=object)
        readable = valid = pd.notna(values)
        normalised = found != values
    is_marker = text.str.lower().isin([mark.strip().lower() for mark in missing_marks])
    conditions = [text == "", is_marker, valid, readable]
    cause = np.select(conditions, [_EMPTY, _MARKER, _VALID, _OUT_OF_SCALE], UNREADABLE).astype(np.int8)
    usable = np.where(cause == _VALID, values, np.nan)
    column = pd.Series(usable[at], index=raw.index, dtype="float64" if name in SCALES else "str")
    return Cells(column, values[at] if name in SCALES else None, cause[at], (normalised & (cause == _VALID))[at])
