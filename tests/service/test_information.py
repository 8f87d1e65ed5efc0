"""What the service says of itself: its health, its model, its metrics, its logs."""

import hashlib
import json
import logging
import re

import pytest
from litestar import Request
from service.problems import EXCEPTION_HANDLERS, REQUEST_ID

from obesity_levels.schema import LEVELS, PROFILES
from tests.service.conftest import in_process, samples
from tests.serving import JSON, PATIENT, running


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live"])
def test_it_is_healthy_and_names_its_model(app, classifier, path):
    response = app.client.get(path)
    assert response.status_code == 200
    assert response.json() == {"status": "healthy", "model_loaded": True, "model_version": classifier.manifest.version}


def test_the_first_page_says_what_this_is_and_each_of_its_links_leads_somewhere(app):
    about = app.client.get("/").json()
    assert about["simulated"] is True
    assert about["model_version"] == app.client.get("/health").json()["model_version"]
    for path in about["links"].values():
        assert app.client.get(path).status_code in (200, 405), path


def test_the_model_is_described_as_it_was_made_and_measured(app, model_dir):
    info = app.client.get("/model-info").json()
    manifest = json.loads((model_dir / "manifest.json").read_text())
    evaluation = json.loads((model_dir / "evaluate.json").read_text())
    assert info["sha256"] == hashlib.sha256((model_dir / "classifier.onnx").read_bytes()).hexdigest()
    assert info["version"] == info["sha256"][:12]
    assert info["levels"] == list(LEVELS)
    assert info["data"] == manifest["data"] | {"rows": manifest["rows"]}
    assert info["params"] == manifest["params"]
    assert info["test_metrics"] == evaluation["test"]
    features = {feature["name"]: feature for feature in info["features"]}
    assert list(features) == list(PROFILES["full"])
    assert (features["Weight"]["unit"], features["Weight"]["scale"]) == ("kg", [20, 300])
    assert features["MTRANS"]["categories"][-1] == "Walking"


def test_the_build_is_named_where_it_is_known(model_dir):
    with in_process(model_dir, GIT_REVISION="abc123") as app:
        assert app.client.get("/model-info").json()["git_revision"] == "abc123"


def test_the_metrics_are_of_the_content_type_that_prometheus_reads(app):
    content_type = app.client.get("/metrics").headers["content-type"]
    assert re.fullmatch(r"text/plain; version=[\d.]+; charset=utf-8", content_type)


def test_requests_are_counted_by_method_route_and_status(app):
    before = samples(app)
    app.predict(PATIENT)
    app.predict(PATIENT | {"Age": 1})
    app.client.get("/not/a/route")
    after = samples(app)
    for method, *labels in (("POST", "/predict", "200"), ("POST", "/predict", "422"), ("GET", "unmatched", "404")):
        for counted in (("http_requests_total", method, *labels), ("http_request_duration_seconds_count", *labels)):
            assert after[counted] - before.get(counted, 0) == 1


def test_predicted_rows_are_counted_by_level(app):
    before = samples(app)
    levels = app.predict(*[PATIENT | {"Weight": weight} for weight in (40, 64, 64, 80, 150)]).json()["predictions"]
    after = samples(app)
    for level in LEVELS:
        counted = ("obesity_predictions_total", level)
        assert after[counted] - before[counted] == levels.count(level)


def test_a_request_is_one_line_of_json_with_what_was_done_and_its_id(model_dir, caplog, capfd):
    caplog.set_level(logging.INFO)
    with in_process(model_dir) as app:
        app.client.post("/predict", json={"patients": [PATIENT] * 3}, headers={"X-Request-ID": "one-line"})
    [line] = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (line["request_id"], line["level"], line["message"]) == ("one-line", "INFO", "request")
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
            service.client.get(f"/?lang={secret}&example={number}", headers={"Accept": "text/html"})
            service.client.post("/", data={"Weight": number, "Gender": secret})
        service.stop()
        log = service.log.read_text()
    assert log.count('"message":"request"') >= 400
    assert not [value for value in (*secrets, *numbers, "s3cr3t", "24681357") if value in log]


def test_at_log_level_warning_there_is_no_line_for_a_request(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", LOG_LEVEL="warning") as service:
        service.predict(PATIENT)
        service.stop()
        assert [line for line in service.log_lines() if line["level"] in ("INFO", "DEBUG")] == []


def test_what_nobody_foresaw_is_logged_without_its_message(caplog):
    """The message of an error may be a value; its kind and place say enough."""
    try:
        raise KeyError("s3cr3t")
    except KeyError as error:
        response = EXCEPTION_HANDLERS[Exception](Request({"type": "http", REQUEST_ID: "the-id"}), error)
    assert response.status_code == 500
    [record] = caplog.records
    assert "KeyError" in record.getMessage()
    assert "s3cr3t" not in str(response.content) + record.getMessage()
    assert "test_information.py" in "".join(record.trace)
    assert record.request_id == "the-id"
