"""A challenger beside the champion: whatever it is or does, the answers are the champion's."""

import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from onnx import helper

from obesity_levels.schema import LEVELS
from tests.artifacts import COLUMNS, constant_onnx, onnx_model, write_artifact
from tests.service.test_predict import expected
from tests.serving import PATIENT, running
from tests.waiting import eventually

SINGLE, BATCH = 60, 300
# Answers of fewer rows are not counted yet.
UNPUBLISHED = 50
ROWS = SINGLE + BATCH
PATIENTS = [PATIENT | {"Weight": float(weight)} for weight in np.linspace(40, 160, ROWS).round(2)]


def slow_onnx() -> bytes:
    """Some seconds for 50 rows."""
    steps = [f"step{at}" for at in range(400)]
    return onnx_model(
        [
            helper.make_node("MatMul", ["features", "widen"], ["step0"]),
            *(helper.make_node("MatMul", [one, "square"], [next_one]) for one, next_one in pairwise(steps)),
            helper.make_node("MatMul", [steps[-1], "narrow"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["p"]),
        ],
        widen=np.zeros((COLUMNS, 1000), np.float32),
        square=np.zeros((1000, 1000), np.float32),
        narrow=np.zeros((1000, len(LEVELS)), np.float32),
    )


def failing_onnx() -> bytes:
    """It loads; scoring is an error."""
    return onnx_model(
        [
            helper.make_node("Reshape", ["features", "shape"], ["parts"]),
            helper.make_node("ReduceSum", ["parts", "axis"], ["p"], keepdims=0),
        ],
        shape=np.array([-1, len(LEVELS), 1009]),
        axis=np.array([2]),
    )


def nan_onnx() -> bytes:
    return onnx_model(
        [
            helper.make_node("MatMul", ["features", "weights"], ["zero"]),
            helper.make_node("Div", ["zero", "zero"], ["p"]),
        ],
        weights=np.zeros((COLUMNS, len(LEVELS)), np.float32),
    )


ONNX = {
    "constant": lambda: constant_onnx(LEVELS.index("Obesity_Type_I")),
    "slow": slow_onnx,
    "failing": failing_onnx,
    "nan": nan_onnx,
}


@pytest.fixture(scope="module", params=["same", *ONNX, "altered", "absent"])
def shadowed(request, model_dir, tmp_path_factory):
    """A service with a challenger of that kind, what it answered, and what it then says of the challenger."""
    folder = tmp_path_factory.mktemp(request.param)
    directory = folder / "challenger"
    if request.param == "same":
        directory = model_dir
    elif request.param in ONNX:
        write_artifact(directory, ONNX[request.param]())
    elif request.param == "altered":
        write_artifact(directory, constant_onnx(0))
        with (directory / "classifier.onnx").open("ab") as file:
            file.write(b"x")
    with running(model_dir, folder / "log", SHADOW_MODEL_DIR=str(directory)) as service:
        assert wait_for(service, lambda said: said["status"] != "loading")
        started = time.monotonic()
        responses = [service.predict(patient) for patient in PATIENTS[:SINGLE]]
        responses.append(service.predict(*PATIENTS[SINGLE:]))
        seconds = time.monotonic() - started
        # The slow one has not done with its first rows for long, and one that has ended never has.
        said = wait_for(service, lambda said: accounted(said) == ROWS)
        if request.param != "slow" and said["status"] == "shadowing":
            rest = UNPUBLISHED if request.param in ("same", "constant") else 1
            said = wait_for(service, lambda said: said["waiting"] < rest)
        yield request.param, service, responses, seconds, said


def wait_for(service, condition):
    """What is said of the challenger, once the condition holds of it."""

    def found():
        said = service.client.get("/model-info").json()["challenger"]
        return said if condition(said) else None

    return eventually(found, lambda: str(service.client.get("/model-info").json()["challenger"]))


def accounted(said):
    return said["rows"] + said["failed"] + said["dropped"] + said["waiting"]


def test_the_answers_are_the_champions(shadowed, classifier):
    _, _, responses, _, _ = shadowed
    assert {response.status_code for response in responses} == {200}
    answers = [response.json() for response in responses]
    assert answers == [expected(classifier, [p]) for p in PATIENTS[:SINGLE]] + [expected(classifier, PATIENTS[SINGLE:])]


def test_the_answers_do_not_wait_for_the_challenger(shadowed):
    """61 requests; the slow one would take seconds for each fifty rows."""
    assert shadowed[3] < 5


def test_what_became_of_it_and_of_every_row_is_told(shadowed):
    kind, _, _, _, said = shadowed
    status = {"altered": "unavailable", "absent": "unavailable"}.get(kind, "shadowing")
    assert said["status"] == status
    if kind == "slow":
        assert said["rows"] < ROWS
    elif kind in ("failing", "nan"):
        assert said["failed"] == ROWS
    elif status == "unavailable":
        assert said["dropped"] == ROWS
    else:
        assert said["rows"] + said["waiting"] == ROWS


def test_agreement_and_distance_are_those_of_the_answers(shadowed):
    kind, _, responses, _, said = shadowed
    levels = [level for response in responses for level in response.json()["predictions"]]
    same = {"same": ROWS, "constant": Counter(levels)["Obesity_Type_I"]}.get(kind)
    if same is None:
        assert kind == "slow" or said["agreement"] is said["distance"] is None
    else:
        # of those that are counted: some of the others may agree
        lowest, highest = (same - said["waiting"]) / said["rows"], same / said["rows"]
        assert lowest - 1e-4 <= said["agreement"] <= min(highest, 1) + 1e-4
        assert said["distance"] == pytest.approx(1 - said["agreement"], abs=1e-4)


def test_the_metrics_say_the_same(shadowed):
    kind, service, _, _, said = shadowed
    metrics = service.client.get("/metrics").text
    counted = {
        line.split('result="')[1].split('"')[0]: float(line.split()[-1])
        for line in metrics.splitlines()
        if line.startswith("obesity_shadow_rows_total")
    }
    if kind != "slow":
        assert counted["agreed"] + counted["differed"] == said["rows"]
        assert (counted["failed"], counted["dropped"]) == (said["failed"], said["dropped"])
    up = next(line for line in metrics.splitlines() if line.startswith("obesity_shadow_up"))
    assert float(up.split()[-1]) == (said["status"] == "shadowing")


def test_it_ends_with_the_service(shadowed):
    """The last test of each service."""
    _, service, _, _, _ = shadowed
    started = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - started < 10
    assert "Traceback" not in service.log.read_text()


def test_it_is_shown_the_share_that_was_set(model_dir, tmp_path):
    """Of 2,000 rows 20 %: within five standard deviations, but for those not counted yet."""
    with running(model_dir, tmp_path / "log", SHADOW_MODEL_DIR=str(model_dir), SHADOW_SHARE="0.2") as service:
        wait_for(service, lambda said: said["status"] == "shadowing")
        assert service.predict(*[PATIENT] * 2000).status_code == 200
        said = wait_for(service, lambda said: said["rows"])
        assert abs(said["rows"] + said["waiting"] - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_less_than_fifty_answers_are_not_counted_yet(model_dir, tmp_path):
    """Seen before and after, they would tell what somebody was predicted."""
    with running(model_dir, tmp_path / "log", SHADOW_MODEL_DIR=str(model_dir)) as service:
        wait_for(service, lambda said: said["status"] == "shadowing")
        for _ in range(49):
            service.predict(PATIENT)
        wait_for(service, lambda said: said["waiting"] == 49)
        time.sleep(0.5)
        assert service.client.get("/model-info").json()["challenger"]["rows"] == 0
        service.predict(PATIENT)
        wait_for(service, lambda said: said["rows"] == 50)


def test_rows_that_do_not_fit_the_queue_are_dropped_and_counted(model_dir, tmp_path):
    """Faster than the slow one answers, more than wait for it."""
    write_artifact(tmp_path / "slow", slow_onnx())
    with running(model_dir, tmp_path / "log", SHADOW_MODEL_DIR=str(tmp_path / "slow")) as service:
        wait_for(service, lambda said: said["status"] == "shadowing")
        for _ in range(2):
            assert service.predict(*[PATIENT] * 8000).status_code == 200
        said = service.client.get("/model-info").json()["challenger"]
        assert (said["waiting"], said["dropped"]) == (10_000, 6_000)


def test_without_a_challenger_nothing_is_said_of_one(service):
    assert service.client.get("/model-info").json()["challenger"] is None
    assert "obesity_shadow_rows_total{" not in service.client.get("/metrics").text
