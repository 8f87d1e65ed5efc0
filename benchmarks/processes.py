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
MODEL_DIR = Path(os.environ.get("MODEL_DIR", ROOT / "models")).resolve()
LONGEST_START_SECONDS = 30
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

    def memory_mb(self, most: bool = False) -> float:
        """Resident memory of all its processes now, or the most that each of them ever had."""
        return sum(_memory_mb(pid, "VmHWM" if most else "VmRSS") for pid in _family(self.process.pid))


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _memory_mb(pid: int, what: str) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


@contextmanager
def running(*command: str, root: Path = ROOT, model_dir: Path = MODEL_DIR, **environment: str) -> Iterator[Process]:
    """The service of the checkout `root`, in the environment that `make serve` makes there, on a free port.

    `command` is what Python runs; by default the settings are the default ones, but for those in `environment`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen(
        [root / "service/.venv/bin/python", *(command or ("-m", "service"))],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name not in SETTINGS}
        | {"MODEL_DIR": str(model_dir), "PORT": str(port), "PYTHONPATH": f"{root}:{root / 'src'}"}
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
                if time.perf_counter() - started > LONGEST_START_SECONDS:
                    raise SystemExit("the service did not become ready") from None
                time.sleep(0.002)
        yield Process(process, port, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
