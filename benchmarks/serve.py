"""How fast is the service, and how much of that is the framework: `python benchmarks/serve.py [--json FILE]`.

The service runs beside a twin with the same settings whose handler decodes the same request and answers a constant, and
with `--baseline REVISION` beside the service of another revision with its own model and environment. They are measured
in turns with wrk on loopback, so that what else the machine does falls on all alike; of each figure the median of the
rounds is taken. Needs a model (`make repro`) and wrk (`apt-get install wrk`).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from benchmarks.bodies import encode, patient
from benchmarks.processes import MODEL_DIR, ROOT, Process, running
from service.settings import Settings
from tabulate import tabulate

from obesity_levels.model.classifier import load_classifier
from obesity_levels.model.features import encode_rows, input_matrix
from obesity_levels.schema import ANSWERS, CATEGORIES, SCALES, Patient

OPTIONS = {name: SCALES.get(name) or CATEGORIES[name] for name in ANSWERS}
BATCH = 1000
LARGE_BATCH = 10_000
MOST_EXPLAINED = Settings().max_explained
AT_THE_LIMITS = "at the limits"

# The body comes from a file; the result is printed as JSON, in microseconds and requests.
WRK_SCRIPT = r"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open(os.getenv("BODY"), "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format('\nRESULT {"p50": %f, "p99": %f, "requests": %d, "duration": %d, "failed": %d}\n',
    latency:percentile(50), latency:percentile(99), summary.requests, summary.duration, failed))
end
"""


def body(patients: int) -> bytes:
    rng = random.Random(0)
    return encode([patient(rng, OPTIONS) for _ in range(patients)])


def patients_of(request: bytes) -> list[Patient]:
    return msgspec.convert(json.loads(request)["patients"], list[Patient])


