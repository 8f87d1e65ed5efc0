"""The model as MLflow loads it: a script that MLflow runs, so nothing is pickled. `mlflow_run` logs it."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType, Array

from obesity_levels.errors import invalid_field
from obesity_levels.model.classifier import Classifier, load_classifier, most_probable
from obesity_levels.model.features import input_matrix
from obesity_levels.model.prediction_sets import level_sets
from obesity_levels.paths import MANIFEST
from obesity_levels.schema import ANSWERS, CODES, LEVELS, QUESTIONS, Patient

PREDICTION = "prediction"
PREDICTION_SET = "prediction_set"

_TYPES = {field.name: field.type for field in msgspec.structs.fields(Patient)}

# Every column is required, as in a request to the service; each cell may be null. Any type: under every other type
# MLflow refuses some columns of whole numbers, categories or gaps, and repeats the rows. `predict` checks the answers.
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(AnyType(), name) for name in QUESTIONS]),
    outputs=Schema(
        [
            ColSpec(DataType.string, PREDICTION),
            *(ColSpec(DataType.double, level) for level in LEVELS),
            ColSpec(Array(DataType.string), PREDICTION_SET, required=False),
        ]
    ),
)


class InvalidAnswers(MlflowException):
    """Answers that are refused, without repeating them. A server answers with 400."""

    def serialize_as_json(self) -> str:
        """The body of the answer. MLflow's server has put the rows before `message` by then: this is without them."""
        self.message = str(self)
        return super().serialize_as_json()


class ObesityLevels(PythonModel):
    """Predicts from the 16 answers, as the service does: any spelling of a category, null for a missing answer."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier, verified against its manifest."""
        self.classifier: Classifier = load_classifier(Path(context.artifacts[MANIFEST]).parent)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The most probable level of each row of `model_input`, the probability of every level, and the prediction set.

        The set is that of the highest coverage in the manifest; a model of before there were any has no such column.
        A column may have any type that holds its answers. Raises InvalidAnswers for a row without any answer, and for a
        value that is off its scale or not a category, without repeating the value.
        """
        answers = np.column_stack([_encode(model_input, name) for name in ANSWERS])
        if np.isnan(answers).all(axis=1).any():
            raise InvalidAnswers.invalid_parameter_value("at least one question must be answered in every row")
        matrix = input_matrix(answers, self.classifier.manifest.profile)
        probabilities = self.classifier.probabilities(matrix)
        table = pd.DataFrame(probabilities.astype(float), columns=list(LEVELS), index=model_input.index)
        table.insert(0, PREDICTION, np.array(LEVELS, dtype=object)[most_probable(probabilities)])
        sets = self.classifier.manifest.prediction_sets
        if sets:
            features = self.classifier.manifest.features
            table[PREDICTION_SET] = level_sets(probabilities, matrix, features, sets[max(sets, key=float)])
        return table


def _encode(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """The answers to a question as numbers, NaN where missing. Column by column takes a sixth of the time of rows."""
    if name not in table:
        expected = f"every row must have the answers {', '.join(QUESTIONS)}, null where one is missing"
        raise InvalidAnswers.invalid_parameter_value(expected)
    given = table[name].astype(object).where(table[name].notna(), None).tolist()
    # A column of objects may hold numpy's numbers, which msgspec does not read.
    if any(issubclass(kind, np.generic) for kind in set(map(type, given))):
        given = [answer.item() if isinstance(answer, np.generic) else answer for answer in given]
    try:
        answers = msgspec.convert(given, list[_TYPES[name]])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        row = invalid_field(error).path.strip("[]")
        said = f"row {row}, {name}: expected {QUESTIONS[name].allowed}"
        raise InvalidAnswers.invalid_parameter_value(said) from None
    codes = CODES.get(name)
    return np.array([answer if answer is None or codes is None else codes[answer] for answer in answers], np.float64)


set_model(ObesityLevels())
