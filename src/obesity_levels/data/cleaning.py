"""Raw rows to clean rows, with an account of every cell and every row that changed. Nothing is invented."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.data.duplicates import merge_duplicates
from obesity_levels.data.losses import Loss, describe_loss, refuse_losses, refuse_pounds
from obesity_levels.data.source import extra_columns
from obesity_levels.errors import TooFewRowsError
from obesity_levels.params import CleanParams
from obesity_levels.schema import ANSWERS, CATEGORIES, CODES, COLUMNS, LABEL, LEVELS, SCALES, category_key

REASON = "reason"
REASONS = ("no_label", "unreadable_label", "nothing_answered")
CAUSES = ("empty", "marker", "unreadable", "out_of_scale")

VALID = -1
_EMPTY, _MARKER, UNREADABLE, _OUT_OF_SCALE = range(len(CAUSES))
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


@dataclass(frozen=True)
class Cells:
    """One column, of which each distinct text was read once: a column of a million texts has few.

    `at`, shape (rows,), says which of the distinct texts a row has. Of these, `distinct` are the numbers or categories,
    NaN where missing, `distinct_cause` the cause of a missing one (index in CAUSES, else VALID), `distinct_normalised`
    whether the text was changed, and `distinct_found` the numbers, also those off the scale (None for categories).
    """

    name: str
    index: pd.Index
    at: npt.NDArray[np.intp]
    distinct: npt.NDArray[Any]
    distinct_cause: npt.NDArray[np.int8]
    distinct_normalised: npt.NDArray[np.bool_]
    distinct_found: npt.NDArray[np.float64] | None

    @cached_property
    def values(self) -> pd.Series:
        """The clean column: float64, or canonical texts."""
        return pd.Series(self.distinct[self.at], self.index, dtype="float64" if self.name in SCALES else "str")

    @cached_property
    def codes(self) -> npt.NDArray[np.float64]:
        """The clean column as the model's input has it: numbers, and categories by their code; NaN where missing."""
        codes = CODES.get(self.name)
        of_distinct = self.distinct if codes is None else [codes.get(text, np.nan) for text in self.distinct]
        return np.array(of_distinct, np.float64)[self.at]

    @property
    def found(self) -> npt.NDArray[np.float64] | None:
        """The numbers, also those off the scale; None for categories."""
        return None if self.distinct_found is None else self.distinct_found[self.at]

    @property
    def cause(self) -> npt.NDArray[np.int8]:
        """The cause of each missing cell, else VALID."""
        return self.distinct_cause[self.at]

    @property
    def normalised(self) -> npt.NDArray[np.bool_]:
        """Whether the text of each cell was changed."""
        return self.distinct_normalised[self.at]

    def counts(self) -> npt.NDArray[np.int64]:
        """The number of cells of each of CAUSES."""
        rows = np.bincount(self.at, minlength=len(self.distinct_cause))
        return np.array([rows[self.distinct_cause == cause].sum() for cause in range(len(CAUSES))])


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
    conditions = [np.isin(label_cause, (_EMPTY, _MARKER)), label_cause != VALID, unanswered]
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


def read_cells(raw: pd.DataFrame, missing_marks: Sequence[str]) -> dict[str, Cells]:
    """Read the cells of those of the 17 columns that `raw` has; texts in `missing_marks` stand for missing answers."""
    return {name: _read_column(raw[name], name, missing_marks) for name in COLUMNS if name in raw}


def losses_of(raw: pd.DataFrame, cells: Mapping[str, Cells], least_share: float) -> list[Loss]:
    """The columns of `raw`, read as `cells`, of which at least `least_share` of the filled cells cannot be used."""
    losses = []
    for name, column in cells.items():
        lost = column.cause >= UNREADABLE  # or off its scale
        filled = int(lost.sum() + (column.cause == VALID).sum())
        if lost.any() and lost.sum() >= least_share * filled:
            losses.append(describe_loss(raw[name], lost, filled))
    return losses


def _read_column(raw: pd.Series, name: str, missing_marks: Sequence[str]) -> Cells:
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
    cause = np.select(conditions, [_EMPTY, _MARKER, VALID, _OUT_OF_SCALE], UNREADABLE).astype(np.int8)
    usable = np.where(cause == VALID, values, np.nan)
    return Cells(name, raw.index, at, usable, cause, normalised & (cause == VALID), values if name in SCALES else None)
