"""Requests that no client library would send, byte by byte."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from tests.serving import JSON, PATIENT, running

BODY = json.dumps({"patients": [PATIENT]}).encode()


def head(length: int | None = None, *more: str) -> bytes:
    lines = ["POST /predict HTTP/1.1", "Host: localhost", "Content-Type: application/json", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answer_of(connection) -> bytes:
    """All that comes until the service closes, or one whole answer with a length."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
        start, _, rest = received.partition(b"\r\n\r\n")
        length = [
            int(line.split(b":")[1]) for line in start.split(b"\r\n") if line.lower().startswith(b"content-length")
        ]
        if length and len(rest) >= length[0]:
            break
    return received


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(service):
    with service.connect() as connection:
        connection.sendall(head(10_000_001))
        answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 10000000 bytes" in answer
    assert b"connection: close" in answer


def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(service):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with service.connect() as connection:
        connection.sendall(head(None, "Transfer-Encoding: chunked"))
        try:
            for _ in range(400):
                connection.sendall(chunk)
        except OSError:  # it closed on us: what it said before may be lost on the way
            answer = b""
        else:
            answer = answer_of(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert service.client.get("/health").status_code == 200


def test_the_largest_body_that_is_allowed_is_read(service):
    padded = BODY + b" " * (10_000_000 - len(BODY))
    assert service.post(padded).status_code == 200
    assert service.post(padded + b" ").status_code == 413


@pytest.mark.parametrize("length", [len(BODY), 5_000_000], ids=["small", "large"])
def test_a_body_that_does_not_come_is_given_up(service, length):
    with service.connect() as connection:
        connection.sendall(head(length) + BODY[:10])
        answer = answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 1.5 s" in answer


@pytest.mark.parametrize("announced", [len(BODY), 9_000_000], ids=["small", "large"])
@pytest.mark.parametrize("patients", [1, 2000])
def test_slow_bodies_hold_up_nobody_else(model_dir, tmp_path, announced, patients):
    """They would be given up after 60 s; the others are answered before any of them is."""
    with running(model_dir, tmp_path / "log", BODY_SECONDS="60") as service, ExitStack() as stack:
        slow = [stack.enter_context(service.connect()) for _ in range(10)]
        for connection in slow:
            connection.sendall(head(announced) + BODY[:10])
        assert service.predict(*[PATIENT] * patients).status_code == 200
        for connection in slow:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
            connection.close()


def test_a_small_body_of_unknown_length_is_answered(service):
    with service.connect() as connection:
        connection.sendall(head(None, "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        assert answer_of(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_comes_byte_by_byte_is_answered(service):
    with service.connect() as connection:
        connection.sendall(head(len(BODY)))
        for at in range(0, len(BODY), 20):
            connection.sendall(BODY[at : at + 20])
            time.sleep(0.001)
        assert answer_of(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_longer_than_said_is_cut_there(service):
    with service.connect() as connection:
        connection.sendall(head(len(BODY) - 5) + BODY)
        assert answer_of(connection).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_goes_away_within_its_body_is_no_error_of_the_service(service):
    with service.connect() as connection:
        connection.sendall(head(len(BODY), "X-Request-ID: gone-away") + BODY[:10])
    assert service.line_of("gone-away")["status"] == 400


def test_requests_sent_without_waiting_are_answered_in_their_order(service):
    other = json.dumps({"patients": [PATIENT | {"Age": 200}]}).encode()
    with service.connect() as connection:
        connection.sendall((head(len(BODY)) + BODY + head(len(other)) + other) * 10)
        received = b""
        while received.count(b"HTTP/1.1 ") < 20 or not received.endswith(b"}"):
            received += connection.recv(65536)
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"200", b"422"] * 10


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\xff\x16\x03\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: \r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"BREW /predict HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1/health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: \xff\r\n\r\n",
        b"GET /health?a=%zz&a[]=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_nonsense_is_never_an_error_of_the_service(service, nonsense):
    with service.connect() as connection:
        connection.sendall(nonsense)
        connection.settimeout(3)
        try:
            answer = answer_of(connection)
        except TimeoutError:
            answer = b""
    assert b"HTTP/1.1 5" not in answer
    assert service.client.get("/health").status_code == 200


def test_small_requests_are_answered_while_large_batches_are(model_dir, tmp_path):
    batch = json.dumps({"patients": [PATIENT] * 10_000}).encode()
    with running(model_dir, tmp_path / "log") as service:
        done = threading.Event()

        def keep_busy() -> set[int]:
            statuses = set()
            with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=60) as client:
                while not done.is_set():
                    statuses.add(client.post("/predict", content=batch, headers=JSON).status_code)
            return statuses

        with ThreadPoolExecutor(4) as pool:
            batches = [pool.submit(keep_busy) for _ in range(4)]
            small = [service.predict(PATIENT).status_code for _ in range(100)]
            healthy = [service.client.get("/health").status_code for _ in range(100)]
            running_still = not any(future.done() for future in batches)
            done.set()
            statuses = set.union(*(future.result() for future in batches))
        assert running_still
        assert statuses == {200}
        assert small == healthy == [200] * 100


def test_many_large_requests_at_once_are_all_answered(service):
    batch = json.dumps({"patients": [PATIENT] * 500}).encode()

    def send(_: int) -> int:
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=60) as client:
            return client.post("/predict", content=batch, headers=JSON).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(send, range(64))) == {200}
