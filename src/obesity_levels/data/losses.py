"""Columns of which cleaning would lose many cells: how many, and what is written there instead of an answer."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import Meta

from obesity_levels.errors import SourceError
from obesity_levels.paths import RAW_CSV
from obesity_levels.schema import CATEGORIES, LABEL, LEVELS, QUESTIONS, SCALES, Level

_MOST_TEXTS = 3
# Rows of normal weight from which their body-mass index is taken for a fact, and the index of obesity, in kg/m².
_LEAST_ROWS, _OBESE = 30, 30.0
# A guess is named if it fits at least so many of the lost cells.
_LEAST_SHARE_OF_GUESS = 0.2

# Of numbers: other ways to write them.
_FORMS = {
    "numbers whose decimal point was lost": r"[0-9]{1,3}(\.[0-9]{3})+\.[0-9]{3,}",
    "numbers with a decimal comma": r"[+-]?[0-9]+,[0-9]+",
    "numbers with their unit": r"[0-9][0-9.,]* ?[A-Za-z\"'′″]+\.?",
    "dates, which spreadsheets make of numbers": (
        r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}( [0-9:]+)?|[0-9]{1,2}[-/. ]?[A-Za-z]{3,9}([-/. ][0-9]{2,4})?"
        r"|[A-Za-z]{3,9}[-/. ][0-9]{1,4}"
    ),
}
# Of one column: the values in another unit, lowest and highest, which do not overlap those on its scale.
_UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "Height": {"feet": (3, 8.5), "inches": (39, 99), "centimetres": (100, 250), "millimetres": (1000, 2500)},
    "Weight": {"pounds": (300, 661), "grams": (20_000, 300_000)},
    "Age": {"months": (120, 1200), "years of birth": (1900, 2030)},
}
_YES_NO = {"yes", "no", "y", "n", "true", "false", "t", "f", "si", "sí", "s", "oui", "non", "ja", "nein"}


_PROPOSING = "for the source FILE, `obesity-levels layout FILE --output layout.yaml` proposes one"


class Loss(msgspec.Struct, frozen=True):
    """A column of which many cells cannot be used: they are unreadable, or off its scale."""

    column: str
    filled: Annotated[int, Meta(description="cells that are neither empty nor a mark of a missing answer")]
    lost: Annotated[int, Meta(description="those of them that cannot be used")]
    texts: Annotated[dict[str, int], Meta(description="the most frequent of their texts, with their counts")]
    looks_like: Annotated[list[str], Meta(description="what these texts may be")]

    @property
    def share(self) -> float:
        """The share of the filled cells that is lost, above 0 and at most 1."""
        return self.lost / self.filled

    def __str__(self) -> str:
        allowed = QUESTIONS[self.column].allowed.removesuffix(", or null") if self.column != LABEL else "a level"
        texts = ", ".join(f"{text!r} ({count:,})" for text, count in self.texts.items())
        guess = f"; they look like {' and '.join(self.looks_like)}" if self.looks_like else ""
        return (
            f"{self.column}: {self.lost:,} of {self.filled:,} filled cells ({self.share:.0%}) are not {allowed}"
            f"{': ' if texts else ''}{texts}{guess}"
        )


def describe_loss(column: pd.Series, lost: npt.NDArray[np.bool_], filled: int) -> Loss:
    """What is lost of a raw column: `lost`, shape (rows,), says which cells; `filled` is the number of filled ones."""
    texts = column[lost].astype("str").str.strip().value_counts()
    most = {_cut(str(text)): int(times) for text, times in texts.head(_MOST_TEXTS).items()}
    name = str(column.name)
    return Loss(name, filled, int(lost.sum()), most, _guesses(name, texts))


def refuse_losses(losses: Sequence[Loss], max_share: float, source: str = str(RAW_CSV)) -> None:
    """Raise SourceError if more than `max_share` of a column's filled cells are lost.

    It names the `source` and has a line for each loss.
    """
    refused = [loss.column for loss in losses if loss.share > max_share]
    if refused:
        lines = "".join(f"\n  {loss}" for loss in losses)
        raise SourceError(
            f"{source}: more than {max_share:.0%} of the answers would be lost (clean.max_lost_share) in"
            f" {', '.join(refused)}:{lines}\nSay what they mean in a layout; {_PROPOSING}"
        )


def refuse_pounds(rows: pd.DataFrame) -> None:
    """Raise SourceError if the clean `rows` of normal weight would be obese: pounds are on the scale of kilograms."""
    normal = rows[rows[LABEL] == Level.NORMAL_WEIGHT]
    bmi = (normal["Weight"] / normal["Height"] ** 2).dropna()
    if len(bmi) >= _LEAST_ROWS and bmi.median() >= _OBESE:
        raise SourceError(
            f"{RAW_CSV}: rows labelled {Level.NORMAL_WEIGHT} have a median body-mass index of {bmi.median():.0f} kg/m²:"
            f" Weight looks like pounds. Name the unit in a layout (units: {{Weight: lb}}); {_PROPOSING}"
        )


def _guesses(name: str, texts: pd.Series) -> list[str]:
    """What these texts, with their counts, may be, the most frequent first."""
    written = pd.Series(texts.index.astype(str), index=texts.index)
    if name in SCALES:
        numbers = pd.to_numeric(written, errors="coerce")
        fits = {what: written.str.fullmatch(form) for what, form in _FORMS.items()}
        fits |= {unit: numbers.between(*between) for unit, between in _UNITS.get(name, {}).items()}
    else:
        categories = LEVELS if name == LABEL else CATEGORIES[name]
        codes = written.str.fullmatch(r"[0-9]{1,2}(\.0+)?")
        kind = "the levels" if name == LABEL else "/".join(categories) if len(categories) == 2 else "the categories"
        found = sorted({int(float(code)) for code in written[codes]})
        fits = {f"codes {'/'.join(map(str, found))} for {kind}": codes}
        if set(categories) == {"no", "yes"}:
            fits["other words for yes and no"] = written.str.lower().isin(_YES_NO)
    counts = {what: int(texts[fit.to_numpy()].sum()) for what, fit in fits.items()}
    return sorted(
        (what for what, n in counts.items() if n >= _LEAST_SHARE_OF_GUESS * texts.sum()), key=lambda w: -counts[w]
    )


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
