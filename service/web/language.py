"""The languages of the page: a catalogue each, and which of them a browser prefers."""

import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from obesity_levels.schema import Question

_INCH = 0.0254
_POUND = 0.45359237
_CATALOGUES = Path(__file__).parent / "languages"
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


class Language(NamedTuple):
    """A language: its code, such as "es", and the texts of its catalogue."""

    code: str
    texts: dict[str, Any]

    def number(self, value: float | None, digits: int = 0, sign: str = "") -> str:
        """`value` with so many digits after the decimal mark; with `sign` "+" a number above 0 has a plus.

        A dash for None: what was measured on no row.
        """
        if value is None:
            return "–"
        rounded = round(value, digits) or 0  # no −0
        return f"{rounded:{sign if rounded else ''}.{digits}f}".replace("-", "−").replace(
            ".", self.texts["format"]["decimal"]
        )

    def shortest(self, value: float) -> str:
        """`value` with the digits that it has."""
        return f"{value:g}".replace("-", "−").replace(".", self.texts["format"]["decimal"])

    def percent(self, share: float | None, digits: int = 0) -> str:
        """A share, from 0 to 1, as a percentage; a dash for None."""
        if share is None:
            return "–"
        return self.texts["format"]["percent"].format(number=self.number(100 * share, digits))

    def scale(self, question: Question, imperial: bool = False) -> str:
        """What a number may be; `imperial`: in feet and inches, or in pounds, rounded to what is allowed."""
        low, high = question.scale or (0, 0)
        texts = self.texts["ask"]
        if not imperial:
            written, unit = [self.shortest(low), self.shortest(high)], self.texts["units"][question.unit]
        elif question.unit == "kg":
            written, unit = [f"{math.ceil(low / _POUND)}", f"{math.floor(high / _POUND)}"], texts["lb"]
        else:
            inches = math.ceil(low / _INCH), math.floor(high / _INCH)
            written, unit = [f"{each // 12} {texts['ft']} {each % 12} {texts['in']}" for each in inches], ""
        return texts["scale"].format(low=written[0], high=written[1], unit=unit).strip()

    def either(self, levels: Sequence[str]) -> str:
        """The names of at least two levels in a sentence: a, b or c."""
        *first, last = (self.texts["levels"][level] for level in levels)
        return f"{', '.join(first)} {self.texts['format']['or']} {last}"


def load_languages() -> dict[str, Language]:
    """The languages by their code. Another one is another file in `languages/`."""
    files = sorted(_CATALOGUES.glob("*.toml"))
    return {file.stem: Language(file.stem, tomllib.loads(file.read_text("utf-8"))) for file in files}


def by_preference(header: str) -> list[str]:
    """What a header Accept or Accept-Language names, the most wanted first; without what it does not want (q=0)."""
    found = []
    for one in header.lower().split(","):
        name, *parameters = (part.strip() for part in one.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if _QUALITY.fullmatch(quality) and float(quality):
            found.append((float(quality), name))
    return [name for _, name in sorted(found, key=lambda one: -one[0])]


def choose_language(languages: dict[str, Language], asked: str | None, accept_language: str) -> Language:
    """The language that is asked for in the address, else the browser's, else English."""
    wanted = [asked or "", *(tag.partition("-")[0] for tag in by_preference(accept_language)), "en"]
    return languages[next(code for code in wanted if code in languages)]
