"""The contract: its document is a committed snapshot, what it says is true, and its pages need no internet."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.serving import PATIENT


def test_the_contract_is_the_committed_one(app):
    """A change of it is meant to be seen in review. To write it anew, of a service that runs:
    `curl -s localhost:8000/schema/openapi.json | python -m json.tool > tests/service/openapi.json`"""
    snapshot = json.loads((ROOT / "tests/service/openapi.json").read_text())
    assert app.client.get("/schema/openapi.json").json() == snapshot


def test_schemathesis_finds_no_failure_in_four_hundred_cases(service, tmp_path):
    run = subprocess.run(
        [Path(sys.executable).parent / "st", "run", f"http://127.0.0.1:{service.port}/schema/openapi.json",
         "--seed=1", "--max-examples=200", "--checks=all", "--generation-database=none"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert int(re.search(r"(\d+) generated, \1 passed", run.stdout)[1]) >= 400


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


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_of_the_contract_loads_nothing_from_elsewhere(app, page):
    response = app.client.get(page)
    assert response.headers["content-type"].startswith("text/html")
    links = re.findall(r"(?:src|href)=[\"']([^\"']+)", response.text)
    assert len(links) >= 2
    for link in links:
        assert link.startswith(("assets/", "data:"))
        if link.startswith("assets/"):
            asset = app.client.get(f"/{link}")
            assert asset.status_code == 200
            assert len(asset.content) > 10_000


@pytest.mark.parametrize("path", ["/docs", "/model-info", "/nothing", "/predict", "/explain"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_process_on_a_socket_answers_as_the_application_in_this_process(service, app, method, path):
    """So what other tests find in this process is true of a service. Its server adds the date, and closes a connection
    with a body that was not read."""
    request = {"json": {"patients": [PATIENT]}, "headers": {"X-Request-ID": "the-same"}}
    ours, theirs = (one.client.request(method, path, **request) for one in (app, service))
    assert (theirs.status_code, theirs.content) == (ours.status_code, ours.content)
    added = set(theirs.headers.multi_items()) - set(ours.headers.multi_items())
    assert {name for name, _ in added} <= {"date", "connection"}
    assert theirs.headers["server"] == "obesity-levels"
