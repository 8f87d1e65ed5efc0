"""Clients of the service, for Locust: nine in ten requests are about one patient. `make load-test` runs it.

By hand, with Locust's page: `deploy/.venv/bin/locust -f benchmarks/locustfile.py --host http://localhost:8000`.
"""

from __future__ import annotations

import json
import random
import time
import urllib.request
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from benchmarks.bodies import BATCH, INVALID, ONE, SHARES, Body, body, fault, options
from locust import FastHttpUser, events, stats, task
from locust.env import Environment

REFUSED = "refused"
_SEED = 0
_BODIES_OF_A_KIND = 200
_PERCENTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}

# Locust counts whole milliseconds, and one patient takes less than one.
stats.bucket_response_time = lambda milliseconds: float(f"{milliseconds:.3g}")


class Client(FastHttpUser):
    """Sends requests of the mix and checks what comes back."""

    bodies: dict[str, list[Body]]
    levels: frozenset[str]

    @task(SHARES[ONE])
    def ask_for_one(self) -> None:
        self._ask(ONE)

    @task(SHARES[BATCH])
    def ask_for_a_batch(self) -> None:
        self._ask(BATCH)

    @task(SHARES[INVALID])
    def ask_wrongly(self) -> None:
        self._ask(INVALID)

    def on_start(self) -> None:
        self._due = time.perf_counter()

    def wait_time(self) -> float:
        """Clients do not wait for one another: they ask at random times, all together `--rate` times a second.

        The times do not depend on how long answers take, so that a slow service is not asked less.
        """
        rate = self.environment.parsed_options.rate
        if not rate:
            return 0
        self._due += random.expovariate(rate / self.environment.runner.target_user_count)
        return max(0, self._due - time.perf_counter())

    def _ask(self, kind: str) -> None:
        sent = random.choice(self.bodies[kind])
        with self.client.post(
            "/predict", data=sent.content, headers={"Content-Type": "application/json"}, name=kind, catch_response=True
        ) as response:
            if response.status_code == 503 and self.environment.parsed_options.refusals:
                response.request_meta["name"] = REFUSED
                wrong = None if "retry-after" in response.headers else "503 without Retry-After"
            else:
                wrong = fault(sent, response.status_code, response.content, self.levels)
            if wrong is None:
                response.success()
            elif response.status_code:
                response.failure(wrong)
            # without a status it is Locust that knows what happened to the connection


@events.init_command_line_parser.add_listener
def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rate", type=float, default=0, help="requests a second of all users together (default: as many as they can)"
    )
    parser.add_argument(
        "--refusals", action="store_true", help="503 with Retry-After is no failure; refused requests are a line apart"
    )
    parser.add_argument("--percentiles", metavar="FILE", help="write figures and percentiles to FILE as JSON")


@events.init.add_listener
def _make_bodies(environment: Environment, **_: Any) -> None:
    """Before the load, because making a batch takes longer than answering it."""
    try:
        with urllib.request.urlopen(f"{environment.host}/schema/openapi.json", timeout=30) as answer:
            openapi = json.load(answer)
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: no contract at {environment.host}/schema/openapi.json: {error}") from None
    rng = random.Random(_SEED)
    questions = options(openapi)
    Client.bodies = {kind: [body(rng, questions, kind) for _ in range(_BODIES_OF_A_KIND)] for kind in SHARES}
    Client.levels = frozenset(openapi["components"]["schemas"]["Level"]["enum"])
    random.seed(_SEED)  # by which Locust chooses the tasks


@events.test_start.add_listener
def _start_the_clock(environment: Environment, **_: Any) -> None:
    environment.began = time.perf_counter(), time.process_time()


@events.test_stop.add_listener
def _write_percentiles(environment: Environment, **_: Any) -> None:
    if not environment.parsed_options.percentiles:
        return
    began, cpu_began = environment.began
    entries = sorted(environment.stats.entries.values(), key=lambda entry: -entry.num_requests)
    seconds = time.perf_counter() - began
    found = {
        "seconds": round(seconds, 1),
        "users": environment.parsed_options.num_users,
        # near 1 it is Locust that was measured, not the service
        "locust_cores": round((time.process_time() - cpu_began) / seconds, 3),
        "total": _figures(environment.stats.total),
        "requests": {entry.name: _figures(entry) for entry in entries},
        "failures": {error.to_name(): error.occurrences for error in environment.stats.errors.values()},
    }
    Path(environment.parsed_options.percentiles).write_text(json.dumps(found, indent=2) + "\n")


def _figures(entry: stats.StatsEntry) -> dict[str, float]:
    percentiles = {name: entry.get_response_time_percentile(share) for name, share in _PERCENTILES.items()}
    return {
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "requests_per_second": round(entry.total_rps, 1),
        **percentiles,
        "max_ms": stats.bucket_response_time(entry.max_response_time),
    }
