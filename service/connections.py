"""What a client may do with a connection before its request reaches the application, and after it was answered.

uvicorn waits for ever for headers that do not end and for a client that does not take its answer, and takes headers of
any size. Here each has a limit. Whoever breaks one, or does not speak HTTP/1.1, gets a problem document and is cut off.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.observation import REFUSED
from service.problems import MEDIA_TYPE, Problem, problem_document
from service.together import ARRIVALS

logger = logging.getLogger(__name__)

# Of the request line and the headers together, in bytes: as much as Node.js takes.
LARGEST_HEAD = 16_384
# Requests that one connection may send before they are answered.
_MOST_UNANSWERED = 100
# In bytes: so that a thousand patients come in one turn of the event loop; asyncio's own is 262,144.
_LARGEST_READ = 320_000
# Files that are not connections: what the process opens itself.
_OTHER_FILES = 64
_SECONDS_BETWEEN_LOOKS = 0.5


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with limits.

    The headers of a request have to be there `header_seconds` after the connection is made or the request before is
    answered, and an answer has to be taken within `answer_seconds`.
    """

    def __init__(self, *args: Any, header_seconds: float, answer_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._header_seconds = header_seconds
        self._answer_seconds = answer_seconds
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = sys.maxsize if files == resource.RLIM_INFINITY else files - _OTHER_FILES
        self._headers_by: float | None = None  # a time of the loop; None while it is the application's turn
        self._taken_by: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None
        # Of the message that is being received. The rest of a read in which the last one ended is not counted.
        self._received = self._body = 0
        self._in_head = False
        self._replaying = False
        self._refused = False

    # Time

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = _LARGEST_READ  # type: ignore[attr-defined]
        self._headers_by = self.loop.time() + self._header_seconds
        self._look()
        if len(self.connections) > self._most:
            self._refuse(Problem(503, "too many connections: try again", headers={"retry-after": "1"}))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._give_up()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        if not self.pipeline:
            self._headers_by = self.loop.time() + self._header_seconds
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._taken_by = self.loop.time() + self._answer_seconds
        super().pause_writing()

    def resume_writing(self) -> None:
        self._taken_by = None
        if self.transport.is_closing():
            self._give_up()
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        ARRIVALS.add(self)
        super()._start_asgi_task(cycle, app)

    def _give_up(self) -> None:
        """uvicorn tells this to the last request only, and the one that is answered would write, with a traceback."""
        if self._answering is not None:
            self._answering.disconnected = True

    def _look(self) -> None:
        now = self.loop.time()
        if self._taken_by is not None and now >= self._taken_by:
            self.transport.abort()
            return
        if self.transport.is_closing():  # it waits for the client to take the rest
            self._taken_by = self._taken_by or now + self._answer_seconds
        elif self._headers_by is not None and now >= self._headers_by:
            self._refuse(Problem(408, f"the headers did not come within {self._header_seconds:g} s"))
        self._timer = self.loop.call_later(_SECONDS_BETWEEN_LOOKS, self._look)

    # Size and form

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data and not self._refused:
            self._received += len(data)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._ignore_upgrade()
                continue
            except httptools.HttpParserError as error:
                problem = error.__context__
                self._refuse(problem if isinstance(problem, Problem) else Problem(400, "this is not HTTP/1.1"))
            # Headers that do not end, trailers, the sizes of chunks: a body may have as much again around it.
            if self._received > LARGEST_HEAD + 2 * self._body:
                self._refuse(_too_large())
            return

    def on_message_begin(self) -> None:
        if self._replaying:
            return
        self._received = self._body = 0
        self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._replaying:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # not the trailers of a body, nor what is replayed
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._replaying:
            return
        self._check_head()
        super().on_headers_complete()
        self._in_head = False
        self._headers_by = None

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        # uvicorn's is a bytearray, which takes a copy and gives one. Bytes that are added to none are not copied; but
        # what is added to them copies all, so what comes in parts goes into a bytearray.
        if not self.cycle.body:
            self.cycle.body = b""  # type: ignore[assignment]
        elif isinstance(self.cycle.body, bytes):
            self.cycle.body = bytearray(self.cycle.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        # httptools says so of a request to upgrade before it has looked at its body
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _check_head(self) -> None:
        """What RFC 9112 has a server refuse, and the parser lets pass."""
        size = len(self.url)
        hosts = 0
        for name, value in self.headers:
            size += len(name) + len(value) + len(b": \r\n")
            hosts += name == b"host"
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                # RFC 9112 would have 501; but what only a client does must not look like a failure of the service
                raise Problem(400, "send the body chunked, or with a Content-Length, and in no other coding")
        if size > LARGEST_HEAD:
            raise _too_large()
        if hosts != 1 and not (hosts == 0 and self.parser.get_http_version() == "1.0"):
            raise Problem(400, "send one header Host")
        if len(self.pipeline) >= _MOST_UNANSWERED:
            raise Problem(429, "wait for answers before more requests are sent")

    def _ignore_upgrade(self) -> None:
        """Go on in HTTP/1.1, as a server may that does not want to upgrade (Java's client asks for HTTP/2 every time).

        The parser does not, so another one is told of the same request, and gets its body.
        """
        framing = [
            name + b": " + value for name, value in self.headers if name in (b"content-length", b"transfer-encoding")
        ]
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *framing, b"", b""]))
        self._replaying = False

    def _refuse(self, problem: Problem) -> None:
        """Close, with an answer if the client waits for one to what it is sending; what it sent before is answered."""
        self._headers_by = None
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        REFUSED.labels(problem.status).inc()
        logger.info("refused", extra={"status": problem.status, "reason": problem.detail})
        answered = self.cycle is None or self.cycle.response_complete
        if self.pipeline or not (answered or self.cycle.more_body):
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self._in_head or problem.status == 503 or not (answered or self.cycle.response_started):
            self._answer(problem)
        self.transport.close()

    def _answer(self, problem: Problem) -> None:
        content = msgspec.json.encode(problem_document(problem.status, problem.detail))
        headers = [
            *((name.decode(), value.decode()) for name, value in self.server_state.default_headers),
            *problem.headers.items(),
            ("content-type", MEDIA_TYPE),
            ("content-length", str(len(content))),
            ("connection", "close"),
        ]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
        self.transport.write(STATUS_LINE[problem.status] + lines + b"\r\n" + content)


def _too_large() -> Problem:
    return Problem(431, f"the request line and the headers are larger than {LARGEST_HEAD} bytes together")
