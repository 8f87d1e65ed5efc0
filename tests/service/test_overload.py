"""Over capacity: what is too much is refused, and the rest is answered."""

import json
from contextlib import ExitStack, contextmanager

import pytest

from tests.service.test_connections import answer_of, head
from tests.serving import JSON, PATIENT, running
from tests.waiting import eventually

BODY = json.dumps({"patients": [PATIENT]}).encode()
MOST = 4


@pytest.fixture(scope="module")
def service(model_dir, tmp_path_factory):
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", MAX_IN_FLIGHT=str(MOST)) as service:
        yield service


@contextmanager
def waiting_requests(service, number, body):
    """Connections whose requests lack their last byte."""
    with ExitStack() as stack:
        connections = [stack.enter_context(service.connect()) for _ in range(number)]
        for connection in connections:
            connection.sendall(head(len(body)) + body[:-1])
        # and the one that asks
        expected = f"http_requests_in_flight {number + 1}.0"
        eventually(lambda: expected in service.client.get("/metrics").text, expected)
        yield connections


def is_refused(answer) -> bool:
    return answer.status_code == answer.json()["status"] == 503 and answer.headers["retry-after"] == "1"


def test_what_is_too_much_is_refused_until_there_is_room_again(service):
    with waiting_requests(service, MOST, BODY) as connections:
        assert all(is_refused(service.predict(PATIENT)) for _ in range(20))
        for connection in connections:
            connection.sendall(BODY[-1:])
            assert answer_of(connection).startswith(b"HTTP/1.1 200 ")
        assert [service.predict(PATIENT).status_code for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_health_and_metrics_are_never_refused(service, path):
    with waiting_requests(service, MOST, BODY):
        assert service.client.get(path).status_code == 200


def test_refusals_are_in_the_metrics_of_their_route(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log", MAX_IN_FLIGHT="1") as service, waiting_requests(service, 1, BODY):
        assert is_refused(service.predict(PATIENT))
        counted = 'http_requests_total{method="POST",route="/predict",status="503"} 1.0'
        eventually(lambda: counted in service.client.get("/metrics").text, counted)


def test_of_large_bodies_only_some_are_in_memory_at_a_time(model_dir, tmp_path):
    """Ten times MAX_BODY_BYTES, whatever their number."""
    large = BODY.ljust(50_000)
    with running(model_dir, tmp_path / "log", MAX_BODY_BYTES=str(len(large))) as service:
        with waiting_requests(service, 10, large):
            assert is_refused(service.post(large, JSON))
            assert service.predict(PATIENT).status_code == 200
        eventually(lambda: service.post(large, JSON).status_code == 200, "room for another body")


def test_connections_that_send_nothing_keep_no_large_body_out(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log") as service, ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(service.connect())
            connection.sendall(head(None, "Transfer-Encoding: chunked") + b"1\r\n{\r\n")
        assert service.post(BODY.ljust(2_000_000), JSON).status_code == 200
