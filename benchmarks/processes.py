"""The service as a process to be measured: started in its own environment, ready, and stopped in the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from service.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
# The service's own environment, as `make serve` makes it.
PYTHON = ROOT / "service/.venv/bin/python"
MODEL_DIR = Path(os.environ.get("MODEL_DIR", ROOT / "models")).resolve()
SETTINGS = [field.encode_name for field in msgspec.structs.fields(Settings)]


@dataclass
class Process:
    """A service that runs, its port, and how long its start took."""

    process: subprocess.Popen[bytes]
    port: int
    cold_start_s: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rss_mb(self, most: bool = False) -> float:
        """Resident memory now, or the most that there ever was."""
        return _memory_mb(self.process.pid, "VmHWM" if most else "VmRSS")

    def challenger_rss_mb(self) -> float:
        """Resident memory of the one process that this one has started."""
        (pid,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return _memory_mb(int(pid), "VmRSS")


def _memory_mb(pid: int, what: str) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


@contextmanager
def running(*command: str, **environment: str) -> Iterator[Process]:
    """Python with `command`, which serves on PORT with the default settings but for those in `environment`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen(
        [PYTHON, *command],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in SETTINGS}
        | {"MODEL_DIR": str(MODEL_DIR), "PORT": str(port), "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        | environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"the service ended with {process.returncode}: is there a model?") from None
                time.sleep(0.002)
        yield Process(process, port, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
