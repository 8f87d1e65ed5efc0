"""The model as MLflow loads it: a script that MLflow runs, so that nothing is pickled. `publishing` registers it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from msgspec.structs import astuple

from obesity_levels.features import input_matrix
from obesity_levels.schema import LEVELS, QUESTIONS, Patient
from obesity_levels.scoring import Classifier, load_classifier, most_probable

PREDICTION = "prediction"


class ObesityLevels(PythonModel):
    """Predicts from the 16 answers, as the service does: any spelling of a category, null for what was not answered."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier, verified against its manifest."""
        self.classifier: Classifier = load_classifier(Path(context.artifacts["files"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The most probable level of each row of `model_input`, and the probability of every level.

        Raises MlflowException, which a server answers with 400, for a value that is off its scale or no category,
        without repeating it, and for a row without any answer.
        """
        answers = model_input.astype(object).where(model_input.notna(), None)
        try:
            patients = msgspec.convert(answers.to_dict("records"), list[Patient])
        except msgspec.ValidationError as error:
            raise MlflowException.invalid_parameter_value(_explained(str(error))) from None
        if answers.isna().all(axis=1).any():
            raise MlflowException.invalid_parameter_value("at least one question must be answered in every row")
        matrix = input_matrix(map(astuple, patients), self.classifier.manifest.profile)
        probabilities = self.classifier.probabilities(matrix)
        table = pd.DataFrame(probabilities.astype(float), columns=list(LEVELS), index=model_input.index)
        table.insert(0, PREDICTION, np.array(LEVELS, dtype=object)[most_probable(probabilities)])
        return table


def _explained(message: str) -> str:
    """Where a wrong value is and what is allowed there, from an error of msgspec, which may repeat the value."""
    at = re.search(r" - at `\$\[(\d+)\]\.(\w+)`$", message)
    if at and at[2] in QUESTIONS:
        return f"row {at[1]}, {at[2]}: expected {QUESTIONS[at[2]].allowed}"
    return f"every row has to have the answers {', '.join(QUESTIONS)}, null for what was not answered"


set_model(ObesityLevels())
