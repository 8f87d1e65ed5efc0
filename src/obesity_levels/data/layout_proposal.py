"""Proposes a layout for a file, with the evidence for each line. It changes no data: a person reads it first."""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import charset_normalizer
import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec.structs import replace

from obesity_levels.data.cells import UNREADABLE, Cells, read_cells
from obesity_levels.data.code_order import categories_of_codes, levels_of_codes
from obesity_levels.data.columns import CODE, Columns, filled_texts, numbers, recognise
from obesity_levels.data.csv_file import decoded
from obesity_levels.data.layout import (
    CATEGORIES_OR_LEVELS,
    OPEN,
    UNCHANGED,
    UNITS,
    Layout,
    apply_layout,
    number_and_unit,
)
from obesity_levels.data.losses import describe_loss
from obesity_levels.data.simulation import Population
from obesity_levels.data.source import format_of, read_bytes, read_table, sheets_of
from obesity_levels.data.vocabulary import answer_meant, initials, question_named
from obesity_levels.errors import SourceError
from obesity_levels.io import join_names, level_indices
from obesity_levels.params import Params
from obesity_levels.schema import ANSWERS, CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES, category_key

_SAMPLE_ROWS = 20_000
_LINES_LOOKED_AT = 1_000
_BYTES_LOOKED_AT = 200_000
_LEAST_LEVELS, _MOST_LEVELS = 3, 20
_LINES_OF_A_TITLE = 20
_MOST_TEXTS = 200
_MOST_OPEN_CODES = 10
_LONG_KEY = 1_000
# The median body-mass index of any survey is between, in kg/m²: it tells kilograms from pounds.
_MEDIAN_BMI = (16.0, 45.0)
# In UCI 544 no row is so many levels from that of its body-mass index.
_LEVELS_APART, _MOST_APART = 3, 0.01
_DECIMALS = r"[0-9]+([eE][+-]?[0-9]+)?( ?[^0-9.,]+\.?)?"
_NUMBERS = {
    "point": rf"[+-]?[0-9]+\.{_DECIMALS}",
    "groups and point": r"[0-9]{1,3}(\.[0-9]{3})+",
    "comma": rf"[+-]?([0-9]+|[0-9]{{1,3}}(\.[0-9]{{3}})+),{_DECIMALS}",
    "comma and groups": rf"[0-9]{{1,3}}(\.[0-9]{{3}})+,{_DECIMALS}",
    "groups by comma": r"[0-9]{1,3}(,[0-9]{3})+",
}
# A height of 5.11 may be 5 ft 11 in, or 5.11 ft: a share of such numbers up to which feet have decimals.
_FEET = r"[3-8]([.,]([0-9]|1[01]))?"
_MOST_FEET_ONLY = 0.9

