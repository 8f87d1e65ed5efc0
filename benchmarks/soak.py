"""Does the service last, and what does it do over capacity: `python benchmarks/soak.py [--minutes 10] [--json FILE]`.

One worker. Locust finds what it answers in a second of the mix in benchmarks/locustfile.py, then holds 70 % of that
while the memory of the process is watched. Then wrk keeps four times as many requests waiting as the service answers at
a time, each sent as soon as the one before it on its connection is answered or refused: a load that nothing slows down,
made by a process that leaves the service its core. Meanwhile Locust asks as some clients among all the others do, and
tells how long they waited. Ends with 1 where a condition does not hold. Needs a model (`make repro`) and wrk (`apt-get
install wrk`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.bodies import ONE, SHARES, body, options
from benchmarks.load import locust, table
from benchmarks.processes import ROOT, Process, running
from tabulate import tabulate

LOAD = 0.7
CAPACITY_SECONDS, CAPACITY_USERS = 20, 32
SOAK_USERS = 100
# Four times MAX_IN_FLIGHT's default.
CONNECTIONS = 2048
OVERLOAD_SECONDS = 30
CLIENTS, CLIENTS_RATE = 20, 100
SAMPLE_SECONDS = 5
PROBES = 200
MOST_MEMORY, MOST_RECOVERY_SECONDS, MOST_OF_A_CORE = 1.05, 5.0, 0.9

# One body a line; what comes back is counted by its status.
WRK_SCRIPT = r"""
function setup(thread) counted = thread end
function init()
  requests, at, answered, invalid, refused, other = {}, 0, 0, 0, 0, 0
  for line in io.lines(os.getenv("BODIES")) do
    table.insert(requests, wrk.format("POST", "/predict", {["Content-Type"] = "application/json"}, line))
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function response(status, headers)
  if status == 200 then answered = answered + 1
  elseif status == 400 or status == 422 then invalid = invalid + 1
  elseif status == 503 and headers["retry-after"] then refused = refused + 1
  else other = other + 1 end
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\nRESULT {"seconds": %f, "answered": %d, "invalid": %d, "refused": %d, "other": %d}\n',
    summary.duration / 1e6, counted:get("answered"), counted:get("invalid"), counted:get("refused"),
    counted:get("other") + e.connect + e.read + e.write + e.timeout))
end
"""


def load(service: Process, seconds: float, users: int, rate: float = 0) -> tuple[dict[str, Any], list[float]]:
    """What Locust reports, and the service's memory in MB every few seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        process = locust(service.url, report, users=users, spawn_rate=users, rate=rate, run_time=f"{round(seconds)}s")
        memory = [service.memory_mb() for _ in while_runs(process, every=SAMPLE_SECONDS)]
        if not report.exists():
            raise SystemExit("Locust ended without a report: it says above why")
        return json.loads(report.read_text()), memory


def while_runs(process: subprocess.Popen[bytes], every: float) -> Iterator[None]:
    while process.poll() is None:
        yield
        with suppress(subprocess.TimeoutExpired):
            process.wait(every)


