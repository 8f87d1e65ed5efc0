"""A batch of rows as drift looks at it: every answer a number, those off their scale included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.cleaning import UNREADABLE, read_cells
from obesity_levels.features import Matrix, input_matrix
from obesity_levels.raw import extra_columns
from obesity_levels.schema import ANSWERS, CATEGORIES, LABEL, SCALES
from obesity_levels.tables import Rows, level_numbers

NUMBERS = tuple(SCALES)
CHOICES = tuple(CATEGORIES)
NO_LABEL = -1
_MISSING_CODE = -1


@dataclass(frozen=True)
class Batch:
    """Rows of answers, and their labels where there are any.

    `numbers`, shape (rows, 8), in the order of NUMBERS, as found, also where off their scale; NaN where missing.
    `choices`, shape (rows, 8), in the order of CHOICES: place in CATEGORIES, -1 where missing.
    `labels`, shape (rows,): index in LEVELS, NO_LABEL where there is none.
    `unseen`: of each of CHOICES, how often each text occurs that is none of its categories. `ignored`: columns of the
    file that are not of the questionnaire.
    """

    numbers: npt.NDArray[np.float64]
    choices: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    unseen: dict[str, dict[str, int]]
    ignored: list[str] = field(default_factory=list)

    @classmethod
    def of_table(cls, rows: pd.DataFrame, labels: npt.NDArray[np.int64]) -> Self:
        """Of valid answers, as `clean_rows` gives them."""
        choices = [rows[name].map({c: code for code, c in enumerate(CATEGORIES[name])}) for name in CHOICES]
        return cls(
            rows[list(NUMBERS)].to_numpy(dtype=np.float64),
            np.column_stack([codes.fillna(_MISSING_CODE).to_numpy(dtype=np.int64) for codes in choices]),
            labels,
            {},
        )

    @classmethod
    def of_splits(cls, *splits: Rows) -> Self:
        """All rows of `splits`, one after the other."""
        return cls.of_table(
            pd.concat([split.answers for split in splits]), np.concatenate([split.labels for split in splits])
        )

    @classmethod
    def of_raw(cls, raw: pd.DataFrame, markers: Sequence[str]) -> Self:
        """Of raw rows, as `read_raw` gives them, with or without a column of labels."""
        cells = read_cells(raw, markers)
        table = pd.DataFrame({name: cells[name].values for name in ANSWERS}, index=raw.index)
        labels = np.full(len(raw), NO_LABEL)
        if LABEL in cells:
            labels = level_numbers(cells[LABEL].values, missing=NO_LABEL)
        unreadable = {name: raw[name][cells[name].cause == UNREADABLE].str.strip() for name in CHOICES}
        unseen = {name: texts.value_counts().to_dict() for name, texts in unreadable.items() if len(texts)}
        numbers = np.column_stack([np.asarray(cells[name].found) for name in NUMBERS])
        ignored = extra_columns(list(raw.columns))
        return replace(cls.of_table(table, labels), numbers=numbers, unseen=unseen, ignored=ignored)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, at: npt.NDArray[np.intp]) -> Self:
        """The rows `at` these places, which may repeat."""
        return replace(self, numbers=self.numbers[at], choices=self.choices[at], labels=self.labels[at])

    def on_scale(self) -> npt.NDArray[np.float64]:
        """The numbers that lie on their scale; NaN where they do not."""
        low, high = np.array([SCALES[name] for name in NUMBERS]).T
        with np.errstate(invalid="ignore"):
            return np.where((self.numbers >= low) & (self.numbers <= high), self.numbers, np.nan)

    def matrix(self, profile: str) -> Matrix:
        """The input matrix of `profile`; a number off its scale is missing there, as it is for every row we predict."""
        return input_matrix(self._rows(), profile)

    def _rows(self) -> list[list[float | None]]:
        codes = np.where(self.choices == _MISSING_CODE, np.nan, self.choices)
        columns = dict(zip((*NUMBERS, *CHOICES), np.column_stack([self.on_scale(), codes]).T, strict=True))
        numbers = np.column_stack([columns[name] for name in ANSWERS])
        answers = numbers.astype(object)
        answers[np.isnan(numbers)] = None
        return answers.tolist()
