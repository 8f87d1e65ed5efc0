"""Files that the stages read and write: CSV, Parquet, JSON, texts from templates. The same content, the same bytes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from jinja2 import Environment, PackageLoader, StrictUndefined

from obesity_levels.errors import SourceError
from obesity_levels.schema import ANSWERS, LABEL, LEVELS, PROFILES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = "line"
"""Name of the index of survey rows: the line of the source on which a row begins; the header is line 1."""

NO_LABEL = -1
"""Stands for a missing label where labels are indices in LEVELS."""

Groups = npt.NDArray[np.int32]
Matrix = npt.NDArray[np.float32]


class Rows(NamedTuple):
    """One split, row by row.

    `answers` has the 16 answers; `labels`, shape (rows,), are indices in LEVELS; `groups`, shape (rows,), are equal for
    rows that may be the same person; `matrix`, shape (rows, columns), is the model's input.
    """

    answers: pd.DataFrame
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    matrix: Matrix

    @classmethod
    def concatenate(cls, *splits: Self) -> Self:
        """The rows of all `splits`, in their order."""
        answers, *arrays = zip(*splits, strict=True)
        return cls(pd.concat(answers), *map(np.concatenate, arrays))


def write_split(folder: Path, name: str, rows: pd.DataFrame, groups: Groups, matrix: Matrix, profile: str) -> None:
    """Write the split `name`: clean rows, indexed by LINE, with their groups and their input matrix."""
    inputs = pd.DataFrame(matrix, columns=[f"input.{feature}" for feature in PROFILES[profile]], index=rows.index)
    write_parquet(pd.concat([rows, inputs], axis=1).assign(group=groups), folder / f"{name}.parquet")


def read_split(folder: Path, name: str) -> Rows:
    """Read the split `name`, as `write_split` wrote it. Raises SourceError if it cannot be read."""
    path = folder / f"{name}.parquet"
    table = read_parquet(path)
    if not {*ANSWERS, LABEL, "group"} <= set(table.columns) or not table[LABEL].isin(LEVELS).all():
        raise SourceError(f"{path} is not a split of this project: run `dvc repro`, or `dvc checkout`")
    return Rows(
        table[list(ANSWERS)],
        level_indices(table[LABEL]),
        table["group"].to_numpy(dtype=np.int64),
        np.ascontiguousarray(table.filter(like="input.").to_numpy(dtype=np.float32)),
    )


def level_indices(labels: pd.Series) -> npt.NDArray[np.int64]:
    """The index in LEVELS of each label; NO_LABEL where it is missing."""
    return pd.Index(LEVELS).get_indexer(labels)


def write_parquet(rows: pd.DataFrame, path: Path) -> None:
    """Write rows that are indexed by LINE."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.reset_index(names=LINE).to_parquet(path, index=False)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read rows that `write_parquet` wrote. Raises SourceError if they cannot be read."""
    try:
        return pd.read_parquet(path).set_index(LINE)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise SourceError(f"{path} cannot be read: run `dvc repro`, or `dvc pull`") from error


def write_raw_csv(rows: pd.DataFrame, path: Path) -> None:
    """Write a table of texts as they are, without quotes. No cell may need any, as in a table of `simulate`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = pa.csv.WriteOptions(quoting_style="none", quoting_header="none")
    pa.csv.write_csv(pa.Table.from_pandas(rows, preserve_index=False), path, options)


def write_plot_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table for `dvc plots`: numbers with 6 digits, no index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6f", lineterminator="\n")


def write_png(figure: "Figure", path: Path) -> None:
    """Write a figure, without the name of the software, which contains the version of matplotlib."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def write_json(content: Any, path: Path) -> None:
    """Write JSON-like `content`, its floats rounded to 6 digits. Raises ValueError for NaN and infinity."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(content), indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def render_template(template: str, **values: Any) -> str:
    """Fill in `template`, a file of this package, without its last line end; filters: number, percent, join_names."""
    environment = Environment(
        loader=PackageLoader("obesity_levels", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= {"number": number, "percent": "{:.1%}".format, "join_names": join_names}
    return environment.get_template(template).render(**values)


def number(value: float | None) -> str:
    """A number with 3 digits; nothing where there is none."""
    return "" if value is None else f"{value:.3f}"


def join_names(names: Sequence[str]) -> str:
    """An enumeration: A, B and C."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def leaves(tree: Any, prefix: str = "", *, into_lists: bool = True) -> Iterator[tuple[str, Any]]:
    """The values of nested mappings (and lists, unless excluded), each with its keys joined by dots."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict) or (into_lists and isinstance(value, list)):
            yield from leaves(value, f"{prefix}{key}.", into_lists=into_lists)
        else:
            yield f"{prefix}{key}", value


def rounded(value: Any) -> Any:
    """`value`, a JSON-like structure, with plain, rounded numbers: the last bits differ from machine to machine."""
    text = json.dumps(value, default=lambda number: number.item(), allow_nan=False)  # numpy's numbers are not JSON's
    return json.loads(text, parse_float=lambda number: round(float(number), 6) + 0.0)  # no negative zero
