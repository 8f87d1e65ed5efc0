"""The drift monitor: what is sent decides what it says, and it says nothing of a single person."""

import json
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from service.drift_monitor import DriftMonitor, shown

from obesity_levels.data.simulation import draw_people
from obesity_levels.drift.histograms import load_reference
from obesity_levels.model.classifier import most_probable
from obesity_levels.schema import ANSWERS, PROFILES
from tests.serving import PATIENT, free_port, refused, running
from tests.strategies import matrix_of
from tests.waiting import eventually

WINDOW, COUNTED = "obesity_drift_window_rows", "obesity_drift_rows_total"


@pytest.fixture(scope="module")
def patients(population):
    """600 people of the population that the model was trained on.

    One batch in some fifty alarms with no drift, as it may (test_tests.py measures that); this one does not.
    """
    table = draw_people(population, 600, np.random.default_rng(8))[list(ANSWERS)]
    return json.loads(table.to_json(orient="records"))


@pytest.fixture
def monitored(model_dir, tmp_path):
    with running(model_dir, tmp_path / "log") as service:
        yield service


def drift_of(service, rows: int) -> dict:
    """What GET /drift says when `rows` are in the window; it is as old as a second."""

    def found() -> dict | None:
        drift = service.client.get("/drift").json()
        return drift if drift["rows"] == rows else None

    return eventually(found, f"{rows} rows in the window", seconds=10)


def samples(service) -> dict[tuple, float]:
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def test_people_like_those_of_the_training_have_not_drifted(monitored, patients, classifier):
    assert monitored.predict(*patients).status_code == 200
    found = drift_of(monitored, 600)
    assert found["verdict"] == "no drift"
    assert found["model_version"] == classifier.manifest.version
    assert found["window"] == 10_000
    assert [column["name"] for column in found["columns"]] == [*PROFILES["full"], "predicted_level"]
    assert not any(column["alarm"] for column in found["columns"])
    assert found["false_alarm_rate"]["rows"] == 50  # the largest size that the small pipeline measures


def test_heights_in_a_wrong_unit_are_drift(monitored, patients):
    assert monitored.predict(*({**patient, "Height": 1.0 + patient["Height"] / 10} for patient in patients)).is_success
    found = drift_of(monitored, 600)
    assert found["verdict"] == "drift"
    alarms = {column["name"] for column in found["columns"] if column["alarm"]}
    assert {"Height", "BMI"} <= alarms
    assert not alarms & {"Gender", "FCVC", "MTRANS"}
    metrics = samples(monitored)
    assert metrics["obesity_drift_verdict", "drift"] == 1
    assert metrics["obesity_drift_verdict", "no drift"] == 0
    assert metrics["obesity_drift_window_rows",] == 600
    (height,) = (column["psi"] for column in found["columns"] if column["name"] == "Height")
    assert metrics["obesity_drift_psi", "Height"] == height


def test_a_field_that_is_no_longer_answered_is_drift(monitored, patients):
    assert monitored.predict(*({**patient, "FAVC": None} for patient in patients)).is_success
    found = drift_of(monitored, 600)
    assert [column["name"] for column in found["columns"] if column["alarm"]] == ["FAVC"]


def test_one_by_one_they_are_counted_as_they_are_together(monitored, patients):
    monitored.predict(*patients[:200])
    together = drift_of(monitored, 200)
    for patient in patients[:200]:
        monitored.predict(patient)
    for column, before in zip(drift_of(monitored, 400)["columns"], together["columns"], strict=True):
        for cell, count in before["counts"].items():
            if count is not None:  # rounded down to a multiple of 5
                assert 2 * count <= column["counts"][cell] < 2 * (count + 5)


def test_the_window_forgets_what_is_older(model_dir, tmp_path, patients):
    with running(model_dir, tmp_path / "log", DRIFT_WINDOW="500") as service:
        service.predict(*({**patient, "Height": 1.2} for patient in patients[:200]))
        assert drift_of(service, 200)["verdict"] == "drift"
        service.predict(*patients[:200])
        service.predict(*patients[200:400])
        time.sleep(1.1)  # the verdict may be a second old
        assert drift_of(service, 400)["verdict"] == "no drift"


def test_rows_join_the_window_50_at_a_time_so_that_none_shows_by_itself(monitored, patients):
    monitored.predict(*patients[:200])
    before = drift_of(monitored, 200)
    for patient in patients[200:249]:
        monitored.predict(patient)
    time.sleep(1.1)
    assert monitored.client.get("/drift").json() == before
    monitored.predict(patients[249])
    assert drift_of(monitored, 250) != before


def test_of_few_people_nothing_is_said(model_dir, patients, classifier):
    monitor = DriftMonitor(load_reference(model_dir / "drift_reference.json", classifier.manifest), 1000)
    matrix = matrix_of(patients[:199])
    monitor.observe(matrix, most_probable(classifier.probabilities(matrix)))
    status = monitor.status()
    assert (status.verdict, status.rows, status.columns) == ("too few rows to tell", 199, [])


