"""The ingress's example, run in front of a service: who is let through, to what, and what is handed on."""

import base64
import json
import re
import socket
import ssl
from contextlib import ExitStack
from urllib.parse import urljoin

import pytest
from service.settings import Settings

from tests.ingress import CONFIGURATION, PAGE, Ingress, ingress, needs_nginx
from tests.serving import JSON, PATIENT, free_port
from tests.waiting import eventually

pytestmark = needs_nginx

LARGEST = Settings().max_body_bytes
BODY = json.dumps({"patients": [PATIENT]}).encode()


@pytest.fixture(scope="module")
def nginx(service, tmp_path_factory):
    with ingress(tmp_path_factory.mktemp("ingress") / "nginx", [service.port, service.port], clients=2) as nginx:
        yield nginx


@pytest.fixture(scope="module")
def client(nginx):
    with nginx.client() as client:
        yield client


def head(nginx: Ingress, target: str, framing: str, token: int = 0) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {nginx.tokens[token]}"]
    lines += ["Content-Type: application/json", framing]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def is_problem(answer, status: int) -> bool:
    return (
        answer.status_code == answer.json()["status"] == status
        and answer.headers["content-type"] == "application/problem+json"
    )


def test_over_tls_a_client_gets_what_the_service_answers(client, service):
    answer = client.post("/predict", content=BODY, headers=JSON)
    assert answer.status_code == 200
    assert answer.json() == service.predict(PATIENT).json()
    assert answer.headers["strict-transport-security"]


def test_tls_before_1_3_is_refused(nginx):
    older = ssl.create_default_context(cafile=nginx.folder / "certificate.pem")
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", nginx.port), 20) as connection, pytest.raises(ssl.SSLError):
        older.wrap_socket(connection, server_hostname="localhost")


@pytest.mark.parametrize("path", ["/predict", "/metrics", "/no-such-path"])
def test_without_a_token_every_path_is_401(nginx, path):
    with nginx.client("") as nobody:
        answer = nobody.post(path, content=BODY, headers=JSON)
    assert is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("wrong", ["Bearer {0}0", "Bearer {1}", "Bearer", "{0}", "Basic {0}", "default"])
def test_a_wrong_token_is_401(nginx, client, wrong):
    given = wrong.format(nginx.tokens[0], "0" * 64)
    answer = client.post("/predict", content=BODY, headers=JSON | {"Authorization": given})
    assert is_problem(answer, 401)


@pytest.mark.parametrize(
    "target",
    ["/metrics", "/drift", "/docs", "/", "/health/ready", "/predict/", "//metrics", "/%6detrics", "/health/../metrics",
     "/predict/..%2fmetrics", "/predict/%2e%2e/drift", "/metrics?/predict", "https://localhost/metrics"],
)  # fmt: skip
def test_what_is_for_inside_is_404_to_a_client_however_it_is_spelled(nginx, target):
    with nginx.connect() as connection:
        connection.sendall(head(nginx, target, "Content-Length: 0"))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"there are /predict, /explain, /model-info and /health here" in answer


@pytest.mark.parametrize("path", ["/health", "/model-info"])
def test_health_and_model_are_shown_to_clients(client, path):
    assert client.get(path).status_code == 200


def test_the_largest_body_of_the_service_passes_and_its_answer_comes_back(client):
    assert client.post("/predict", content=BODY.ljust(LARGEST), headers=JSON).status_code == 200


@pytest.mark.parametrize("pieces", [1, 2], ids=["of known length", "of unknown length"])
def test_a_body_that_is_too_large_is_413(client, pieces):
    body = b" " * (LARGEST + 1)
    content = body if pieces == 1 else iter([body[:-1], body[-1:]])
    assert is_problem(client.post("/predict", content=content, headers=JSON), 413)


def test_it_waits_for_a_body_as_long_as_the_service():
    assert f"client_body_timeout {Settings().body_seconds:g}s;" in CONFIGURATION


def temporary_files(nginx: Ingress) -> list[str]:
    """Those that nginx wrote bodies and answers to; it says so in its log, as a warning."""
    return re.findall(r"temporary file (\S+),", (nginx.folder / "error.log").read_text())


def test_no_body_and_no_answer_is_written_to_a_file(nginx, client):
    before = temporary_files(nginx)
    patients = json.dumps({"patients": [PATIENT] * 10_000}).encode()
    assert len(client.post("/predict", content=patients, headers=JSON).content) > 1_000_000
    assert temporary_files(nginx) == before


def test_but_for_one_in_many_chunks_which_is_in_memory(nginx):
    with nginx.connect() as connection:
        connection.sendall(
            head(nginx, "/predict", "Transfer-Encoding: chunked") + b"1\r\n \r\n" * 2_000_000 + b"0\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")  # of the service: blanks are no JSON
    assert "client_body_temp_path /run/" in CONFIGURATION
    written = temporary_files(nginx)
    assert written
    assert all(path.startswith(f"{nginx.folder}/run/") for path in written)


