import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service.model import Model

from obesity_levels.schema import ANSWERS, CATEGORIES
from tests.service.conftest import in_process
from tests.service.raw import BODY, LENGTH, post, unfinished, wait_for_requests_in_flight
from tests.service.test_errors import INVALID
from tests.service.test_predict import answered
from tests.serving import JSON, PATIENT, running
from tests.strategies import few_examples

MOST = 5


def explain(app, *patients, query=""):
    return app.client.post(f"/explain{query}", json={"patients": patients})


@few_examples
@given(st.lists(answered, min_size=1, max_size=3))
def test_an_explanation_has_what_the_prediction_says_and_contributions_that_add_up(app, patients):
    predicted, answer = app.predict(*patients).json(), explain(app, *patients).json()
    assert (answer["model_version"], answer["coverage"]) == (predicted["model_version"], 0.95)
    assert [one["prediction_set"] for one in answer["explanations"]] == predicted["prediction_sets"]
    assert [one["level"] for one in answer["explanations"]] == predicted["predictions"]
    for one, probabilities in zip(answer["explanations"], predicted["probabilities"], strict=True):
        assert one["probability"] == probabilities[one["level"]]
        contributions = [each["contribution"] for each in one["contributions"]]
        assert sum(contributions) == pytest.approx(one["probability"] - one["baseline"], abs=1e-6)
        assert sorted(map(abs, contributions), reverse=True) == list(map(abs, contributions))
        assert sorted(each["answer"] for each in one["contributions"]) == sorted(ANSWERS)


@few_examples
@given(answered)
def test_after_the_change_the_model_predicts_the_level_that_it_names(app, patient):
    (one,) = explain(app, patient).json()["explanations"]
    assert (one["change"] is None) == (one["change_reason"] is not None)
    assert (one["change_reason"] == "already_normal_weight") == (one["level"] == "Normal_Weight")
    if one["change"]:
        changes = one["change"]["answers"].items()
        changed = patient | {name: new if name in CATEGORIES else patient[name] + new for name, new in changes}
        answer = app.predict(changed).json()
        assert answer["predictions"] == [one["change"]["level"]]
        assert answer["probabilities"][0][one["change"]["level"]] >= 0.5


def test_the_same_request_gets_the_same_bytes_from_another_process(app, model_dir, tmp_path):
    patients = [PATIENT | {"Weight": weight} for weight in (45.0, 80.0, None)]
    with running(model_dir, tmp_path / "log") as service:
        assert explain(app, *patients).content == explain(service, *patients).content


def test_a_patient_has_the_same_explanation_alone_and_among_others(app):
    patients = [PATIENT | {"Weight": weight} for weight in (45.0, 80.0, None)]
    assert explain(app, *patients).json()["explanations"][1:2] == explain(app, patients[1]).json()["explanations"]


def test_the_coverage_that_is_asked_for_is_given_and_another_is_refused(app):
    patient = PATIENT | {"Height": None}
    predicted = app.client.post("/predict?coverage=0.9", json={"patients": [patient]}).json()
    answer = explain(app, patient, query="?coverage=0.9").json()
    assert (answer["coverage"], answer["explanations"][0]["prediction_set"]) == (0.9, predicted["prediction_sets"][0])
    assert explain(app, patient, query="?coverage=0.5").json()["detail"] == "coverage: expected one of 0.9, 0.95"


@pytest.mark.parametrize("sent", [b"", b"{", b'{"patients": [\xff]}', *(one[0] for one in INVALID.values())])
def test_a_body_that_is_wrong_is_refused_as_by_predict(app, sent):
    predicted, answer = (app.client.post(path, content=sent, headers=JSON) for path in ("/predict", "/explain"))
    assert answer.status_code == predicted.status_code
    assert answer.json() == predicted.json()


def test_another_method_is_refused(app):
    assert app.client.get("/explain").headers["allow"] == "POST"


def test_another_media_type_is_refused(app):
    assert app.client.post("/explain", content=BODY, headers={"Content-Type": "text/plain"}).status_code == 415


