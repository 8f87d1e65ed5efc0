"""Hostile clients, byte by byte: each is refused or served as said here, and nobody else notices.

What they send bears a mark. It must not come back, nor be logged.
"""

import gzip
import json
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.ingress import ingress, needs_nginx
from tests.serving import JSON, PATIENT, running
from tests.waiting import eventually

LARGEST_HEAD = 16_384
MARK = "sekret-4711"
BODY = json.dumps({"patients": [PATIENT]}).encode()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def service(model_dir, tmp_path_factory):
    timeouts = {"HEADER_SECONDS": "1", "BODY_SECONDS": "1"}
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", **timeouts) as service:
        yield service


@pytest.fixture(scope="module")
def behind_nginx(service, tmp_path_factory):
    with ingress(tmp_path_factory.mktemp("ingress") / "nginx", [service.port, service.port]) as nginx:
        yield nginx


def get(target: str | bytes, *headers: str | bytes, host: str = f"Host: {MARK}", version: str = "HTTP/1.1") -> bytes:
    return lines(b"GET " + encoded(target) + f" {version}".encode(), host, *headers)


def post(body: bytes, *headers: str | bytes, version: str = "HTTP/1.1") -> bytes:
    return lines(f"POST /predict {version}", f"Host: {MARK}", "Content-Type: application/json", *headers) + body


def lines(*those: str | bytes) -> bytes:
    return b"\r\n".join(map(encoded, those)) + b"\r\n\r\n"


def encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


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
            length = next(
                (int(line.split(b":")[1]) for line in headers.splitlines() if line.startswith(b"content-length")), 0
            )
            found.append((status, headers, stream.read(length)))
    return found


_looked_at = 0  # so much of the log, so that each test answers for its own part


def assert_all_is_well(service) -> None:
    """A good request on a fresh connection is answered, and the log tells neither of an error nor what was sent."""
    global _looked_at
    with service.connect() as connection:
        connection.sendall(post(BODY, LENGTH))
        assert answers(connection, 1)[0][0] == 200
    log, _looked_at = service.log.read_bytes()[_looked_at:].decode(), service.log.stat().st_size
    lines = [json.loads(line) for line in log.splitlines(keepends=True) if line.endswith("\n") and line[0] == "{"]
    assert [line for line in lines if line["level"] == "ERROR"] == []
    assert [line for line in lines if line["message"] == "request" and line["status"] >= 500] == []
    assert "Traceback" not in log
    assert MARK not in log


def open_files(service) -> int:
    """Of the worker, which is the one child of Granian."""
    parent = service.process.pid
    worker = Path(f"/proc/{parent}/task/{parent}/children").read_text().strip()
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def assert_lets_go(service, files: int, seconds: float) -> None:
    eventually(
        lambda: open_files(service) <= files,
        lambda: f"{files} open files, as there were before; there are {open_files(service)}",
        seconds,
    )


