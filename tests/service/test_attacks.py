"""Hostile clients, byte by byte: each is refused or served as said here, and nobody else notices.

What they send bears a mark. It must not come back, nor be logged.
"""

import gzip
import re
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from service.settings import Settings

from tests.ingress import CONFIGURATION, ingress, needs_nginx
from tests.service.raw import BODY, CHUNKED, CHUNKS, LENGTH, MARK, answers, get, lines, post, unfinished, until_closed
from tests.serving import JSON, running
from tests.waiting import eventually


@pytest.fixture(scope="module")
def service(model_dir, tmp_path_factory):
    timeouts = {"HEADER_SECONDS": "1", "BODY_SECONDS": "1"}
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", **timeouts) as service:
        yield service


HEADERS = f"client_header_timeout {Settings().header_seconds:g}s;"


def test_nginx_waits_for_headers_as_long_as_the_service():
    assert HEADERS in CONFIGURATION


@pytest.fixture(scope="module")
def behind_nginx(service, tmp_path_factory):
    """The project's own, but for how long it waits: for headers as long as the service here."""
    quick = CONFIGURATION.replace(HEADERS, "client_header_timeout 1s; lingering_timeout 1s;")
    folder = tmp_path_factory.mktemp("ingress") / "nginx"
    with ingress(folder, [service.port, service.port], configuration=quick) as nginx, nginx.client() as client:
        yield nginx, client


_looked_at = 0  # so much of the log, so that each test answers for its own part


def assert_all_is_well(service) -> None:
    """A good request on a fresh connection is answered, and the log tells neither of an error nor what was sent."""
    global _looked_at
    with service.connect() as connection:
        connection.sendall(post(BODY, LENGTH))
        assert answers(connection, 1)[0][0] == 200
    log, _looked_at = service.log.read_bytes()[_looked_at:].decode(), service.log.stat().st_size
    assert not re.search(rf'"level":"ERROR"|"status":5|Traceback|{MARK}', log)


def open_files(service) -> int:
    """Of the worker, which is the one child of Granian."""
    parent = service.process.pid
    worker = Path(f"/proc/{parent}/task/{parent}/children").read_text().strip()
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


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
    "a negative length": post(BODY, "Content-Length: -5"),
    "a length of letters": post(BODY, "Content-Length: abc"),
    "a length that is too small": post(BODY, f"Content-Length: {len(BODY) - 5}"),
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
    "a chunk of letters": post(b"zz\r\n" + BODY, CHUNKED),
    "a chunk of 2^64 and 1": post(b"10000000000000001\r\n" + BODY, CHUNKED),
    "a chunk that is longer than it says": post(b"1\r\n" + BODY + b"\r\n0\r\n\r\n", CHUNKED),
    "a length among the trailers": post(CHUNKS[:-2] + b"Content-Length: 3\r\n\r\n", CHUNKED),
}

MALFORMED = {
    "two hosts": get("/health", "Host: b"),
    "no host": lines("GET /health HTTP/1.1"),
    "bytes that are no request": b"\x00\xff\x16\x03\x01\r\n\r\n",
    "a method alone": b"GET\r\n\r\n",
    "an empty host": get("/health", host="Host: "),
    "a host with a space": get("/health", host="Host: a b"),
    "half an address of IPv6 for a host": get("http://[::1/health"),
    "bytes in the query that are not UTF-8": get(b"/health?a=%zz&a[]=\xff"),
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
    **dict.fromkeys(["a length and chunks", "chunks and a length", "the same length twice", "chunked twice"], 200),
    **dict.fromkeys(["gzip, then chunked", "a length among the trailers", "a line feed in the request's id"], 200),
    **dict.fromkeys(["bare line feeds", "one bare line feed", "a bare line feed at the end"], 200),
    **dict.fromkeys(["two hosts", "no host", "an empty host", "an authority for a target", "a host for a target"], 200),
    **dict.fromkeys(["a method in small letters", "CONNECT"], 405),
    "the preface of HTTP/2": None,  # cut off without an answer
}

