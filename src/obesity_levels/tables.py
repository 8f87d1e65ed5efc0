"""Valid rows as Parquet files: those that cleaning kept, and the three splits with the model's input."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from obesity_levels.errors import SourceError
from obesity_levels.features import PROFILES, Matrix
from obesity_levels.raw import LINE
from obesity_levels.schema import ANSWERS, LABEL, LEVELS


class Rows(NamedTuple):
    """One split: the answers, the levels as indices in LEVELS, the groups, and the input matrix, row by row."""

    answers: pd.DataFrame
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    matrix: Matrix


def write_split(
    folder: Path, name: str, rows: pd.DataFrame, groups: npt.NDArray[np.int32], matrix: Matrix, profile: str
) -> None:
    """Write the split of that `name`: valid rows, indexed by `LINE`, with their groups and their input matrix."""
    inputs = pd.DataFrame(matrix, columns=[f"input.{feature}" for feature in PROFILES[profile]], index=rows.index)
    write_parquet(pd.concat([rows, inputs], axis=1).assign(group=groups), folder / f"{name}.parquet")


def read_split(folder: Path, name: str) -> Rows:
    """The split of that `name`, as `write_split` wrote it. Raises SourceError if it cannot be read."""
    table = read_parquet(folder / f"{name}.parquet")
    if not {*ANSWERS, LABEL, "group"} <= set(table.columns) or not table[LABEL].isin(LEVELS).all():
        raise SourceError(f"{folder / name}.parquet is not a split of this project: run `dvc repro`, or `dvc checkout`")
    return Rows(
        table[list(ANSWERS)],
        level_numbers(table[LABEL]),
        table["group"].to_numpy(dtype=np.int64),
        np.ascontiguousarray(table.filter(like="input.").to_numpy(dtype=np.float32)),
    )


def level_numbers(labels: pd.Series, missing: int = -1) -> npt.NDArray[np.int64]:
    """The index in LEVELS of each label; `missing` where there is none."""
    numbers = labels.map({level: number for number, level in enumerate(LEVELS)})
    return numbers.fillna(missing).to_numpy(dtype=np.int64)


def write_parquet(rows: pd.DataFrame, path: Path) -> None:
    """Write rows that are indexed by `LINE`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.reset_index(names=LINE).to_parquet(path, index=False)


def read_parquet(path: Path) -> pd.DataFrame:
    """Rows as `write_parquet` wrote them. Raises SourceError if they cannot be read."""
    try:
        return pd.read_parquet(path).set_index(LINE)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise SourceError(f"{path} cannot be read: run `dvc repro`, or `dvc pull`") from error