def test_a_token_is_not_handed_on(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as replica:
        port = replica.getsockname()[1]
        with ingress(tmp_path / "nginx", [port, port]) as nginx, nginx.connect() as connection:
            connection.sendall(head(nginx, "/predict", "Content-Length: 0"))
            handed_on, _ = replica.accept()
            with handed_on:
                request = handed_on.recv(65536)
    assert request.startswith(b"POST /predict HTTP/1.1\r\n")
    assert nginx.tokens[0].encode() not in request


def test_the_id_of_a_request_is_handed_on_and_comes_back_once(client, service):
    answer = client.post("/predict", content=BODY, headers=JSON | {"X-Request-ID": "from-outside/1"})
    assert answer.headers.get_list("x-request-id") == ["from-outside/1"]
    assert service.line_of("from-outside/1")["status"] == 200


def test_an_id_that_is_none_is_replaced_by_one_that_both_logs_have(nginx, client, service):
    answer = client.post("/predict", content=BODY, headers=JSON | {"X-Request-ID": "two words"})
    [made] = answer.headers.get_list("x-request-id")
    assert service.line_of(made)["status"] == 200
    assert line_of(nginx, made)["status"] == 200


def line_of(nginx, request_id):
    """The line of a request, which nginx writes after its answer."""

    def found():
        # the last line may not be whole
        written = (nginx.folder / "obesity-classifier.log").read_text().rpartition("\n")[0]
        return next((line for line in map(json.loads, written.splitlines()) if line["request_id"] == request_id), None)

    return eventually(found, f"a line of request {request_id}")


def test_the_log_names_the_client_and_nothing_of_what_was_asked(nginx, client):
    client.post("/predict?name=Jane", content=BODY, headers=JSON | {"X-Request-ID": "logged"})
    line = line_of(nginx, "logged")
    log = (nginx.folder / "obesity-classifier.log").read_text()
    assert (line["client"], line["status"], line["upstream_status"]) == ("client-0", 200, "200")
    assert not any(word in log for word in ("Jane", "/predict", *nginx.tokens))


def test_a_client_with_32_requests_at_a_time_gets_429_for_the_next_and_others_are_answered(nginx, client):
    unfinished = head(nginx, "/predict", f"Content-Length: {len(BODY)}", token=1) + BODY[:-1]
    with ExitStack() as stack:
        for _ in range(32):
            stack.enter_context(nginx.connect()).sendall(unfinished)
        with nginx.client(nginx.tokens[1]) as busy:
            while (refused := busy.get("/health")).status_code == 200:  # until all of them have arrived
                pass
        assert is_problem(refused, 429)
        assert refused.headers["retry-after"] == "1"
        assert client.get("/health").status_code == 200


def test_without_any_replica_it_says_when_to_try_again(tmp_path):
    with ingress(tmp_path / "nginx", [free_port(), free_port()]) as nginx, nginx.client() as client:
        answer = client.post("/predict", content=BODY, headers=JSON)
    assert is_problem(answer, 502)
    assert answer.headers["retry-after"] == "1"


HTML = {"Accept": "text/html"}


def test_the_page_for_people_is_behind_a_login(nginx):
    for password in ("", "wrong"):
        with nginx.browser(password) as stranger:
            answer = stranger.get("/", headers=HTML)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="obesity-page"'


def test_with_a_login_the_page_and_its_files_are_there_and_it_answers(nginx):
    with nginx.browser() as person:
        page = person.get("/?lang=es", headers=HTML)
        files = re.findall(r'(?:src|href)="(web/[^"]+)"', page.text)
        assert len(files) == 3
        assert [person.get(f"/{file}").status_code for file in files] == [200, 200, 200]
        assert person.get("/about-the-model").status_code == 200
        answer = person.post("/", data={"Weight": "70"}, headers=HTML)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize("path", ["/predict", "/metrics", "/drift", "/docs", "/web/../metrics", "/model-info"])
def test_nothing_but_the_page_is_under_its_name(nginx, path):
    with nginx.browser() as person:
        assert person.get(path).status_code == 404


def test_the_password_of_a_person_is_not_handed_on(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as replica:
        port = replica.getsockname()[1]
        with ingress(tmp_path / "nginx", [port, port]) as nginx, nginx.connect() as connection:
            login = base64.b64encode(f"person:{nginx.password}".encode()).decode()
            request = [b"GET / HTTP/1.1", f"Host: {PAGE}".encode(), f"Authorization: Basic {login}".encode()]
            connection.sendall(b"\r\n".join(request) + b"\r\n\r\n")
            handed_on, _ = replica.accept()
            with handed_on:
                received = handed_on.recv(65536)
    assert received.startswith(b"GET / HTTP/1.1\r\n")
    assert b"authorization" not in received.lower()


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_of_the_contract_finds_its_scripts_and_the_routes_behind_any_prefix(service, page):
    """Because its links are relative."""
    text = service.client.get(page).text
    links = re.findall(r"(?:src|href)=[\"']((?!data:)[^\"']+)", text)
    [server] = re.findall(r'"servers":\s*\[\{"url":\s*"([^"]*)"', text)
    assert links
    for link in (*links, f"{server}/model-info"):
        assert not link.startswith(("/", "http"))
        assert service.client.get(urljoin(page, link)).status_code == 200
