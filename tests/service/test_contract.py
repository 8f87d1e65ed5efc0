"""The contract: its document is a committed snapshot, what it says is true, and its pages need no internet."""

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from obesity_levels.schema import CATEGORIES, QUESTIONS, SCALES
from tests.conftest import ROOT

SNAPSHOT = ROOT / "tests/service/openapi.json"


@pytest.fixture(scope="session")
def document(service):
    return service.client.get("/schema/openapi.json").json()


def test_the_contract_is_the_committed_one(document):
    """A change of it is meant to be seen in review. To write it anew, of a service that runs:
    `curl -s localhost:8000/schema/openapi.json | python -m json.tool > tests/service/openapi.json`"""
    assert document == json.loads(SNAPSHOT.read_text())


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_field_has_a_description_a_unit_a_scale_and_an_example(document, name):
    schema = document["components"]["schemas"]["Patient"]["properties"][name]
    answer, null = schema["anyOf"]
    assert schema["description"] == QUESTIONS[name].description
    assert schema["x-unit"] == QUESTIONS[name].unit
    assert schema["examples"] == [QUESTIONS[name].example]
    assert null == {"type": "null"}
    if name in SCALES:
        assert (answer["minimum"], answer["maximum"]) == SCALES[name]
    else:
        referred = document["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
        assert tuple(referred["enum"]) == CATEGORIES[name]


def test_every_route_is_described(document):
    assert set(document["paths"]) == {
        *("/", "/predict", "/health", "/health/live", "/health/ready", "/model-info", "/drift", "/metrics"),
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["tags"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_schemathesis_finds_no_failure_in_seven_hundred_cases(service, tmp_path, seed):
    """With three seeds more than 2,000 in all."""
    report = tmp_path / "report.json"
    run = subprocess.run(
        [str(Path(sys.executable).parent / "st"), "run", f"http://127.0.0.1:{service.port}/schema/openapi.json",
         f"--seed={seed}", "--max-examples=500", "--checks=all", "--generation-database=none",
         "--report=json", f"--report-json-path={report}"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    cases = json.loads(report.read_text())["test_cases"]
    assert cases["generated"] >= 700
    assert (cases["with_failures"], cases["errored"]) == (0, 0)


BROWSER = shutil.which("chromium")
# Nothing but the page: without these a new browser asks its maker's hosts first.
ALONE = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --virtual-time-budget=30000"
)


@pytest.mark.skipif(not BROWSER, reason="chromium is not on this machine: apt-get install chromium")
@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_of_the_contract_is_drawn_by_a_browser(service, tmp_path, page):
    run = subprocess.run(
        [BROWSER, *ALONE.split(), f"--user-data-dir={tmp_path}", "--dump-dom", f"http://127.0.0.1:{service.port}{page}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    drawn = re.sub(r"<script.*?</script>|<style.*?</style>", "", run.stdout, flags=re.DOTALL)
    assert "Predict levels" in drawn
    assert "/model-info" in drawn


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href")]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_of_the_contract_loads_nothing_from_elsewhere(service, page):
    response = service.client.get(page)
    assert response.headers["content-type"].startswith("text/html")
    links = Links()
    links.feed(response.text)
    assert len(links.found) >= 2
    for link in links.found:
        assert link.startswith(("assets/", "data:"))
        if link.startswith("assets/"):
            asset = service.client.get(f"/{link}")
            assert asset.status_code == 200
            assert len(asset.content) > 10_000
