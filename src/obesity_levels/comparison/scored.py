"""Labelled rows as one model predicts them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.comparison.paired import Right
from obesity_levels.io import NO_LABEL, level_indices
from obesity_levels.model.classifier import Manifest, load_classifier
from obesity_levels.params import Params
from obesity_levels.prediction.table import predict_table
from obesity_levels.schema import ANSWERS, LABEL


class Scored(NamedTuple):
    """Rows with a model's predictions: the clean `answers`, the `labels` (indices in LEVELS), and shape (rows,) masks.

    `right`: the model predicts the label. `usable`: the row has a label and an answer.
    """

    manifest: Manifest
    answers: pd.DataFrame
    labels: npt.NDArray[np.int64]
    right: Right
    usable: npt.NDArray[np.bool_]


def score_rows(models: Path, raw: pd.DataFrame, params: Params) -> Scored:
    """Predict raw rows, as `read_raw` returns them, with the model in the folder `models`, as `predict` does.

    Raises ArtifactError if there is no model that can be loaded.
    """
    classifier = load_classifier(models)
    marks = classifier.manifest.missing_marks
    predicted = predict_table(raw, classifier, params.clean.missing_marks if marks is None else marks, labels=True)
    answers = pd.DataFrame({name: predicted.cells[name].values for name in ANSWERS})
    labels = level_indices(predicted.cells[LABEL].values)
    right = np.zeros(len(raw), np.bool_)
    right[predicted.answered] = predicted.levels == labels[predicted.answered]
    return Scored(classifier.manifest, answers, labels, right, predicted.answered & (labels != NO_LABEL))
