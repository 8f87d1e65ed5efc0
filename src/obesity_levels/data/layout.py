"""The layout of a source: a YAML file that says how a file is written, and what makes it the table of UCI 544.

It changes only what it names. `obesity-levels layout` proposes one.
"""

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from msgspec import Meta

from obesity_levels.errors import ParamsError, SourceError
from obesity_levels.params import Section, load_yaml
from obesity_levels.schema import CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES, category_key

OPEN = "?"
"""Begins a name or a value that a person has to fill in."""

UNITS = {
    "Height": {"m": "1", "cm": "0.01", "mm": "0.001", "in": "0.0254", "ft": "0.3048"},
    "Weight": {"kg": "1", "g": "0.001", "lb": "0.45359237", "st": "6.35029318"},
    "Age": {"years": "1", "months": str(1 / Decimal(12))},
}
"""Name of a number -> its units -> what one of them is in the unit of the questionnaire, as a decimal number."""

CATEGORIES_OR_LEVELS = CATEGORIES | {LABEL: LEVELS}

_SPELLED = {
    **{"m": r"m|mts?|met(er|re|ro)s?", "cm": r"cms?|cent[ií]met(er|re|ro)s?", "mm": r"mm|mil[ií]met(er|re|ro)s?"},
    **{"in": r"in|inch(es)?|pulgadas?|\"|″|”|''", "ft": r"ft|feet|foot|pies?|'|′|’"},
    **{"kg": r"kgs?|kilos?|kilogram(me|o)?s?", "g": r"gr?|gram(me|o)?s?", "lb": r"lbs?|pounds?|libras?|#"},
    **{"st": r"st|stones?", "years": r"years?( old)?|yrs?|años?|anos?", "months": r"months?|mes(es)?"},
}
_FEET_AND_INCHES = re.compile(rf"([0-9]+) ?(?:{_SPELLED['ft']})[ ,]*([0-9.]+) ?(?:{_SPELLED['in']})?\.?", re.IGNORECASE)

Text = str | int | float | bool


class Layout(Section):
    """Every key is explained in data/layout.yaml. Raises ValueError for a value that cannot be meant."""

    format: Literal["csv", "excel", "parquet"]
    sheet: str
    encoding: str
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)]
    decimal_mark: Literal[".", ","]
    thousands_mark: Literal["", ".", ",", " ", "'"]
    skip_lines: Annotated[int, Meta(ge=0, le=1_000_000)]
    columns: dict[str, str]
    codes: dict[str, dict[Text, Text]]
    units: dict[str, str]
    ignore: list[str]

    def __post_init__(self) -> None:
        try:
            bytes(4).decode(self.encoding)
        except (LookupError, ValueError) as error:
            raise ValueError(f"encoding: Python knows no encoding {self.encoding!r}") from error
        if self.decimal_mark == self.thousands_mark:
            raise ValueError("decimal_mark and thousands_mark must differ")
        if both := set(self.columns) & set(self.ignore):
            raise ValueError(f"{sorted(both)[0]!r} is in columns and in ignore: leave it in one")
        ours = list(self.columns.values())
        for key, names in {"columns": ours, "codes": self.codes, "units": self.units}.items():
            known = UNITS if key == "units" else COLUMNS
            if wrong := [name for name in names if name not in known and (key, name) != ("columns", OPEN)]:
                raise ValueError(f"{key}: {wrong[0]!r} is not one of {', '.join(known)}")
        if doubled := [name for name in ours if ours.count(name) > 1 and name != OPEN]:
            raise ValueError(f"columns: two columns would become {doubled[0]!r}")
        for name, unit in self.units.items():
            if unit not in UNITS[name] and unit != OPEN:
                raise ValueError(f"units: {name} is in one of {', '.join(UNITS[name])}, not in {unit!r}")
        for name, codes in self.codes.items():
            meant = [(code_key(str(code)), str(value)) for code, value in codes.items()]
            if len(dict(meant)) < len(set(meant)):
                raise ValueError(f"codes.{name}: one code, in two spellings, must not become two answers")
            for code, value in codes.items():
                if value != OPEN and not _is_answer(name, str(value)):
                    allowed = (
                        CATEGORIES_OR_LEVELS.get(name) or f"a number from {SCALES[name][0]:g} to {SCALES[name][1]:g}"
                    )
                    allowed = allowed if isinstance(allowed, str) else f"one of {', '.join(allowed)}"
                    raise ValueError(f"codes.{name}: {code!r} must become {allowed}, not {value!r}")

    def open_entries(self) -> list[str]:
        """The names of the entries that are left to fill in."""
        found = [name for name, ours in self.columns.items() if ours == OPEN or name == OPEN + ours]
        found += [name for name, unit in self.units.items() if unit == OPEN]
        return found + [str(code) for codes in self.codes.values() for code, value in codes.items() if value == OPEN]


