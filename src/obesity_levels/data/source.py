"""The source of survey rows: a file, read as it is, with every cell as text and the line number of every row.

A layout says how the file is written, and which of its columns and words are those of UCI 544.
"""

import codecs
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from obesity_levels.data.columns import likely_matches
from obesity_levels.data.csv_file import column_names, csv_blocks
from obesity_levels.data.layout import UNCHANGED, Layout, apply_layout, proposing
from obesity_levels.errors import SourceError
from obesity_levels.io import LINE
from obesity_levels.schema import COLUMNS

_ROWS_FOR_MATCHES = 10_000
_ROWS_OF_A_BLOCK = 65_536
_BYTES_OF_A_FORMAT = 100_000


def read_raw(path: Path, required: Sequence[str] = COLUMNS, layout: Layout = UNCHANGED) -> pd.DataFrame:
    """Read a file with the columns of UCI 544 that are `required`, in any order, and perhaps others.

    `layout` says how it is written. Returns every column as text, unchanged but for what the layout names, indexed by
    LINE; one without a name is called by its place, such as `(column 18)`. Raises SourceError, which names `path` and
    what to do, if the file is not such a table.
    """
    table = apply_layout(read_table(path, layout), layout, path)
    _check_columns(table, required, path)
    return table


def read_blocks(path: Path, required: Sequence[str], layout: Layout = UNCHANGED) -> Iterator[pd.DataFrame]:
    """The same rows as `read_raw`, in blocks: CSV and Parquet files may be larger than memory.

    Raises the same errors, that of a later block when it is reached.
    """
    begins = read_bytes(path, _BYTES_OF_A_FORMAT)
    if format_of(begins) != layout.format or begins.startswith(b"PK"):  # a workbook, or an error
        blocks = iter([read_table(path, layout)])
    else:
        blocks = csv_blocks(path, layout) if layout.format == "csv" else _parquet_blocks(path)
    first = next(blocks, None)
    if first is None:
        raise _no_rows(path)
    _refuse_doubled(first, path)
    _check_columns(apply_layout(first, layout, path), required, path)
    for block in chain([first], blocks):
        yield apply_layout(block, layout, path)


def read_table(path: Path, layout: Layout) -> pd.DataFrame:
    """Read a file of the layout's format as texts, with its own columns, indexed by LINE. Raises SourceError."""
    content = read_bytes(path)
    kind = format_of(content)
    if kind != layout.format:
        called = {
            "csv": "no Excel workbook and no Parquet file",
            "excel": "an Excel workbook",
            "parquet": "a Parquet file",
        }
        raise SourceError(
            f"{path} is {called[kind]}, and its layout says format: {layout.format}:"
            f" give a layout that fits; `{proposing(path)}` proposes it"
        )
    if kind == "csv":
        table = _joined(csv_blocks(path, layout))
    else:
        table = _read_excel(path, layout) if kind == "excel" else _joined(_parquet_blocks(path))
    if table.empty:
        raise _no_rows(path)
    _refuse_doubled(table, path)
    return table


def is_simulated(source: Path) -> bool:
    """Whether `source` is a population to simulate, and not rows."""
    return source.suffix.lower() in (".yaml", ".yml")


def extra_columns(names: Sequence[str]) -> list[str]:
    """The columns that are not among the 17, in the order of the file."""
    return [name for name in names if name not in COLUMNS]


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The content of a file, or its first `most` bytes.

    Raises SourceError, which says what to do, if it cannot be read or is empty.
    """
    if path.is_dir():
        raise SourceError(f"{path} is a directory: name the file in it")
    try:
        with path.open("rb") as file:
            content = file.read(most)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: give the path of a CSV or YAML file") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from error
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise SourceError(f"{path} is empty: give a CSV file with a header and the 17 columns of UCI 544")
    return content


def format_of(content: bytes) -> str:
    """The format that a layout calls `csv`, `excel` or `parquet`, by how a file begins; `csv` for any other."""
    if content.startswith(b"PAR1"):
        return "parquet"
    if content.startswith(b"PK\x03\x04"):
        try:
            if "xl/workbook.xml" in ZipFile(io.BytesIO(content)).namelist():
                return "excel"
        except BadZipFile:
            pass
    return "csv"


def sheets_of(path: Path) -> dict[str, pd.DataFrame]:
    """The cells of each sheet of an Excel workbook, without a header. Raises SourceError if it cannot be read."""
    try:
        return pd.read_excel(path, None, header=None, dtype=object, keep_default_na=False)
    except Exception as error:  # openpyxl raises what it meets inside the file
        raise SourceError(
            f"{path} is an Excel workbook that cannot be read ({type(error).__name__}: {error}):"
            " open it and save it again, as .xlsx or as CSV"
        ) from error


def _read_excel(path: Path, layout: Layout) -> pd.DataFrame:
    sheets = sheets_of(path)
    if layout.sheet not in ("", *sheets):
        raise SourceError(
            f"{path} has no sheet {layout.sheet!r}, only {', '.join(map(repr, sheets))}: correct `sheet` of its layout,"
            f" or propose one with `{proposing(path)}`"
        )
    cells = sheets[layout.sheet or next(iter(sheets))].iloc[layout.skip_lines :]
    texts = cells.map(_text)
    texts = texts[(texts != "").any(axis=1)]
    texts.columns = pd.Index(column_names(texts.iloc[0])) if len(texts) else texts.columns
    texts = texts.iloc[1:].astype("str")
    return texts.set_index(pd.Index(texts.index + 1, name=LINE))


def _parquet_blocks(path: Path) -> Iterator[pd.DataFrame]:
    try:
        first = 2  # the header is line 1 of any table
        for batch in pq.ParquetFile(path).iter_batches(_ROWS_OF_A_BLOCK):
            table = _as_texts(batch.to_pandas())
            yield table.set_index(pd.RangeIndex(first, first + len(table), name=LINE))
            first += len(table)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{path} is a Parquet file that cannot be read: make it again") from error


def _as_texts(table: pd.DataFrame) -> pd.DataFrame:
    # an answer may be the index
    table = table.reset_index(allow_duplicates=True) if any(name is not None for name in table.index.names) else table
    table.columns = pd.Index(column_names(table.columns))
    return table.astype(object).map(_text).astype("str")


def _text(cell: object) -> str:
    return "" if cell is None or cell is pd.NA or (cell != cell) is True else str(cell)


def _joined(blocks: Iterator[pd.DataFrame]) -> pd.DataFrame:
    found = list(blocks)
    return pd.concat(found) if found else pd.DataFrame()


def _check_columns(table: pd.DataFrame, required: Sequence[str], path: Path) -> None:
    missing = [column for column in required if column not in table]
    if missing:
        which = "column" if len(missing) == 1 else "columns"
        matches = "; ".join(likely_matches(table.head(_ROWS_FOR_MATCHES), missing))
        raise SourceError(
            f"{path} has no {which} {', '.join(repr(name) for name in missing)}"
            f" (found {len(required) - len(missing)} of {len(required)}){f'; {matches}' if matches else ''}:"
            f" add what is missing, or say how the file is written; `{proposing(path)}` proposes it"
        )


def _refuse_doubled(table: pd.DataFrame, path: Path) -> None:
    names = list(table.columns)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"{path} has more than one column {', '.join(map(repr, doubled))}: keep one of each")


def _no_rows(path: Path) -> SourceError:
    return SourceError(f"{path} has a header but no rows: give a file with survey rows in it")
