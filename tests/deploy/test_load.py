"""`make load-test`, against services that run; how fast they are is not tested."""

import json
import re
import subprocess

import pytest
from benchmarks.bodies import BATCH, INVALID, ONE, Body, encode, fault

from obesity_levels.schema import LEVELS
from tests.conftest import ROOT
from tests.serving import PATIENT, free_port, running

pytestmark = pytest.mark.usefixtures("operations")


def load_test(port, reports, seconds):
    return subprocess.run(
        ["make", "load-test", f"HOST=http://127.0.0.1:{port}", f"REPORTS={reports}", f"RUN_TIME={seconds}s",
         "USERS=10", "RATE=200"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reports(service, tmp_path_factory):
    reports = tmp_path_factory.mktemp("reports")
    run = load_test(service.port, reports, seconds=3)
    assert run.returncode == 0, run.stdout + run.stderr
    return reports


@pytest.fixture(scope="module")
def report(reports):
    return json.loads((reports / "report.json").read_text())


@pytest.mark.parametrize(("kind", "least", "most"), [(ONE, 0.85, 0.95), (BATCH, 0.05, 0.13), (INVALID, 0.001, 0.03)])
def test_the_load_is_mixed_as_it_is_said(report, kind, least, most):
    assert least < report["requests"][kind]["requests"] / report["total"]["requests"] < most


def test_the_service_has_answered_what_the_report_counts(report, service):
    metrics = service.client.get("/metrics").text
    answered = re.search(r'^http_requests_total{.*route="/predict",status="200"} (\S+)$', metrics, re.MULTILINE)
    assert float(answered[1]) >= sum(report["requests"][kind]["requests"] for kind in (ONE, BATCH)) > 0


def test_the_report_gives_percentiles(report):
    for figures in report["requests"].values():
        assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"] <= figures["max_ms"]


def test_a_page_shows_the_same_requests(reports):
    page = (reports / "report.html").read_text()
    assert all(kind in page for kind in (ONE, BATCH, INVALID))


def test_a_service_that_refuses_batches_fails_the_load_test(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", MAX_PATIENTS="1") as service:
        run = load_test(service.port, tmp_path, seconds=1)
    assert run.returncode != 0
    assert "422 instead of 200" in run.stdout


def test_a_service_that_is_not_there_fails_the_load_test(tmp_path):
    run = load_test(free_port(), tmp_path, seconds=1)
    assert run.returncode != 0
    assert "error: no contract at http://127.0.0.1:" in run.stderr


@pytest.fixture(scope="module")
def answer(service):
    return service.predict(PATIENT, PATIENT).json()


SENT = Body(encode([PATIENT, PATIENT]), 200, 2)


def test_a_right_answer_has_no_fault(answer):
    assert fault(SENT, 200, json.dumps(answer).encode(), LEVELS) is None


@pytest.mark.parametrize(
    ("status", "change", "said"),
    [
        (500, {}, "500 instead of 200"),
        (200, {"predictions": ["Normal_Weight"]}, "more or fewer predictions than patients"),
        (200, {"probabilities": []}, "more or fewer predictions than patients"),
        (200, {"predictions": ["Normal_Weight", "Heavy"]}, "no such level"),
        (200, {"predictions": None}, "no such answer: TypeError"),
    ],
)
def test_a_wrong_answer_has_a_fault(answer, status, change, said):
    assert fault(SENT, status, json.dumps(answer | change).encode(), LEVELS) == said
