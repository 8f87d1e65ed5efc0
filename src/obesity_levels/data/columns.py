"""Which column of a file answers which question: by its name, and by what is in it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from obesity_levels.data.layout import CATEGORIES_OR_LEVELS, UNITS
from obesity_levels.data.vocabulary import answer_meant, initials, question_named
from obesity_levels.schema import ANSWERS, CATEGORIES, COLUMNS, LABEL, SCALES

# A column is taken for a question if so many of its filled cells can be answers to it.
_LEAST_FIT = 0.5
_LEAST_FIT_OF_WORDS = 0.8
# Columns whose words answer no other question, and how many of their categories must be there to recognise them.
_BY_CONTENT = {LABEL: 3, "Gender": 2, "MTRANS": 3}
_MOST_TEXTS = 20_000
_MOST_WORDS = 200
CODE = r"[0-9]{1,2}(\.0+)?"


class Columns(NamedTuple):
    """The columns of a file that were recognised.

    `ours` says which column of UCI 544 each is; `by_content` are those that were recognised by what is in them, not by
    their name. `doubtful` has, for a question that several columns may answer, their names; `one_hot` those that hold
    one category each of a question.
    """

    ours: dict[str, str]
    by_content: set[str]
    doubtful: dict[str, list[str]]
    one_hot: dict[str, list[str]]

    def missing(self, required: Collection[str]) -> list[str]:
        """Those of `required` that no single column answers."""
        return [name for name in required if name not in self.ours.values()]


def recognise(texts: Mapping[str, pd.Series]) -> Columns:
    """Recognise columns by their name and by their `texts`, as `filled_texts` gives them."""
    named = {name: question_named(name) for name in texts}
    found = Columns({}, set(), {}, _one_hot(texts))
    in_groups = {name for names in found.one_hot.values() for name in names}
    for column in COLUMNS:
        exact = [name for name, question in named.items() if question == (column, True)]
        # The name as UCI spells it decides, whatever is in it: cleaning says what cannot be read there.
        candidates = [column] if column in exact else exact
        if not candidates:
            near = [n for n, question in named.items() if question == (column, False) and n not in in_groups]
            candidates = [name for name in near if fit(texts[name], column) >= _LEAST_FIT]
        if column in _BY_CONTENT and not exact:
            in_words = [name for name in texts if _holds_words(texts[name], column)]
            if column == LABEL:
                candidates = in_words or [name for name in candidates if len(texts[name]) >= _BY_CONTENT[LABEL]]
            elif not candidates:
                candidates = in_words
            found.by_content.update(name for name in candidates if name in in_words)
        if len(candidates) == 1:
            found.ours[candidates[0]] = column
        elif candidates:
            found.doubtful[column] = candidates
    return found


def filled_texts(column: pd.Series, missing_marks: Sequence[str]) -> pd.Series:
    """The distinct texts of a raw column that stand for an answer, without padding; their counts, the highest first."""
    counts = column.str.strip().value_counts()
    return counts[~counts.index.str.lower().isin(["", *(mark.strip().lower() for mark in missing_marks)])]


def fit(texts: pd.Series, column: str) -> float:
    """The share of cells that can be answers to `column`: its words, codes, or numbers on its scale in any unit."""
    texts = texts.iloc[:_MOST_TEXTS]
    if column in SCALES:
        low, high = SCALES[column]
        number = numbers(texts)
        units = [float(unit) for unit in UNITS.get(column, {"": "1"}).values()]
        fits = np.any([(number * unit >= low) & (number * unit <= high) for unit in units], axis=0)
    else:
        codes = texts.index.str.fullmatch(CODE)
        fits = codes if codes.sum() <= len(CATEGORIES_OR_LEVELS[column]) else np.zeros(len(texts), dtype=bool)
    letters = initials(set(texts.index)) if column == "Gender" else {}
    words = np.array(
        [t.lower() in letters or answer_meant(column, t) is not None for t in texts.index[:_MOST_WORDS]], dtype=bool
    )
    fits = fits | np.pad(words, (0, len(texts) - len(words)))
    return float(texts[fits].sum() / max(texts.sum(), 1))


def numbers(texts: pd.Series) -> np.ndarray:
    """The texts as numbers, with a point or a comma before their decimals; NaN where they are none."""
    return pd.to_numeric(pd.Series(texts.index.str.replace(",", ".")), errors="coerce").to_numpy(dtype=np.float64)


def likely_matches(table: pd.DataFrame, missing: Sequence[str], missing_marks: Sequence[str] = ()) -> Iterator[str]:
    """For columns that a table of texts lacks: what may be they."""
    found = recognise({name: filled_texts(table[name], missing_marks) for name in table})
    theirs = {ours: name for name, ours in found.ours.items()}
    for column in missing:
        if column in theirs:
            what = (
                "holds the seven levels"
                if column == LABEL and theirs[column] in found.by_content
                else f"may be {column!r}"
            )
            yield f"{theirs[column]!r} {what}"
        elif column in found.doubtful:
            yield f"{' or '.join(map(repr, found.doubtful[column]))} may be {column!r}"
        elif column in found.one_hot:
            yield (
                f"{column!r} is written as one column for each category"
                f" ({', '.join(map(repr, found.one_hot[column]))}): join them first, with pandas.from_dummies"
            )


def _holds_words(texts: pd.Series, column: str) -> bool:
    """Whether nearly all cells are words for the categories of `column`, and enough categories are there."""
    letters = initials(set(texts.index[:_MOST_WORDS])) if column == "Gender" else {}
    meant = {text: answer_meant(column, text) or letters.get(text.lower()) for text in texts.index[:_MOST_WORDS]}
    readable = [text for text, category in meant.items() if category]
    enough = len({meant[text] for text in readable}) >= _BY_CONTENT[column]
    return enough and bool(texts[readable].sum() >= _LEAST_FIT_OF_WORDS * texts.sum())


def _one_hot(texts: Mapping[str, pd.Series]) -> dict[str, list[str]]:
    """Columns that are named after a question and one of its categories, such as `MTRANS_Walking`, and hold 0 and 1."""
    groups: dict[str, list[str]] = {}
    for name, found in texts.items():
        question, _, category = name.replace(" ", "_").partition("_")
        for column in (*ANSWERS, LABEL):
            if name.lower().startswith(column.lower()) and len(name) > len(column):
                question, category = column, name[len(column) + 1 :]
        named = question_named(question)
        values = CATEGORIES.get(named[0]) if named else None
        is_flag = len(found) <= 2 and found.index.str.lower().isin(["0", "1", "0.0", "1.0", "true", "false"]).all()
        if named and values and is_flag and answer_meant(named[0], category):
            groups.setdefault(named[0], []).append(name)
    return {column: names for column, names in groups.items() if len(names) > 1}
