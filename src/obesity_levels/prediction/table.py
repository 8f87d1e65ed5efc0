"""Predictions for a table of texts: cells are read as `clean` reads them, and the matrix is that of `featurize`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from obesity_levels.data.cells import Cells, read_cells
from obesity_levels.model.classifier import Classifier, Levels, Manifest, most_probable
from obesity_levels.model.features import Matrix, input_matrix
from obesity_levels.model.prediction_sets import LEVELS_OF_SET, set_numbers
from obesity_levels.schema import ANSWERS, LABEL, LEVELS

PREDICTION, PREDICTION_SET = "prediction", "prediction_set"
OUTPUTS = (PREDICTION, *LEVELS, PREDICTION_SET)
"""The columns that predictions have."""

_SETS = pa.array(LEVELS_OF_SET, pa.list_(pa.string()))
_LEVELS = pa.array(LEVELS)


class Predicted(NamedTuple):
    """The predictions for a table, as `predict_table` gives them, and what they were made from.

    `cells` are those of the answers, and of the label if it was read. `matrix`, `levels` and `sets` are of the rows
    with an answer, which `answered`, shape (rows,), says. `sets` are as `set_numbers` gives them; None of a model
    without.
    """

    table: pa.Table
    cells: dict[str, Cells]
    answered: npt.NDArray[np.bool_]
    matrix: Matrix
    levels: Levels
    sets: npt.NDArray[np.uint8] | None


def predict_table(
    rows: pd.DataFrame,
    classifier: Classifier,
    missing_marks: Sequence[str],
    keep: Sequence[str] = (),
    *,
    labels: bool = False,
) -> Predicted:
    """Predict `rows`, a table with the 16 answers, as `read_blocks` gives it.

    The table has the columns `keep` as they are, then those of `output_schema`; null for a row without any answer. A
    prediction set is that of the highest coverage. `missing_marks` are texts that stand for a missing answer. With
    `labels` the labels are read too.
    """
    cells = read_cells(rows[[*ANSWERS, LABEL] if labels else list(ANSWERS)], missing_marks)
    answers = np.column_stack([cells[name].codes for name in ANSWERS])
    answered = np.asarray(~np.isnan(answers).all(axis=1))
    matrix = input_matrix(answers[answered], classifier.manifest.profile)
    probabilities = classifier.probabilities(matrix)
    levels = most_probable(probabilities)
    columns = [_LEVELS.take(pa.array(levels)), *(pa.array(column) for column in probabilities.T.astype(np.float64))]
    sets = None
    if thresholds := classifier.manifest.prediction_sets:
        highest = thresholds[max(thresholds, key=float)]
        sets = set_numbers(probabilities, matrix, classifier.manifest.features, highest)
        columns.append(_SETS.take(pa.array(sets)))
    if not answered.all():
        # of each row its place among those that have a prediction, or null
        place = pa.array(np.cumsum(answered) - 1, mask=~answered)
        columns = [column.take(place) for column in columns]
    kept = [pa.array(rows[name].astype("str")) for name in keep]
    schema = output_schema(classifier.manifest, keep)
    table = pa.table([*kept, *columns], schema=schema)
    return Predicted(table, cells, answered, matrix, levels, sets)


def output_schema(manifest: Manifest, keep: Sequence[str]) -> pa.Schema:
    """The columns of predictions: `keep`, the most probable level, the probability of each, and the prediction set.

    A model of before there were sets has none. The metadata have the version of the model.
    """
    fields = [(name, pa.string()) for name in (*keep, PREDICTION)] + [(level, pa.float64()) for level in LEVELS]
    if manifest.prediction_sets:
        fields.append((PREDICTION_SET, pa.list_(pa.string())))
    return pa.schema(fields, metadata={"model_version": manifest.version})
