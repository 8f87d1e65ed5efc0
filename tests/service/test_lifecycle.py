"""It starts only with what it should serve, and shuts down without losing a request."""

import json
import os
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from service.__main__ import _free_address
from service.model import load_model
from service.settings import Settings, SettingsError, load_settings

from obesity_levels.errors import ArtifactError
from obesity_levels.schema import PROFILES
from tests.service.conftest import in_process, samples
from tests.service.raw import LENGTH, get, post, until_closed, wait_for_requests_in_flight
from tests.serving import PATIENT, command, free_port, running
from tests.waiting import eventually


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("MODEL_DIR", "nowhere", "dvc repro"), ("GIT_REVISION", "\udcff", "set GIT_REVISION")],
)
def test_where_it_cannot_start_it_ends_with_status_1_and_one_line_that_says_why(model_dir, name, value, said):
    start = command(model_dir, PORT=str(free_port()), **{name: value})
    run = subprocess.run(**start, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert len(set(run.stderr.splitlines())) == 1  # the same for each attempt to start a worker
    assert run.stderr.startswith("error: ")
    assert said in run.stderr
    assert "Traceback" not in run.stdout


def changed(**fields):
    return lambda content: json.dumps(json.loads(content) | fields).encode()


MISFITS = {
    "a manifest with a text that is not UTF-8": ("manifest.json", lambda _: b'{"model": "\xff"}', "is not a manifest"),
    "a manifest of another profile": (
        "manifest.json",
        changed(profile="habits", features=list(PROFILES["habits"])),
        "does not have the manifest's features and levels",
    ),
    "metrics of another model": ("evaluate.json", changed(model_version="0" * 12), "measured another model"),
    "a drift reference of another model": ("drift_reference.json", changed(model_version="0" * 12), "another model"),
}


@pytest.mark.parametrize(("name", "change", "said"), MISFITS.values(), ids=MISFITS)
def test_files_that_do_not_fit_together_are_refused(artifact, name, change, said):
    """More of what is refused: tests/obesity_levels/model and drift."""
    (artifact / name).write_bytes(change((artifact / name).read_bytes()))
    with pytest.raises(ArtifactError, match=said):
        load_model(Settings(model_dir=artifact))


def test_in_a_checkout_only_the_locked_files_are_served(clone):
    """It still fits its model; only dvc.lock knows that it is not what was made here."""
    path = clone.path / "models/drift_reference.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ArtifactError, match="drift_reference.json is not the file that dvc.lock names"):
        load_model(Settings(model_dir=clone.path / "models"))


def test_without_metrics_the_model_is_served_and_says_that_none_are_known(artifact):
    (artifact / "evaluate.json").unlink()
    with in_process(artifact) as app:
        assert app.client.get("/model-info").json()["test_metrics"] is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "http", "set PORT to the port to listen on, 1 to 65535"),
        ("PORT", "\udcff", "set PORT to"),
        ("MAX_PATIENTS", "-1", "set MAX_PATIENTS to"),
        ("MAX_BODY_BYTES", "10MB", "set MAX_BODY_BYTES to the largest body in bytes"),
        ("PORT", "70000", "Expected `int` <= 65535: set PORT to"),
        ("WORKERS", "0", "set WORKERS to the number of processes that answer, 1 to 64"),
        ("LOG_LEVEL", "loud - at `$.x`", "set LOG_LEVEL to debug, info, warning"),
        ("CORS_ORIGINS", "https://app.example.org/", "set CORS_ORIGINS to origins such as https://"),
        ("CORS_ORIGINS", "example.org", "set CORS_ORIGINS to"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(name, value, said):
    with pytest.raises(SettingsError) as error:
        load_settings({name: value})
    assert said in str(error.value)


def test_settings_that_are_not_given_or_empty_have_their_defaults():
    assert load_settings({"PORT": " ", "UNRELATED": "1"}) == Settings()


def test_settings_are_read_from_variables_in_capitals():
    settings = load_settings({"PORT": "9000", "WORKERS": "2", "LOG_LEVEL": "WARNING", "BODY_SECONDS": "0.5"})
    assert (settings.port, settings.workers, settings.log_level, settings.body_seconds) == (9000, 2, "warning", 0.5)


def test_the_host_may_be_a_name():
    assert _free_address(Settings(host="localhost", port=free_port())) == "127.0.0.1"


@pytest.mark.parametrize("host", ["..", "no.such.host.invalid"])
def test_a_host_that_is_none_is_an_error_that_names_it(host):
    with pytest.raises(SettingsError, match=f"cannot listen on HOST '{host}'"):
        _free_address(Settings(host=host))


def test_a_port_that_is_taken_is_an_error_that_names_it(service):
    with pytest.raises(SettingsError, match=f"PORT {service.port}: Address already in use"):
        _free_address(Settings(port=service.port))


def is_closed(service) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", service.port)) != 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_flight_is_answered_after_the_service_has_closed(model_dir, tmp_path, workers):
    batch = json.dumps({"patients": [PATIENT] * 10_000}).encode()
    with running(model_dir, tmp_path / "log", WORKERS=workers) as service:
        # One that is still starting does not hear SIGTERM, and is killed 8 s later.
        eventually(lambda: service.log.read_text().count("Started worker-") == int(workers), "all workers")
        with service.connect() as connection:
            connection.sendall(post(batch[:1000], f"Content-Length: {len(batch)}"))
            wait_for_requests_in_flight(service, 1)
            service.process.send_signal(signal.SIGTERM)
            eventually(lambda: is_closed(service), "no new connection is taken")
            connection.sendall(batch[1000:])
            answer = until_closed(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]) == 10_000
        assert service.process.wait(timeout=60) == 0


