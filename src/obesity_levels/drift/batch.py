"""Batches of rows for drift detection: every answer as a number, and the model's predictions with a confidence.

The confidence is calibrated, to estimate accuracy without labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special
from sklearn.linear_model import LogisticRegression

from obesity_levels.data.cells import UNREADABLE, losses_of, read_cells
from obesity_levels.data.losses import Loss
from obesity_levels.data.source import extra_columns
from obesity_levels.drift.histograms import Floats
from obesity_levels.io import NO_LABEL, Rows, level_indices
from obesity_levels.model.classifier import Classifier, Probabilities, most_probable
from obesity_levels.model.features import Matrix, encode_table, input_matrix
from obesity_levels.schema import ANSWERS, CODES, LABEL, SCALES

NUMBERS = tuple(SCALES)
CHOICES = tuple(CODES)
LOWEST, HIGHEST = np.array(list(SCALES.values())).T
"""The ends of the scales of NUMBERS."""
_MISSING_CODE = -1
_TINY = 1e-6
_ALMOST_UNREGULARISED = 1e6
_NUMBERS_AT, _CHOICES_AT = ([ANSWERS.index(name) for name in names] for names in (NUMBERS, CHOICES))


@dataclass(frozen=True)
class Batch:
    """Rows of answers, and their labels where there are any.

    `numbers`, shape (rows, 8), in the order of NUMBERS: as read, also where off their scale; NaN where missing.
    `choices`, shape (rows, 8), in the order of CHOICES: the code, -1 where missing.
    `labels`, shape (rows,): index in LEVELS, NO_LABEL where there is none.
    `unseen`: for each of CHOICES, the texts that are not a category, with their counts. `ignored`: columns of the file
    that are not part of the questionnaire. `losses`: columns of which many cells could not be read.
    """

    numbers: npt.NDArray[np.float64]
    choices: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    unseen: dict[str, dict[str, int]]
    ignored: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)

    @classmethod
    def of_table(cls, rows: pd.DataFrame, labels: npt.NDArray[np.int64]) -> Self:
        """From clean answers, as `clean_rows` returns them."""
        answers = encode_table(rows)
        choices = np.nan_to_num(answers[:, _CHOICES_AT], nan=_MISSING_CODE).astype(np.int64)
        return cls(answers[:, _NUMBERS_AT], choices, labels, {})

    @classmethod
    def of_splits(cls, *splits: Rows) -> Self:
        """From all rows of `splits`, in their order."""
        rows = Rows.concatenate(*splits)
        return cls.of_table(rows.answers, rows.labels)

    @classmethod
    def of_raw(cls, raw: pd.DataFrame, missing_marks: Sequence[str], reported_lost_share: float) -> Self:
        """From raw rows, as `read_raw` returns them, with or without a column of labels."""
        cells = read_cells(raw, missing_marks)
        table = pd.DataFrame({name: cells[name].values for name in ANSWERS}, index=raw.index)
        labels = level_indices(cells[LABEL].values) if LABEL in cells else np.full(len(raw), NO_LABEL)
        unreadable = {name: raw[name][cells[name].cause == UNREADABLE].str.strip() for name in CHOICES}
        unseen = {name: texts.value_counts().to_dict() for name, texts in unreadable.items() if len(texts)}
        numbers = np.column_stack([np.asarray(cells[name].found) for name in NUMBERS])
        ignored, losses = extra_columns(list(raw.columns)), losses_of(raw, cells, reported_lost_share)
        return replace(cls.of_table(table, labels), numbers=numbers, unseen=unseen, ignored=ignored, losses=losses)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, at: npt.NDArray[np.intp]) -> Self:
        """The rows with these indices, which may repeat."""
        return replace(self, numbers=self.numbers[at], choices=self.choices[at], labels=self.labels[at])

    def on_scale(self) -> Floats:
        """The numbers on their scale; NaN elsewhere."""
        return np.where((self.numbers >= LOWEST) & (self.numbers <= HIGHEST), self.numbers, np.nan)

    def moments(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each number on its scale; 0 and 0 for one that no row has."""
        numbers = np.ma.masked_invalid(self.on_scale())
        return numbers.mean(axis=0).filled(0), numbers.std(axis=0).filled(0)

    def matrix(self, profile: str) -> Matrix:
        """The input matrix of `profile`. A number off its scale is missing, as in every row that is predicted."""
        answers = np.empty((len(self), len(ANSWERS)))
        answers[:, _NUMBERS_AT] = self.on_scale()
        answers[:, _CHOICES_AT] = np.where(self.choices == _MISSING_CODE, np.nan, self.choices)
        return input_matrix(answers, profile)


class Confidence(NamedTuple):
    """Platt's calibration of a classifier's confidence: P(correct) = expit(intercept + slope * logit(confidence)).

    Platt, "Probabilistic outputs for support vector machines" (1999).
    """

    intercept: float
    slope: float

    def probability_correct(self, probabilities: Probabilities) -> Floats:
        """The probability that the most probable level is right; `probabilities` are (rows, 7), the result (rows,)."""
        return special.expit(self.intercept + self.slope * _log_odds(probabilities))


def fit_confidence(probabilities: Probabilities, labels: npt.NDArray[np.int64]) -> Confidence:
    """Fit the calibration to rows that the model was not trained on; the identity if all are right, or none."""
    correct = most_probable(probabilities) == labels
    if correct.all() or not correct.any():
        return Confidence(0.0, 1.0)
    fitted = LogisticRegression(C=_ALMOST_UNREGULARISED).fit(_log_odds(probabilities)[:, None], correct)
    return Confidence(round(float(fitted.intercept_[0]), 6), round(float(fitted.coef_[0, 0]), 6))


class Scored(NamedTuple):
    """Batches of the same number of rows with the model's predictions: shapes (batches, rows, …).

    `matrix` (…, columns) is the model's input, `levels` its predictions, `labels` the truth or NO_LABEL, `correct` the
    estimated probability that the prediction is right. `unseen`, shape (columns,), is the number of rows of each batch
    whose text is not a category of the column.
    """

    matrix: Matrix
    levels: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    correct: Floats
    unseen: npt.NDArray[np.int64]

    def without_labels(self) -> Self:
        """The same rows, with their labels unknown."""
        return self._replace(labels=np.full_like(self.labels, NO_LABEL))


def score(batch: Batch, classifier: Classifier, confidence: Confidence, batches: int = 1) -> Scored:
    """`batch` with the model's predictions, as `batches` batches of the same number of rows."""
    matrix = batch.matrix(classifier.manifest.profile)
    probabilities = classifier.probabilities(matrix)
    return Scored(
        matrix.reshape(batches, -1, matrix.shape[1]),
        most_probable(probabilities).reshape(batches, -1),
        batch.labels.reshape(batches, -1),
        confidence.probability_correct(probabilities).reshape(batches, -1),
        np.array([sum(batch.unseen.get(name, {}).values()) for name in classifier.manifest.features]),
    )


class HeldOut(NamedTuple):
    """Rows that the model was not trained on, as a batch and with predictions, and what scores other batches."""

    batch: Batch
    scored: Scored
    classifier: Classifier
    confidence: Confidence

    @classmethod
    def of(cls, batch: Batch, classifier: Classifier, confidence: Confidence) -> Self:
        """`batch`, scored by `classifier`."""
        return cls(batch, score(batch, classifier, confidence), classifier, confidence)


def _log_odds(probabilities: Probabilities) -> Floats:
    """The logit of the confidence, which is the highest probability of each row."""
    return special.logit(np.clip(probabilities.max(axis=-1).astype(float), _TINY, 1 - _TINY))
