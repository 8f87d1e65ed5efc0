"""The ingress's split between two models, with a service for each of them: who is answered by which."""

import json
import socket

import msgspec
import onnx
import pytest

from obesity_levels.model.classifier import load_manifest
from obesity_levels.paths import CLASSIFIER, MANIFEST
from tests.artifacts import write_artifact
from tests.ingress import CONFIGURATION, ingress, needs_nginx
from tests.serving import JSON, PATIENT, free_port, running
from tests.waiting import eventually

pytestmark = needs_nginx

UNITS = [f"unit-{number}" for number in range(2000)]
BODY = json.dumps({"patients": [PATIENT]}).encode()
OFF = "    # 10% obesity_challenger;\n"


def switched_on(share: str, experiment: str = "first") -> str:
    """The configuration with the split of an experiment."""
    configuration = CONFIGURATION
    for old, new in {OFF: f"    {share} obesity_challenger;\n", '"first:': f'"{experiment}:'}.items():
        assert configuration.count(old) == 1
        configuration = configuration.replace(old, new)
    return configuration


@pytest.fixture(scope="module")
def challenger(model_dir, tmp_path_factory):
    """A service with another version: the same trained model, with a remark in its ONNX file."""
    folder = tmp_path_factory.mktemp("challenger") / "models"
    model = onnx.load(model_dir / CLASSIFIER)
    model.doc_string = "the challenger"
    write_artifact(folder, model.SerializeToString())
    manifest = load_manifest(model_dir / MANIFEST)
    sha256 = load_manifest(folder / MANIFEST).sha256
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, sha256=sha256)))
    with running(folder, folder.parent / "log") as service:
        yield service


@pytest.fixture(scope="module")
def split(service, challenger, tmp_path_factory):
    """Starts nginx in front of both services, each with one replica that is down."""

    def start(configuration, challengers=None):
        ports = [free_port(), service.port, *(challengers or (free_port(), challenger.port))]
        return ingress(tmp_path_factory.mktemp("split") / "nginx", ports, configuration=configuration)

    return start


def version(client, unit, path="/predict"):
    """The version of the model that answers a unit; None: a request without an id."""
    answer = client.post(path, content=BODY, headers=JSON | ({} if unit is None else {"X-Unit-ID": unit}))
    assert answer.status_code == 200, answer.text
    return answer.json()["model_version"]


@pytest.fixture(scope="module")
def versions(service, challenger):
    """Of the champion and the challenger."""
    champion, other = (one.client.get("/health").json()["model_version"] for one in (service, challenger))
    assert champion != other
    return champion, other


@pytest.fixture(scope="module")
def drawn(split, versions):
    """The units that the challenger answers, at a share of 10 %."""
    with split(switched_on("10%")) as nginx, nginx.client() as client:
        answered = {unit: version(client, unit) for unit in UNITS}
    assert {*answered.values()} == {*versions}
    return [unit for unit, by in answered.items() if by == versions[1]]


@pytest.fixture(scope="module")
def all_to_challenger(split):
    """nginx that sends every unit to the challenger."""
    with split(switched_on("100%")) as nginx:
        yield nginx


@pytest.fixture(scope="module")
def client(all_to_challenger):
    with all_to_challenger.client() as client:
        yield client


def test_as_shipped_every_unit_is_answered_by_the_champion(split, drawn, versions):
    with split(CONFIGURATION) as nginx, nginx.client() as client:
        assert {version(client, unit) for unit in drawn[:50]} == {versions[0]}


def test_the_challenger_gets_the_share_that_is_set(drawn):
    """Within four standard deviations. The draw is a hash, so the count is the same in each run."""
    assert abs(len(drawn) - len(UNITS) * 0.1) < 4 * (len(UNITS) * 0.1 * 0.9) ** 0.5


def test_the_same_id_gets_the_same_model_from_another_nginx(split, drawn, versions):
    with split(switched_on("10%")) as nginx, nginx.client() as client:
        assert {version(client, unit) for unit in drawn} == {versions[1]}


def test_a_larger_share_keeps_the_units_that_the_challenger_has(split, drawn, versions):
    with split(switched_on("20%")) as nginx, nginx.client() as client:
        assert {version(client, unit) for unit in drawn} == {versions[1]}