def test_counts_under_5_are_not_shown_and_others_only_in_steps_of_5(monitored, patients):
    without_water = [{**patient, "CH2O": None} for patient in patients[:6]]
    monitored.predict(*without_water, *patients[6:300], {**PATIENT, "MTRANS": "Motorbike", "FAF": None})
    columns = {column["name"]: column for column in drift_of(monitored, 301)["columns"]}
    for column in columns.values():
        assert all(count is None or (count >= 5 and count % 5 == 0) for count in column["counts"].values())
    assert columns["CH2O"]["counts"]["missing"] == 5
    assert columns["FAF"]["counts"]["missing"] is None
    assert (columns["CH2O"]["missing_share"], columns["FAF"]["missing_share"]) == (0.02, None)


def test_rows_that_the_window_has_no_room_for_are_counted_all_the_same(model_dir, classifier):
    monitor = DriftMonitor(load_reference(model_dir / "drift_reference.json", classifier.manifest), 500)
    before = REGISTRY.get_sample_value(COUNTED)
    monitor.observe(np.tile(np.float32(1), (4000, len(PROFILES["full"]))), np.zeros(4000, np.int64))
    assert monitor.status().rows == 200
    assert REGISTRY.get_sample_value(COUNTED) == before + 4000


@pytest.mark.parametrize(("count", "expected"), [(0, None), (4, None), (5, 5), (9, 5), (10, 10), (1234, 1230)])
def test_what_is_shown_of_a_count(count, expected):
    assert shown(count) == expected


def test_each_of_two_workers_judges_its_own_window_and_the_metrics_show_the_worst(model_dir, tmp_path, patients):
    """Rows by single connections reach either worker; each then says what it saw itself."""
    with running(model_dir, tmp_path / "log", WORKERS="2") as service:
        url = f"http://127.0.0.1:{service.port}/predict"
        tall = [{**patient, "Height": 1.0 + patient["Height"] / 10} for patient in patients]
        bodies = [{"patients": tall[first : first + 50]} for first in range(0, 600, 50)] * 6
        with ThreadPoolExecutor(8) as pool:
            assert all(
                answer.is_success for answer in pool.map(lambda body: httpx.post(url, json=body, timeout=60), bodies)
            )
        counted = Counter(line["process"] for line in service.log_lines() if line.get("route") == "/predict")
        assert len(counted) == 2
        metrics = eventually(
            lambda: (found := samples(service)).get(("obesity_drift_verdict", "drift")) and found, "drift"
        )
        assert metrics[COUNTED,] == 3600
        assert service.client.get("/drift").json()["rows"] < 3600


@pytest.mark.parametrize("window", [500, 995, 3000])
def test_the_window_holds_the_last_rows_half_of_it_or_more(model_dir, classifier, window, monkeypatch):
    monkeypatch.setattr("service.drift_monitor._SECONDS", -1)  # judge anew whenever it is asked
    monitor = DriftMonitor(load_reference(model_dir / "drift_reference.json", classifier.manifest), window)
    rng = np.random.default_rng(0)
    sent = 0
    for rows in (1, 3, 50, 1, 700, 2500, 1, 1, 4000):
        monitor.observe(np.tile(np.float32(1), (rows, len(PROFILES["full"]))), rng.integers(7, size=rows))
        sent += rows
        held = monitor.status().rows
        assert held <= window
        assert held >= min(sent - 49, window // 2)


@pytest.mark.parametrize("without", ["reference", "window"])
def test_where_drift_is_not_watched_it_says_so_and_predicts(model_dir, tmp_path, without):
    folder = shutil.copytree(model_dir, tmp_path / "models")
    if without == "reference":
        (folder / "drift_reference.json").unlink()
    with running(folder, tmp_path / "log", **({"DRIFT_WINDOW": "0"} if without == "window" else {})) as service:
        assert service.predict(PATIENT).is_success
        response = service.client.get("/drift")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        assert "drift is not watched" in response.json()["detail"]
        assert not [
            name for name, *_ in samples(service) if name == "obesity_drift_verdict"
        ]  # of which an alert makes use


@pytest.mark.parametrize("change", [{"model_version": "0" * 12}, {"columns": []}, {"format": 99}])
def test_it_refuses_a_reference_that_is_not_of_its_model(model_dir, tmp_path, change):
    folder = shutil.copytree(model_dir, tmp_path / "models")
    path = folder / "drift_reference.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    run = refused(folder, PORT=str(free_port()))
    assert run.returncode == 1
    assert "drift_reference.json" in run.stderr


def test_in_a_checkout_it_refuses_a_reference_that_is_not_the_locked_one(clone):
    path = clone.path / "models/drift_reference.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"psi": 0.1', '"psi": 0.9'))
    run = refused(clone.path / "models", PORT=str(free_port()))
    assert "drift_reference.json is not the file that dvc.lock names" in run.stderr


def test_rows_that_are_asked_about_at_once_are_counted_but_for_those_that_wait(monitored, patients):
    with ThreadPoolExecutor(16) as pool:
        for answer in pool.map(monitored.predict, patients[:300]):
            assert answer.is_success
    time.sleep(1.1)  # the verdict may be a second old
    assert 300 - 49 <= monitored.client.get("/drift").json()["rows"] <= 300