UNCHANGED = Layout("csv", "", "utf-8", ",", ".", "", 0, {}, {}, {}, [])
"""The layout of UCI's own file, and of data/layout.yaml."""


def load_layout(path: Path) -> Layout:
    """Read a layout. Raises ParamsError, which names the key or the line, if it is wrong or not complete."""
    layout = load_yaml(path, Layout)
    if layout.open_entries():
        lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
        is_open = re.compile(r"""(?!#).*(["']\?\w*["']|: +\?\s*([,}#]|$))""")
        still_open = [n for n, line in enumerate(lines, 1) if is_open.match(line)]
        found = "".join(f"\n  line {n}: {lines[n - 1]}" for n in still_open)
        raise ParamsError(f'{path}: replace each "?" by what is meant, or delete its line:{found}')
    return layout


def apply_layout(table: pd.DataFrame, layout: Layout, path: object) -> pd.DataFrame:
    """The table with the columns, numbers and categories of UCI 544, as far as `layout` names them.

    `table` has a text in each cell, and `path` is its file, for errors. Raises SourceError if the layout does not fit.
    """
    if absent := [name for name in (*layout.ignore, *layout.columns) if name not in table]:
        raise SourceError(
            f"{path} has no column {', '.join(map(repr, absent))}, which its layout names:"
            f" it was made for another file; propose one with `{proposing(path)}`"
        )
    named = table.drop(columns=layout.ignore).rename(columns=layout.columns)
    if doubled := [ours for ours in layout.columns.values() if list(named.columns).count(ours) > 1]:
        raise SourceError(f"{path}: two columns would be called {doubled[0]!r}: put one under `ignore` of its layout")
    changed = {name: column for name in named if (column := _apply_to_column(named[name], layout)) is not None}
    return named.assign(**changed) if changed else named


def proposing(path: object) -> str:
    """The command that proposes a layout for `path`."""
    return f"obesity-levels layout {path} --output layout.yaml"


def code_key(text: str) -> str:
    """The same for every spelling of a code: `1`, `1.0` and ` 1 `; `Sí` and `sí`."""
    try:
        return f"{float(text):g}"
    except ValueError:
        return category_key(text)


def _apply_to_column(column: pd.Series, layout: Layout) -> pd.Series | None:
    name = str(column.name)
    codes = {code_key(str(code)): str(value) for code, value in layout.codes.get(name, {}).items()}
    unit = layout.units.get(name)
    marks = name in SCALES and (layout.decimal_mark, layout.thousands_mark) != (".", "")
    if not (codes or unit or marks):
        return None
    # Each distinct text is read once: a column of a million texts has few.
    at, texts = pd.factorize(column, use_na_sentinel=False)
    written = pd.Series(texts, dtype="str").str.strip() if unit or marks else pd.Series(texts, dtype="str")
    if marks:
        written = written.str.replace(layout.thousands_mark, "", regex=False) if layout.thousands_mark else written
        written = written.str.replace(layout.decimal_mark, ".", regex=False)
    changed = written.tolist()
    if unit:
        changed = [_convert(name, number, unit) or number for number in changed]
    if codes:
        changed = [codes.get(code_key(text)) or value for text, value in zip(texts.tolist(), changed, strict=True)]
    return pd.Series(pd.array(changed, dtype="str").take(at), index=column.index, name=name)


def number_and_unit(name: str, text: str) -> tuple[str, str | None]:
    """A number of the question `name`, without padding, and the unit that is written beside it, or None."""
    text = text.strip()
    if text.replace(".", "").isdigit():
        return text, None
    if name == "Height" and (both := _FEET_AND_INCHES.fullmatch(text)) and both[2].count(".") < 2:
        return str(int(both[1]) * 12 + Decimal(both[2])), "in"
    split = re.fullmatch(r"([0-9.,]+)\s*(\D+?)\.?", text)
    beside = [unit for unit in UNITS[name] if split and re.fullmatch(_SPELLED[unit], split[2], re.IGNORECASE)]
    return (split[1], beside[0]) if split and beside else (text, None)


def _convert(name: str, text: str, unit: str) -> str | None:
    """A number in the questionnaire's unit, by the unit beside it, else by `unit`; None if it is no number."""
    number, beside = number_and_unit(name, text)
    try:
        # decimal: 162.5 cm are the 1.625 m of another file to the last bit; rounded: 252 months are 21 years
        converted = round(Decimal(number) * Decimal(UNITS[name][beside or unit]), 12).normalize()
    except InvalidOperation:
        return None
    return f"{converted:f}" if converted.is_finite() else None


def _is_answer(name: str, value: str) -> bool:
    if name in SCALES:
        low, high = SCALES[name]
        try:
            return low <= float(value) <= high
        except ValueError:
            return False
    return category_key(value) in map(category_key, CATEGORIES_OR_LEVELS[name])