def test_as_many_patients_as_allowed_are_explained_and_not_one_more(app):
    assert len(explain(app, *[PATIENT] * 100).json()["explanations"]) == 100
    refused = explain(app, *[PATIENT] * 101)
    assert refused.status_code == 422
    assert "at most 100 in a request" in refused.json()["detail"]


def test_a_model_of_before_explanations_has_none_and_says_what_to_do(tmp_path):
    models = shutil.copytree(Path(__file__).parent / "model_of_before", tmp_path / "models")
    with in_process(models) as app:
        refused = explain(app, PATIENT)
        assert refused.status_code == 404
        assert "dvc repro" in refused.json()["detail"]
        assert app.predict(PATIENT).status_code == 200


def test_a_model_without_a_background_has_none_either(artifact):
    """A model has none if no level had 20 training rows."""
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["explanations"]["background"] = []
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    with in_process(artifact) as app:
        assert explain(app, PATIENT).status_code == 404


def test_neither_drift_nor_a_challenger_sees_who_was_explained(model_dir):
    with in_process(model_dir, SHADOW_MODEL_DIR=str(model_dir)) as app:
        assert explain(app, *[PATIENT] * 60).status_code == 200
        assert app.client.get("/drift").json()["rows"] == 0
        challenger = app.client.get("/model-info").json()["challenger"]
        assert challenger["rows"] + challenger["waiting"] + challenger["dropped"] == 0


def test_the_log_has_the_number_of_patients(service):
    answer = explain(service, *[PATIENT] * 60)
    line = service.line_of(answer.headers["x-request-id"])
    assert (line["route"], line["rows"]) == ("/explain", 60)


def test_predictions_do_not_wait_for_explanations(model_dir, monkeypatch):
    """Small ones are answered by the event loop, large ones by the threads of predictions."""
    started, finish = Event(), Event()
    explain_later = Model.explain

    def waiting(*arguments):
        started.set()
        assert finish.wait(60)
        return explain_later(*arguments)

    monkeypatch.setattr(Model, "explain", waiting)
    with in_process(model_dir) as app, ThreadPoolExecutor(3) as clients:
        explanations = [clients.submit(explain, app, *[PATIENT] * 100) for _ in range(3)]
        try:
            assert started.wait(60)
            assert app.predict(PATIENT).status_code == 200
            assert app.predict(*[PATIENT] * 500).status_code == 200
            assert not any(one.done() for one in explanations)
        finally:
            finish.set()
        assert [one.result().status_code for one in explanations] == [200] * 3


@pytest.fixture(scope="module")
def small_service(model_dir, tmp_path_factory):
    limits = {"MAX_IN_FLIGHT": str(MOST), "BODY_SECONDS": "600"}
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", **limits) as service:
        yield service


@contextmanager
def being_explained(service, number):
    """So many requests of one patient, each of which takes a place until its body has come."""
    start = post(BODY[:-1], LENGTH).replace(b"/predict", b"/explain", 1)
    with unfinished(service, number, start) as connections:
        wait_for_requests_in_flight(service, number)
        yield connections
    wait_for_requests_in_flight(service, 0)


def test_each_patient_takes_a_place(small_service):
    with being_explained(small_service, MOST - 2):
        assert explain(small_service, PATIENT, PATIENT).status_code == 200
        refused = explain(small_service, PATIENT, PATIENT, PATIENT)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_places_of_explanations_are_not_those_of_predictions(small_service):
    with being_explained(small_service, MOST):
        assert explain(small_service, PATIENT).status_code == 503
        assert small_service.predict(*[PATIENT] * 500).status_code == 200


def test_places_are_free_again_after_answers_and_refusals(small_service):
    assert explain(small_service, *[PATIENT] * 101).status_code == 422
    with being_explained(small_service, MOST) as connections:
        assert explain(small_service, PATIENT).status_code == 503
        for connection in connections:
            connection.sendall(BODY[-1:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    with being_explained(small_service, MOST - 1):
        assert explain(small_service, PATIENT).status_code == 200


def test_a_request_that_is_larger_than_all_places_is_answered_if_it_is_alone(small_service):
    assert explain(small_service, *[PATIENT] * (MOST + 1)).status_code == 200
