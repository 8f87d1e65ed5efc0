"""Prometheus, its alerts and Grafana's dashboard: what promtool says of them, and what they show of a real service."""

import json
import math
import re
import shutil
import subprocess

import httpx
import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from obesity_levels.data.simulation import draw_people
from obesity_levels.schema import ANSWERS
from tests.command import printed
from tests.conftest import ROOT
from tests.serving import PATIENT, free_port, running, wait_until_it_answers
from tests.waiting import eventually

PROMETHEUS = ROOT / "deploy/prometheus"
CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
RULE_TESTS = [
    test
    for case in yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    for test in case["alert_rule_test"]
]
# What Grafana puts in for its variable is at least four times the interval of scrapes, which is 1 s or more here.
PANELS = {
    f"{panel['title']}, {target['refId']}": target | {"expr": target["expr"].replace("$__rate_interval", "1m")}
    for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
}

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool: apt-get install prometheus")


@pytest.fixture(scope="module")
def people(population):
    """600 people of the population that the model was trained on, without drift as in service/test_drift.py."""
    table = draw_people(population, 600, np.random.default_rng(8))[list(ANSWERS)]
    return json.loads(table.to_json(orient="records"))


@pytest.fixture(scope="module")
def service(model_dir, tmp_path_factory, people):
    """A service after some traffic. Of several workers: what prometheus_client says of one process is not there."""
    settings = {"WORKERS": "2", "SHADOW_MODEL_DIR": str(model_dir)}
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", **settings) as service:
        traffic(service, people)
        compared = "obesity_shadow_predictions_total{"
        eventually(lambda: compared in service.client.get("/metrics").text, "rows that the challenger compared")
        yield service


def traffic(service, people) -> None:
    assert service.predict(*people).status_code == 200
    assert service.predict(PATIENT).status_code == 200
    assert service.predict(PATIENT | {"Age": 1}).status_code == 422


@pytest.fixture(scope="module")
def prometheus(service, people, tmp_path_factory):
    """A Prometheus that watches the service as deploy/prometheus says, but every second: a client of its API."""
    if not shutil.which("prometheus"):
        pytest.skip("needs Prometheus: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    (job,) = CONFIG["scrape_configs"]
    here = {
        "global": dict.fromkeys(CONFIG["global"], "1s"),
        "scrape_configs": [job | {"static_configs": [{"targets": [f"127.0.0.1:{service.port}"]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(CONFIG | here))
    shutil.copy(PROMETHEUS / "rules.yml", folder)
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             f"--web.listen-address=127.0.0.1:{port}"],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20, trust_env=False) as client:
            wait_until_it_answers(client, "/status/runtimeinfo", process, folder / "log")
            eventually(lambda: query(client, 'up{job="obesity-classifier"} == 1'), "up")
            traffic(service, people)  # so that the counters have grown between two scrapes
            eventually(lambda: query(client, 'rate(http_requests_total{status="422"}[1m]) > 0'), "two scrapes")
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def query(client: httpx.Client, expression: str) -> list:
    response = client.get("/query", params={"query": expression})
    assert response.is_success, response.text
    return response.json()["data"]["result"]


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_configuration_and_its_rules():
    printed("promtool", "check", "config", "--lint=all", "--lint-fatal", "prometheus.yml", cwd=PROMETHEUS)


@needs_promtool
def test_the_alerts_fire_where_they_have_to_and_nowhere_else():
    printed("promtool", "test", "rules", "rules_test.yml", cwd=PROMETHEUS)


@pytest.mark.parametrize("alert", RULES)
def test_of_each_alert_it_is_tested_that_it_fires_and_that_it_does_not(alert):
    fires = {bool(test.get("exp_alerts")) for test in RULE_TESTS if test["alertname"] == alert}
    assert fires == {True, False}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_each_alert_says_how_urgent_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "runbook"}


def test_every_metric_and_label_that_is_asked_for_is_one_that_the_service_exposes(service, operations):
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    exposed: dict[str, set[str]] = {"up": set()}
    for sample in (sample for family in families for sample in family.samples):
        exposed.setdefault(sample.name, set()).update(sample.labels)
    expressions = [rule["expr"] for rule in RULES.values()] + [target["expr"] for target in PANELS.values()]
    parsed = printed(operations / "python", ROOT / "tests/deploy/selectors.py", input=json.dumps(expressions))
    for expression, selectors in zip(expressions, json.loads(parsed), strict=True):
        assert selectors, expression
        for metric, labels in selectors:
            assert metric in exposed, expression
            assert set(labels) <= exposed[metric] | {"job", "instance"}, expression


def test_prometheus_evaluates_every_rule_and_no_alert_is_raised_by_a_service_in_health(prometheus):
    def evaluated():
        (group,) = prometheus.get("/rules").json()["data"]["groups"]
        return [] if any(rule["health"] == "unknown" for rule in group["rules"]) else group["rules"]

    rules = eventually(evaluated, "every rule evaluated")
    assert {rule["name"]: (rule["health"], rule["state"]) for rule in rules} == dict.fromkeys(RULES, ("ok", "inactive"))


@pytest.mark.parametrize("target", PANELS.values(), ids=PANELS)
def test_each_query_of_the_dashboard_shows_something_of_the_service(prometheus, target):
    series = query(prometheus, target["expr"])
    assert series
    for one in series:
        assert math.isfinite(float(one["value"][1]))
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= one["metric"].keys()
