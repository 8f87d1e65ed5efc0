"""The source of survey rows: a file, read as it is, with every cell as text and the line number of every row.

A layout says how the file is written, and which of its columns and words are those of UCI 544.
"""

import codecs
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePath
from zipfile import BadZipFile, ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec.structs import replace

from obesity_levels.data.columns import likely_matches
from obesity_levels.data.csv_file import WHOLE, Part, Readable, column_names, csv_blocks, csv_parts
from obesity_levels.data.layout import UNCHANGED, Layout, apply_layout, proposing
from obesity_levels.errors import SourceError
from obesity_levels.io import LINE
from obesity_levels.schema import COLUMNS

# What a row takes in a CSV file of this questionnaire, to compare sizes of parts.
_BYTES_OF_A_ROW = 130

_TYPED = replace(UNCHANGED, format="parquet")

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


def read_blocks(
    path: Readable,
    required: Sequence[str],
    layout: Layout = UNCHANGED,
    part: Part = WHOLE,
    *,
    numbers: Collection[str] = (),
) -> Iterator[pd.DataFrame]:
    """The same rows as `read_raw`, or a part of them, in blocks: CSV and Parquet files may be larger than memory.

    With `numbers` the blocks of a Parquet file have the `required` columns only, and numbers in those of them that are
    named stay numbers, unless the layout changes any of it. Raises the same errors, that of a later block when it is
    reached.
    """
    begins = read_bytes(path, _BYTES_OF_A_FORMAT)
    if format_of(begins) != layout.format or begins.startswith(b"PK\x03\x04"):  # a workbook, or an error
        blocks = iter([read_table(path, layout)])
    elif layout.format == "csv":
        blocks = csv_blocks(path, layout, part=part)
    else:
        chosen = bool(numbers) and layout == _TYPED
        blocks = _parquet_blocks(path, part, required if chosen else (), numbers if chosen else ())
    first = next(blocks, None)
    if first is None:
        if part.start == 0 and part.stop is None:
            raise _no_rows(path)
        return
    _refuse_doubled(first, path)
    _check_columns(apply_layout(first, layout, path), required, path)
    for block in chain([first], blocks):
        yield apply_layout(block, layout, path)


