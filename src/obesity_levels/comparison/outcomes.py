"""Outcomes: what a model in production said of units, and what turned out to be true."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from obesity_levels.data.cells import UNREADABLE, read_cells
from obesity_levels.data.layout import UNCHANGED
from obesity_levels.data.source import read_table
from obesity_levels.errors import SourceError
from obesity_levels.schema import LABEL

OUTCOME_COLUMNS = ("unit", "model_version", "prediction", "truth", "time")
Period = Literal["day", "week", "month"]

_FREQUENCIES: dict[Period, str] = {"day": "D", "week": "W", "month": "M"}


def read_outcomes(path: Path) -> pd.DataFrame:
    """Read a CSV file with the columns OUTCOME_COLUMNS, a row for each prediction, in any order.

    Returns `unit`, `model_version`, `right` (1, 0, or NaN where the truth is not known yet) and `time` (UTC), sorted by
    time. Raises SourceError, which names the first line that cannot be read, without repeating it.
    """
    _check_header(path)
    table = read_table(path, UNCHANGED)
    table = table[list(OUTCOME_COLUMNS)].apply(lambda column: column.str.strip())
    for name in ("unit", "model_version"):
        _require(path, table[name] != "", f"{name} is empty")
    prediction, truth = (
        read_cells(table[[name]].set_axis([LABEL], axis=1), [])[LABEL] for name in OUTCOME_COLUMNS[2:4]
    )
    _require(path, pd.notna(prediction.values), "prediction is not a level")
    _require(
        path, pd.Series(truth.cause != UNREADABLE, table.index), "truth is not a level, and not empty (not known yet)"
    )
    time = pd.to_datetime(table["time"], utc=True, format="ISO8601", errors="coerce")
    _require(path, time.notna(), "time is not one of ISO 8601, such as 2026-11-26T14:30:00Z")
    right = np.where(pd.notna(truth.values), prediction.values == truth.values, np.nan)
    outcomes = table[["unit", "model_version"]].assign(right=right, time=time)
    return outcomes.sort_values("time", kind="stable", ignore_index=True)


def first_of_each_unit(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The first outcome of each unit: further ones of the same unit would not be independent of it."""
    return outcomes.drop_duplicates("unit")


def by_period(outcomes: pd.DataFrame, period: Period) -> pd.DataFrame:
    """The known outcomes by period, in UTC: the index is its first day; `rows`, and how many of them are `right`.

    The first outcome of each unit in a period counts.
    """
    known = outcomes.dropna(subset="right")
    begins = known["time"].dt.tz_localize(None).dt.to_period(_FREQUENCIES[period]).dt.start_time.dt.date
    counted = known.assign(begins=begins).drop_duplicates(["unit", "begins"])
    return counted.groupby("begins")["right"].agg(rows="size", right="sum").astype(int)


def _check_header(path: Path) -> None:
    # `read_table` would speak of a layout and of survey rows, and repeat a first line that is a row
    with path.open("rb") as file:
        header = file.readline(10_000).decode("utf-8-sig", "replace")
    names = [name.strip(' "\r\n') for name in header.split(",")]
    missing = [name for name in OUTCOME_COLUMNS if name not in names]
    if missing:
        raise SourceError(
            f"{path} has no column {', '.join(missing)}: outcomes are a CSV file, separated by commas, whose first line"
            f" names {', '.join(OUTCOME_COLUMNS)}"
        )


def _require(path: Path, holds: pd.Series, what: str) -> None:
    if not holds.all():
        raise SourceError(f"{path}, line {holds.index[~holds][0]}: {what}")