REFUSED = [
    *((TAKEN.get(name, 400), name, sent) for name, sent in (SMUGGLING | MALFORMED).items()),
    *((431, name, sent) for name, sent in TOO_LARGE.items()),
    (414, "a target of 70 kB", get(f"/{MARK * 6400}")),
    (414, "a query of 70 kB", get(f"/health?{MARK * 6400}")),
    (200, "a length with 4,400 zeros", post(BODY, f"Content-Length: {'0' * 4400}{len(BODY)}")),
    (200, "nonsense after a request", post(BODY, LENGTH) + b"\0\x01sekret-4711\r\n\r\n"),
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
    assert received.count(b"HTTP/1.1 200 ") <= 1
    assert MARK.encode() not in received
    assert_all_is_well(service)


# None leads to a file that is not an asset.
PATHS = [
    "/assets/../app.py", "/assets/..", "/assets/.", "/assets/", "/assets", "/assets/%2e%2e%2fapp.py",
    "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/%252e%252e%252fetc%252fpasswd",
    "/assets/%c0%ae%c0%ae%c0%afetc%c0%afpasswd", "/assets/..\\..\\app.py", "/assets/..%5c..%5capp.py",
    "/assets//etc/passwd", "/assets/%2fetc%2fpasswd", "/assets/swagger-ui.css%00.js", "/assets/swagger-ui.css%20",
    "/assets/swagger-ui.css;x", "/assets/SWAGGER-UI.CSS", f"/assets/{'a' * 9000}", "/%2e%2e/models/classifier.onnx",
    "/models/classifier.onnx", "/.git/config", "//sekret-4711/health", "/health/../predict", "/%", "/%zz", "/%ff%fe",
]  # fmt: skip

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
    (200, "a request's id that is not ASCII", get("/health", b"X-Request-ID: \xff")),
    (200, "headers of a proxy", get("/", f"X-Forwarded-Host: {MARK}", f"Forwarded: host={MARK}")),
    (200, "a host that is none of ours, for the pages", get("/docs")),
    (200, "a host that is none of ours, for the contract", get("/schema/openapi.json")),
    (400, "a script for a host", get("/docs", host=f'Host: {MARK}"><script>')),
    (404, "a line end in the target, encoded", get(f"/health%0d%0aSet-Cookie:{MARK}")),
    (404, "an asterisk", lines("OPTIONS * HTTP/1.1", "Host: x")),
    (405, "TRACE", lines("TRACE / HTTP/1.1", "Host: x", f"Cookie: {MARK}")),
    (405, "a method that is none", lines("BREW /predict HTTP/1.1", "Host: x")),
    (405, "another method in a header", get("/predict", "X-HTTP-Method-Override: POST")),
    (415, "20 MB in 20 kB of gzip", post(BOMB, f"Content-Length: {len(BOMB)}", "Content-Encoding: gzip")),
    (200, "a websocket", get("/health", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")),
    (200, "an upgrade to HTTP/2", post(BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", LENGTH)),
    (200, "an upgrade to HTTP/2, in chunks", post(CHUNKS, "Connection: Upgrade", "Upgrade: h2c", CHUNKED)),
    # SECURITY.md: an ingress that forbids /metrics, and no more, lets these through.
    *((200, path, get(path)) for path in ("/metrics/", "//metrics", "/%6detrics")),
    *((404, path[:40], get(path)) for path in (*PATHS, "/metrics;/../metrics")),
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


EVERYTHING = {name: sent for _, name, sent in (*REFUSED, *ANSWERED)}


@needs_nginx
@pytest.mark.parametrize("sent", EVERYTHING.values(), ids=EVERYTHING)
def test_behind_the_ingress_too(service, behind_nginx, sent):
    """Each of the above is answered or cut off, also with a token, as a hostile client with an account has one."""
    nginx, client = behind_nginx
    token = f"\r\nAuthorization: Bearer {nginx.tokens[0]}\r\nConnection: close\r\n".encode()
    with nginx.connect() as connection:
        with suppress(ssl.SSLEOFError):  # nginx may close before it has all
            connection.sendall(re.sub(rb"\r?\n", token, sent, count=1))
        received = until_closed(connection)
    assert not re.match(rb"HTTP/1.1 50[0234] ", received)  # of nginx are 501 and 505
    assert MARK.encode() not in received
    assert client.post("/predict", content=BODY, headers=JSON).status_code == 200
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


ENDLESS = {
    "headers": get("/health")[:-2] + b"X-A: ",
    "trailers": post(b"0\r\nX-A: ", CHUNKED),
    "a chunk's size": post(b"1;", CHUNKED),
}


@pytest.mark.parametrize("start", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_cut_off(service, start):
    """What fits into the buffers of both sockets can be sent before that is seen."""
    most = 20_000_000
    sent = 0
    with service.connect() as connection:
        connection.sendall(start)
        with suppress(OSError):  # reset, or a broken pipe
            while sent < most:
                sent += connection.send(b"a" * 16_384)
    assert sent < most
    assert_all_is_well(service)


# What is sent at first, what is then sent again and again, and what may be answered.
SLOW = {
    "nothing": (b"", b"", b""),
    "half a request line": (b"GET /hea", b"a", b""),
    "half a header": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ", b"a", b""),
    "line ends": (b"\r\n", b"\n", b""),
    "a body": (lines("GET /health HTTP/1.1", "Host: x", "Content-Length: 999999"), b"a", b"HTTP/1.1 200 "),
    "nothing after an answer": (lines("GET /health HTTP/1.1", "Host: x"), b"", b"HTTP/1.1 200 "),
}


@pytest.mark.parametrize(("start", "drip", "answer"), SLOW.values(), ids=SLOW)
def test_clients_that_hold_connections_lose_them_however_they_drip(service, start, drip, answer):
    files = open_files(service)
    with unfinished(service, 100, start) as connections:
        assert_all_is_well(service)

        def has_let_go() -> bool:
            for connection in connections:
                with suppress(OSError):  # it is closed
                    connection.send(drip)
            return open_files(service) <= files

        eventually(has_let_go, f"no more than {files} open files")
        received = until_closed(connections[0])
    # a client that is reset within what it sends may not see the answer
    assert received == b"" or received.startswith(answer or b"nothing")


def test_a_client_that_goes_away_before_it_has_taken_its_answers_is_no_error_of_the_service(service):
    files = open_files(service)
    with service.connect() as connection:
        connection.sendall(get("/assets/swagger-ui-bundle.js") * 50)  # more than the buffers of both sockets hold
        assert connection.recv(1)
    eventually(lambda: open_files(service) <= files, f"no more than {files} open files")
    assert_all_is_well(service)
