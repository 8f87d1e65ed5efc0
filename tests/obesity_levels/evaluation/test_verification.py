import json
import subprocess

import pytest
from tests.command import exit_status

METRICS = {"model_version": "abc", "test": {"accuracy": 0.9, "by_level": [0.5, 0.25]}}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("metrics", "plots"):
        (tmp_path / folder).mkdir()
    (tmp_path / "dvc.lock").write_text("stages: {}\n")
    (tmp_path / "metrics/evaluate.json").write_text(json.dumps(METRICS))
    (tmp_path / "plots/roc.csv").write_text("level,rate\na,0.5\nb,0.75\n")
    (tmp_path / "plots/confusion_matrix.csv").write_text("actual,predicted\na,a\nb,a\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["git", "init", "--quiet"], ["git", "add", "."], [*git, "commit", "--quiet", "-m", "Begin"]):
        subprocess.run(command, check=True)
    return tmp_path


def test_what_was_rebuilt_bit_for_bit_is_verified(checkout, capsys):
    assert exit_status("verify") == 0
    assert "rebuilt bit for bit" in capsys.readouterr().out


def test_a_number_that_differs_is_told_with_its_place_and_by_how_much(checkout, capsys):
    changed = {**METRICS, "model_version": "def", "test": {"accuracy": 0.9, "by_level": [0.5, 0.2504]}}
    (checkout / "metrics/evaluate.json").write_text(json.dumps(changed))
    assert exit_status("verify") == 1
    said = capsys.readouterr()
    assert "most in test.by_level.1" in said.out
    assert "The predictions for the test rows are equal; no number differs by more than 0.0004." in said.out
    assert "error: the rebuilt numbers above differ" in said.err
    assert exit_status("verify", "--tolerance", "0.001") == 0
    assert exit_status("verify", "--tolerance", "0.0001") == 1


def test_a_test_row_with_another_prediction_is_within_no_tolerance(checkout, capsys):
    (checkout / "plots/confusion_matrix.csv").write_text("actual,predicted\na,a\nb,b\n")
    assert exit_status("verify", "--tolerance", "0.5") == 1
    said = capsys.readouterr().out
    assert "1 of 2 test rows have another prediction" in said
    assert "The predictions for the test rows differ" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plots/roc.csv", "level,rate\na,0.5\n"),
        ("metrics/evaluate.json", '{"model_version": "abc"}'),
        ("metrics/new.json", "{}"),
        ("plots/roc.csv", None),
        ("plots/roc.csv", "level,rate\na,0.5\nb\n"),
        ("plots/roc.csv", "level,rate\na,0.5\nb,\n"),
        ("plots/roc.csv", "level,rate\na,0.5\nb,nan\n"),
        ("plots/roc.csv", "level,rate\na,0.5\nc,0.75\n"),
        ("metrics/evaluate.json", json.dumps({**METRICS, "test": {"accuracy": None, "by_level": [0.5, 0.25]}})),
        ("metrics/evaluate.json", json.dumps({**METRICS, "test": {"accuracy": True, "by_level": [0.5, 1]}})),
    ],
)
def test_a_file_of_another_shape_and_what_is_no_number_is_within_no_tolerance(checkout, name, content):
    if content is None:
        (checkout / name).unlink()
    else:
        (checkout / name).write_text(content)
    assert exit_status("verify", "--tolerance", "0.5") == 1


def test_a_number_in_a_table_is_compared_as_one(checkout, capsys):
    (checkout / "plots/roc.csv").write_text("level,rate\na,0.5\nb,0.7501\n")
    assert exit_status("verify", "--tolerance", "0.001") == 0
    assert "most in rate, row 2" in capsys.readouterr().out


def test_outside_of_a_repository_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_status("verify") == 1
    assert capsys.readouterr().err.startswith("error: git diff: ")