# What two servers could read differently: one behind the other would answer a request that the first has never seen.
SMUGGLING = {
    "a length and chunks": post(CHUNKS, LENGTH, CHUNKED),
    "chunks and a length": post(CHUNKS, CHUNKED, "Content-Length: 3"),
    "two lengths": post(BODY, LENGTH, "Content-Length: 0"),
    "the same length twice": post(BODY, LENGTH, LENGTH),
    "a list of lengths": post(BODY, f"{LENGTH}, {len(BODY)}"),
    "a signed length": post(BODY, f"Content-Length: +{len(BODY)}"),
    "a hexadecimal length": post(BODY, f"Content-Length: {len(BODY):#x}"),
    "a length with a space in it": post(BODY, f"{LENGTH} 0"),
    "a length in Arabic digits": post(BODY, "Content-Length: ٣"),
    "a length of 2^64": post(BODY, f"Content-Length: {2**64}"),
    "an empty length": post(BODY, "Content-Length:"),
    "no length": post(BODY),
    "a space before the colon of the length": post(BODY, f"Content-Length : {len(BODY)}"),
    "a space before the colon of the coding": post(CHUNKS, "Transfer-Encoding : chunked"),
    "xchunked": post(CHUNKS, "Transfer-Encoding: xchunked"),
    "quoted chunked": post(CHUNKS, 'Transfer-Encoding: "chunked"'),
    "chunked after a vertical tab": post(CHUNKS, b"Transfer-Encoding: \x0bchunked"),
    "chunked, then gzip": post(CHUNKS, "Transfer-Encoding: chunked, gzip"),
    "gzip, then chunked": post(CHUNKS, "Transfer-Encoding: gzip, chunked"),
    "chunked twice": post(CHUNKS, CHUNKED, CHUNKED),
    "chunked and identity": post(CHUNKS, CHUNKED, "Transfer-Encoding: identity"),
    "identity": post(BODY, "Transfer-Encoding: identity", LENGTH),
    "a folded header": post(BODY, "X-A: b\r\n c", LENGTH),
    "a folded coding": post(CHUNKS, "Transfer-Encoding:\r\n chunked"),
    "a folded first header": lines("GET /health HTTP/1.1", f" Host: {MARK}"),
    "bare line feeds": post(BODY, LENGTH).replace(b"\r\n", b"\n"),
    "one bare line feed": post(BODY, f"X-A: b\n{LENGTH}"),
    "a bare line feed at the end": post(b"", LENGTH)[:-2] + b"\n" + BODY,
    "a bare carriage return": post(BODY, f"X-A: b\r{LENGTH}"),
    "a bare line feed after a chunk's size": post(CHUNKS.replace(b"\r\n", b"\n", 1), CHUNKED),
    "a bare line feed after a chunk": post(b"%x\r\n%s\n0\r\n\r\n" % (len(BODY), BODY), CHUNKED),
    "a line feed in a chunk's extension": post(b"%x;\n\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), CHUNKED),
    "a quote that a chunk's extension does not close": post(b'1;a="\r\n{\r\n0\r\n\r\n', CHUNKED),
    "a negative chunk": post(b"-1\r\n" + BODY, CHUNKED),
    "a chunk of 0x": post(b"0x" + CHUNKS, CHUNKED),
    "a chunk's size after a space": post(b" " + CHUNKS, CHUNKED),
    "a chunk without size": post(b"\r\n" + BODY, CHUNKED),
    "a chunk of 2^64 and 1": post(b"10000000000000001\r\n" + BODY, CHUNKED),
    "a chunk that is longer than it says": post(b"1\r\n" + BODY + b"\r\n0\r\n\r\n", CHUNKED),
    "a length among the trailers": post(CHUNKS[:-2] + b"Content-Length: 3\r\n\r\n", CHUNKED),
}

MALFORMED = {
    "two hosts": get("/health", "Host: b"),
    "no host": lines("GET /health HTTP/1.1"),
    "NUL in a header": get("/health", b"X-A: a\0b"),
    "NUL in a header's name": get("/health", b"X\0A: a"),
    "NUL in the target": get(b"/health\0"),
    "a control character in the target": get(b"/hea\x01lth"),
    "a byte in the target that is not ASCII": get(b"/\xff"),
    "a space in the target": get("/health /docs"),
    "a header without a colon": get("/health", MARK),
    "a header without a name": get("/health", f": {MARK}"),
    "a carriage return in the request's id": get("/health", b"X-Request-ID: a\rSet-Cookie: sekret-4711"),
    "a line feed in the request's id": get("/health", b"X-Request-ID: a\nSet-Cookie: sekret-4711"),
    "HTTP/1.2": get("/health", version="HTTP/1.2"),
    "HTTP/11.1": get("/health", version="HTTP/11.1"),
    "http in small letters": get("/health", version="http/1.1"),
    "a method in small letters": get("/health").replace(b"GET", b"get"),
    "a space before the request": b" " + get("/health"),
    "CONNECT": lines(f"CONNECT {MARK}:443 HTTP/1.1", f"Host: {MARK}"),
    "an authority for a target": get(f"{MARK}:80"),
    "a host for a target": get(f"http://{MARK}"),
    "a file for a target": get("file:///etc/passwd"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    "the hello of TLS": bytes.fromhex("16030100c8010000c40303") + MARK.encode() * 20,
    "the protocol of PROXY": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get("/health"),
}

TOO_LARGE = {
    "a header of 140 kB": get("/health", f"X-A: {MARK * 12_800}"),
    "a header of 1 MB": get("/health", f"X-A: {MARK * 100_000}"),
    "a header's name of 70 kB": get("/health", f"{'a' * 70_000}: b"),
    "4,000 headers": get("/health", *["a: b"] * 4000),
}

# Of these Granian takes what harms nobody who stands alone: a proxy in front has to be as strict as nginx is
# (SECURITY.md). Of a length and chunks it takes the chunks, as RFC 9112 says.
TAKEN = {
    **dict.fromkeys(
        ["a length and chunks", "chunks and a length", "the same length twice", "gzip, then chunked", "chunked twice"],
        200,
    ),
    **dict.fromkeys(["bare line feeds", "one bare line feed", "a bare line feed at the end"], 200),
    **dict.fromkeys(["a length among the trailers", "a line feed in the request's id"], 200),
    **dict.fromkeys(["two hosts", "no host", "an authority for a target", "a host for a target"], 200),
    **dict.fromkeys(["a method in small letters", "CONNECT"], 405),
    "the preface of HTTP/2": None,  # cut off without an answer
}

REFUSED = [
    *((TAKEN.get(name, 400), name, sent) for name, sent in (SMUGGLING | MALFORMED).items()),
    *((431, name, sent) for name, sent in TOO_LARGE.items()),
    (414, "a target of 70 kB", get(f"/{MARK * 6400}")),
    (414, "a query of 70 kB", get(f"/health?{MARK * 6400}")),
    (200, "a length with 4,400 zeros", post(BODY, f"Content-Length: {'0' * 4400}{len(BODY)}")),
    (413, "a length of 2^63", post(BODY, f"Content-Length: {2**63}")),
    (413, "a length of 100 GB that waits to be asked for", post(b"", f"{LENGTH}999999999", "Expect: 100-continue")),
    (None, "headers that do not end", b"GET /health HTTP/1.1\r\nHost: x\r\n"),
    (400, "a request of HTTP/0.9", b"GET /health\r\n"),
    (408, "a chunk of 2^64 - 1 bytes that do not come", post(b"ffffffffffffffff\r\n" + BODY, CHUNKED)),
]  # fmt: skip


@pytest.mark.parametrize(("status", "sent"), [row[::2] for row in REFUSED], ids=[row[1] for row in REFUSED])
def test_a_hostile_request_is_refused_or_harmless_and_the_next_good_one_is_answered(service, status, sent):
    with service.connect() as connection:
        connection.sendall(sent)
        received = until_closed(connection)
    first = re.match(rb"HTTP/1.1 (\d+) ", received)
    assert (int(first[1]) if first else None) == status
    assert MARK.encode() not in received
    assert_all_is_well(service)


BOMB = gzip.compress(b" " * 20_000_000)

# Odd, but nothing in it can harm: each is answered, and the next request on the connection too.
ANSWERED = [
    (200, "an extension of a chunk", post(b"%x;a=b\r\n%s\r\n0;c\r\n\r\n" % (len(BODY), BODY), CHUNKED)),
    (200, "a trailer", post(CHUNKS[:-2] + b"X-Request-ID: sekret-4711\r\n\r\n", CHUNKED)),
    (200, "chunked in any case", post(CHUNKS, "transfer-ENCODING: cHuNkEd")),
    (200, "blanks after a length", post(BODY, f"{LENGTH} \t")),
    (200, "a body for GET", get("/health", LENGTH) + BODY),
    (200, "line ends before the request", b"\r\n" * 100 + get("/health")),
    (200, "an absolute target", get(f"http://{MARK}/health")),
    (200, "an absolute target with a password", get(f"http://a:{MARK}@b/health")),
    (200, "a fragment", get(f"/health#{MARK}")),
    (200, "a header of 12 kB", get("/health", f"X-A: {MARK * 1100}")),
    (200, "90 headers", get("/health", *["a: b"] * 90)),
    (200, "a line end in the request's id, encoded", get("/health", f"X-Request-ID: a%0d%0aSet-Cookie:{MARK}")),
    (200, "headers of a proxy", get("/", f"X-Forwarded-Host: {MARK}", f"Forwarded: host={MARK}")),
    (200, "a host that is none of ours, for the pages", get("/docs")),
    (200, "a host that is none of ours, for the contract", get("/schema/openapi.json")),
    (400, "a script for a host", get("/docs", host=f'Host: {MARK}"><script>')),
    (404, "a line end in the target, encoded", get(f"/health%0d%0aSet-Cookie:{MARK}")),
    (404, "an asterisk", lines("OPTIONS * HTTP/1.1", "Host: x")),
    (405, "TRACE", lines("TRACE / HTTP/1.1", "Host: x", f"Cookie: {MARK}")),
    (405, "another method in a header", get("/predict", "X-HTTP-Method-Override: POST")),
    (415, "20 MB in 20 kB of gzip", post(BOMB, f"Content-Length: {len(BOMB)}", "Content-Encoding: gzip")),
    (200, "a websocket", get("/health", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")),
    (200, "an upgrade to HTTP/2", post(BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", LENGTH)),
    (200, "an upgrade to HTTP/2, in chunks", post(CHUNKS, "Connection: Upgrade", "Upgrade: h2c", CHUNKED)),
]  # fmt: skip


@pytest.mark.parametrize(("status", "sent"), [row[::2] for row in ANSWERED], ids=[row[1] for row in ANSWERED])
def test_is_answered_and_so_is_the_next_request_on_the_connection(service, status, sent):
    with service.connect() as connection:
        connection.sendall(sent + get("/health/live"))
        (first, headers, content), (second, *_) = answers(connection, 2)
    assert (first, second) == (status, 200)
    assert b"set-cookie" not in headers
    assert MARK.encode() not in headers + content
    assert_all_is_well(service)


PATHS = [
    "/assets/../app.py",
    "/assets/..",
    "/assets/.",
    "/assets/",
    "/assets",
    "/assets/%2e%2e%2fapp.py",
    "/assets/%2e%2e/%2e%2e/etc/passwd",
    "/assets/%252e%252e%252fetc%252fpasswd",
    "/assets/%c0%ae%c0%ae%c0%afetc%c0%afpasswd",
    "/assets/..\\..\\app.py",
    "/assets/..%5c..%5capp.py",
    "/assets//etc/passwd",
    "/assets/%2fetc%2fpasswd",
    "/assets/swagger-ui.css%00.js",
    "/assets/swagger-ui.css%20",
    "/assets/swagger-ui.css;x",
    "/assets/SWAGGER-UI.CSS",
    f"/assets/{'a' * 9000}",
    "/%2e%2e/models/classifier.onnx",
    "/models/classifier.onnx",
    "/.git/config",
    "//sekret-4711/health",
    "/health/../predict",
    "/%",
    "/%zz",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file_that_is_not_an_asset(service, path):
    with service.connect() as connection:
        connection.sendall(get(path))
        ((status, _, content),) = answers(connection, 1)
    assert status == 404
    assert MARK.encode() not in content
    assert_all_is_well(service)


@needs_nginx
@pytest.mark.parametrize(
    "sent",
    [*(row[2] for row in (*REFUSED, *ANSWERED)), *map(get, PATHS)],
    ids=[*(row[1] for row in (*REFUSED, *ANSWERED)), *(path[:40] for path in PATHS)],
)
def test_behind_the_ingress_too(service, behind_nginx, sent):
    """Each of the above is answered or cut off, also with a token, as a hostile client with an account has one."""
    token = f"\r\nAuthorization: Bearer {behind_nginx.tokens[0]}\r\nConnection: close\r\n".encode()
    with behind_nginx.connect() as connection:
        with suppress(ssl.SSLEOFError):  # nginx may close before it has all
            connection.sendall(re.sub(rb"\r?\n", token, sent, count=1))
        received = until_closed(connection)
    assert not re.match(rb"HTTP/1.1 50[0234] ", received)  # of nginx are 501 and 505
    assert MARK.encode() not in received
    with behind_nginx.client() as client:
        assert client.post("/predict", content=BODY, headers=JSON).status_code == 200
    assert_all_is_well(service)


@pytest.mark.parametrize("path", ["/metrics/", "//metrics", "/%6detrics", "/metrics;/../metrics"])
def test_a_route_has_other_spellings_so_an_ingress_has_to_say_what_it_lets_through(service, path):
    """SECURITY.md: an ingress that forbids /metrics, and no more, lets some of these through."""
    with service.connect() as connection:
        connection.sendall(get(path))
        ((status, *_),) = answers(connection, 1)
    assert status == (404 if ";" in path else 200)


def test_what_is_sent_after_a_request_and_is_none_does_not_change_its_answer(service):
    with service.connect() as connection:
        connection.sendall(post(BODY, LENGTH) + b"\0\x01sekret-4711\r\n\r\n")
        received = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 200 ") == 1
    assert_all_is_well(service)


def test_a_body_is_asked_for_only_where_it_will_be_read(service):
    with service.connect() as connection:
        connection.sendall(post(b"", LENGTH, "Expect: 100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert answers(connection, 1)[0][0] == 200
    with service.connect() as connection:
        connection.sendall(lines("POST /predict HTTP/1.1", "Host: x", LENGTH, "Expect: 100-continue"))
        assert answers(connection, 1)[0][0] == 415


@pytest.mark.parametrize(
    "start",
    [get("/health")[:-2] + b"X-A: ", post(b"0\r\nX-A: ", CHUNKED), post(b"1;", CHUNKED)],
    ids=["headers", "trailers", "a chunk's size"],
)
def test_what_never_ends_is_cut_off_while_it_is_small(service, start):
    sent = 0
    with service.connect() as connection:
        connection.sendall(start)
        with suppress(OSError):  # reset, or a broken pipe
            while sent < 100 * LARGEST_HEAD:
                sent += connection.send(b"a" * LARGEST_HEAD)
                time.sleep(0.001)
    assert sent < 100 * LARGEST_HEAD
    assert_all_is_well(service)


@contextmanager
def many(service, number: int, start: bytes):
    with ExitStack() as stack:
        connections = [stack.enter_context(service.connect()) for _ in range(number)]
        for connection in connections:
            connection.sendall(start)
        yield connections


SLOW = {
    "nothing": (b"", 0),
    "half a request line": (b"GET /hea", 0),
    "half a header": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ", 0),
    "line ends": (b"\r\n", 0),
    "the body of a request that is answered": (lines("GET /health HTTP/1.1", "Host: x", "Content-Length: 999999"), 200),
    "nothing after an answer": (lines("GET /health HTTP/1.1", "Host: x"), 200),
}


@pytest.mark.parametrize(("start", "status"), SLOW.values(), ids=SLOW)
def test_clients_that_hold_connections_lose_them_in_time_however_they_drip(service, start, status):
    files = open_files(service)
    dripping = not start.endswith(b"\r\n\r\n") or b"Content-Length" in start
    with many(service, 100, start) as connections:
        until = time.monotonic() + 1.6  # HEADER_SECONDS, and a little
        while dripping and start and time.monotonic() < until:
            for connection in connections:
                with suppress(OSError):  # it is closed
                    connection.send(b"\n" if start == b"\r\n" else b"a")
            time.sleep(0.3)
        assert_all_is_well(service)
        assert_lets_go(service, files, 3)
        received = until_closed(connections[0])
    # a client that is reset within what it sends may not see the answer
    assert received == b"" or received.startswith(f"HTTP/1.1 {status} ".encode())


@contextmanager
def deaf_client(service):
    """It asks for 7 MB, and reads nothing."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(get("/assets/swagger-ui-bundle.js") * 5)
        yield connection


def test_a_client_that_goes_away_before_it_has_taken_its_answers_is_no_error_of_the_service(service):
    with deaf_client(service):
        time.sleep(0.3)
    time.sleep(0.2)
    assert_all_is_well(service)


def test_a_client_that_does_not_read_its_answers_does_not_keep_the_service_from_ending(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log") as service, deaf_client(service):
        time.sleep(0.3)
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < 10


def test_five_hundred_connections_at_once_are_all_answered(service):
    files = open_files(service)
    with many(service, 500, post(BODY, LENGTH)) as connections, ThreadPoolExecutor(4) as pool:
        eventually(lambda: open_files(service) >= files + 500, "500 open connections")
        assert set(pool.map(lambda connection: answers(connection, 1)[0][0], connections)) == {200}
    assert_lets_go(service, files, 5)


def test_an_answer_names_neither_the_server_software_nor_what_was_in_the_body(service):
    response = service.post(json.dumps({"patients": [PATIENT | {"MTRANS": MARK}]}).encode(), JSON)
    assert response.status_code == 422
    assert response.headers["server"] == "obesity-levels"
    assert MARK not in response.text
    assert_all_is_well(service)