def parts_of(path: Readable, layout: Layout, size: int) -> list[Part]:
    """Parts of a file that are about `size` bytes of CSV: they are read in any order, or beside each other.

    A workbook is one part. Raises SourceError if the file cannot be read.
    """
    found = format_of(read_bytes(path, _BYTES_OF_A_FORMAT))
    if found == "parquet":
        return _parquet_parts(path, size // _BYTES_OF_A_ROW)
    return csv_parts(path, layout, size) if found == layout.format == "csv" else [WHOLE]


def layout_of(file: Readable, layout: Layout) -> Layout:
    """`layout`, or that of a Parquet file where it changes nothing: such a file needs none of its own."""
    is_parquet = layout == UNCHANGED and PurePath(str(file)).suffix.lower() == ".parquet"
    return _TYPED if is_parquet else layout


def read_table(path: Readable, layout: Layout) -> pd.DataFrame:
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


def read_bytes(path: Readable, most: int = -1) -> bytes:
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
        raise SourceError(
            f"{path} cannot be read ({error.strerror or error}): check the path and its permissions"
        ) from error
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


def sheets_of(path: Readable) -> dict[str, pd.DataFrame]:
    """The cells of each sheet of an Excel workbook, without a header. Raises SourceError if it cannot be read."""
    try:
        return pd.read_excel(path, None, header=None, dtype=object, keep_default_na=False)
    except Exception as error:  # openpyxl raises what it meets inside the file
        raise SourceError(
            f"{path} is an Excel workbook that cannot be read ({type(error).__name__}: {error}):"
            " open it and save it again, as .xlsx or as CSV"
        ) from error


def _read_excel(path: Readable, layout: Layout) -> pd.DataFrame:
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


def _parquet_parts(path: Readable, most_rows: int) -> list[Part]:
    """Parts of row groups, of at most so many rows if a row group has not more."""
    parts, start, line, rows = [], 0, 2, 0  # the header is line 1 of any table
    with _parquet_file(path) as file:
        for group in range(file.num_row_groups):
            more = file.metadata.row_group(group).num_rows
            if rows and rows + more > most_rows:
                parts.append(Part(start, group, line))
                start, line, rows = group, line + rows, 0
            rows += more
    return [*parts, Part(start, None, line)]


def _parquet_blocks(
    path: Readable, part: Part = WHOLE, names: Sequence[str] = (), numbers: Collection[str] = ()
) -> Iterator[pd.DataFrame]:
    """Blocks of texts, or numbers in the columns `numbers`; of the columns `names` only, if the file has them all."""
    with _parquet_file(path) as file:
        found = column_names(file.schema_arrow.names)
        chosen = set(names) <= set(found) and len(set(found)) == len(found) and names
        columns = [file.schema_arrow.names[found.index(name)] for name in names] if chosen else None
        groups = range(part.start, file.num_row_groups if part.stop is None else part.stop)
        line = max(part.line, 2)
        for batch in file.iter_batches(_ROWS_OF_A_BLOCK, groups, columns):
            table = _as_texts(batch, numbers if chosen else ())
            yield table.set_index(pd.RangeIndex(line, line + len(table), name=LINE))
            line += len(table)


@contextmanager
def _parquet_file(path: Readable) -> Iterator[pq.ParquetFile]:
    try:
        with path.open("rb") as content:
            yield pq.ParquetFile(content)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{path} is a Parquet file that cannot be read: make it again") from error


def _as_texts(batch: pa.RecordBatch, numbers: Collection[str]) -> pd.DataFrame:
    # an index that is only a number of the row has no name of its own
    at = [at for at, name in enumerate(batch.schema.names) if not name.startswith("__index_level_")]
    names = column_names([batch.schema.names[i] for i in at])
    table = pd.DataFrame({i: _as_column(batch[i], numbers=name in numbers) for i, name in zip(at, names, strict=True)})
    table.columns = pd.Index(names)
    return table


def _as_column(column: pa.Array, *, numbers: bool) -> pd.Series:
    kind = column.type
    # pandas would make floats of whole numbers with nulls
    whole = pa.types.is_integer(kind)
    if numbers and (pa.types.is_float64(kind) or (whole and not column.null_count)):
        return column.to_pandas()
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if whole or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.fill_null(column.cast(pa.string()), "").to_pandas()
    return column.to_pandas().astype(object).map(_text).astype("str")


def _text(cell: object) -> str:
    return "" if cell is None or cell is pd.NA or (cell != cell) is True else str(cell)


def _joined(blocks: Iterator[pd.DataFrame]) -> pd.DataFrame:
    found = list(blocks)
    return pd.concat(found) if found else pd.DataFrame()


def _check_columns(table: pd.DataFrame, required: Sequence[str], path: Readable) -> None:
    missing = [column for column in required if column not in table]
    if missing:
        which = "column" if len(missing) == 1 else "columns"
        matches = "; ".join(likely_matches(table.head(_ROWS_FOR_MATCHES), missing))
        raise SourceError(
            f"{path} has no {which} {', '.join(repr(name) for name in missing)}"
            f" (found {len(required) - len(missing)} of {len(required)}){f'; {matches}' if matches else ''}:"
            f" add what is missing, or say how the file is written; `{proposing(path)}` proposes it"
        )


def _refuse_doubled(table: pd.DataFrame, path: Readable) -> None:
    names = list(table.columns)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        if sum(map(_is_number, names)) > 2:  # these are answers of a person, which an error does not show
            raise SourceError(f"{path}: the first line looks like a row, not like names: write the header above it")
        raise SourceError(f"{path} has more than one column {', '.join(map(repr, doubled))}: keep one of each")


def _is_number(name: str) -> bool:
    return name.replace(".", "", 1).isdigit()


def _no_rows(path: Readable) -> SourceError:
    return SourceError(f"{path} has a header but no rows: give a file with survey rows in it")
