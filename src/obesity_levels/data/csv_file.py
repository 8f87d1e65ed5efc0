"""A CSV file as texts with line numbers, in blocks and in parts, so that it may be larger than memory."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from obesity_levels.data.layout import Layout, proposing
from obesity_levels.errors import SourceError
from obesity_levels.io import LINE

BLOCK_BYTES = 1 << 23
# More than any header, and little to read again for each part of a file.
_HEADER_BYTES = 1 << 20

# Few, so that few cells are Python objects and are freed soon: with 50,000 the garbage collector made a million rows
# take 15 s instead of 6.
_ROWS_AT_ONCE = 1_000
_PARTS = 50

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


class Readable(Protocol):
    """A file to read: a Path, or what opens like one and is written as its name."""

    def open(self, mode: Any) -> Any: ...
    def is_dir(self) -> bool: ...
    def with_suffix(self, suffix: str) -> Any: ...


class Part(NamedTuple):
    """A part of a file that begins and ends with a row: from `start` up to `stop`, and the line of its first row.

    `start` and `stop` are bytes of a CSV file, row groups of a Parquet file. No `stop` is the end of the file.
    """

    start: int = 0
    stop: int | None = None
    line: int = 1


WHOLE = Part()


def csv_parts(path: Readable, layout: Layout, size: int) -> list[Part]:
    """Parts of a CSV file of about `size` bytes; one part if it is UTF-16 or has an unusual delimiter."""
    if _is_wide(layout.encoding) or not layout.delimiter.isascii():
        return [WHOLE]
    parts, start, line, read = [], 0, 1, 0
    with path.open("rb") as file:
        while content := file.read(size):
            if b'"' in content:  # a cell may have a line end in it
                return _parts_with_quotes(path, layout, size)
            if end := content.rfind(b"\n") + 1:
                parts.append(Part(start, read + end, line))
                start, line = read + end, line + content.count(b"\n")
            read += len(content)
    return [*parts, Part(start, None, line)] if read > start else [*parts[:-1], parts[-1]._replace(stop=None)]


def _parts_with_quotes(path: Readable, layout: Layout, size: int) -> list[Part]:
    """The same for any CSV file, at the speed of Python's csv module, which alone knows where its rows end."""
    parts, start, line = [], 0, 1
    with path.open("rb") as file:
        for _ in range(layout.skip_lines):
            file.readline()
        # as latin-1 a character is a byte, and quotes and line ends are where they are in the file's own encoding
        reader = csv.reader((text.decode("latin-1") for text in file), delimiter=layout.delimiter, strict=True)
        try:
            for _ in reader:
                if (end := file.tell()) - start >= size:
                    parts.append(Part(start, end, line))
                    start, line = end, layout.skip_lines + reader.line_num + 1
        except csv.Error:  # is raised again, with its line, when that part is read
            pass
    return [*parts, Part(start, None, line)]


def decoded(path: Readable, content: bytes, encoding: str, first: int = 1) -> str:
    """The text of a CSV file, or of a part of it from line `first` on.

    Raises SourceError, which names the line or the format, if it is not such a text.
    """
    wide = _is_wide(encoding)
    if first == 1:
        _refuse_other_formats(path, content, encoding)
    if not wide and b"\0" in content:
        line = first + content.count(b"\n", 0, content.index(0))
        raise SourceError(
            f"{path} is not text in {encoding} (a NUL byte in line {line}): save it as CSV in the program that wrote"
            f" it, delete the byte, or {_another_layout(path)}"
        )
    try:
        # with or without a byte-order mark
        is_utf8 = codecs.lookup(encoding).name == "utf-8"
        return content.decode("utf-8-sig" if is_utf8 and first == 1 else encoding)
    except UnicodeError as error:
        line = first + content.count(b"\n", 0, getattr(error, "start", 0))
        called = "UTF-8" if encoding == "utf-8" else encoding
        raise SourceError(
            f"{path}, line {line}: not {called} text: correct that line, or {_another_layout(path)}"
        ) from error


def csv_blocks(path: Readable, layout: Layout, size: int = BLOCK_BYTES, part: Part = WHOLE) -> Iterator[pd.DataFrame]:
    """The rows of a CSV file, every cell as text, indexed by LINE, in blocks of about `size` bytes.

    There is no block without rows. Of a `part` the header is read from the beginning of the file. Raises SourceError,
    which names the line, for what is not such a file.
    """
    texts = _texts(path, layout.encoding, size if part.start == 0 else _HEADER_BYTES, part._replace(start=0, line=1))
    number, text = next(texts)
    lines = io.StringIO(text, newline="")
    skipped = len(list(islice(lines, layout.skip_lines)))
    header = next(_numbered_rows(path, lines, layout, number + skipped), None)
    if header is None:
        raise SourceError(f"{path} is empty after {layout.skip_lines} lines: correct `skip_lines` of its layout")
    _refuse_other_delimiters(path, header[1], layout)
    names = column_names(header[1])
    if part.start == 0:
        begin = lines.tell()
        before = len(io.StringIO(text[:begin], newline="").readlines())
        rest = chain([(number + before, text[begin:])], texts)
    else:
        rest = chain(_texts(path, layout.encoding, size, part))
    for number, text in rest:
        block = _plain_rows(text, names, layout.delimiter, number)
        if block is None:
            others = chain.from_iterable(io.StringIO(other, newline="") for _, other in rest)
            lines_left = chain(io.StringIO(text, newline=""), others)
            yield from _any_rows(_numbered_rows(path, lines_left, layout, number, len(names)), names)
        elif len(block):
            yield block