def test_an_experiment_of_another_name_draws_anew(split, drawn, versions):
    """Of the units of the first one it gives the challenger a tenth again, within four standard deviations."""
    with split(switched_on("10%", "second")) as nginx, nginx.client() as client:
        again = [unit for unit in drawn if version(client, unit) == versions[1]]
    assert abs(len(again) - len(drawn) * 0.1) < 4 * (len(drawn) * 0.1 * 0.9) ** 0.5


@pytest.mark.parametrize("unit", ["a", "7", "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e", "x" * 128, "a+b/c=="])
def test_an_id_of_up_to_128_letters_digits_and_marks_is_in_the_split(client, versions, unit):
    assert version(client, unit) == versions[1]


@pytest.mark.parametrize("unit", [None, "", "two words", "x" * 129, "jane@example.org", "Jos\u00e9".encode(), "a;b"])
def test_without_an_id_that_is_valid_the_champion_answers(client, versions, unit):
    assert version(client, unit) == versions[0]


def test_a_prediction_and_its_explanation_are_of_one_model(client, versions):
    assert version(client, "a", "/explain") == versions[1]
    assert version(client, None, "/explain") == versions[0]


@pytest.mark.parametrize("path", ["/health", "/model-info"])
def test_what_is_not_about_a_person_is_the_champions(client, versions, path):
    told = client.get(path, headers={"X-Unit-ID": "a"}).json()
    assert versions[0] in json.dumps(told)
    assert versions[1] not in json.dumps(told)


@pytest.mark.parametrize("unit", [{}, {"X-Unit-ID": "a"}], ids=["champion", "challenger"])
def test_the_query_is_handed_on(client, unit):
    answer = client.post("/predict?coverage=0.9", content=BODY, headers=JSON | unit)
    assert answer.json()["coverage"] == 0.9


def lines(nginx, count):
    """The lines of the log that are about predictions, when there are so many."""

    def found():
        written = (nginx.folder / "obesity-classifier.log").read_text().rpartition("\n")[0]
        posted = [line for line in map(json.loads, written.splitlines()) if line["method"] == "POST"]
        return posted if len(posted) >= count else None

    return eventually(found, f"{count} lines about predictions")


def test_if_one_replica_of_the_challenger_is_down_the_other_one_answers(client, versions):
    assert {version(client, unit) for unit in UNITS[:20]} == {versions[1]}


def test_while_the_challenger_is_down_the_champion_answers_its_units(split, service, versions):
    with split(switched_on("100%"), [free_port(), free_port()]) as nginx, nginx.client() as client:
        assert version(client, "a") == versions[0]
        [line] = lines(nginx, 1)
    assert line["arm"] == "obesity_challenger"
    assert line["upstream"].endswith(f":{service.port}")


def test_the_log_says_whether_there_was_an_id_and_which_model_was_drawn(split):
    with split(switched_on("100%")) as nginx, nginx.client() as client:
        for unit in ("a", None, "two words"):
            version(client, unit)
        told = [(line["unit"], line["arm"]) for line in lines(nginx, 3)]
    assert told == [
        ("valid", "obesity_challenger"),
        ("absent", "obesity_classifier"),
        ("invalid", "obesity_classifier"),
    ]


@pytest.mark.parametrize("unit", ["jane-doe", "jane doe"])
@pytest.mark.parametrize("challenger_is", ["up", "down"])
def test_an_id_is_in_no_log(split, service, challenger, unit, challenger_is):
    down = [free_port(), free_port()]
    with split(switched_on("100%"), down if challenger_is == "down" else None) as nginx, nginx.client() as client:
        version(client, unit)
        lines(nginx, 1)
        logs = [nginx.folder / "obesity-classifier.log", nginx.folder / "error.log", service.log, challenger.log]
        assert not [log for log in logs if "jane" in log.read_text()]


def test_an_id_is_not_handed_on(split):
    with socket.create_server(("127.0.0.1", 0)) as replica:
        port = replica.getsockname()[1]
        with split(switched_on("100%"), [port, port]) as nginx, nginx.connect() as connection:
            lines_sent = ["POST /predict HTTP/1.1", "Host: localhost", f"Authorization: Bearer {nginx.tokens[0]}"]
            lines_sent += ["X-Unit-ID: jane-doe", "Content-Length: 0"]
            connection.sendall("\r\n".join(lines_sent).encode() + b"\r\n\r\n")
            handed_on, _ = replica.accept()
            with handed_on:
                received = handed_on.recv(65536)
    assert received.startswith(b"POST /predict HTTP/1.1\r\n")
    assert b"unit" not in received.lower()
