"""`obesity-levels drift`, as people type it: simulated drift, and real batches, dirty as they come."""

import json
import os
import re
import shutil
import subprocess
import sys

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.command import exit_status
from tests.conftest import ROOT

from obesity_levels.data.simulation import simulate
from obesity_levels.drift.report import Report
from obesity_levels.drift.scenarios import SCENARIOS
from obesity_levels.schema import ANSWERS, LABEL

ROOT_METRICS = json.loads((ROOT / "metrics/drift.json").read_text())["calibration"]


@pytest.mark.parametrize("kind", ["false_alarm_rate", "false_alarm_rate_unlabelled", "false_alarm_rate_counts"])
@pytest.mark.parametrize("size", ["50", "100", "200", "300"])
def test_of_batches_without_drift_no_more_than_5_percent_alarm_on_the_default_source(kind, size):
    measured = ROOT_METRICS[kind][size]
    assert measured["batches"] >= 500
    assert measured["interval"][0] <= 0.05


@pytest.mark.parametrize("kind", ["power", "power_unlabelled", "power_counts"])
@pytest.mark.parametrize(("name", "intensity"), [("unit_error", "1.0"), ("feature_shift", "0.3")])
def test_of_200_rows_a_unit_error_and_a_shift_are_found_on_the_default_source(kind, name, intensity):
    assert ROOT_METRICS[kind][name][intensity]["200"] >= 0.95


