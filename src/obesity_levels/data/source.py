"""The source of survey rows: a file, read as it is, with every cell as text and the line number of every row.

A layout says how the file is written, and which of its columns and words are those of UCI 544.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pandas as pd
import pyarrow as pa

from obesity_levels.data.columns import likely_matches
from obesity_levels.data.layout import UNCHANGED, Layout, apply_layout, proposing
from obesity_levels.errors import SourceError
from obesity_levels.io import LINE
from obesity_levels.schema import COLUMNS

# Few, so that few cells are Python objects and are freed soon: with 50,000 the garbage collector made a million rows
# take 15 s instead of 6.
_ROWS_AT_ONCE = 1_000
_ROWS_FOR_MATCHES = 10_000

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MANY = 10

_ARFF = (
    "run `python -c \"import pandas, scipy.io.arff; rows = pandas.DataFrame(scipy.io.arff.loadarff('{path}')[0]);"
    " rows.map(lambda cell: cell.decode() if isinstance(cell, bytes) else cell).to_csv('{stem}.csv', index=False)\"`"
)
_BY_PANDAS = "run `python -c \"import pandas; pandas.{call}.to_csv('{{stem}}.csv', index=False)\"`"
_JSON = _BY_PANDAS.format(call="read_json('{path}')")
# How a file of another format begins, what it is, and the way to one of those that are read.
_OTHER_FORMATS = {
    b"PK\x03\x04": (
        "a ZIP archive, or a damaged or other workbook",
        "save a workbook as .xlsx or CSV; else run `unzip {path}`, and name a file of it",
    ),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (.xls)", "save it as .xlsx or as CSV"),
    b"\x1f\x8b": ("compressed by gzip", "run `gunzip {path}`"),
    b"$FL2": ("an SPSS file", "save it as CSV in SPSS"),
    b"<stata_dta>": ("a Stata file", _BY_PANDAS.format(call="read_stata('{path}')")),
    b"ARROW1": ("a Feather file", _BY_PANDAS.format(call="read_feather('{path}')")),
    b"SQLite format 3": ("an SQLite database", "run `sqlite3 -csv -header {path} 'SELECT * FROM …' > {stem}.csv`"),
    b"%PDF": ("a PDF document", "ask for the data file itself"),
    b"<": ("an HTML or XML page", "download the data file itself"),
    b"[": ("JSON", _JSON),
}
# The same for formats that may begin with comments, or that share their beginning.
_OTHER_FORMS = {
    rb"\{[^\n]*\}\s*\{": ("JSON in lines", _BY_PANDAS.format(call="read_json('{path}', lines=True)")),
    rb"\{": ("JSON", _JSON),
    rb"(?i)(%[^\n]*\n\s*)*@relation\b": ("an ARFF file of Weka", _ARFF),
}


def read_raw(path: Path, required: Sequence[str] = COLUMNS, layout: Layout = UNCHANGED) -> pd.DataFrame:
    """Read a file with the columns of UCI 544 that are `required`, in any order, and perhaps others.

    `layout` says how it is written. Returns every column as text, unchanged but for what the layout names, indexed by
    LINE; one without a name is called by its place, such as `(column 18)`. Raises SourceError, which names `path` and
    what to do, if the file is not such a table.
    """
    table = apply_layout(read_table(path, layout), layout, path)
    missing = [column for column in required if column not in table]
    if missing:
        which = "column" if len(missing) == 1 else "columns"
        matches = "; ".join(likely_matches(table.head(_ROWS_FOR_MATCHES), missing))
        raise SourceError(
            f"{path} has no {which} {', '.join(repr(name) for name in missing)}"
            f" (found {len(required) - len(missing)} of {len(required)}){f'; {matches}' if matches else ''}:"
            f" add what is missing, or say how the file is written; `{proposing(path)}` proposes it"
        )
    return table


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
        table = _read_csv(path, decoded(path, content, layout.encoding), layout)
    else:
        table = _read_excel(path, layout) if kind == "excel" else _read_parquet(path)
    if table.empty:
        raise SourceError(f"{path} has a header but no rows: give a file with survey rows in it")
    names = list(table.columns)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"{path} has more than one column {', '.join(map(repr, doubled))}: keep one of each")
    return table


def is_simulated(source: Path) -> bool:
    """Whether `source` is a population to simulate, and not rows."""
    return source.suffix.lower() in (".yaml", ".yml")


def extra_columns(names: Sequence[str]) -> list[str]:
    """The columns that are not among the 17, in the order of the file."""
    return [name for name in names if name not in COLUMNS]


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises SourceError, which says what to do, if it cannot be read or is empty."""
    if path.is_dir():
        raise SourceError(f"{path} is a directory: name the file in it")
    try:
        content = path.read_bytes()
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