def test_neither_a_body_that_does_not_come_nor_a_client_that_does_not_read_keeps_the_service_from_ending(
    model_dir, tmp_path
):
    """Both would take much longer than the time after which the test fails."""
    with (
        running(model_dir, tmp_path / "log", BODY_SECONDS="600") as service,
        service.connect() as bodiless,
        service.connect() as deaf,
    ):
        bodiless.sendall(post(b"{", LENGTH))
        deaf.sendall(get("/assets/swagger-ui-bundle.js") * 50)  # more than the buffers of both sockets hold
        assert deaf.recv(1)
        wait_for_requests_in_flight(service, 1)
        assert service.stop() == 0


def test_two_workers_both_answer_and_their_metrics_add_up_and_show_the_worst_drift(model_dir, tmp_path, classifier):
    """A request on a connection of its own reaches either worker; each judges the window that it saw itself."""
    body = {"patients": [PATIENT | {"Height": 1.2}] * 50}
    statuses = []
    with running(model_dir, tmp_path / "log", WORKERS="2") as service, ThreadPoolExecutor(8) as pool:
        url = f"http://127.0.0.1:{service.port}/predict"

        def both_have_answered() -> bool:
            statuses.extend(pool.map(lambda _: httpx.post(url, json=body, timeout=60).status_code, range(24)))
            return len({line["process"] for line in service.log_lines() if line.get("route") == "/predict"}) == 2

        eventually(both_have_answered, "answers of both workers", seconds=60)
        assert set(statuses) == {200}
        counted = "http_requests_total", "POST", "/predict", "200"  # after the answer
        metrics = eventually(lambda: samples_with(service, counted, len(statuses)), f"{counted}: {len(statuses)}")
        rows = 50 * len(statuses)
        assert metrics["obesity_drift_rows_total",] == rows
        assert sum(value for name, value in metrics.items() if name[0] == "obesity_predictions_total") == rows
        models = {name: value for name, value in metrics.items() if name[0] == "obesity_model_info"}
        assert models == {("obesity_model_info", classifier.manifest.version): 1}
        eventually(lambda: samples_with(service, ("obesity_drift_verdict", "drift"), 1), "drift")
        assert service.client.get("/drift").json()["rows"] < rows
        assert service.stop() == 0


def samples_with(service, name, value):
    found = samples(service)
    return found if found.get(name) == value else None


def test_a_worker_that_finds_another_model_when_it_is_started_anew_ends_the_service(artifact, tmp_path):
    with running(artifact, tmp_path / "log", WORKERS="2") as service:
        answer = service.client.get("/health")
        worker = service.line_of(answer.headers["x-request-id"])["process"]
        (artifact / "classifier.onnx").write_bytes(b"")
        os.kill(worker, signal.SIGKILL)
        assert service.process.wait(timeout=60) != 0
        said = service.log.read_text()
        assert "error: " in said
        assert "Traceback" not in said


def test_make_serve_says_what_to_do_where_there_is_no_model(clone):
    shutil.rmtree(clone.path / "models")
    run = clone.run("make", "serve", check=False)
    assert run.returncode != 0
    assert "run make repro first" in run.stderr
