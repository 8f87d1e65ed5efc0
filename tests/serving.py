"""The service, run as its users run it: a process of its own on a real socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.waiting import eventually

PATIENT = json.loads((ROOT / "sample_request.json").read_text())["patients"][0]
JSON = {"Content-Type": "application/json"}


@dataclass
class Service:
    """A service that runs, with what it wrote to standard output so far."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    client: httpx.Client

    def predict(self, *patients: dict[str, Any]) -> httpx.Response:
        return self.post(json.dumps({"patients": patients}).encode())

    def post(self, body: bytes, headers: dict[str, str] = JSON) -> httpx.Response:
        return self.client.post("/predict", content=body, headers=headers)

    def log_lines(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may not be whole

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The line of a request, which is written after its answer."""

        def found() -> dict[str, Any] | None:
            lines = (line for line in self.log_lines() if line["message"] == "request")
            return next((line for line in lines if line["request_id"] == request_id), None)

        return eventually(found, f"a line of request {request_id}")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def environment(model_dir: Path, **variables: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in ("PORT", "HOST", "WORKERS", "LOG_LEVEL")}
    return (
        own | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))), "MODEL_DIR": str(model_dir)} | variables
    )


def refused(model_dir: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start a service that must not start."""
    return subprocess.run(
        [sys.executable, "-m", "service"],
        cwd=model_dir.parent,
        env=environment(model_dir, **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


@contextmanager
def running(model_dir: Path, log: Path, python: str = sys.executable, **variables: str) -> Iterator[Service]:
    """A service that is ready, on any free port if PORT does not say which; stopped in the end."""
    port = int(variables.pop("PORT", 0)) or free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "service"],
            cwd=model_dir.parent,
            env=environment(model_dir, PORT=str(port), **variables),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        try:
            wait_until_ready(client, process, log)
            yield Service(process, port, log, client)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the service ended with {process.returncode}:\n{log.read_text()}")
        try:
            return client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    eventually(ready, lambda: f"ready:\n{log.read_text()}", seconds=60)
