"""It starts only with what it should serve, and leaves without losing a request."""

import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from obesity_levels.schema import PROFILES
from tests.serving import PATIENT, free_port, refused, running
from tests.waiting import eventually

BATCH = json.dumps({"patients": [PATIENT] * 10_000}).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def artifact(model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "models")


def refuses(folder, *said: str, **environment: str) -> None:
    run = refused(folder, **{"PORT": str(free_port())} | environment)
    assert run.returncode == 1
    # A line for each attempt to start a worker.
    assert set(run.stderr.splitlines()) == {run.stderr.splitlines()[0]}
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stdout
    for words in said:
        assert words in run.stderr


def test_it_refuses_a_model_that_is_not_there(tmp_path):
    refuses(tmp_path / "models", "manifest.json", "run `dvc repro`")


def test_it_refuses_a_truncated_model(artifact):
    path = artifact / "classifier.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    refuses(artifact, "classifier.onnx is truncated or altered")


def test_it_refuses_a_model_with_one_bit_changed(artifact):
    path = artifact / "classifier.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refuses(artifact, "classifier.onnx is truncated or altered")


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff", b'{"model": "\xff"}', b"[" * 100_000])
def test_it_refuses_a_manifest_that_is_none(artifact, content):
    (artifact / "manifest.json").write_bytes(content)
    refuses(artifact, "manifest.json is not a manifest of this project")


def test_it_refuses_metrics_of_another_model(artifact):
    path = artifact / "evaluate.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"model_version": "0" * 12}))
    refuses(artifact, "evaluate.json measured another model")


def test_it_refuses_a_manifest_of_another_profile(artifact):
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"profile": "habits", "features": list(PROFILES["habits"])}))
    refuses(artifact, "does not have the manifest's features and levels")


def test_in_a_checkout_it_refuses_what_is_not_the_locked_model(clone):
    """The manifest fits its model; only dvc.lock knows that they are not what was measured here."""
    manifest = clone.path / "models/manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"simulated": true', '"simulated": false'))
    refuses(clone.path / "models", "manifest.json is not the file that dvc.lock names")


def test_without_metrics_the_model_is_served_and_says_that_none_are_known(artifact, tmp_path):
    (artifact / "evaluate.json").unlink()
    with running(artifact, tmp_path / "log") as service:
        assert service.client.get("/model-info").json()["test_metrics"] is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "http", "set PORT to the port to listen on, 1 to 65535"),
        ("PORT", "70000", "Expected `int` <= 65535: set PORT to"),
        ("PORT", "\udcff", "set PORT to"),
        ("WORKERS", "0", "set WORKERS to the number of processes that answer, 1 to 64"),
        ("MAX_PATIENTS", "-1", "set MAX_PATIENTS to"),
        ("MAX_BODY_BYTES", "10MB", "set MAX_BODY_BYTES to the largest body in bytes"),
        ("LOG_LEVEL", "loud - at `$.x`", "set LOG_LEVEL to debug, info, warning"),
        ("GIT_REVISION", "\udcff", "set GIT_REVISION to"),
        ("CORS_ORIGINS", "https://app.example.org/", "set CORS_ORIGINS to origins such as https://"),
        ("CORS_ORIGINS", "example.org", "set CORS_ORIGINS to"),
        ("HOST", "..", "cannot listen on HOST '..'"),
        ("HOST", "no.such.host.invalid", "cannot listen on HOST 'no.such.host.invalid'"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(model_dir, name, value, said):
    refuses(model_dir, said, **{name: value})


def test_the_host_may_be_a_name(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", HOST="localhost") as service:
        assert service.client.get("/health").status_code == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_refuses_a_port_that_is_taken(service, model_dir, workers):
    refuses(model_dir, f"PORT {service.port}: Address already in use", PORT=str(service.port), WORKERS=workers)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_flight_is_answered_after_the_service_has_closed(model_dir, tmp_path, workers):
    with running(model_dir, tmp_path / "log", WORKERS=workers) as service:
        with service.connect() as connection:
            connection.sendall(HEAD % len(BATCH) + BATCH[:1000])
            time.sleep(0.5)  # until it is being read
            service.process.send_signal(signal.SIGTERM)
            time.sleep(2)  # until it has closed
            connection.sendall(BATCH[1000:])
            answer = b""
            while chunk := connection.recv(1 << 16):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]) == 10_000
        assert service.process.wait(timeout=30) == 0


def test_a_body_that_does_not_come_does_not_keep_the_service_from_ending(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", BODY_SECONDS="600") as service, service.connect() as connection:
        connection.sendall(HEAD % 9 + b"{")
        time.sleep(0.2)
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=30) == 0
        assert time.monotonic() - started < 10


def test_two_workers_both_answer_and_their_metrics_add_up(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", WORKERS="2") as service:
        url = f"http://127.0.0.1:{service.port}/predict"
        # Each on a connection of its own, and enough for one worker to be busy when the next one comes.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: httpx.post(url, json={"patients": [PATIENT] * 90}, timeout=60), range(60)))
        counted = 'http_requests_total{method="POST",route="/predict",status="200"} 60.0'
        # they are counted after the answer
        eventually(lambda: counted in service.client.get("/metrics").text, counted)
        text = service.client.get("/metrics").text
        predicted = [
            float(line.split()[-1]) for line in text.splitlines() if line.startswith("obesity_predictions_total")
        ]
        assert sum(predicted) == 60 * 90
        assert "obesity_model_info{" in text
        answering = {line["process"] for line in service.log_lines() if line["message"] == "request"}
        assert len(answering) == 2
        assert service.stop() == 0


def test_a_worker_that_finds_another_model_when_it_is_started_anew_ends_the_service(artifact, tmp_path):
    with running(artifact, tmp_path / "log", WORKERS="2") as service:
        answer = service.client.get("/health")
        worker = service.line_of(answer.headers["x-request-id"])["process"]
        (artifact / "classifier.onnx").write_bytes(b"")
        os.kill(worker, signal.SIGKILL)
        assert service.process.wait(timeout=30) != 0
        said = service.log.read_text()
        assert "error: " in said
        assert "Traceback" not in said


def test_make_serve_says_what_to_do_where_there_is_no_model(clone):
    shutil.rmtree(clone.path / "models")
    run = clone.run("make", "serve", check=False)
    assert run.returncode != 0
    assert "run make repro first" in run.stderr
