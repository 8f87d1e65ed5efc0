"""A challenger beside the champion: whatever it is or does, the answers are the champion's."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from onnx import helper
from prometheus_client import REGISTRY
from service.challenger import Challenger

from obesity_levels.schema import LEVELS
from tests.artifacts import COLUMNS, constant_onnx, onnx_model, write_artifact
from tests.service.conftest import in_process
from tests.service.test_predict import expected
from tests.serving import PATIENT, running
from tests.waiting import eventually

SINGLE, BATCH = 60, 300
ROWS = SINGLE + BATCH
# Answers of fewer rows are not counted yet.
UNPUBLISHED = 50
PATIENTS = [PATIENT | {"Weight": float(weight)} for weight in np.linspace(40, 160, ROWS).round(2)]
RESULTS = ("agreed", "differed", "failed", "dropped")


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


# It loads; scoring is an error: there is no column 99.
GATHER = helper.make_node("Gather", ["features", "columns"], ["p"], axis=1)
ONNX = {
    "constant": constant_onnx(LEVELS.index("Obesity_Type_I"), 50),
    "failing": onnx_model([GATHER], columns=np.full(len(LEVELS), 99)),
    "nan": constant_onnx(0, np.nan),
    "altered": constant_onnx(),
}


@pytest.fixture(scope="module", params=["same", *ONNX, "absent"])
def shadowed(request, model_dir, tmp_path_factory):
    """The kind of a challenger, what was answered beside it, what is then said of it, and what was counted."""
    kind = request.param
    directory = model_dir if kind == "same" else tmp_path_factory.mktemp(kind) / "challenger"
    if kind in ONNX:
        write_artifact(directory, ONNX[kind])
    if kind == "altered":
        (directory / "classifier.onnx").write_bytes(ONNX[kind] + b"x")
    before = counted_rows()
    with in_process(model_dir, SHADOW_MODEL_DIR=str(directory)) as app:
        assert wait_for(app, lambda said: said["status"] != "loading")
        responses = [*map(app.predict, PATIENTS[:SINGLE]), app.predict(*PATIENTS[SINGLE:])]
        rest = UNPUBLISHED if kind in ("same", "constant") else 1
        told = ("rows", "failed", "dropped", "waiting")
        said = wait_for(app, lambda said: sum(map(said.get, told)) == ROWS and said["waiting"] < rest)
        # each is counted a moment later
        eventually(lambda: sum(counted_rows() - before) == ROWS - said["waiting"], "all rows in the metrics")
        yield kind, responses, said, dict(zip(RESULTS, counted_rows() - before, strict=True))


def counted_rows() -> np.ndarray:
    rows = [REGISTRY.get_sample_value("obesity_shadow_rows_total", {"result": result}) for result in RESULTS]
    return np.array([value or 0.0 for value in rows])


def wait_for(app, condition):
    """What is said of the challenger, once the condition holds of it."""

    def found():
        said = app.client.get("/model-info").json()["challenger"]
        return said if condition(said) else None

    return eventually(found, lambda: str(app.client.get("/model-info").json()["challenger"]), seconds=60)


def test_the_answers_are_the_champions(shadowed, classifier):
    _, responses, _, _ = shadowed
    assert {response.status_code for response in responses} == {200}
    answers = [response.json() for response in responses]
    assert answers == [expected(classifier, [p]) for p in PATIENTS[:SINGLE]] + [expected(classifier, PATIENTS[SINGLE:])]


def test_what_became_of_it_and_of_every_row_is_told(shadowed):
    kind, _, said, _ = shadowed
    assert said["status"] == ("unavailable" if kind in ("altered", "absent") else "shadowing")
    counted_as = {"failing": "failed", "nan": "failed", "altered": "dropped", "absent": "dropped"}.get(kind, "rows")
    assert said[counted_as] + said["waiting"] == ROWS


def test_agreement_and_distance_are_those_of_the_answers(shadowed):
    kind, responses, said, _ = shadowed
    levels = [level for response in responses for level in response.json()["predictions"]]
    same = {"same": ROWS, "constant": Counter(levels)["Obesity_Type_I"]}.get(kind)
    if same is None:
        assert said["agreement"] is said["distance"] is None
    else:
        # of those that are counted: some of the others may agree
        lowest, highest = (same - said["waiting"]) / said["rows"], same / said["rows"]
        assert lowest - 1e-4 <= said["agreement"] <= min(highest, 1) + 1e-4
        assert said["distance"] == pytest.approx(1 - said["agreement"], abs=1e-4)


def test_the_metrics_say_the_same(shadowed):
    _, _, said, counted = shadowed
    assert counted["agreed"] + counted["differed"] == said["rows"]
    assert (counted["failed"], counted["dropped"]) == (said["failed"], said["dropped"])
    up = REGISTRY.get_sample_value("obesity_shadow_up", {"version": said["version"] or "unknown"})
    assert up == (said["status"] == "shadowing")


def test_a_slow_challenger_holds_up_neither_the_answers_nor_the_end_and_loses_what_does_not_fit_its_queue(
    model_dir, tmp_path, classifier
):
    """All of these rows would take it minutes."""
    write_artifact(tmp_path / "slow", slow_onnx())
    with running(model_dir, tmp_path / "log", SHADOW_MODEL_DIR=str(tmp_path / "slow")) as service:
        wait_for(service, lambda said: said["status"] == "shadowing")
        for _ in range(2):
            assert service.predict(*[PATIENT] * 8000).status_code == 200
        assert service.predict(*PATIENTS).json() == expected(classifier, PATIENTS)
        said = service.client.get("/model-info").json()["challenger"]
        assert (said["rows"], said["waiting"], said["dropped"]) == (0, 10_000, 6_000 + ROWS)
        assert service.stop() == 0
        assert "Traceback" not in service.log.read_text()


def test_it_is_shown_the_share_that_was_set(model_dir):
    """Of 2,000 rows 20 %: within five standard deviations, but for those not counted yet."""
    with in_process(model_dir, SHADOW_MODEL_DIR=str(model_dir), SHADOW_SHARE="0.2") as app:
        wait_for(app, lambda said: said["status"] == "shadowing")
        assert app.predict(*[PATIENT] * 2000).status_code == 200
        said = wait_for(app, lambda said: said["rows"])
        assert abs(said["rows"] + said["waiting"] - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_less_than_fifty_answers_are_not_counted_yet(classifier, model_dir):
    """Seen before and after, they would tell what somebody was predicted."""
    challenger = Challenger(model_dir, 1.0)
    answers, levels, counts = np.ones((50, 16)), np.zeros(50, np.int64), np.zeros((7, 7), np.int64)
    challenger._compare(classifier, answers[:49], levels[:49], counts)
    assert challenger.status().rows == 0
    challenger._compare(classifier, answers[49:], levels[49:], counts)
    assert challenger.status().rows == 50


def test_without_a_challenger_nothing_is_said_of_one(service):
    assert service.client.get("/model-info").json()["challenger"] is None
    assert "obesity_shadow_rows_total{" not in service.client.get("/metrics").text