def test_make_drift_test_all_simulates_every_scenario():
    said = subprocess.run(["make", "-n", "drift-test-all"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"for type in (.*?);", said)[1].split() == list(SCENARIOS)


@pytest.fixture(scope="module")
def rows(population):
    """300 raw rows of the same people, damaged as real files are."""
    return simulate(population, 300, seed=77)


@pytest.fixture
def check(small_clone, tmp_path, monkeypatch, capsys):
    """Run the command on a batch; its exit status, its report if there is one, what it printed, and its errors."""
    monkeypatch.chdir(small_clone.path)

    def checked(batch: pd.DataFrame | bytes | None, *arguments: str):
        path = tmp_path / "batch.csv"
        if isinstance(batch, bytes):
            path.write_bytes(batch)
        elif batch is not None:
            batch.to_csv(path, index=False)
        status = exit_status("drift", "--data", str(path), "--output", str(tmp_path / "reports"), *arguments)
        said = capsys.readouterr()
        found = sorted((tmp_path / "reports").glob("drift_report_*.json"))
        report = msgspec.json.decode(found[-1].read_bytes(), type=Report) if found else None
        assert status == 1 or said.err == ""
        return status, report, said.out, said.err

    return checked


def test_simulated_drift_is_reported_with_its_figures_and_exit_status_3(clone):
    shutil.rmtree(clone.path / "reports", ignore_errors=True)
    run = clone.run("obesity-levels", "drift", "--drift-type", "unit_error", check=False)
    assert run.returncode == 3
    assert run.stderr == ""
    assert "verdict: drift" in run.stdout
    assert "false-alarm rate: " in run.stdout
    assert "Likely a unit error: Height" in run.stdout
    (path,) = (clone.path / "reports").glob("drift_report_????????_??????.json")
    assert json.loads(path.read_text())["verdict"] == "drift"
    for figure in ("drift_distributions.png", "metrics_comparison.png"):
        assert (clone.path / "reports" / figure).read_bytes().startswith(b"\x89PNG")
    assert clone.changed_files() == []


def test_a_dirty_batch_without_drift_is_none(check, rows):
    status, report, printed, _ = check(rows)
    assert (status, report.verdict) == (0, "no drift")
    assert report.rows == 300
    assert 270 <= report.labelled_rows < 300  # some have no label
    assert report.source.name == "batch.csv"
    assert "Nothing to do." in printed


def test_a_batch_without_labels_gets_an_estimate_of_its_accuracy(check, rows):
    status, report, printed, _ = check(rows.drop(columns=LABEL))
    assert status == 0
    assert report.labelled_rows == 0
    assert report.performance.accuracy is None
    assert 0.5 < report.performance.estimated_accuracy.value < 1
    assert "on simulated drift such estimates were off by" in printed


def test_a_batch_with_labels_for_some_rows_is_scored_on_those(check, rows):
    some = rows.copy()
    some.loc[100:, LABEL] = ""
    _, report, _, _ = check(some)
    assert 80 < report.labelled_rows <= 100
    assert report.performance.accuracy is not None


def test_a_column_that_is_broken_is_drift(check, rows):
    status, report, _, _ = check(rows.assign(CH2O="#REF!"))
    assert status == 3
    assert [(cause.cause, cause.columns) for cause in report.causes] == [("broken_field", ["CH2O"])]


def test_one_unknown_category_everywhere_is_drift_and_is_shown(check, rows):
    status, report, _, _ = check(rows.assign(MTRANS="Scooter"))
    assert status == 3
    assert [(cause.cause, cause.columns) for cause in report.causes] == [("unseen_categories", ["MTRANS"])]
    (column,) = (column for column in report.columns if column.name == "MTRANS")
    assert column.unseen == {"Scooter": 300}


def test_pounds_and_inches_are_recognised_in_a_file(check, rows):
    numbers = {name: pd.to_numeric(rows[name], errors="coerce") for name in ("Height", "Weight")}
    imperial = rows.assign(Height=numbers["Height"] * 39.370079, Weight=numbers["Weight"] * 2.204623)
    status, report, printed, _ = check(imperial)
    assert status == 3
    assert report.causes[0].cause == "unit_error"
    assert "inches, not metres" in printed
    assert "pounds, not kilograms" in printed


@pytest.mark.parametrize("amount", [1, 49])
def test_too_few_rows_are_exit_status_4(check, rows, amount):
    status, report, printed, _ = check(rows[:amount])
    assert (status, report.verdict) == (4, "too few rows to tell")
    assert "Collect at least 50 rows" in printed


def test_a_batch_in_which_nothing_is_answered_is_drift(check, rows):
    blank = rows.copy()
    blank[list(ANSWERS)] = ""
    status, report, _, _ = check(blank)
    assert status == 3
    assert report.causes[0].cause == "broken_field"


def test_constant_columns_are_drift(check, rows):
    assert check(pd.concat([rows[:1]] * 100))[0] == 3


def test_an_unknown_column_is_passed_over(check, rows):
    plain = check(rows)[1]
    more = check(rows.assign(comment="hello"))[1]
    assert more.columns == plain.columns
    assert more.columns_ignored == [*plain.columns_ignored, "comment"]


def test_the_order_of_columns_and_rows_changes_nothing(check, rows):
    plain = check(rows)[1]
    mixed = check(rows.sample(frac=1, random_state=1)[sorted(rows.columns)])[1]
    assert mixed.columns == plain.columns
    assert mixed.verdict == plain.verdict


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (b"", "is empty"),
        (",".join(ANSWERS).encode(), "has a header but no rows"),
        (b"Age,Height\n1,2\n", "has no columns 'Gender', 'Weight'"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (",".join(ANSWERS).encode() + b"\n1,2\n", "too few cells"),
    ],
)
def test_what_is_no_batch_is_an_error_and_exit_status_1(check, batch, said):
    status, report, printed, error = check(batch)
    assert status == 1
    assert report is None
    assert printed == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error


def test_a_missing_column_is_named(check, rows):
    status, _, _, error = check(rows.drop(columns="FCVC"))
    assert status == 1
    assert "has no column 'FCVC' (found 15 of 16)" in error


def test_a_file_that_is_not_there_is_an_error(check):
    status, _, _, error = check(None)
    assert status == 1
    assert "batch.csv does not exist" in error


