"""Over capacity: what is too much is refused, and the rest is answered. Nothing here waits for BODY_SECONDS."""

from contextlib import contextmanager, suppress

import pytest

from tests.service.conftest import samples
from tests.service.raw import BODY, CHUNKED, LENGTH, post, unfinished, until_closed, wait_for_requests_in_flight
from tests.serving import PATIENT, running
from tests.waiting import eventually

MOST = 500
LARGE = BODY.ljust(50_000)


@pytest.fixture(scope="module")
def service(model_dir, tmp_path_factory):
    limits = {"MAX_IN_FLIGHT": str(MOST), "MAX_BODY_BYTES": str(len(LARGE)), "BODY_SECONDS": "600"}
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", **limits) as service:
        yield service


@contextmanager
def in_flight(service, number, start):
    """Connections with the beginning of a request, all of them being answered."""
    with unfinished(service, number, start) as connections:
        wait_for_requests_in_flight(service, number)
        yield connections
    wait_for_requests_in_flight(service, 0)


def refusals(service) -> float:
    return samples(service).get(("http_requests_total", "POST", "/predict", "503"), 0)


def test_five_hundred_requests_at_once_are_answered_and_what_is_more_is_refused_and_counted(service):
    before = refusals(service)
    with in_flight(service, MOST, post(BODY[:-1], LENGTH)) as connections:
        for refused in [service.predict(PATIENT) for _ in range(20)]:
            assert refused.status_code == refused.json()["status"] == 503
            assert refused.headers["retry-after"] == "1"
        assert service.client.get("/health").status_code == 200  # which is never refused, nor are the metrics
        eventually(lambda: refusals(service) == before + 20, "20 refusals in the metrics")
        for connection in connections:
            connection.sendall(BODY[-1:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert [service.predict(PATIENT).status_code for _ in range(20)] == [200] * 20


def test_of_large_bodies_only_some_are_in_memory_at_a_time(service):
    """Ten times MAX_BODY_BYTES: ten of twenty bodies are refused, whichever go on when there is no more room."""
    before = refusals(service)
    with in_flight(service, 20, post(b"1\r\n \r\n", CHUNKED, "Connection: close")) as connections:
        for connection in connections:
            with suppress(OSError):  # it was refused before it had sent all
                # Granian keeps the last piece that has come, here of one byte, until more comes.
                connection.sendall(b"%x\r\n%s\r\n1\r\n \r\n" % (49_000, LARGE[:49_000]))
        eventually(lambda: refusals(service) == before + 10, "ten refusals")
        assert service.predict(PATIENT).status_code == 200
        for connection in connections:
            with suppress(OSError):  # it was refused
                connection.sendall(b"0\r\n\r\n")
        received = [answer for answer in map(until_closed, connections) if answer]  # of a refusal it may be lost
        assert sum(answer.startswith(b"HTTP/1.1 200 ") for answer in received) == 10
        refused = [answer for answer in received if not answer.startswith(b"HTTP/1.1 200 ")]
        assert all(answer.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in answer for answer in refused)
    assert service.post(LARGE).status_code == 200


@pytest.mark.parametrize("framing", [LENGTH, f"Content-Length: {len(LARGE)}", CHUNKED])
@pytest.mark.parametrize("patients", [1, 180], ids=["a small request", "a large request"])
def test_slow_bodies_hold_up_nobody_else(service, framing, patients):
    with in_flight(service, 20, post(b"1\r\n{\r\n", framing)):
        assert service.predict(*[PATIENT] * patients).status_code == 200
        wait_for_requests_in_flight(service, 20)
