"""The service, run as its users run it: a process of its own on a real socket."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.waiting import eventually

PATIENT = json.loads((ROOT / "sample_request.json").read_text())["patients"][0]
JSON = {"Content-Type": "application/json"}


@dataclass
class Application:
    """The service as its clients see it, whatever is between."""

    client: httpx.Client

    def predict(self, *patients: dict[str, Any]) -> httpx.Response:
        return self.post(json.dumps({"patients": patients}).encode())

    def post(self, body: bytes, headers: dict[str, str] = JSON) -> httpx.Response:
        return self.client.post("/predict", content=body, headers=headers)


@dataclass
class Service(Application):
    """A service that runs in a process, with what it wrote to standard output so far."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def log_lines(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may not be whole

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The line of a request, which is written after its answer."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self.log_lines() if line.get("request_id") == request_id), None)

        return eventually(found, f"a line of request {request_id}")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def command(model_dir: Path, python: str = sys.executable, **variables: str) -> dict[str, Any]:
    """What starts a service, for the functions of subprocess."""
    ours = {name: value for name, value in os.environ.items() if name not in ("PORT", "HOST", "WORKERS", "LOG_LEVEL")}
    ours |= {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))), "MODEL_DIR": str(model_dir)}
    return {"args": [python, "-m", "service"], "cwd": model_dir.parent, "env": ours | variables}


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


@contextmanager
def running(model_dir: Path, log: Path, python: str = sys.executable, **variables: str) -> Iterator[Service]:
    """A service that is ready, on any free port if PORT does not say which; stopped in the end."""
    port = int(variables.pop("PORT", 0)) or free_port()
    with log.open("wb") as output:
        start = command(model_dir, python, PORT=str(port), **variables)
        process = subprocess.Popen(**start, stdout=output, stderr=subprocess.STDOUT)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        service = Service(client, process, port, log)
        try:
            wait_until_it_answers(client, "/health/ready", process, log)
            yield service
        finally:
            if process.poll() is None:
                service.stop()


@contextmanager
def http_server(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address, without `http://`, of a server that answers as `handler` does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def wait_until_it_answers(client: httpx.Client, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"{process.args} ended with {process.returncode}:\n{log.read_text()}")
        try:
            return client.get(path).status_code < 500
        except httpx.TransportError:
            return False

    eventually(answers, lambda: f"an answer of {process.args}:\n{log.read_text()}", seconds=60)
