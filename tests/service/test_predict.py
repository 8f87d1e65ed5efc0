import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obesity_levels.model.classifier import most_probable
from obesity_levels.model.prediction_sets import has_bmi, prediction_sets
from obesity_levels.schema import CATEGORIES, LEVELS
from tests.service.conftest import in_process
from tests.serving import PATIENT
from tests.strategies import matrix_of, records

answered = records().filter(lambda record: any(value is not None for value in record.values()))


def expected(classifier, records, coverage="0.95"):
    matrix = matrix_of(records)
    probabilities, manifest = classifier.probabilities(matrix), classifier.manifest
    sets = prediction_sets(probabilities, has_bmi(matrix, manifest.features), manifest.prediction_sets[coverage])
    return {
        "predictions": [LEVELS[level] for level in most_probable(probabilities)],
        "probabilities": [dict(zip(LEVELS, row, strict=True)) for row in probabilities.tolist()],
        "model_version": manifest.version,
        "prediction_sets": [[level for level, chosen in zip(LEVELS, row, strict=True) if chosen] for row in sets],
        "coverage": float(coverage),
    }


@settings(max_examples=200)
@given(patients=st.lists(answered, min_size=1, max_size=4))
def test_any_valid_records_get_the_answer_that_the_library_gives(app, classifier, patients):
    response = app.predict(*patients)
    assert response.status_code == 200
    assert response.json() == expected(classifier, patients)


def test_a_large_batch_gets_the_same_answers_in_its_order(app, classifier):
    patients = [PATIENT | {"Weight": float(weight), "Age": None} for weight in np.linspace(40, 140, 3000).round(3)]
    assert app.predict(*patients).json() == expected(classifier, patients)


@pytest.mark.parametrize(("query", "coverage"), [("0.9", "0.9"), ("0.90", "0.9"), ("0.95", "0.95"), ("0.9&x=1", "0.9")])
def test_the_coverage_that_is_asked_for_is_given(app, classifier, query, coverage):
    patient = PATIENT | {"Height": None}
    answer = app.client.post(f"/predict?coverage={query}", json={"patients": [patient]})
    assert answer.json() == expected(classifier, [patient], coverage)


@pytest.mark.parametrize("query", ["0.99", "", "most", "nan", "1e400", "%00"])
def test_another_coverage_is_refused_with_those_that_there_are(app, query):
    refused = app.client.post(f"/predict?coverage={query}", json={"patients": [PATIENT]})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "coverage: expected one of 0.9, 0.95"


def test_a_model_of_before_calibration_answers_without_sets(tmp_path):
    """The artifact was made by the revision before, of simulated people: one small tree."""
    models = shutil.copytree(Path(__file__).parent / "model_of_before", tmp_path / "models")
    with in_process(models) as app:
        answer = app.predict(PATIENT).json()
        assert set(answer) == {"predictions", "probabilities", "model_version"}
        refused = app.client.post("/predict?coverage=0.95", json={"patients": [PATIENT]})
        assert refused.json()["detail"] == "coverage: this model has none: rebuild it (dvc repro)"


@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title, lambda text: f" {text.replace('_', ' ')} "])
def test_categories_are_read_in_any_case_and_with_spaces_or_underscores(app, spell):
    answers = [(name, value) for name, values in CATEGORIES.items() for value in values]
    spelled = app.predict(*[PATIENT | {name: spell(value)} for name, value in answers])
    assert spelled.json() == app.predict(*[PATIENT | {name: value} for name, value in answers]).json()


def test_a_byte_order_mark_before_the_json_is_read(app):
    body = json.dumps({"patients": [PATIENT]}).encode()
    assert app.post(b"\xef\xbb\xbf" + body).json() == app.post(body).json()


def test_of_a_key_given_twice_the_last_counts(app):
    body = json.dumps({"patients": [PATIENT]}).replace('"Weight": 64', '"Weight": 300, "Weight": 64')
    assert app.post(body.encode()).json() == app.predict(PATIENT).json()


def test_as_many_patients_as_allowed_are_answered_and_not_one_more(app):
    assert len(app.predict(*[PATIENT] * 10_000).json()["predictions"]) == 10_000
    refused = app.predict(*[PATIENT] * 10_001)
    assert refused.status_code == 422
    assert "at most 10000" in refused.json()["detail"]
