import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from service.model import load_model
from service.settings import load_settings
from tests.strategies import few_examples, records

from obesity_levels.prediction.table import predict_table
from obesity_levels.schema import ANSWERS, LEVELS, Patient


@pytest.fixture(scope="module")
def model(small_clone):
    """What the service answers with."""
    return load_model(load_settings({"MODEL_DIR": str(small_clone.path / "models")}))


def texts(people: list[dict]) -> pd.DataFrame:
    cells = [{name: "" if person[name] is None else str(person[name]) for name in ANSWERS} for person in people]
    return pd.DataFrame(cells, columns=list(ANSWERS), dtype="str")


@few_examples
@given(st.lists(records(), min_size=1, max_size=30))
def test_a_row_has_the_same_bits_as_from_the_service(model, people):
    table = predict_table(texts(people), model.classifier, []).table.to_pylist()
    answered = [any(value is not None for value in person.values()) for person in people]
    patients = [msgspec.convert(person, Patient) for person, some in zip(people, answered, strict=True) if some]
    expected = iter(())
    if patients:
        answer = to_builtins(model.predict(patients))
        expected = zip(answer["predictions"], answer["probabilities"], answer["prediction_sets"], strict=True)
    for row, some in zip(table, answered, strict=True):
        level, probabilities, levels = next(expected) if some else (None, dict.fromkeys(LEVELS), None)
        assert row == {"prediction": level, **probabilities, "prediction_set": levels}


def test_columns_to_keep_come_first_and_as_they_are(model):
    rows = texts([dict.fromkeys(ANSWERS) | {"Age": 30.0}] * 2).assign(id=["007", " x "])
    table = predict_table(rows, model.classifier, [], keep=["id", "Age"]).table
    assert table.column_names[:3] == ["id", "Age", "prediction"]
    assert table["id"].to_pylist() == ["007", " x "]


def test_the_version_of_the_model_is_in_the_metadata(model):
    table = predict_table(texts([dict.fromkeys(ANSWERS)]), model.classifier, []).table
    assert table.schema.metadata == {b"model_version": model.version.encode()}


def test_a_cell_that_cannot_be_read_is_missing(model):
    person = dict.fromkeys(ANSWERS) | {"Age": 30.0, "Weight": 80.0}
    damaged = texts([person, person]).assign(Height=["", "178"], FAVC=["?", "perhaps"])
    predicted = predict_table(damaged, model.classifier, ["?"])
    assert np.array_equal(*(predicted.table.slice(at, 1).to_pandas().to_numpy()[0, 1:8] for at in (0, 1)))
    assert predicted.cells["Height"].counts().tolist() == [1, 0, 0, 1]
    assert predicted.cells["FAVC"].counts().tolist() == [0, 1, 1, 0]