def column_names(header: Sequence[object]) -> list[str]:
    """The names in a header, without padding; one without a name is called by its place."""
    # Spreadsheets write columns without a name beside a table: they are dropped, like other columns, and counted.
    return [str(name).strip() or f"(column {at})" for at, name in enumerate(header, 1)]


def _texts(path: Readable, encoding: str, size: int, part: Part) -> Iterator[tuple[int, str]]:
    """Texts of about `size` bytes that end where a line ends, each with the number of its first line."""
    for lines, content in _whole_lines(path, -1 if _is_wide(encoding) else size, part):
        yield lines.line, decoded(path, content, encoding, lines.line)


def _whole_lines(path: Readable, size: int, part: Part) -> Iterator[tuple[Part, bytes]]:
    """Parts of `part` of about `size` bytes that end where a line ends, with their bytes. -1 is all at once."""
    start, line = part.start, part.line
    with path.open("rb") as file:
        file.seek(start)

        while content := file.read(size if part.stop is None else min(size, part.stop - start)):
            content += b"" if content.endswith(b"\n") else file.readline()
            yield Part(start, start + len(content), line), content
            start, line = start + len(content), line + content.count(b"\n")


def _plain_rows(text: str, names: list[str], delimiter: str, first: int) -> pd.DataFrame | None:
    """The rows of a text without quotes, empty lines and other line ends than one kind; None if it is not so plain.

    pyarrow reads them in a sixth of the time that Python's csv module takes, which reads all others, and says which
    line is wrong.
    """
    plain = text.replace("\r\n", "\n") if "\r" in text else text
    ascii_delimiter = delimiter.isascii() and delimiter not in "\r\n"
    if not ascii_delimiter or '"' in plain or "\r" in plain:
        return None
    if not plain:
        return pd.DataFrame(columns=names)
    columns = [str(at) for at in range(len(names))]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(plain.encode()),
            pa.csv.ReadOptions(use_threads=False, column_names=columns, block_size=len(plain) * 4 + 1),
            pa.csv.ParseOptions(delimiter=delimiter, quote_char=False),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:  # its message repeats the row
        return None
    if len(table) != plain.count("\n") + (not plain.endswith("\n")):  # there are empty lines
        return None
    index = pd.RangeIndex(first, first + len(table), name=LINE)
    return table.rename_columns(names).to_pandas().set_index(index)


def _any_rows(rows: Iterator[tuple[int, list[str]]], names: list[str]) -> Iterator[pd.DataFrame]:
    schema = pa.schema([(name, pa.string()) for name in names])
    while True:
        lines: list[int] = []
        parts = []
        for _ in range(_PARTS):
            if part := list(islice(rows, _ROWS_AT_ONCE)):
                numbers, cells = zip(*part, strict=True)
                lines.extend(numbers)
                parts.append(pa.table(list(zip(*cells, strict=True)), schema=schema))
        if not parts:
            return
        yield pa.concat_tables(parts).combine_chunks().to_pandas().set_index(pd.Index(lines, name=LINE))


def _refuse_other_delimiters(path: Readable, header: list[str], layout: Layout) -> None:
    if len(header) == 1:
        for delimiter, called in _DELIMITERS.items():
            if header[0].count(delimiter) >= _MANY:
                expected = _DELIMITERS.get(layout.delimiter, repr(layout.delimiter))
                raise SourceError(
                    f"{path} is separated by {called}, not {expected}: give a layout with the right delimiter;"
                    f" `{proposing(path)}` proposes it"
                )


def _refuse_other_formats(path: Readable, content: bytes, encoding: str) -> None:
    begins = content.removeprefix(codecs.BOM_UTF8).lstrip()
    if not _is_wide(encoding) and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f"{path} is UTF-16 or UTF-32, not {encoding}: {_another_layout(path)}")
    found = [other for start, other in _OTHER_FORMATS.items() if begins.startswith(start)]
    found += [other for form, other in _OTHER_FORMS.items() if re.match(form, begins)]
    for what, way_out in found[:1]:
        raise SourceError(f"{path} is {what}, not CSV: {way_out.format(path=str(path), stem=path.with_suffix(''))}")


def _is_wide(encoding: str) -> bool:
    return "16" in encoding or "32" in encoding


def _numbered_rows(
    path: Readable, lines: Iterator[str], layout: Layout, first: int, width: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """Rows without empty lines, each with the line on which it begins; `first` is the number of the first of `lines`.

    Each must have `width` cells; if that is 0, as many as the first one.
    """
    reader = csv.reader(lines, delimiter=layout.delimiter, strict=True)
    line = first
    try:
        for cells in reader:
            if cells:
                width = width or len(cells)
                if len(cells) != width:
                    wrong = f"too {'few' if len(cells) < width else 'many'} cells, {len(cells)}"
                    raise SourceError(f"{path}, line {line}: {wrong} where the header has {width}: {_look(path, line)}")
                yield line, cells
            line = first + reader.line_num
    except csv.Error as error:
        wrong = f"not readable as CSV ({error}): fix the row that begins there"
        raise SourceError(f"{path}, line {line}: {wrong}; `sed -n {line}p {path}` shows it") from error


def _another_layout(path: Readable) -> str:
    return f"give a layout with the right encoding; `{proposing(path)}` proposes it"


def _look(path: Readable, line: int) -> str:
    return f"fix line {line}; `sed -n {line}p {path}` shows it"