def overload(service: Process, seconds: float) -> dict[str, Any]:
    """What happens while far more is asked than can be answered, and how soon afterwards all is as before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = mixed_bodies(service)
        (folder / "bodies").write_bytes(b"\n".join(content for _, content in bodies))
        (folder / "post.lua").write_text(WRK_SCRIPT)
        one = next(content for kind, content in bodies if kind == ONE)
        normal_ms = statistics.quantiles([answered_in_ms(service, one) for _ in range(PROBES)], n=100)[98]

        crowd = subprocess.Popen(
            ["wrk", "-t1", f"-c{CONNECTIONS}", "-d1h", "--timeout", "30s", "-s", folder / "post.lua", service.url],
            env=os.environ | {"BODIES": str(folder / "bodies")}, stdout=subprocess.PIPE,
        )  # fmt: skip
        report = folder / "report.json"
        clients = locust(
            service.url, report, "--refusals", users=CLIENTS, rate=CLIENTS_RATE, run_time=f"{round(seconds)}s"
        )
        memory, statuses = [], set()
        none: dict[str, Any] = {"requests": {}, "failures": {"Locust did not even get the contract": 1}}
        for _ in while_runs(clients, every=1):
            memory.append(service.memory_mb())
            statuses |= {f"{path} {status_of(service, path)}" for path in ("/health", "/metrics")}
        crowd.send_signal(signal.SIGINT)  # at which wrk says what it saw
        said, _ = crowd.communicate()
        recovery_s = seconds_until_normal(service, one, normal_ms)
        return {
            "connections": CONNECTIONS,
            "crowd": json.loads(said.split(b"RESULT ")[1]),
            "clients": json.loads(report.read_text()) if report.exists() else none,
            "beside": sorted(statuses),
            "rss_mb": {"highest": max(memory), "after": service.memory_mb()},
            "one_patient_p99_ms_before": normal_ms,
            "recovery_s": recovery_s,
        }


def mixed_bodies(service: Process) -> list[tuple[str, bytes]]:
    """A thousand bodies in the shares of the mix, in random order, each with its kind."""
    rng = random.Random(0)
    with urllib.request.urlopen(f"{service.url}/schema/openapi.json") as answer:
        questions = options(json.load(answer))
    kinds = [kind for kind, share in SHARES.items() for _ in range(10 * share)]
    rng.shuffle(kinds)
    return [(kind, body(rng, questions, kind).content) for kind in kinds]


def answered_in_ms(service: Process, content: bytes) -> float:
    """How long a request took, its connection included; without end if it was not answered."""
    request = urllib.request.Request(f"{service.url}/predict", content, {"Content-Type": "application/json"})
    sent = time.perf_counter()
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except OSError:  # refused with 503 too
        return math.inf
    return (time.perf_counter() - sent) * 1e3


def status_of(service: Process, path: str) -> int | str:
    try:
        with urllib.request.urlopen(f"{service.url}{path}", timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return type(error).__name__


def seconds_until_normal(service: Process, content: bytes, normal_ms: float) -> float:
    """Until the first of five requests in a row that took no longer than before; after a minute it is given up."""
    began = time.perf_counter()
    in_a_row: list[float] = []
    while len(in_a_row) < 5:
        sent = time.perf_counter() - began
        if sent > 60:
            return math.inf
        in_a_row = [*in_a_row, sent] if answered_in_ms(service, content) <= normal_ms else []
    return in_a_row[0]


def measure(minutes: float, warm_up: float) -> dict[str, Any]:
    with running() as service:
        capacity, _ = load(service, CAPACITY_SECONDS, CAPACITY_USERS)
        rate = LOAD * capacity["total"]["requests_per_second"]
        load(service, warm_up * 60, SOAK_USERS, rate)
        warm = service.memory_mb()
        soak, memory = load(service, minutes * 60, SOAK_USERS, rate)
        end = service.memory_mb()
        over = overload(service, OVERLOAD_SECONDS)
        alive = service.process.poll() is None
    crowd = over["crowd"]
    return {
        "capacity": capacity,
        "soak": soak | {"rate": rate, "rss_mb": {"warm": warm, "end": end, "ratio": end / warm, "samples": memory}},
        "overload": over,
        "holds": {
            "the capacity is the service's, not Locust's": capacity["locust_cores"] < MOST_OF_A_CORE,
            "no request failed in the soak": not capacity["failures"] and not soak["failures"],
            "the rate was held": soak["total"]["requests_per_second"] >= 0.95 * rate,
            f"memory at the end <= {MOST_MEMORY} x after the warm-up": end / warm <= MOST_MEMORY,
            "over capacity: excess refused, with Retry-After": crowd["refused"] > 0,
            "over capacity: no other error": not crowd["other"] and not over["clients"]["failures"],
            "over capacity: /health and /metrics answered": over["beside"] == ["/health 200", "/metrics 200"],
            "over capacity: the process lives": alive,
            f"as fast as before within {MOST_RECOVERY_SECONDS:g} s": over["recovery_s"] <= MOST_RECOVERY_SECONDS,
        },
    }


def summary(found: dict[str, Any]) -> str:
    capacity, soak, over = found["capacity"], found["soak"], found["overload"]
    memory, crowd = soak["rss_mb"], over["crowd"]
    lines: list[list[Any]] = [
        [f"capacity: requests/s, {CAPACITY_USERS} clients that do not wait", capacity["total"]["requests_per_second"]],
        ["... Locust's own share of a core meanwhile", capacity["locust_cores"]],
        ["soak: minutes", soak["seconds"] / 60],
        ["... requests", soak["total"]["requests"]],
        ["... of them failed", soak["total"]["failures"]],
        ["... requests/s", soak["total"]["requests_per_second"]],
        ["... memory after the warm-up, MB", memory["warm"]],
        ["... memory at the end, MB", memory["end"]],
        ["... memory at the end / after the warm-up", memory["ratio"]],
        [f"over capacity, {over['connections']} connections: answered/s", crowd["answered"] / crowd["seconds"]],
        ["... refused with 503 and Retry-After, /s", crowd["refused"] / crowd["seconds"]],
        ["... other errors", crowd["other"]],
        ["... highest memory, MB", over["rss_mb"]["highest"]],
        ["one patient before, p99, ms", over["one_patient_p99_ms_before"]],
        ["seconds after it until that is so again", over["recovery_s"]],
    ]
    return tabulate(lines, ["", "measured"], tablefmt="github", floatfmt=".2f")


def main() -> None:
    parser = argparse.ArgumentParser(description="Soak the service, then load it over its capacity.")
    parser.add_argument("--minutes", type=float, default=10, help="how long the soak lasts (default: 10)")
    parser.add_argument("--warm-up", type=float, default=1, metavar="MINUTES", help="before it (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    subprocess.run(["make", "--silent", "service/.venv/ready", "deploy/.venv/ready"], cwd=ROOT, check=True)
    if not shutil.which("wrk"):
        raise SystemExit("wrk is needed: apt-get install wrk")
    # a connection is an open file, of wrk and of the service
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = measure(arguments.minutes, arguments.warm_up)
    print("The soak:\n")
    print(table(found["soak"]))
    print("\nOver capacity, as some clients among all see it:\n")
    print(table(found["overload"]["clients"]), "\n")
    print(summary(found), "\n")
    for condition, holds in found["holds"].items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {condition}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(not all(found["holds"].values()))


if __name__ == "__main__":
    main()
