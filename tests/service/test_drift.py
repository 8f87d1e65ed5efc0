"""The drift monitor: what is sent decides what it says, and it says nothing of a single person."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client import REGISTRY
from service.drift_monitor import VERDICT, DriftMonitor

from obesity_levels.data.simulation import draw_people
from obesity_levels.drift.histograms import load_reference
from obesity_levels.schema import ANSWERS, PROFILES
from tests.service.conftest import in_process, samples
from tests.serving import PATIENT


@pytest.fixture(scope="module")
def patients(population):
    """600 people of the population that the model was trained on.

    One batch in some fifty alarms with no drift, as it may; this one does not.
    """
    table = draw_people(population, 600, np.random.default_rng(8))[list(ANSWERS)]
    return json.loads(table.to_json(orient="records"))


@pytest.fixture(autouse=True)
def _judged_whenever_it_is_asked(monkeypatch):
    monkeypatch.setattr("service.drift_monitor._SECONDS", -1)


@pytest.fixture
def monitored(model_dir):
    with in_process(model_dir) as app:
        yield app


@pytest.fixture
def monitor_of(model_dir, classifier):
    reference = load_reference(model_dir / "drift_reference.json", classifier.manifest)
    return lambda window: DriftMonitor(reference, window)


def drift_of(app) -> dict:
    return app.client.get("/drift").json()


def matrix(rows: int) -> np.ndarray:
    return np.tile(np.float32(1), (rows, len(PROFILES["full"])))


def test_people_like_those_of_the_training_have_not_drifted(monitored, patients, classifier):
    assert monitored.predict(*patients).status_code == 200
    found = drift_of(monitored)
    assert (found["verdict"], found["rows"], found["window"]) == ("no drift", 600, 10_000)
    assert found["model_version"] == classifier.manifest.version
    assert [column["name"] for column in found["columns"]] == [*PROFILES["full"], "predicted_level"]
    assert not any(column["alarm"] for column in found["columns"])
    assert found["false_alarm_rate"]["rows"] == 50  # the largest size that the small pipeline measures


def test_heights_in_a_wrong_unit_are_drift(monitored, patients):
    assert monitored.predict(*({**patient, "Height": 1.0 + patient["Height"] / 10} for patient in patients)).is_success
    found = drift_of(monitored)
    assert found["verdict"] == "drift"
    columns = {column["name"]: column for column in found["columns"]}
    alarms = {name for name, column in columns.items() if column["alarm"]}
    assert {"Height", "BMI"} <= alarms
    assert not alarms & {"Gender", "FCVC", "MTRANS"}
    metrics = samples(monitored)
    assert metrics["obesity_drift_verdict", "drift"] == 1
    assert metrics["obesity_drift_verdict", "no drift"] == 0
    assert metrics["obesity_drift_window_rows",] == 600
    assert metrics["obesity_drift_psi", "Height"] == columns["Height"]["psi"]


def test_the_window_forgets_what_is_older(model_dir, patients):
    with in_process(model_dir, DRIFT_WINDOW="500") as app:
        app.predict(*({**patient, "Height": 1.2} for patient in patients[:200]))
        assert drift_of(app)["verdict"] == "drift"
        app.predict(*patients[:200])
        app.predict(*patients[200:400])
        assert (drift_of(app)["verdict"], drift_of(app)["rows"]) == ("no drift", 400)


def test_rows_join_the_window_50_at_a_time_so_that_none_shows_by_itself(monitored, patients):
    monitored.predict(*patients[:200])
    before = drift_of(monitored)
    for patient in patients[200:249]:
        monitored.predict(patient)
    assert drift_of(monitored) == before
    monitored.predict(patients[249])
    assert drift_of(monitored)["rows"] == before["rows"] + 50


def test_counts_under_5_are_not_shown_and_others_only_in_steps_of_5(monitored, patients):
    without_water = [{**patient, "CH2O": None} for patient in patients[:9]]
    monitored.predict(*without_water, *patients[9:300], *[{**PATIENT, "MTRANS": "Motorbike", "FAF": None}] * 4)
    columns = {column["name"]: column for column in drift_of(monitored)["columns"]}
    for column in columns.values():
        assert all(count is None or (count >= 5 and count % 5 == 0) for count in column["counts"].values())
    assert columns["CH2O"]["counts"]["missing"] == 5
    assert columns["FAF"]["counts"]["missing"] is None
    assert (columns["CH2O"]["missing_share"], columns["FAF"]["missing_share"]) == (0.02, None)


@pytest.mark.parametrize("window", [500, 995, 3000])
def test_the_window_holds_the_last_rows_half_of_it_or_more_and_all_of_them_are_counted(monitor_of, window):
    monitor = monitor_of(window)
    before = REGISTRY.get_sample_value("obesity_drift_rows_total")
    rng = np.random.default_rng(0)
    sent = 0
    for rows in (1, 3, 50, 1, 700, 2500, 1, 1, 4000):
        monitor.observe(matrix(rows), rng.integers(7, size=rows))
        sent += rows
        held = monitor.status().rows
        assert held <= window
        assert held >= min(sent - 49, window // 2)
        assert REGISTRY.get_sample_value("obesity_drift_rows_total") == before + sent


def test_rows_that_several_threads_observe_at_once_are_all_counted(monitor_of):
    monitor = monitor_of(10_000)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: monitor.observe(matrix(1), np.zeros(1, np.int64)), range(2000)))
    assert monitor.status().rows == 2000


@pytest.mark.parametrize("without", ["reference", "window"])
def test_where_drift_is_not_watched_it_says_so_and_predicts(artifact, without):
    if without == "reference":
        (artifact / "drift_reference.json").unlink()
    VERDICT.clear()  # of the applications of other tests
    with in_process(artifact, **({"DRIFT_WINDOW": "0"} if without == "window" else {})) as app:
        assert app.predict(PATIENT).is_success
        response = app.client.get("/drift")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        assert "drift is not watched" in response.json()["detail"]
        # of which an alert makes use
        assert not [name for name, *_ in samples(app) if name == "obesity_drift_verdict"]
