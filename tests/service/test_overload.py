"""Over capacity, and many requests at a time."""

import asyncio
import json
import os
import re
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service.model import load_model
from service.together import Arrivals, Together

from obesity_levels.schema import Patient
from tests.service.test_connections import answer_of, head
from tests.serving import PATIENT, running
from tests.strategies import records

EXAMPLE = msgspec.convert(PATIENT, Patient)
BODY = json.dumps({"patients": [PATIENT]}).encode()
MOST = 4


@pytest.fixture(scope="module")
def answers(model_dir, tmp_path_factory):
    """Of 50 requests that a service finds all at once, and of GET /health among them."""
    log = tmp_path_factory.mktemp("log") / "log"
    with running(model_dir, log, MAX_IN_FLIGHT=str(MOST)) as service, ExitStack() as stack:
        connections = [stack.enter_context(service.connect()) for _ in range(51)]
        for connection in connections:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer_of(connection)
        os.kill(service.process.pid, signal.SIGSTOP)
        for connection in connections[:-1]:
            connection.sendall(head(len(BODY)) + BODY)
        connections[-1].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        os.kill(service.process.pid, signal.SIGCONT)
        yield [answer_of(connection) for connection in connections], service


def statuses(answers):
    return [int(re.match(rb"HTTP/1.1 (\d+) ", answer)[1]) for answer in answers]


def test_what_is_too_much_is_refused_and_the_rest_is_answered(answers):
    found = statuses(answers[0][:-1])
    assert set(found) == {200, 503}
    assert found.count(200) >= MOST


def test_a_refusal_says_when_to_try_again(answers):
    refused = [answer for answer in answers[0] if answer.startswith(b"HTTP/1.1 503 ")]
    assert all(b"retry-after: 1\r\n" in answer for answer in refused)
    assert json.loads(refused[0].partition(b"\r\n\r\n")[2])["status"] == 503


def test_health_is_never_refused(answers):
    assert statuses(answers[0])[-1] == 200


def test_after_it_every_request_is_answered(answers):
    assert [answers[1].predict(PATIENT).status_code for _ in range(20)] == [200] * 20


def test_refusals_are_in_the_metrics_of_their_route(answers):
    refused = statuses(answers[0]).count(503)
    line = f'http_requests_total{{method="POST",route="/predict",status="503"}} {float(refused)}'
    assert line in answers[1].client.get("/metrics").text


@pytest.fixture(scope="module")
def model(model_dir):
    return load_model(model_dir)


patients = records().map(lambda record: msgspec.convert(record, Patient, strict=False))


def ask_at_once(predict, requests):
    """The answers, or the errors, of requests that were received in one turn of the event loop."""
    arrivals = Arrivals()
    together = Together(predict, arrivals)

    async def ask(request):
        arrivals.expected -= 1
        return await together.predict(request)

    async def all_of_them():
        arrivals.expected = len(requests)
        return await asyncio.gather(*map(ask, requests), return_exceptions=True)

    return asyncio.run(all_of_them())


@given(st.lists(st.lists(patients, min_size=1, max_size=40), min_size=1, max_size=10))
def test_requests_scored_together_get_the_answers_that_each_gets_alone(model, requests):
    assert ask_at_once(model.predict, requests) == [model.predict(request) for request in requests]


def test_requests_at_a_time_are_one_call_of_the_model(model):
    """From a hundred rows on, the next ones are another."""
    calls = []

    def predict(patients):
        calls.append(len(patients))
        return model.predict(patients)

    ask_at_once(predict, [[EXAMPLE] * 30] * 10)
    assert calls == [120, 120, 60]


def test_an_error_of_the_model_reaches_everyone_whose_rows_were_scored():
    def predict(_):
        raise ArithmeticError("broken")

    assert [str(error) for error in ask_at_once(predict, [[EXAMPLE]] * 3)] == ["broken"] * 3


def test_requests_are_of_one_connection_once_a_tenth_of_a_second_was_without_another():
    arrivals, one, other = Arrivals(), object(), object()
    arrivals.add(one)
    assert not arrivals.of_one_connection
    time.sleep(0.11)
    arrivals.add(one)
    assert arrivals.of_one_connection
    arrivals.add(other)
    arrivals.add(one)
    assert not arrivals.of_one_connection


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="Linux shows the threads of a process there")
def test_a_thousand_patients_are_answered_without_a_thread_unless_another_client_asks(model_dir, tmp_path):
    batch = [PATIENT] * 1000
    with running(model_dir, tmp_path / "log") as service:

        def threads():
            return len(list(Path(f"/proc/{service.process.pid}/task").iterdir()))

        service.predict(PATIENT)
        time.sleep(0.2)
        before = threads()
        assert service.predict(*batch).is_success
        assert threads() == before
        assert httpx.get(f"{service.client.base_url}/health").is_success
        assert service.predict(*batch).is_success
        assert threads() == before + 1