# Of the bytes of a table in UTF-16, the share that is 0, all on one side: marks, digits and line ends have one each.
_LEAST_ZEROS = 0.1
_BYTE_ORDER_MARKS = {
    **{codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"},
    **{codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"},
}

Notes = dict[tuple[str, ...], str]


class Proposal(NamedTuple):
    """A proposed layout, and the evidence for its entries: the key of each, such as ("codes", "Gender"), -> a text."""

    layout: Layout
    notes: Notes

    @property
    def open_lines(self) -> int:
        """The number of lines that a person has to fill in."""
        return len(self.layout.open_entries())

    def __str__(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from (f"# {line}" for line in self.notes[()].splitlines())
        yield f'# Read each line and its evidence, replace each "{OPEN}", then name this file in ingest.layout.'
        for key, value in zip(self.layout.__struct_fields__, self._values(), strict=True):
            if not isinstance(value, dict | list) or not value:
                yield from self._entry(key, value, (key,), 0)
                continue
            yield f"{key}:"
            for name in value:
                if isinstance(value, list):
                    yield f"  - {_scalar(name)}{self._note((key, name))}"
                elif isinstance(value[name], dict):
                    yield f"  {_key(name, 2)}:{self._note((key, name))}"
                    for code, answer in value[name].items():
                        yield from self._entry(code, answer, (key, name, code), 4)
                else:
                    yield from self._entry(name, value[name], (key, name), 2)

    def _values(self) -> list[object]:
        return [getattr(self.layout, key) for key in self.layout.__struct_fields__]

    def _entry(self, name: str, value: object, key: tuple[str, ...], indent: int) -> Iterator[str]:
        yield f"{' ' * indent}{_key(name, indent)}: {_scalar(value)}{self._note(key)}"

    def _note(self, key: tuple[str, ...]) -> str:
        # the texts of a file may have line ends, and what YAML does not allow
        note = "".join(c if c.isprintable() else " " for c in self.notes.get(key, ""))
        return f"  # {' '.join(note.split())}" if note else ""


def propose_layout(path: Path, params: Params, like: Population) -> Proposal:
    """Look at a file and propose its layout.

    The marks of missing answers and the share of lost cells to ask about are those of `params.clean`; codes are proven
    by the shares of `like`, a population of the survey. Raises SourceError if the file is no table that can be read.
    """
    layout, notes = _how_it_is_written(path)
    table = read_table(path, layout)
    notes[()] = f"How {path.name} is written: {len(table):,} rows, {len(table.columns)} columns."
    by_theirs = {str(name): filled_texts(table[name], params.clean.missing_marks) for name in table}
    found = recognise(by_theirs)
    texts = {column: by_theirs[name] for name, column in found.ours.items()}
    columns = {name: column for name, column in found.ours.items() if name != column}
    layout = replace(layout, columns=columns, **_marks(texts, notes))
    sample = _Sample(table.iloc[:: max(1, len(table) // _SAMPLE_ROWS)], path, params, like)
    units = _units(sample, layout, texts, notes)
    layout = replace(layout, units={name: unit for name, unit in units.items() if unit != OPEN})
    for name in _coded_labels(sample, layout, by_theirs, found):
        found.ours[name], texts[LABEL] = LABEL, by_theirs[name]
        found.by_content.add(name)
        layout = replace(layout, columns=layout.columns | {name: LABEL})
    codes = _codes(sample, layout, texts, notes)
    known = {name: {c: value for c, value in values.items() if value != OPEN} for name, values in codes.items()}
    layout = replace(layout, codes={name: values for name, values in known.items() if values})

    changed = apply_layout(table, layout, path)
    columns = dict(layout.columns)
    cells_of = read_cells(changed, params.clean.missing_marks)
    for column, cells in cells_of.items():
        lost = _note_cells(column, changed[column], cells, found, notes)
        if OPEN in codes.get(column, {}).values():
            continue
        filled = int(texts[column].sum())
        # What is left of a number is seldom to be explained: it is asked about only where cleaning would refuse it.
        allowed = params.clean.max_lost_share if column in SCALES else params.clean.reported_lost_share
        if lost.sum() <= allowed * filled:
            if lost.sum() > params.clean.reported_lost_share * filled:
                notes[()] += f"\nwarning: {describe_loss(changed[column], lost, filled)}"
            continue
        left = filled_texts(changed[column][lost], params.clean.missing_marks)
        if column in UNITS:
            units[column] = OPEN
        elif column in SCALES and len(left) > _MOST_OPEN_CODES:
            theirs = next(name for name, ours in found.ours.items() if ours == column)
            columns[theirs] = OPEN
        else:
            codes[column] = codes.get(column, {}) | dict.fromkeys(map(str, left.index[:_MOST_OPEN_CODES]), OPEN)
    notes[()] += _far_from_their_labels(cells_of, params.evaluate.bmi_rule)
    columns |= _unrecognised(found, by_theirs, notes)
    ignore = list(_ignored(table, found, notes))
    return Proposal(replace(layout, columns=columns, codes=codes, units=units, ignore=ignore), notes)


class _Sample(NamedTuple):
    """Rows of the file, and what they are judged by."""

    table: pd.DataFrame
    path: Path
    params: Params
    like: Population

    def values(self, layout: Layout) -> dict[str, pd.Series]:
        """The answers of its rows, as cleaning reads them by this layout."""
        cells = read_cells(apply_layout(self.table, layout, self.path), self.params.clean.missing_marks)
        return {name: column.values for name, column in cells.items()}

    def marks_that_are_words(self, name: str, layout: Layout, known: set[str | None]) -> list[str]:
        """The frequent marks of missing answers that are words for an answer which is not `known` otherwise."""
        theirs = next((theirs for theirs, ours in layout.columns.items() if ours == name), name)
        shares = self.table[theirs].str.strip().value_counts(normalize=True)
        marks = {mark.strip().lower() for mark in self.params.clean.missing_marks}
        frequent = map(str, shares.index[shares > self.params.clean.reported_lost_share])
        return [
            text
            for text in frequent
            if text.lower() in marks and (answer_meant(name, text) or None) not in (None, *known)
        ]


def _scalar(value: object) -> str:
    # Words that another version of YAML reads as a truth value are quoted too.
    plain = re.fullmatch(r"[A-Za-z][\w-]*", str(value), re.ASCII)
    if plain and str(value).lower() not in ("yes", "no", "y", "n", "true", "false", "on", "off", "null"):
        return str(value)
    # YAML allows few characters that are not printable, and takes some for line ends
    return "".join(
        c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in json.dumps(value, ensure_ascii=False)
    )


def _key(name: str, indent: int) -> str:
    # a key of more than 1,024 characters is marked as one
    key = _scalar(name)
    return key if len(key) < _LONG_KEY else f"? {key}\n{' ' * indent}"


def _how_it_is_written(path: Path) -> tuple[Layout, Notes]:
    content = read_bytes(path)
    kind = format_of(content)
    if kind == "excel":
        sheets = sheets_of(path)
        tops = {name: cells.head(_LINES_OF_A_TITLE).to_numpy().tolist() for name, cells in sheets.items()}
        # a summary, or a codebook, may name the questions too: the rows are many
        sheet = max(tops, key=lambda name: (max(map(_names_known, tops[name]), default=0), len(sheets[name])))
        notes: Notes = {("sheet",): f"{sheet!r}, of {len(sheets)}"}
        skipped, _ = _header(path, list(enumerate(tops[sheet]))) if tops[sheet] else (0, [])
        return replace(UNCHANGED, format="excel", sheet=str(sheet), skip_lines=skipped), notes
    if kind == "parquet":
        return replace(UNCHANGED, format="parquet"), {}
    encoding, why = _encoding(content)
    # as the csv module ends lines: not at U+2028, nor at a form feed
    lines = list(islice(io.StringIO(decoded(path, content, encoding), newline=""), _LINES_LOOKED_AT))
    tables = {delimiter: _rows(lines, delimiter) for delimiter in ",;\t|"}
    if all(len(row) == 1 for rows in tables.values() for _, row in rows):
        tables[" "] = _rows(lines, " ")
    widths = {delimiter: Counter(len(row) for _, row in rows).most_common(1)[0] for delimiter, rows in tables.items()}
    # the most columns that most rows agree about
    delimiter = max(widths, key=lambda mark: widths[mark][0] * widths[mark][1] / len(tables[mark]))
    width, count = widths[delimiter]
    rows = tables[delimiter][:_LINES_OF_A_TITLE]
    skipped, header = _header(path, sorted(rows, key=lambda numbered: len(numbered[1]) != width))
    if len(header) != width:
        raise SourceError(
            f"{path}, line {skipped + 1}: the header has {len(header)} cells, and most rows have {width}: give each"
            " column a name (R's write.table leaves out that of the row names; write.csv does not)"
        )
    notes = {("encoding",): why}
    if delimiter != ",":
        notes["delimiter",] = f"{width} cells in {count:,} of the first {len(tables[delimiter]):,} rows"
    if skipped:
        notes["skip_lines",] = f"the header is line {skipped + 1}"
    return replace(UNCHANGED, encoding=encoding, delimiter=delimiter, skip_lines=skipped), notes


def _rows(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of lines before it."""
    reader, rows, before = csv.reader(lines, delimiter=delimiter), [], 0
    try:
        for row in reader:
            if row:
                rows.append((before, row))
            before = reader.line_num
    except csv.Error:
        pass  # reading the table names the row
    return rows or [(0, [""])]


def _names_known(cells: Iterable[object]) -> int:
    """How many of the questions the cells of a row name; `Normal_Weight` is an answer, and names none."""
    names = [str(cell) for cell in cells if not any(answer_meant(column, str(cell)) for column in CATEGORIES_OR_LEVELS)]
    return len({question[0] for name in names if (question := question_named(name))})


def _header(path: Path, rows: Sequence[tuple[int, list[Any]]]) -> tuple[int, list[Any]]:
    """The row that names the most questions, else the first; SourceError if that has numbers, and is no header."""
    before, cells = max(rows, key=lambda numbered: _names_known(numbered[1]))
    if not _names_known(cells) and any(re.fullmatch(r"[0-9]+([.,][0-9]+)?", str(cell).strip()) for cell in cells):
        raise SourceError(f"{path} has no names of columns: add a line with them above the rows")
    return before, cells


def _encoding(content: bytes) -> tuple[str, str]:
    """The encoding of a text, and the evidence."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding, "it begins with this encoding's byte-order mark" if encoding != "utf-8" else ""
    head = content[:_BYTES_LOOKED_AT]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if min(even, odd) < _LEAST_ZEROS * len(head) < max(even, odd):
        return ("utf-16-be" if even > odd else "utf-16-le"), "every other byte is 0"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        part = content[max(0, error.start - _BYTES_LOOKED_AT) : error.start + _BYTES_LOOKED_AT]
        found = charset_normalizer.from_bytes(part, cp_isolation=["gb18030", "cp1252"]).best()
        encoding = {"gb18030": "gbk"}.get(found.encoding, found.encoding) if found else "latin-1"
        return (
            encoding,
            f"line {content.count(bytes([10]), 0, error.start) + 1} is not UTF-8; the most plausible encoding",
        )
    return "utf-8", ""


def _marks(texts: Mapping[str, pd.Series], notes: Notes) -> dict[str, Any]:
    """The decimal mark and the thousands mark, by how numbers are written."""
    counts = Counter[str]()
    examples = {form: Counter[str]() for form in _NUMBERS}
    for name in [name for name in SCALES if name in texts]:
        head = texts[name].head(_SAMPLE_ROWS)
        for form, pattern in _NUMBERS.items():
            like = head[head.index.str.fullmatch(pattern)]
            counts[form] += int(like.sum())
            examples[form].update({str(text): int(n) for text, n in like.head(1).items()})
    marks = {}
    # 1,805 among numbers with a point has no decimals; 1,62 can be nothing else
    if counts["comma"] and (counts["comma"] >= counts["point"] or counts["comma"] > counts["groups by comma"]):
        marks["decimal_mark"] = ","
        notes["decimal_mark",] = _like(counts, examples, "comma")
        if counts["comma and groups"] and counts["point"] == counts["groups and point"]:
            marks["thousands_mark"] = "."
            notes["thousands_mark",] = _like(counts, examples, "comma and groups")
    return marks


def _like(counts: Mapping[str, int], examples: Mapping[str, Counter[str]], form: str) -> str:
    return f"{counts[form]:,} numbers are written like {examples[form].most_common(1)[0][0]}"


def _units(sample: _Sample, layout: Layout, texts: Mapping[str, pd.Series], notes: Notes) -> dict[str, str]:
    """The units that are not those of the questionnaire, by their names beside the numbers, by range and by index."""
    units = {}
    for name, known in UNITS.items():
        if name not in texts:
            continue
        low, high = SCALES[name]
        own = next(iter(known))
        head = texts[name].head(_SAMPLE_ROWS)
        written = [number_and_unit(name, text)[1] for text in head.index]
        beside = head.groupby(pd.Series(written, head.index)).sum()
        bare = head[[unit is None for unit in written]]
        number = numbers(bare)
        fits = {unit: (number * float(size) >= low) & (number * float(size) <= high) for unit, size in known.items()}
        on_scale = {unit: round(float(bare[fit].sum() / max(bare.sum(), 1)), 1) for unit, fit in fits.items()}
        unit = max(known, key=lambda unit: (on_scale[unit], unit == own)) if len(bare) else beside.idxmax()
        if len(bare) and any(on_scale[other] == on_scale[unit] for other in beside.index if other != unit):
            units[name], note = OPEN, "some numbers have another unit beside them, and the others may be in either"
        elif unit == "ft" and bare[bare.index.str.fullmatch(_FEET)].sum() > _MOST_FEET_ONLY * bare.sum():
            units[name], note = OPEN, "feet with decimals, or feet and inches"
        elif unit != own or len(beside):
            units[name], note = unit, "written beside the number" if len(beside) else "by the numbers' range"
        if name in units:
            notes["units", name] = note
    if OPEN in units.values():
        return units
    if {"Height", "Weight"} <= texts.keys():
        medians = {}
        for unit in ("kg", "lb"):
            if units.get("Weight", "kg") in ("kg", "lb", "st"):
                values = sample.values(replace(layout, units=units | {"Weight": unit}))
                medians[unit] = float((values["Weight"] / values["Height"] ** 2).median())
        plausible = [unit for unit, bmi in medians.items() if _MEDIAN_BMI[0] <= bmi <= _MEDIAN_BMI[1]]
        if plausible == ["lb"]:
            units["Weight"] = "lb"
            notes["units", "Weight"] = f"the median body-mass index is {medians['lb']:.0f} so, else {medians['kg']:.0f}"
    return units


def _far_from_their_labels(cells: Mapping[str, Cells], cuts: Sequence[float]) -> str:
    """A warning, if many rows have a body-mass index that no one with their label has; else nothing."""
    if not {LABEL, "Height", "Weight"} <= cells.keys():
        return ""
    bmi = cells["Weight"].values / cells["Height"].values ** 2
    levels = level_indices(cells[LABEL].values)
    known = bmi.notna() & (levels >= 0)
    apart = np.abs(levels - np.searchsorted(cuts, bmi, side="right"))[known] >= _LEVELS_APART
    if not apart.sum() > _MOST_APART * len(apart):
        return ""
    return (
        f"\nwarning: {apart.sum():,} of {len(apart):,} rows ({apart.mean():.0%}) have a body-mass index that is"
        f" {_LEVELS_APART} levels or more from their label: perhaps some weights are in another unit, such as pounds"
    )


def _coded_labels(sample: _Sample, layout: Layout, texts: Mapping[str, pd.Series], found: Columns) -> list[str]:
    """The column that has codes of the levels under a name that does not say so: the body-mass index proves it."""
    if LABEL in found.ours.values() or not {"Height", "Weight"} <= set(found.ours.values()):
        return []
    values = sample.values(layout)
    bmi, cuts = values["Weight"] / values["Height"] ** 2, sample.params.evaluate.bmi_rule
    proven = []
    for name in texts.keys() - found.ours.keys():
        codes = sorted(map(str, texts[name].index)) if len(texts[name]) <= len(LEVELS) else []
        if len(codes) >= _LEAST_LEVELS and levels_of_codes(codes, sample.table[name].str.strip(), bmi, cuts):
            proven.append(name)
    return proven if len(proven) == 1 else []


def _codes(sample: _Sample, layout: Layout, texts: Mapping[str, pd.Series], notes: Notes) -> dict[str, dict[str, str]]:
    """What words and codes become, with OPEN where nothing proves it."""
    codes: dict[str, dict[str, str]] = {}
    # the label before the answers, whose codes are proven by it
    for name in (LABEL, *ANSWERS):
        if name not in texts:
            continue
        found = {str(text): answer_meant(name, str(text)) for text in texts[name].index[:_MOST_TEXTS]}
        if name == "Gender":
            letters = initials(set(found))
            found |= {text: letters[text.lower()] for text in found if text.lower() in letters}
        words = {text: meant for text, meant in found.items() if meant and not _is_read(name, text)}
        numbered = sorted((text for text in found if re.fullmatch(CODE, text) and not _is_read(name, text)), key=float)
        if name in SCALES and _counted_from_another_end(texts[name], *SCALES[name]):
            notes["codes", name] = "whole numbers that do not begin where the scale does: perhaps codes"
            words = dict.fromkeys(sorted(found), OPEN)
        elif name in SCALES:
            words = {text: meant for text, meant in words.items() if not re.fullmatch(CODE, text)}
        elif 0 < len(numbered) <= len(set(CATEGORIES_OR_LEVELS[name]) - set(found.values())):
            known = replace(layout, codes={n: c for n, c in codes.items() if OPEN not in c.values()})
            words |= _numbered(sample, known, name, numbered, {m for m in found.values() if m}, notes)
        answered = set(found.values())
        for mark in sample.marks_that_are_words(name, layout, answered) if name in CATEGORIES else ():
            words[mark] = OPEN
            notes["codes", name] = f"{mark!r} is a mark of a missing answer, and may be one of the answers here"
        if words:
            codes[name] = words
    return codes


def _counted_from_another_end(texts: pd.Series, low: float, high: float) -> bool:
    """Whether numbers are whole, and 0, 1, 2 where the scale is 1, 2, 3, or the reverse."""
    if len(texts) > len(LEVELS) or not all(re.fullmatch(CODE, text) for text in texts.index):
        return False
    found = {float(text) for text in texts.index} or {low}
    return (min(found) == low - 1 and max(found) < high) or (max(found) == high + 1 and min(found) > low)


def _numbered(
    sample: _Sample, layout: Layout, name: str, codes: Sequence[str], words: set[str], notes: Notes
) -> dict[str, str]:
    values = sample.values(layout)
    theirs = next((theirs for theirs, ours in layout.columns.items() if ours == name), name)
    rows = sample.table[theirs].str.strip()
    bmi = values["Weight"] / values["Height"] ** 2 if {"Weight", "Height"} <= values.keys() else None
    cuts = sample.params.evaluate.bmi_rule
    if name == LABEL:
        levels = levels_of_codes(codes, rows, bmi, cuts) if bmi is not None else None
        notes["codes", name] = (
            "by the body-mass index of their rows" if levels else "the body-mass index does not prove any"
        )
        return levels or dict.fromkeys(codes, OPEN)
    by_program = any(_is_sorted(ours, known) for ours, known in layout.codes.items())
    order = categories_of_codes(name, codes, rows, _levels(values, bmi, cuts), sorted(words), sample.like, by_program)
    usual = _usual(name, codes, words)
    if order and (order.proven or order.categories == usual):
        notes["codes", name] = (
            "proven by the levels and body-mass indices of their rows" if order.proven else "as is usual"
        )
        return order.categories
    if usual and order is None:
        notes["codes", name] = "as is usual"
        return usual
    ours, alphabet = list(CATEGORIES[name]), sorted(CATEGORIES[name])
    other = alphabet if alphabet != ours else ours[::-1]
    notes["codes", name] = f"{', '.join(codes)} may be {', '.join(ours)} or {', '.join(other)}: neither is proven"
    return dict.fromkeys(codes, OPEN)


def _is_sorted(name: str, codes: Mapping[Any, Any]) -> bool:
    """Whether codes of three answers or more are in the order of the alphabet, and not in that of the questionnaire."""
    numbered = sorted((code for code in codes if re.fullmatch(CODE, str(code))), key=float)
    answers = [str(codes[code]) for code in numbered]
    in_order = [answer for answer in CATEGORIES_OR_LEVELS.get(name, ()) if answer in answers]
    return len(answers) > 2 and answers in (sorted(answers), sorted(answers, key=str.casefold)) and answers != in_order


def _usual(name: str, codes: Sequence[str], words: set[str]) -> dict[str, str] | None:
    """0 is no and 1 is yes, in any order; beside words for other answers, 0 is no."""
    numbers = [float(code) for code in codes]
    if CATEGORIES[name] == ("no", "yes") and set(numbers) <= {0, 1}:
        return {code: CATEGORIES[name][int(float(code))] for code in codes}
    if numbers == [0] and words and "no" in CATEGORIES[name] and "no" not in words:
        return {codes[0]: "no"}
    return None


def _levels(values: Mapping[str, pd.Series], bmi: pd.Series | None, cuts: Sequence[float]) -> npt.NDArray[np.int64]:
    """The level of each row: its label, else that of its body-mass index, else -1."""
    labels = level_indices(values[LABEL]) if LABEL in values else np.full(len(values["Age"]), -1)
    if bmi is None:
        return labels
    return np.where((labels < 0) & bmi.notna(), np.searchsorted(cuts, bmi, side="right"), labels)


def _is_read(name: str, text: str) -> bool:
    """Whether cleaning reads this text as it is."""
    return any(category_key(text) == category_key(category) for category in CATEGORIES_OR_LEVELS.get(name, ()))


def _note_cells(column: str, texts: pd.Series, cells: Cells, found: Columns, notes: Notes) -> npt.NDArray[np.bool_]:
    """Note how many cells of a column can be used; return which cannot."""
    lost = cells.cause >= UNREADABLE
    filled = int((cells.cause == -1).sum() + lost.sum())
    what = "become a level" if column == LABEL else "become a category" if column in CATEGORIES else "are on its scale"
    note = f"{filled - int(lost.sum()):,} of {filled:,} cells {what}"
    if lost.any():
        loss = describe_loss(texts, lost, filled)
        note += f"; not {', '.join(map(repr, loss.texts))}"
        note += f", which look like {join_names(loss.looks_like)}" if loss.looks_like else ""
    theirs = next(name for name, ours in found.ours.items() if ours == column)
    by = "by what is in it" if theirs in found.by_content else "by its name"
    notes["columns", theirs] = f"{by}; {note}"
    for section in ("codes", "units"):
        notes[section, column] = "; ".join(filter(None, (notes.get((section, column)), note)))
    return lost


def _unrecognised(found: Columns, texts: Mapping[str, pd.Series], notes: Notes) -> Iterator[tuple[str, str]]:
    """A line for each question that no column answers. The label may be absent, as from a batch."""
    free = [name for name in texts if name not in found.ours]
    for column in found.missing(COLUMNS):
        key = ("columns", OPEN + column)
        if column in found.one_hot:
            notes[key] = (
                f"one column for each category: {', '.join(found.one_hot[column])}; join them (pandas.from_dummies)"
            )
        elif column in found.doubtful:
            notes[key] = f"may be {' or '.join(map(repr, found.doubtful[column]))}"
        elif column == LABEL and not any(_LEAST_LEVELS <= len(texts[name]) <= _MOST_LEVELS for name in free):
            continue
        else:
            notes[key] = f"nothing looks like it; left are {', '.join(map(repr, free)) or 'no columns'}"
        yield OPEN + column, column


def _ignored(table: pd.DataFrame, found: Columns, notes: Notes) -> Iterator[str]:
    """The columns that are left over and are surely no answers: numbers of the rows, and empty ones without a name."""
    for name in map(str, table):
        if name in found.ours or question_named(name):
            continue
        texts = table[name].str.strip()
        values = pd.to_numeric(texts.head(_SAMPLE_ROWS), errors="coerce")
        if (texts == "").all():
            notes["ignore", name] = "empty"
            yield name
        elif len(values) > 1 and (values.diff().iloc[1:] == 1).all():
            notes["ignore", name] = f"numbers of the rows, from {texts.iloc[0]}"
            yield name
