"""`obesity-levels drift`, as people type it. What is found in a batch is tested in test_check.py."""

import json
import os
import re
import sys

import pytest
from tests.command import exit_status, printed
from tests.conftest import ROOT

from obesity_levels.data.simulation import simulate
from obesity_levels.drift.scenarios import SCENARIOS

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


def test_the_power_is_measured_of_every_scenario():
    assert set(ROOT_METRICS["power"]) == set(SCENARIOS)


def test_make_drift_test_all_simulates_every_scenario():
    said = printed("make", "-n", "drift-test-all", cwd=ROOT)
    assert re.search(r"for type in (.*?);", said)[1].split() == list(SCENARIOS)


@pytest.fixture(scope="module")
def rows(population):
    """300 raw rows of the same people, damaged as real files are."""
    return simulate(population, 300, seed=77)


@pytest.fixture
def check(small_clone, tmp_path, monkeypatch, capsys):
    """Run the command on a batch; its exit status, what it printed, and its errors. Reports go to `reports`."""
    monkeypatch.chdir(small_clone.path)

    def checked(batch, *arguments: str):
        batch.to_csv(tmp_path / "batch.csv", index=False)
        where = ("--data", str(tmp_path / "batch.csv"), "--output", str(tmp_path / "reports"))
        return exit_status("drift", *where, *arguments), *capsys.readouterr()

    return checked


@pytest.fixture
def reports(tmp_path):
    return lambda: [json.loads(path.read_text()) for path in (tmp_path / "reports").glob("drift_report_*.json")]


def test_simulated_drift_is_reported_with_its_figures_and_exit_status_3(clone):
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


def test_a_batch_without_drift_is_exit_status_0(check, rows, reports):
    status, printed, error = check(rows)
    assert (status, error) == (0, "")
    assert "Nothing to do." in printed
    (report,) = reports()
    assert (report["verdict"], report["source"]["name"]) == ("no drift", "batch.csv")


def test_too_few_rows_are_exit_status_4(check, rows, reports):
    status, printed, error = check(rows[:49])
    assert (status, error) == (4, "")
    assert "Collect at least 50 rows" in printed
    assert [report["verdict"] for report in reports()] == ["too few rows to tell"]


def refused(checked, reports, said: str) -> None:
    status, printed, error = checked
    assert (status, printed) == (1, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert reports() == []


def test_a_folder_that_cannot_be_written_is_an_error(check, rows, reports, tmp_path):
    (tmp_path / "file").write_text("")
    refused(check(rows, "--output", str(tmp_path / "file/reports")), reports, "name another with --output")


def test_where_a_figure_cannot_be_written_no_report_is_left_behind(check, rows, reports, tmp_path):
    (tmp_path / "reports/drift_distributions.png").mkdir(parents=True)
    refused(check(rows), reports, "name another with --output")


def test_without_a_reference_the_commands_that_bring_it_are_named(check, rows, reports, tmp_path):
    refused(check(rows, "--model", str(tmp_path)), reports, "run `dvc repro`, or `dvc pull`")


def test_a_terminal_that_knows_ascii_only_and_an_output_that_cannot_be_written_are_no_errors(
    small_clone, rows, tmp_path
):
    rows.assign(MTRANS="🛴").to_csv(tmp_path / os.fsdecode(b"b\xff.csv"))
    command = (
        f"{sys.executable} -m obesity_levels.drift --data {tmp_path}/b$'\\xff'.csv --output {tmp_path}/r > /dev/full"
    )
    run = small_clone.run("bash", "-c", command, check=False, PYTHONIOENCODING="ascii")
    assert run.returncode == 3, run.stderr
    assert run.stderr == ""


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
