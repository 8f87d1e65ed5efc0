"""The source of survey rows: a CSV file, read as it is, with every cell as text and the line number of every row."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa

from obesity_levels.errors import SourceError
from obesity_levels.io import LINE
from obesity_levels.schema import COLUMNS

# Few, so that cells are freed soon: with 50,000 the garbage collector made a million rows take 15 s instead of 6.
_ROWS_AT_ONCE = 1_000


class CsvReader(Protocol):
    """The object that csv.reader returns, whose type has no public name."""

    line_num: int

    def __next__(self) -> list[str]: ...


_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_raw(path: Path, required: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Read a CSV file with the columns of UCI 544 that are `required`, in any order, and perhaps others.

    UTF-8, with or without a byte-order mark; any line ends; empty lines are skipped. Returns every column as text,
    unchanged, indexed by LINE. Raises SourceError, which names `path` and what to do, if the file is not such a table.
    """
    text = _decoded(path)
    if not text.strip():
        raise SourceError(f"{path} is empty: give a CSV file with a header and the 17 columns of UCI 544")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = []
    while not header:
        header = _next_row(path, reader, reader.line_num + 1)
    names = [name.strip() for name in header]
    _check_header(path, names, required)
    lines, table = _in_columns(_numbered_rows(path, reader, len(names)), names)
    if not len(table):
        raise SourceError(f"{path} has a header but no rows: give a file with survey rows in it")
    return table.to_pandas().set_index(pd.Index(lines, name=LINE))


def is_simulated(source: Path) -> bool:
    """Whether `source` is a population to simulate, and not rows."""
    return source.suffix.lower() in (".yaml", ".yml")


def extra_columns(names: Sequence[str]) -> list[str]:
    """The columns that are not among the 17, in the order of the file."""
    return [name for name in names if name not in COLUMNS]


def _decoded(path: Path) -> str:
    if path.is_dir():
        raise SourceError(f"{path} is a directory: name the CSV or YAML file in it")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: give the path of a CSV or YAML file") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f"{path} is UTF-16 or UTF-32, not UTF-8: save it as CSV in UTF-8")
    if b"\0" in content:
        raise SourceError(f"{path} is not text (it has NUL bytes): save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{path}, line {line}: not UTF-8 text: save the file as CSV in UTF-8") from error


def _check_header(path: Path, names: list[str], required: Sequence[str]) -> None:
    if names[0].startswith("<"):
        raise SourceError(f"{path} is an HTML or XML page, not CSV: download the data file itself")
    missing = [column for column in required if column not in names]
    if missing:
        for delimiter, called in _DELIMITERS.items():
            if sum(name.count(delimiter) for name in names) >= len(required) - 1:
                raise SourceError(f"{path} is separated by {called}, not commas: save it as comma-separated values")
        which = "column" if len(missing) == 1 else "columns"
        raise SourceError(
            f"{path} has no {which} {', '.join(repr(name) for name in missing)}"
            f" (found {len(required) - len(missing)} of {len(required)}): add what is missing, spelled as in UCI 544"
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SourceError(f"{path} has more than one column {', '.join(map(repr, doubled))}: keep one of each")


def _in_columns(rows: Iterator[tuple[int, list[str]]], names: list[str]) -> tuple[list[int], pa.Table]:
    """The line numbers and a table of texts, built from a few rows at a time, so that few cells are Python objects."""
    schema = pa.schema([(name, pa.string()) for name in names])
    lines: list[int] = []
    parts = []
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        columns = zip(*(cells for _, cells in part), strict=True)
        lines.extend(line for line, _ in part)
        parts.append(pa.table(list(map(list, columns)), schema=schema))
    return lines, pa.concat_tables(parts).combine_chunks() if parts else schema.empty_table()


def _numbered_rows(path: Path, reader: CsvReader, width: int) -> Iterator[tuple[int, list[str]]]:
    line = reader.line_num + 1
    while (cells := _next_row(path, reader, line)) is not None:
        if cells:
            if len(cells) != width:
                few = "few" if len(cells) < width else "many"
                wrong = f"too {few} cells, {len(cells)} where the header has {width}"
                raise SourceError(f"{path}, line {line}: {wrong}: fix line {line}")
            yield line, cells
        line = reader.line_num + 1


def _next_row(path: Path, reader: CsvReader, line: int) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise SourceError(
            f"{path}, line {line}: not readable as CSV ({error}): fix the row that begins there"
        ) from error
