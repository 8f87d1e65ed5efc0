"""Batches of rows with the model's predictions, and a calibrated confidence to estimate accuracy without labels."""

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import special
from sklearn.linear_model import LogisticRegression

from obesity_levels.drift.batch import Batch
from obesity_levels.drift.histograms import Floats
from obesity_levels.io import NO_LABEL
from obesity_levels.model.classifier import Classifier, Probabilities, most_probable
from obesity_levels.model.features import Matrix

_TINY = 1e-6
_ALMOST_UNREGULARISED = 1e6


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
    estimated probability that the prediction is right. `unseen`, shape (batches, columns), is the number of rows whose
    text is not a category of the column.
    """

    matrix: Matrix
    levels: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    correct: Floats
    unseen: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        matrix: Matrix,
        labels: npt.NDArray[np.int64],
        probabilities: Probabilities,
        confidence: Confidence,
        batches: int = 1,
        unseen: npt.NDArray[np.int64] | None = None,
    ) -> Self:
        """Rows of `batches` batches, one batch after the other in `matrix`, `labels` and `probabilities`."""
        return cls(
            matrix.reshape(batches, -1, matrix.shape[1]),
            most_probable(probabilities).reshape(batches, -1),
            labels.reshape(batches, -1),
            confidence.probability_correct(probabilities).reshape(batches, -1),
            np.zeros((batches, matrix.shape[1]), dtype=np.int64) if unseen is None else unseen,
        )

    def without_labels(self) -> Self:
        """The same rows, with their labels unknown."""
        return self._replace(labels=np.full_like(self.labels, NO_LABEL))


def score(batch: Batch, classifier: Classifier, confidence: Confidence, batches: int = 1) -> Scored:
    """`batch` with the model's predictions, as `batches` batches of the same number of rows."""
    matrix = batch.matrix(classifier.manifest.profile)
    unseen = None
    if batches == 1:
        unseen = np.array([[sum(batch.unseen.get(name, {}).values()) for name in classifier.manifest.features]])
    return Scored.of(matrix, batch.labels, classifier.probabilities(matrix), confidence, batches, unseen)


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
