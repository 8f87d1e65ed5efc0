"""Load with a realistic mix of requests: `make load-test`, or `python benchmarks/load.py [--host URL]`.

Nine in ten requests are about one patient, 9 % about 10 to 100, 1 % are invalid; every answer is checked. The reports,
report.html and report.json, are in `--reports`. Exit status 1 if any request failed. Without `--host` a service is
started for it, which needs a model (`make repro`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, running
from tabulate import tabulate

LOCUST = ROOT / "deploy/.venv/bin/locust"
COLUMNS = ["requests", "failures", "requests_per_second", "p50_ms", "p95_ms", "p99_ms", "max_ms"]


def locust(
    host: str, report: Path, *more: str | Path, users: int, rate: float, run_time: str, spawn_rate: float = 50
) -> subprocess.Popen[bytes]:
    """Locust with the mix on `host`; its figures are in `report` when it ends, with 1 if a request failed."""
    report.unlink(missing_ok=True)
    return subprocess.Popen(
        [
            LOCUST, "--locustfile", ROOT / "benchmarks/locustfile.py",
            "--headless", "--only-summary", "--skip-log-setup",
            "--host", host, "--users", str(users), "--spawn-rate", str(spawn_rate), "--rate", str(rate),
            # a request of the last moment has so many seconds to be answered, or it would not be counted
            "--run-time", run_time, "--stop-timeout", "10", "--percentiles", report, *more,
        ],
        cwd=ROOT,
    )  # fmt: skip


def table(report: dict[str, Any]) -> str:
    lines = [[name, *(figures[column] for column in COLUMNS)] for name, figures in report["requests"].items()]
    return tabulate(lines, ["", *(name.replace("_", " ") for name in COLUMNS)], tablefmt="github")


def main() -> None:
    parser = argparse.ArgumentParser(description="Load the service with a realistic mix of requests.")
    parser.add_argument("--host", type=_url, metavar="URL", help="a service that runs (default: one is started)")
    parser.add_argument("--users", type=int, default=50, help="clients at a time (default: 50)")
    parser.add_argument("--spawn-rate", type=float, default=50, help="clients started a second (default: 50)")
    parser.add_argument("--rate", type=float, default=500, help="requests a second (default: 500; 0: all they can)")
    parser.add_argument("--run-time", default="60s", help="as Locust takes it (default: 60s)")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports/load", metavar="FOLDER")
    arguments = parser.parse_args()
    folder = arguments.reports.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    html, figures = folder / "report.html", folder / "report.json"
    with ExitStack() as stack:
        host = arguments.host or stack.enter_context(running()).url
        chosen = {name: getattr(arguments, name) for name in ("users", "rate", "run_time", "spawn_rate")}
        status = locust(host, figures, "--html", html, **chosen).wait()
    if not figures.exists():
        sys.exit(status or 1)
    report = json.loads(figures.read_text())
    print(table(report))
    for failure, times in report["failures"].items():
        print(f"{times} times: {failure}")
    print(f"Locust itself took {report['locust_cores']:.0%} of a core. With charts: {html}")
    sys.exit(status or int(report["total"]["requests"] == 0))


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no address: give one such as http://localhost:8000")
    return text.rstrip("/")


if __name__ == "__main__":
    main()
