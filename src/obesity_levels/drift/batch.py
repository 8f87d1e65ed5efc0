"""A batch of rows for drift detection: every answer as a number, including numbers off their scale."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.data.cleaning import UNREADABLE, read_cells
from obesity_levels.data.source import extra_columns
from obesity_levels.io import NO_LABEL, Rows, level_indices
from obesity_levels.model.features import Matrix, input_matrix
from obesity_levels.schema import ANSWERS, CODES, LABEL, SCALES

NUMBERS = tuple(SCALES)
CHOICES = tuple(CODES)
_MISSING_CODE = -1
_NUMBERS_AT, _CHOICES_AT = ([ANSWERS.index(name) for name in names] for names in (NUMBERS, CHOICES))


@dataclass(frozen=True)
class Batch:
    """Rows of answers, and their labels where there are any.

    `numbers`, shape (rows, 8), in the order of NUMBERS: as read, also where off their scale; NaN where missing.
    `choices`, shape (rows, 8), in the order of CHOICES: the code, -1 where missing.
    `labels`, shape (rows,): index in LEVELS, NO_LABEL where there is none.
    `unseen`: for each of CHOICES, the texts that are not a category, with their counts. `ignored`: columns of the file
    that are not part of the questionnaire.
    """

    numbers: npt.NDArray[np.float64]
    choices: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    unseen: dict[str, dict[str, int]]
    ignored: list[str] = field(default_factory=list)

    @classmethod
    def of_table(cls, rows: pd.DataFrame, labels: npt.NDArray[np.int64]) -> Self:
        """From clean answers, as `clean_rows` returns them."""
        choices = [rows[name].map(CODES[name]) for name in CHOICES]
        return cls(
            rows[list(NUMBERS)].to_numpy(dtype=np.float64),
            np.column_stack([codes.fillna(_MISSING_CODE).to_numpy(dtype=np.int64) for codes in choices]),
            labels,
            {},
        )

    @classmethod
    def of_splits(cls, *splits: Rows) -> Self:
        """From all rows of `splits`, in their order."""
        rows = Rows.concatenate(*splits)
        return cls.of_table(rows.answers, rows.labels)

    @classmethod
    def of_raw(cls, raw: pd.DataFrame, markers: Sequence[str]) -> Self:
        """From raw rows, as `read_raw` returns them, with or without a column of labels."""
        cells = read_cells(raw, markers)
        table = pd.DataFrame({name: cells[name].values for name in ANSWERS}, index=raw.index)
        labels = np.full(len(raw), NO_LABEL)
        if LABEL in cells:
            labels = level_indices(cells[LABEL].values)
        unreadable = {name: raw[name][cells[name].cause == UNREADABLE].str.strip() for name in CHOICES}
        unseen = {name: texts.value_counts().to_dict() for name, texts in unreadable.items() if len(texts)}
        numbers = np.column_stack([np.asarray(cells[name].found) for name in NUMBERS])
        ignored = extra_columns(list(raw.columns))
        return replace(cls.of_table(table, labels), numbers=numbers, unseen=unseen, ignored=ignored)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, at: npt.NDArray[np.intp]) -> Self:
        """The rows with these indices, which may repeat."""
        return replace(self, numbers=self.numbers[at], choices=self.choices[at], labels=self.labels[at])

    def on_scale(self) -> npt.NDArray[np.float64]:
        """The numbers on their scale; NaN elsewhere."""
        low, high = np.array([SCALES[name] for name in NUMBERS]).T
        with np.errstate(invalid="ignore"):
            return np.where((self.numbers >= low) & (self.numbers <= high), self.numbers, np.nan)

    def matrix(self, profile: str) -> Matrix:
        """The input matrix of `profile`. A number off its scale is missing, as in every row that is predicted."""
        answers = np.empty((len(self), len(ANSWERS)))
        answers[:, _NUMBERS_AT] = self.on_scale()
        answers[:, _CHOICES_AT] = np.where(self.choices == _MISSING_CODE, np.nan, self.choices)
        return input_matrix(answers, profile)
