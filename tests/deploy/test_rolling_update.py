"""Replicas are replaced behind the ingress, one after the other, while clients go on asking."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx

from tests.ingress import Ingress, ingress, needs_nginx
from tests.serving import JSON, PATIENT, Service, free_port, running
from tests.waiting import eventually

pytestmark = needs_nginx

# (patients in a request, more headers): one at a time, as most; on a connection of its own each; many on a thread.
CLIENTS = [(1, {}), (1, {}), (1, {"Connection": "close"}), (300, {})]
# Fewer answers by a replica would show nothing of its start and its end.
ENOUGH = 50


def ask_until(done: threading.Event, client: httpx.Client, patients: int, headers: dict[str, str]) -> Counter[str]:
    """Predict without end; counts what came of it: "200", or what went wrong."""
    body = json.dumps({"patients": [PATIENT] * patients}).encode()
    outcomes: Counter[str] = Counter()
    with client:
        while not done.wait(0.005):  # the machine is for the replicas too, and the ingress lets 1000 a second pass
            try:
                answer = client.post("/predict", content=body, headers=JSON | headers)
                whole = answer.status_code != 200 or len(answer.json()["predictions"]) == patients
                outcomes[str(answer.status_code) if whole else "answered in part"] += 1
            except httpx.TransportError as error:
                outcomes[repr(error)] += 1
    return outcomes


@contextmanager
def load(nginx: Ingress) -> Iterator[Counter[str]]:
    """Clients that ask as long as the context lasts; their outcomes are there when it has ended."""
    outcomes: Counter[str] = Counter()
    done = threading.Event()
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        asking = [
            pool.submit(ask_until, done, nginx.client(token), patients, headers)
            for token, (patients, headers) in zip(nginx.tokens, CLIENTS, strict=True)
        ]
        try:
            yield outcomes
        finally:
            done.set()
            for future in asking:
                outcomes.update(future.result())


def wait_until_it_answered_enough(service: Service) -> None:
    def enough() -> bool:
        requests = [line for line in service.log_lines() if line["message"] == "request"]
        return sum((line["route"], line["status"]) == ("/predict", 200) for line in requests) >= ENOUGH

    eventually(enough, f"{ENOUGH} answers of the service on port {service.port}")


def test_no_request_fails_while_both_replicas_are_replaced(model_dir, tmp_path):
    """Each by a new process on its port. Kubernetes is milder: with maxUnavailable 0 the new one is there before, and
    nothing more is sent to a replica that takes its leave.
    """
    ports = [free_port(), free_port()]
    with ExitStack() as stack:

        def start(name: str, port: int) -> Service:
            return stack.enter_context(running(model_dir, tmp_path / name, PORT=str(port)))

        first = [start(f"first-{port}", port) for port in ports]
        nginx = stack.enter_context(ingress(tmp_path / "nginx", ports, clients=len(CLIENTS)))
        with load(nginx) as outcomes:
            for old in first:
                wait_until_it_answered_enough(old)
                assert old.stop() == 0
                wait_until_it_answered_enough(start(f"second-{old.port}", old.port))
    assert set(outcomes) == {"200"}
