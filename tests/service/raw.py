"""Requests that no client library would send, and their answers, byte by byte."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.serving import PATIENT, Service
from tests.waiting import eventually

# It must not come back, nor be logged.
MARK = "sekret-4711"
BODY = json.dumps({"patients": [PATIENT]}).encode()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def get(target: str | bytes, *headers: str | bytes, host: str = f"Host: {MARK}", version: str = "HTTP/1.1") -> bytes:
    return lines(b"GET " + encoded(target) + f" {version}".encode(), host, *headers)


def post(body: bytes, *headers: str | bytes) -> bytes:
    return lines("POST /predict HTTP/1.1", f"Host: {MARK}", "Content-Type: application/json", *headers) + body


def lines(*those: str | bytes) -> bytes:
    return b"\r\n".join(map(encoded, those)) + b"\r\n\r\n"


def encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@contextmanager
def unfinished(service: Service, number: int, start: bytes) -> Iterator[list[socket.socket]]:
    """So many connections, each with the beginning of a request."""
    with ExitStack() as stack:
        connections = [stack.enter_context(service.connect()) for _ in range(number)]
        for connection in connections:
            connection.sendall(start)
        yield connections


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(1 << 16):
            received += chunk
    except (ConnectionResetError, ssl.SSLEOFError):  # what we still sent came after it had closed
        pass
    return received


def answers(connection: socket.socket, number: int) -> list[tuple[int, bytes, bytes]]:
    """So many answers: status, headers, content."""
    found = []
    with connection.makefile("rb") as stream:
        while len(found) < number:
            status = int(stream.readline().split()[1])
            headers = b"".join(iter(stream.readline, b"\r\n")).lower()
            lengths = [line.split(b":")[1] for line in headers.splitlines() if line.startswith(b"content-length")]
            found.append((status, headers, stream.read(int(lengths[0]) if lengths else 0)))
    return found


def wait_for_requests_in_flight(service: Service, number: int) -> None:
    in_flight = f"http_requests_in_flight {number + 1}.0"  # and the one that asks
    eventually(lambda: in_flight in service.client.get("/metrics").text, in_flight)
