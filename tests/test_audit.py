"""`make audit`: pip-audit itself, against a database of advisories of our own where the real one is out of reach."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from tests.conftest import ROOT
from tests.serving import free_port, http_server

pytestmark = pytest.mark.usefixtures("operations")


@contextmanager
def database(*vulnerable: str) -> Iterator[tuple[str, set[str]]]:
    """Answers as OSV does, with an advisory for each version of these packages. The URL, and who was asked for."""
    asked = set()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = question["package"]["name"]
            asked.add(name)
            package = {"package": {"name": name, "ecosystem": "PyPI"}, "versions": [question["version"]]}
            advisory = {"id": "PYSEC-0-0", "summary": "x", "details": "x", "affected": [package]}
            content = json.dumps({"vulns": [advisory]} if name in vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http_server(Answer) as address:
        yield f"http://{address}/v1/query", asked


def audit(url: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OSV_URL": url, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        ["make", "--no-print-directory", "audit"], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_every_lock_is_asked_about_and_what_is_vulnerable_in_any_fails_it():
    with database("jinja2", "granian") as (url, asked):
        run = audit(url)
    assert run.returncode != 0
    assert run.stdout.count("granian") == 2  # in the lock of the tests too
    assert run.stdout.count("PYSEC-0-0") >= 2
    assert {"onnxruntime", "flask-swagger-ui", "locust", "distributed", "feast", "dvc"} <= asked
    assert "Traceback" not in run.stderr


def test_a_database_without_advisories_is_none(tmp_path):
    with database() as (url, asked):
        run = audit(url)
    assert run.returncode != 0
    assert asked == {"jinja2"}
    assert "does not answer with advisories" in run.stderr


def test_out_of_reach_it_fails_with_one_line_that_says_so():
    run = audit(f"http://127.0.0.1:{free_port()}/v1/query")
    assert run.returncode != 0
    said = [line for line in run.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert "run make audit where it can be reached" in said[0]
