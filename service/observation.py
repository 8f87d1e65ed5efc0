"""What can be seen of the service from outside: a line and an id for every request, and the metrics of Prometheus.

Around the application rather than within it, so that what no route answers (404, 405) is seen too; what is not HTTP at
all is refused by the connection, and counted. Of a request only what is named here is logged: never its path, its query
or its body, which may be about a person.
"""

from __future__ import annotations

import collections
import logging
import os
import re
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.registry import Collector

from obesity_levels.schema import LEVELS
from service.problems import REQUEST_ID
from service.together import ARRIVALS

logger = logging.getLogger("service.requests")

PREDICTED = "obesity_levels.predicted"
"""Key of an ASGI scope: the levels that were answered, one for each patient. They are counted after the answer."""

UNMATCHED = "unmatched"
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# From a health check to 10,000 patients, in seconds.
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

REQUESTS = Counter("http_requests", "Requests answered", ["method", "route", "status"])
LATENCY = Histogram(
    "http_request_duration_seconds",
    "From the end of the headers to the end of the answer",
    ["route", "status"],
    buckets=_BUCKETS,
)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests being answered", multiprocess_mode="livesum")
REFUSED = Counter("http_refused", "Connections cut off for what was sent, or not, or for their number", ["status"])
PREDICTIONS = Counter("obesity_predictions", "Patients predicted, by level", ["level"])
MODEL = Gauge("obesity_model_info", "The model that answers", ["version"], multiprocess_mode="livemax")

_predicted = {level: PREDICTIONS.labels(level) for level in LEVELS}


def _count_predictions(levels: Sequence[str]) -> None:
    if len(levels) == 1:
        _predicted[levels[0]].inc()
        return
    for level, count in collections.Counter(levels).items():
        _predicted[level].inc(count)


def registry_of(collector: Collector) -> CollectorRegistry:
    """A registry of one collector alone."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def exposition(*others: CollectorRegistry) -> tuple[bytes, str]:
    """The metrics of all workers together, and those of `others`, as Prometheus reads them, and their media type."""
    registry = REGISTRY
    if MULTIPROCESS_DIR in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    # Litestar adds the charset.
    content = b"".join(map(generate_latest, (registry, *others)))
    return content, CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")


def shared_folder() -> Path | None:
    """The folder in which several workers add up what they count; None with one worker."""
    return Path(os.environ[MULTIPROCESS_DIR]) if MULTIPROCESS_DIR in os.environ else None


def forget_dead_workers() -> None:
    """Take the gauges of workers that are no more out of the sums."""
    if MULTIPROCESS_DIR not in os.environ:
        return
    for path in Path(os.environ[MULTIPROCESS_DIR]).glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid)


class Lifecycle:
    """Whether the service takes its leave."""

    draining = False


class Observed:
    """An ASGI application whose requests are counted, timed, logged and given an id."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self.app = app
        self.lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:  # the start and the end of the application
            await self.app(scope, receive, send)
            return
        ARRIVALS.expected -= 1
        request_id = _request_id(scope["headers"])
        status = 499  # as nginx calls a request that was given up before its answer

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id)]
                if self.lifecycle.draining:
                    # Or a client that keeps its connection would send its next request to one that is closed.
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        scope[REQUEST_ID] = request_id.decode()  # type: ignore[literal-required]
        IN_FLIGHT.inc()
        started = time.perf_counter()
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            IN_FLIGHT.dec()
            route = scope.get("path_template") or UNMATCHED
            method = scope["method"] if scope["method"] in _METHODS else "other"
            levels: Any = scope.get(PREDICTED, ())
            _count_predictions(levels)
            REQUESTS.labels(method, route, status).inc()
            LATENCY.labels(route, status).observe(seconds)
            if logger.isEnabledFor(logging.INFO):
                said: dict[str, Any] = {
                    "request_id": request_id.decode(),
                    "method": method,
                    "route": route,
                    "status": status,
                    "duration_ms": round(seconds * 1000, 3),
                    "rows": len(levels),
                }
                logger.info("request", extra=said)


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The one that came with the request, if it is one, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex.encode()