def decoded(path: Path, content: bytes, encoding: str) -> str:
    """The text of a CSV file. Raises SourceError, which names the line or the format, if it is not such a text."""
    begins = content.removeprefix(codecs.BOM_UTF8).lstrip()
    wide = "16" in encoding or "32" in encoding
    if not wide and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f"{path} is UTF-16 or UTF-32, not {encoding}: {_another_layout(path)}")
    found = [other for start, other in _OTHER_FORMATS.items() if begins.startswith(start)]
    found += [other for form, other in _OTHER_FORMS.items() if re.match(form, begins)]
    for what, way_out in found[:1]:
        raise SourceError(f"{path} is {what}, not CSV: {way_out.format(path=str(path), stem=path.with_suffix(''))}")
    if not wide and b"\0" in content:
        line = content.count(b"\n", 0, content.index(0)) + 1
        raise SourceError(
            f"{path} is not text in {encoding} (a NUL byte in line {line}): save it as CSV in the program that wrote"
            f" it, delete the byte, or {_another_layout(path)}"
        )
    try:
        # with or without a byte-order mark
        return content.decode("utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding)
    except UnicodeError as error:
        line = content.count(b"\n", 0, getattr(error, "start", 0)) + 1
        called = "UTF-8" if encoding == "utf-8" else encoding
        raise SourceError(
            f"{path}, line {line}: not {called} text: correct that line, or {_another_layout(path)}"
        ) from error


def numbered_rows(path: Path, text: str, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """The header and the rows, without empty lines, each with the line on which it begins."""
    stream = io.StringIO(text, newline="")
    for _ in range(layout.skip_lines):
        stream.readline()
    reader = csv.reader(stream, delimiter=layout.delimiter, strict=True)
    width, line = 0, layout.skip_lines + 1
    try:
        for cells in reader:
            if cells:
                width = width or len(cells)
                if len(cells) != width:
                    wrong = f"too {'few' if len(cells) < width else 'many'} cells, {len(cells)}"
                    raise SourceError(f"{path}, line {line}: {wrong} where the header has {width}: {_look(path, line)}")
                yield line, cells
            line = layout.skip_lines + reader.line_num + 1
    except csv.Error as error:
        wrong = f"not readable as CSV ({error}): fix the row that begins there"
        raise SourceError(f"{path}, line {line}: {wrong}; `sed -n {line}p {path}` shows it") from error


def _read_csv(path: Path, text: str, layout: Layout) -> pd.DataFrame:
    rows = numbered_rows(path, text, layout)
    header = next(rows, None)
    if header is None:
        raise SourceError(f"{path} is empty after {layout.skip_lines} lines: correct `skip_lines` of its layout")
    if len(header[1]) == 1:
        for delimiter, called in _DELIMITERS.items():
            if header[1][0].count(delimiter) >= _MANY:
                expected = _DELIMITERS.get(layout.delimiter, repr(layout.delimiter))
                raise SourceError(
                    f"{path} is separated by {called}, not {expected}: give a layout with the right delimiter;"
                    f" `{proposing(path)}` proposes it"
                )
    schema = pa.schema([(name, pa.string()) for name in _named(header[1])])
    lines: list[int] = []
    parts = []
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        numbers, cells = zip(*part, strict=True)
        lines.extend(numbers)
        parts.append(pa.table(list(zip(*cells, strict=True)), schema=schema))
    table = pa.concat_tables(parts) if parts else schema.empty_table()
    return table.combine_chunks().to_pandas().set_index(pd.Index(lines, name=LINE))


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
    texts.columns = pd.Index(_named(texts.iloc[0])) if len(texts) else texts.columns
    texts = texts.iloc[1:].astype("str")
    return texts.set_index(pd.Index(texts.index + 1, name=LINE))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{path} is a Parquet file that cannot be read: make it again") from error
    # an answer may be the index
    table = table.reset_index(allow_duplicates=True) if any(name is not None for name in table.index.names) else table
    table.columns = pd.Index(_named(table.columns))
    # the header is line 1 of any table
    return table.astype(object).map(_text).astype("str").set_index(pd.RangeIndex(2, len(table) + 2, name=LINE))


def _text(cell: object) -> str:
    return "" if cell is None or cell is pd.NA or (cell != cell) is True else str(cell)


def _named(header: Sequence[object]) -> list[str]:
    # Spreadsheets write columns without a name beside a table: they are dropped, like other columns, and counted.
    return [str(name).strip() or f"(column {at})" for at, name in enumerate(header, 1)]


def _another_layout(path: Path) -> str:
    return f"give a layout with the right encoding; `{proposing(path)}` proposes it"


def _look(path: Path, line: int) -> str:
    return f"fix line {line}; `sed -n {line}p {path}` shows it"