def test_a_folder_that_cannot_be_written_is_an_error(check, rows, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, _, error = check(rows, "--output", str(tmp_path / "file" / "reports"))
    assert status == 1
    assert "name another with --output" in error


def test_where_a_figure_cannot_be_written_no_report_is_left_behind(check, rows, tmp_path):
    (tmp_path / "reports/drift_distributions.png").mkdir(parents=True)
    status, report, _, error = check(rows)
    assert status == 1
    assert report is None
    assert "name another with --output" in error


def test_without_a_reference_the_commands_that_bring_it_are_named(check, rows, tmp_path):
    status, _, _, error = check(rows, "--model", str(tmp_path))
    assert status == 1
    assert "run `dvc repro`, or `dvc pull`" in error


def test_a_terminal_that_knows_ascii_only_a_pipe_that_closes_and_a_strange_name_are_no_errors(
    small_clone, rows, tmp_path
):
    rows.assign(MTRANS="🛴").to_csv(tmp_path / "batch.csv", index=False)
    (tmp_path / "batch.csv").rename(tmp_path / os.fsdecode(b"b\xff.csv"))
    command = f"{sys.executable} -m obesity_levels.drift --data {tmp_path}/b$'\\xff'.csv --output {tmp_path}/r"
    for end in ("", " | true; exit ${PIPESTATUS[0]}", " > /dev/full"):
        run = small_clone.run("bash", "-c", command + end, check=False, PYTHONIOENCODING="ascii")
        assert run.returncode == 3, run.stderr
        assert run.stderr == ""


def change_reference(folder, **changes):
    path = folder / "drift_reference.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_reference_with_params_of_another_version_of_the_code_is_an_error(check, rows, small_clone, tmp_path):
    models = shutil.copytree(small_clone.path / "models", tmp_path / "models", copy_function=shutil.copyfile)
    change_reference(models, params={"bins": 10})
    status, _, _, error = check(rows, "--model", str(models))
    assert status == 1
    assert "params that this version of the code does not read" in error


def test_a_reference_of_another_model_is_an_error(check, rows, small_clone, tmp_path):
    models = shutil.copytree(small_clone.path / "models", tmp_path / "models", copy_function=shutil.copyfile)
    change_reference(models, model_version="0" * 12)
    status, _, _, error = check(rows, "--model", str(models))
    assert status == 1
    assert "belongs to another model than the one beside it" in error


def test_rows_that_the_model_was_not_made_of_are_an_error(check, rows, small_clone, tmp_path, monkeypatch):
    features = tmp_path / "data/features"
    shutil.copytree(small_clone.path / "data/features", features, copy_function=shutil.copyfile)
    shutil.copy(features / "test.parquet", features / "train.parquet")
    monkeypatch.chdir(tmp_path)
    status, _, _, error = check(rows, "--model", str(small_clone.path / "models"))
    assert status == 1
    assert "does not hold the rows that the model was made from" in error


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--drift-type", "magic"],
        ["--drift-type", "noise", "--intensity", "0"],
        ["--drift-type", "noise", "--intensity", "nan"],
        ["--data", "batch.csv", "--intensity", "0.3"],
        ["--data", "batch.csv", "--drift-type", "noise"],
        ["--data", "batch.csv", "--model", "models", "--alias", "champion"],
    ],
)
def test_a_wrong_command_line_is_answered_with_the_usage(capsys, arguments):
    assert exit_status("drift", *arguments) == 2
    assert "Usage: obesity-levels drift" in capsys.readouterr().err


def test_the_metrics_hold_the_false_alarm_rate_and_the_power_of_every_scenario(small_clone):
    metrics = json.loads((small_clone.path / "metrics/drift.json").read_text())
    assert set(metrics["calibration"]["false_alarm_rate"]) == {"50"}
    rate = metrics["calibration"]["false_alarm_rate"]["50"]
    assert 0 <= rate["interval"][0] <= rate["rate"] <= rate["interval"][1] <= 1
    power = metrics["calibration"]["power"]
    assert set(power) == set(metrics["scenarios"])
    assert power["unit_error"] == {"1.0": {"50": 1.0}}
    assert set(metrics["calibration"]["power_unlabelled"]) == set(metrics["calibration"]["power_counts"]) == set(power)
    assert set(power["feature_shift"]) == {"0.3"}
    assert np.isfinite(
        [score["accuracy"]["after"] for by in metrics["scenarios"].values() for score in by.values()]
    ).all()
