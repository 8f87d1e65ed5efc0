"""What the service says of itself: its health, its model, its metrics, its logs."""

import hashlib
import json
import logging
import re

import pytest
from litestar import Request
from prometheus_client.parser import text_string_to_metric_families
from service.problems import EXCEPTION_HANDLERS, REQUEST_ID
from service.settings import Settings, load_settings

from obesity_levels.schema import LEVELS, PROFILES, SCALES
from tests.serving import JSON, PATIENT, running


def samples(service) -> dict[tuple, float]:
    """Name and labels of each sample -> value."""
    response = service.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live"])
def test_it_is_healthy_and_names_its_model(service, classifier, path):
    response = service.client.get(path)
    assert response.status_code == 200
    assert response.json() == {"status": "healthy", "model_loaded": True, "model_version": classifier.manifest.version}


def test_the_first_page_says_what_this_is_and_each_of_its_links_leads_somewhere(service):
    about = service.client.get("/").json()
    assert about["simulated"] is True
    assert about["model_version"] == service.client.get("/health").json()["model_version"]
    for path in about["links"].values():
        assert service.client.get(path).status_code in (200, 405), path


def test_the_model_is_described_as_it_was_made_and_measured(service, model_dir):
    info = service.client.get("/model-info").json()
    manifest = json.loads((model_dir / "manifest.json").read_text())
    evaluation = json.loads((model_dir / "evaluate.json").read_text())
    assert info["sha256"] == hashlib.sha256((model_dir / "classifier.onnx").read_bytes()).hexdigest()
    assert info["version"] == info["sha256"][:12]
    assert info["levels"] == list(LEVELS)
    assert info["data"] == manifest["data"] | {"rows": manifest["rows"]}
    assert info["params"] == manifest["params"]
    assert info["test_metrics"] == evaluation["test"]
    assert [feature["name"] for feature in info["features"]] == list(PROFILES["full"])


def test_each_feature_has_a_unit_and_a_scale_or_categories(service):
    features = {feature["name"]: feature for feature in service.client.get("/model-info").json()["features"]}
    assert features["Weight"]["unit"] == "kg"
    assert features["MTRANS"]["categories"][-1] == "Walking"
    for name, scale in SCALES.items():
        assert tuple(features[name]["scale"]) == scale


def test_the_build_is_named_where_it_is_known(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", GIT_REVISION="abc123") as service:
        assert service.client.get("/model-info").json()["git_revision"] == "abc123"


def test_requests_are_counted_by_method_route_and_status(service):
    before = samples(service)
    service.predict(PATIENT)
    service.predict(PATIENT | {"Age": 1})
    service.client.get("/not/a/route")
    after = samples(service)
    for route, status in (("/predict", "200"), ("/predict", "422"), ("unmatched", "404")):
        method = "POST" if route == "/predict" else "GET"
        counted = ("http_requests_total", ("method", method), ("route", route), ("status", status))
        timed = ("http_request_duration_seconds_count", ("route", route), ("status", status))
        assert after[counted] - before.get(counted, 0) == 1
        assert after[timed] - before.get(timed, 0) == 1


def test_predicted_rows_are_counted_by_level(service):
    before = samples(service)
    levels = service.predict(*[PATIENT | {"Weight": weight} for weight in (40, 64, 64, 80, 150)]).json()["predictions"]
    after = samples(service)
    for level in LEVELS:
        counted = ("obesity_predictions_total", ("level", level))
        assert after[counted] - before[counted] == levels.count(level)


def test_the_metrics_name_the_model_and_what_is_in_flight(service, classifier):
    found = samples(service)
    assert found["obesity_model_info", ("version", classifier.manifest.version)] == 1
    assert found["http_requests_in_flight",] >= 1  # the one that asks


def test_a_request_is_one_line_of_json_with_what_was_done_and_its_id(service):
    service.client.post("/predict", json={"patients": [PATIENT] * 3}, headers={"X-Request-ID": "one-line"})
    line = service.line_of("one-line")
    assert line["level"] == "INFO"
    assert (line["method"], line["route"], line["status"], line["rows"]) == ("POST", "/predict", 200, 3)
    assert line["duration_ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", line["time"])


def test_no_line_of_a_busy_run_holds_a_value_that_was_sent(model_dir, tmp_path):
    """Values that nothing else would write, in fields, names, paths, queries, headers and bodies that are no JSON."""
    secrets = [f"s3cr3t{number:04}" for number in range(40)]
    numbers = [f"77.{number:02}24681357" for number in range(40)]
    with running(model_dir, tmp_path / "log", LOG_LEVEL="debug") as service:
        for secret, number in zip(secrets, numbers, strict=True):
            service.predict(PATIENT | {"Weight": float(number)})
            service.predict(*[PATIENT | {"Weight": float(number)}] * 500)
            service.predict(PATIENT | {"MTRANS": secret})
            service.predict(PATIENT | {"Age": float(f"9{number}")})
            service.predict(PATIENT | {secret: number})
            service.post(f'{{"patients": ["{secret}", {number}'.encode())
            service.post(json.dumps({"patients": [PATIENT]}).encode(), {"Content-Type": secret})
            service.post(b"{}", JSON | {"X-Other": secret, "Authorization": secret})
            service.client.get(f"/{secret}?{secret}={number}")
            service.client.get(f"/health?weight={number}")
        service.stop()
        log = service.log.read_text()
    assert log.count('"message":"request"') >= 400
    assert not [value for value in (*secrets, *numbers, "s3cr3t", "24681357") if value in log]


def test_at_log_level_warning_there_is_no_line_for_a_request(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", LOG_LEVEL="warning") as service:
        service.predict(PATIENT)
        service.stop()
        assert [line for line in service.log_lines() if line["level"] in ("INFO", "DEBUG")] == []


def test_what_nobody_foresaw_is_logged_without_its_message():
    """The message of an error may be a value; its kind and place say enough."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("service.problems").addHandler(handler)
    try:
        raise KeyError("s3cr3t")
    except KeyError as error:
        response = EXCEPTION_HANDLERS[Exception](Request({"type": "http", REQUEST_ID: "the-id"}), error)
    finally:
        logging.getLogger("service.problems").removeHandler(handler)
    assert response.status_code == 500
    assert "KeyError" in records[0].getMessage()
    assert "s3cr3t" not in str(response.content) + records[0].getMessage()
    assert "test_information.py" in "".join(records[0].trace)
    assert records[0].request_id == "the-id"


def test_settings_that_are_not_given_or_empty_have_their_defaults():
    assert load_settings({"PORT": " ", "UNRELATED": "1"}) == Settings()
    assert Settings().max_patients == 10_000
    assert Settings().max_body_bytes == 10_000_000


def test_settings_are_read_from_variables_in_capitals():
    settings = load_settings({"PORT": "9000", "WORKERS": "2", "LOG_LEVEL": "WARNING", "BODY_SECONDS": "0.5"})
    assert (settings.port, settings.workers, settings.log_level, settings.body_seconds) == (9000, 2, "warning", 0.5)
