"""The source of survey rows: a CSV file, read as it is, with every cell as text and the line number of every row."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa

from obesity_levels.errors import SourceError
from obesity_levels.io import LINE
from obesity_levels.schema import COLUMNS

# Few, so that few cells are Python objects and are freed soon: with 50,000 the garbage collector made a million rows
# take 15 s instead of 6.
_ROWS_AT_ONCE = 1_000
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_raw(path: Path, required: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Read a CSV file with the columns of UCI 544 that are `required`, in any order, and perhaps others.

    UTF-8, with or without a byte-order mark; any line ends; empty lines are skipped. Returns every column as text,
    unchanged, indexed by LINE; one without a name is called by its place, such as `(column 18)`. Raises SourceError,
    which names `path` and what to do, if the file is not such a table.
    """
    text = _decoded(path)
    if not text.strip():
        raise SourceError(f"{path} is empty: give a CSV file with a header and the 17 columns of UCI 544")
    rows = _numbered_rows(path, text)
    # Spreadsheets write columns without a name beside a table: they are dropped, like other columns, and counted.
    names = [name.strip() or f"(column {at})" for at, name in enumerate(next(rows)[1], 1)]
    _check_header(path, names, required)
    schema = pa.schema([(name, pa.string()) for name in names])
    lines: list[int] = []
    parts = []
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        numbers, cells = zip(*part, strict=True)
        lines.extend(numbers)
        parts.append(pa.table(list(zip(*cells, strict=True)), schema=schema))
    if not parts:
        raise SourceError(f"{path} has a header but no rows: give a file with survey rows in it")
    return pa.concat_tables(parts).combine_chunks().to_pandas().set_index(pd.Index(lines, name=LINE))


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
            if ",".join(names).count(delimiter) >= len(required) - 1:
                raise SourceError(f"{path} is separated by {called}, not commas: save it as comma-separated values")
        which = "column" if len(missing) == 1 else "columns"
        raise SourceError(
            f"{path} has no {which} {', '.join(repr(name) for name in missing)}"
            f" (found {len(required) - len(missing)} of {len(required)}): add what is missing, spelled as in UCI 544"
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SourceError(f"{path} has more than one column {', '.join(map(repr, doubled))}: keep one of each")


def _numbered_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The header and the rows, without empty lines, each with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    width, line = 0, 1
    try:
        for cells in reader:
            if cells:
                width = width or len(cells)
                if len(cells) != width:
                    wrong = f"too {'few' if len(cells) < width else 'many'} cells, {len(cells)}"
                    raise SourceError(f"{path}, line {line}: {wrong} where the header has {width}: fix line {line}")
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        wrong = f"not readable as CSV ({error}): fix the row that begins there"
        raise SourceError(f"{path}, line {line}: {wrong}") from error
