import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obesity_levels.model.classifier import most_probable
from obesity_levels.schema import CATEGORIES, LEVELS
from tests.conftest import ROOT
from tests.serving import PATIENT
from tests.strategies import matrix_of, records

answered = records().filter(lambda record: any(value is not None for value in record.values()))


def expected(classifier, records):
    probabilities = classifier.probabilities(matrix_of(records))
    return {
        "predictions": [LEVELS[level] for level in most_probable(probabilities)],
        "probabilities": [dict(zip(LEVELS, row, strict=True)) for row in probabilities.tolist()],
        "model_version": classifier.manifest.version,
    }


@settings(max_examples=200)
@given(patients=st.lists(answered, min_size=1, max_size=4))
def test_any_valid_records_get_the_answer_that_the_library_gives(service, classifier, patients):
    response = service.predict(*patients)
    assert response.status_code == 200
    assert response.json() == expected(classifier, patients)


def test_a_large_batch_gets_the_same_answers_in_its_order(service, classifier):
    patients = [PATIENT | {"Weight": float(weight), "Age": None} for weight in np.linspace(40, 140, 3000).round(3)]
    assert service.predict(*patients).json() == expected(classifier, patients)


def test_the_sample_request_is_answered(service):
    response = service.post((ROOT / "sample_request.json").read_bytes())
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == 2


@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title, lambda text: f" {text.replace('_', ' ')} "])
def test_categories_are_read_in_any_case_and_with_spaces_or_underscores(service, spell):
    for name, values in CATEGORIES.items():
        for value in values:
            assert (
                service.predict(PATIENT | {name: spell(value)}).json()
                == service.predict(PATIENT | {name: value}).json()
            )


def test_probabilities_add_up_to_one(service):
    (probabilities,) = service.predict(PATIENT).json()["probabilities"]
    assert list(probabilities) == list(LEVELS)
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_byte_order_mark_before_the_json_is_read(service):
    body = json.dumps({"patients": [PATIENT]}).encode()
    assert service.post(b"\xef\xbb\xbf" + body).json() == service.post(body).json()


def test_of_a_key_given_twice_the_last_counts(service):
    body = json.dumps({"patients": [PATIENT]}).replace('"Weight": 64', '"Weight": 300, "Weight": 64')
    assert service.post(body.encode()).json() == service.predict(PATIENT).json()


def test_as_many_patients_as_allowed_are_answered_and_not_one_more(service):
    assert len(service.predict(*[PATIENT] * 10_000).json()["predictions"]) == 10_000
    refused = service.predict(*[PATIENT] * 10_001)
    assert refused.status_code == 422
    assert "at most 10000" in refused.json()["detail"]
