"""The one middleware: an id for every request, a line in the log, metrics, and HEAD wherever GET is.

It is around the application, so it sees also what no route answers (404, 405). Of a request only what is named here is
logged: never its path, its query or its body, which may be about a person.
"""

import functools
import logging
import random
import re
import time
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Gauge, Histogram

from service.logs import RequestLog
from service.problems import REQUEST_ID

ROWS = "obesity_levels.rows"
"""Key of an ASGI scope: the number of patients that were answered."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_SERVER = (b"server", b"obesity-levels")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# From a health check to 10,000 patients, in seconds.
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

REQUESTS = Counter("http_requests", "Requests answered", ["method", "route", "status"])
LATENCY = Histogram("http_request_duration_seconds", "Time to answer", ["route", "status"], buckets=_BUCKETS)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests being answered", multiprocess_mode="livesum")

# To find them by their labels costs 4 % of the requests a second.
_requests, _latency = functools.cache(REQUESTS.labels), functools.cache(LATENCY.labels)


class Middleware:
    """An ASGI application whose requests are counted, timed, logged and given an id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._log = RequestLog() if logging.getLogger().isEnabledFor(logging.INFO) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:  # the start and the end of the application
            await self.app(scope, receive, send)
            if self._log is not None:
                self._log.write()
            return
        request_id = _request_id(scope["headers"])
        method: str = scope["method"]
        head = method == "HEAD"
        status = 499  # nginx's status for a request that gets no answer, because its client has gone

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id), _SERVER]
            elif message["type"] == "http.response.body" and head:
                message["body"] = b""
            await send(message)

        if head:
            scope["method"] = "GET"
        scope[REQUEST_ID] = request_id.decode()  # type: ignore[literal-required]
        IN_FLIGHT.inc()
        started = time.perf_counter()
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            IN_FLIGHT.dec()
            route = scope.get("path_template") or "unmatched"
            method = method if method in _METHODS else "other"
            _requests(method, route, status).inc()
            _latency(route, status).observe(seconds)
            if self._log is not None:
                self._log.add(
                    request_id=request_id.decode(),
                    method=method,
                    route=route,
                    status=status,
                    duration_ms=round(seconds * 1000, 3),
                    rows=scope.get(ROWS, 0),
                )


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The valid id that came with the request, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return b"%032x" % random.getrandbits(128)