class Load:
    """wrk, with its script and the bodies of requests in a folder."""

    def __init__(self, folder: Path, seconds: int) -> None:
        self.seconds = seconds
        self.folder = folder
        (folder / "post.lua").write_text(WRK_SCRIPT)
        for patients in (1, MOST_EXPLAINED, BATCH, LARGE_BATCH):
            (folder / f"{patients}.json").write_bytes(body(patients))
        # As many patients in as many bytes as a body may have.
        (folder / f"{AT_THE_LIMITS}.json").write_bytes(body(LARGE_BATCH).ljust(Settings().max_body_bytes))

    def put_on(
        self, process: Process, connections: int, patients: int | str, path: str = "/predict"
    ) -> dict[str, float]:
        """p50 and p99 in ms, requests a second; any answer but a good one is an error, but for 503 at the limits."""
        run = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{self.seconds}s", "--timeout", "60s", "--latency",
             "-s", str(self.folder / "post.lua"), f"http://127.0.0.1:{process.port}{path}"],
            env=os.environ | {"BODY": str(self.folder / f"{patients}.json")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        said = json.loads(run.stdout.split("RESULT ")[1])
        if said["failed"] and patients != AT_THE_LIMITS:
            raise SystemExit(f"{said['failed']} requests failed")
        return {
            "p50_ms": said["p50"] / 1e3,
            "p99_ms": said["p99"] / 1e3,
            "requests_per_second": said["requests"] / said["duration"] * 1e6,
        }


def in_turns(load: Load, services: dict[str, Process], rounds: int, connections: int, patients: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in services}
    for _ in range(rounds):
        for name, process in services.items():
            found[name].append(load.put_on(process, connections, patients))
    return {
        name: {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
        for name, runs in found.items()
    }


def health_ms(load: Load, service: Process) -> list[float]:
    """What GET /health took, asked every 10 ms, while 10,000-row batches run on four connections."""
    times = []
    with ThreadPoolExecutor(1) as pool:
        batches = pool.submit(load.put_on, service, 4, LARGE_BATCH)
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        while not batches.done():
            started = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            times.append((time.perf_counter() - started) * 1e3)
            time.sleep(0.01)
        batches.result()
    return times


def beside_explanations(load: Load, service: Process) -> dict[str, float]:
    """What POST /predict of one patient takes, while the largest requests for explanations run on two connections."""
    with ThreadPoolExecutor(1) as pool:
        explanations = pool.submit(load.put_on, service, 2, MOST_EXPLAINED, "/explain")
        found = load.put_on(service, 1, 1)
        explanations.result()
    return found


def model_ms(load: Load, rounds: int) -> tuple[float, float]:
    """p50 of a request with a batch, and what the model takes of it, in a service that takes its time; in ms."""
    times = load.folder / "times.json"
    with running("benchmarks/twins.py", "timed", MODEL_TIMES=str(times)) as timed:
        load.put_on(timed, 1, BATCH)  # warm up
        request = in_turns(load, {"timed": timed}, rounds, 1, BATCH)["timed"]["p50_ms"]
    called = msgspec.json.decode(times.read_bytes(), type=list[tuple[int, float]])
    return request, statistics.median(seconds for rows, seconds in called if rows == BATCH) * 1e3


def model_alone_ms() -> float:
    """What ONNX Runtime takes for a batch in a loop of nothing else, the median of 100."""
    classifier = load_classifier(MODEL_DIR)
    matrix = input_matrix(
        encode_rows(map(msgspec.structs.astuple, patients_of(body(BATCH)))), classifier.manifest.profile
    )
    times = []
    for _ in range(100):
        started = time.perf_counter()
        classifier.probabilities(matrix)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A checkout of `revision` with its model, from DVC's cache, and the environment of its service."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "checkout"
        cache = subprocess.check_output(["dvc", "cache", "dir"], cwd=ROOT, text=True).strip()
        subprocess.run(["git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, root], check=True)
        for command in (
            ["git", "checkout", "--quiet", "--detach", revision],
            ["dvc", "cache", "dir", "--local", cache],
            ["dvc", "checkout", "--quiet", "--allow-missing"],
            ["uv", "venv", "--quiet", "--python", sys.executable, "service/.venv"],
            ["uv", "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode",
             "--python", "service/.venv", "service/requirements.lock"],
        ):  # fmt: skip
            subprocess.run(command, cwd=root, check=True)
        if not (root / "models/classifier.onnx").exists():
            raise SystemExit(f"the model of {revision} is not in DVC's cache: run `dvc repro` in a checkout of it")
        yield root


def measure(rounds: int, seconds: int, baseline: Path | None) -> tuple[dict[str, Any], list[list[Any]]]:
    cold = []
    for _ in range(rounds):
        with running() as service:
            cold.append(service.cold_start_s)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        load = Load(Path(folder), seconds)
        service = stack.enter_context(running())
        services = {"service": service, "echo": stack.enter_context(running("benchmarks/twins.py", "echo"))}
        idle = service.memory_mb()
        if baseline:
            services["baseline"] = stack.enter_context(running(root=baseline, model_dir=baseline / "models"))
        in_turns(load, services, 1, 1, 1)  # warm up
        single_1 = in_turns(load, services, rounds, 1, 1)
        single_16 = in_turns(load, services, rounds, 16, 1)
        batch_1 = in_turns(load, services, rounds, 1, BATCH)
        batch_16 = in_turns(load, services, rounds, 16, BATCH)
        large = in_turns(load, {"service": service}, rounds, 4, LARGE_BATCH)
        health = [ms for _ in range(rounds) for ms in health_ms(load, service)]
        after = service.memory_mb()
        explained = statistics.median(load.put_on(service, 1, 1, "/explain")["p50_ms"] for _ in range(rounds))
        beside = [beside_explanations(load, service) for _ in range(rounds)]
        timed, model = model_ms(load, rounds)
        with running(WORKERS="2") as two_workers:
            load.put_on(two_workers, 16, 1)  # warm up
            scaled = in_turns(load, {"one": service, "two": two_workers}, rounds, 16, 1)
        # New processes: one that has answered large batches is slower by that alone.
        with running() as new, running(DRIFT_WINDOW="0") as unwatched:
            pair = {"watched": new, "unwatched": unwatched}
            in_turns(load, pair, 1, 16, 1)  # warm up
            # A share of some hundredths is less than a second differs from the next: more of them.
            watched_1 = in_turns(load, pair, 2 * rounds, 16, 1)
            watched_batch = in_turns(load, pair, rounds, 16, BATCH)
        with running() as alone, running(SHADOW_MODEL_DIR=str(MODEL_DIR)) as shadowing:
            pair = {"alone": alone, "shadowing": shadowing}
            challenger_mb = shadowing.memory_mb() - alone.memory_mb()
            in_turns(load, pair, 1, 16, 1)  # warm up
            shadowed = in_turns(load, pair, 2 * rounds, 16, 1)
            with urllib.request.urlopen(f"{shadowing.url}/model-info") as answer:
                challenger = json.load(answer)["challenger"]
        with running() as limits:
            load.put_on(limits, 24, AT_THE_LIMITS)
            most = limits.memory_mb(most=True)
    found = {
        "single": {
            "p50_ms": single_1["service"]["p50_ms"],
            "p50_ratio": single_1["service"]["p50_ms"] / single_1["echo"]["p50_ms"],
            "requests_per_second": single_16["service"]["requests_per_second"],
            "throughput_ratio": _ratio(single_16, "service", "echo"),
        },
        "batch": {
            "patients_per_second": batch_16["service"]["requests_per_second"] * BATCH,
            "patients_per_second_1_connection": batch_1["service"]["requests_per_second"] * BATCH,
            "p50_ms": timed,
            "model_ms": model,
            "rest_model_ratio": (timed - model) / model,
            "model_alone_ms": model_alone_ms(),
        },
        "health_p99_ms_beside_batches": statistics.quantiles(health, n=100)[98],
        "explanation": {
            "p50_ms": explained,
            "prediction_p50_ms_beside": statistics.median(one["p50_ms"] for one in beside),
            "prediction_p99_ms_beside": statistics.median(one["p99_ms"] for one in beside),
        },
        "two_workers_throughput_ratio": _ratio(scaled, "two", "one"),
        "drift_monitor_throughput_ratio": {
            "single": _ratio(watched_1, "watched", "unwatched"),
            "batch": _ratio(watched_batch, "watched", "unwatched"),
        },
        "challenger": {
            "throughput_ratio": _ratio(shadowed, "shadowing", "alone"),
            "shown": challenger["rows"] / (challenger["rows"] + challenger["waiting"] + challenger["dropped"]),
        },
        "cold_start_s": statistics.median(cold),
        "rss_mb": {"idle": idle, "after_batches": after, "most_at_the_limits": most, "challenger": challenger_mb},
    }
    if baseline:
        found["baseline"] = {
            "single_p50_ratio": single_1["service"]["p50_ms"] / single_1["baseline"]["p50_ms"],
            "single_throughput_ratio": _ratio(single_16, "service", "baseline"),
            "batch_p50_ratio": batch_1["service"]["p50_ms"] / batch_1["baseline"]["p50_ms"],
            "batch_throughput_ratio": _ratio(batch_16, "service", "baseline"),
        }
    loads = [(1, 1, single_1), (16, 1, single_16), (1, BATCH, batch_1), (16, BATCH, batch_16), (4, LARGE_BATCH, large)]
    table = [
        [name, connections, patients, *figures.values()]
        for connections, patients, measured in loads
        for name, figures in measured.items()
    ]
    return found, table


def _ratio(measured: dict[str, Any], one: str, other: str) -> float:
    return measured[one]["requests_per_second"] / measured[other]["requests_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the service beside a twin that answers a constant.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--rounds", type=int, default=5, help="of each figure the median of so many (default: 5)")
    parser.add_argument("--seconds", type=int, default=2, help="how long each load lasts (default: 2)")
    parser.add_argument(
        "--baseline", metavar="REVISION", help="a service of another revision, measured in the same turns"
    )
    arguments = parser.parse_args()
    subprocess.run(["make", "--silent", "service/.venv/ready"], cwd=ROOT, check=True)
    if not shutil.which("wrk"):
        raise SystemExit("wrk is needed: apt-get install wrk")
    with checkout(arguments.baseline) if arguments.baseline else contextlib.nullcontext() as baseline:
        found, table = measure(arguments.rounds, arguments.seconds, baseline)
    headers = ["", "connections", "patients", "p50 ms", "p99 ms", "requests/s"]
    print(tabulate(table, headers, tablefmt="github", floatfmt=".2f"))
    print()
    single, batch = found["single"], found["batch"]
    summary = [
        ["one patient, p50, service / echo", single["p50_ratio"]],
        ["one patient, requests a second, 16 connections, service / echo", single["throughput_ratio"]],
        ["1,000 patients, patients a second, 16 connections", batch["patients_per_second"]],
        ["1,000 patients, one request, ms", batch["p50_ms"]],
        ["... of which the model, ms", batch["model_ms"]],
        ["... the rest (JSON, HTTP, the matrix) / the model", batch["rest_model_ratio"]],
        ["... the model in a loop of nothing else, ms", batch["model_alone_ms"]],
        ["GET /health while batches of 10,000 run, p99, ms", found["health_p99_ms_beside_batches"]],
        ["POST /explain of one patient, p50, ms", found["explanation"]["p50_ms"]],
        [
            "one patient, p50, ms, while 100 are explained on 2 connections",
            found["explanation"]["prediction_p50_ms_beside"],
        ],
        ["... p99, ms", found["explanation"]["prediction_p99_ms_beside"]],
        ["one patient, requests a second, two workers / one", found["two_workers_throughput_ratio"]],
        ["one patient, requests a second, drift watched / not", found["drift_monitor_throughput_ratio"]["single"]],
        ["1,000 patients, the same", found["drift_monitor_throughput_ratio"]["batch"]],
        ["one patient, requests a second, with a challenger / without", found["challenger"]["throughput_ratio"]],
        ["... the share of the rows that it has answered", found["challenger"]["shown"]],
        ["start to first ready answer, s", found["cold_start_s"]],
        ["memory, idle, MB", found["rss_mb"]["idle"]],
        ["memory, after large batches, MB", found["rss_mb"]["after_batches"]],
        ["memory, the most while 24 clients send 10 MB each, MB", found["rss_mb"]["most_at_the_limits"]],
        ["memory, what a challenger adds, MB", found["rss_mb"]["challenger"]],
    ]
    if arguments.baseline:
        ratios = found["baseline"]
        summary += [
            ["one patient, p50, service / baseline", ratios["single_p50_ratio"]],
            ["one patient, requests a second, 16 connections, service / baseline", ratios["single_throughput_ratio"]],
            ["1,000 patients, p50, service / baseline", ratios["batch_p50_ratio"]],
            ["1,000 patients a second, 16 connections, service / baseline", ratios["batch_throughput_ratio"]],
        ]
    print(tabulate(summary, ["", "measured"], tablefmt="github", floatfmt=".2f"))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
