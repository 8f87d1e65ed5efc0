import json
import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from tests.command import exit_status

from obesity_levels.data.simulation import draw_people
from obesity_levels.errors import ArtifactError
from obesity_levels.registry.pipeline_run import workspace_run
from obesity_levels.registry.retraining import check_can_run, hydra_value

NAMED = re.compile(r"The experiment (retrain-\w+) ")


@pytest.fixture
def rows(population) -> pd.DataFrame:
    return draw_people(population, 400, np.random.default_rng(5))


@pytest.fixture
def retraining(clone, monkeypatch, capfd):
    """The command in the clone: its exit status, and what it and the DVC that it starts print."""
    clone.enter(monkeypatch)

    def run(rows: pd.DataFrame, status: int = 0, *options: str, **csv: str) -> str:
        rows.to_csv("new#1.csv", index=False, **csv)
        capfd.readouterr()
        assert exit_status("retrain", "new#1.csv", *options) == status
        said = capfd.readouterr()
        assert status == 0 or "Traceback" not in said.err
        return said.out + said.err

    return run


def test_rows_that_have_not_drifted_train_nothing(clone, retraining, rows):
    assert "new#1.csv has not drifted: nothing was trained" in retraining(rows)
    assert clone.run("dvc", "exp", "list").stdout.strip() == ""


def test_rows_that_have_drifted_make_an_experiment_once_that_the_printed_commands_apply_or_undo(
    clone, retraining, rows
):
    """One long test, because the experiment takes its time. The rows are written in a way that a layout explains."""
    layout = (clone.path / "data/layout.yaml").read_text().replace('delimiter: ","', 'delimiter: ";"')
    clone.write("new.yaml", layout.replace('decimal_mark: "."', 'decimal_mark: ","'))
    written = partial(retraining, rows.assign(Age=rows["Age"] + 25), 0, "--layout", "new.yaml", sep=";", decimal=",")
    said = written()
    assert "new#1.csv has drifted" in said
    (name,) = NAMED.findall(said)
    assert clone.changed_files() == ["?? new#1.csv", "?? new.yaml"]

    # How it meets the gate is said, condition by condition.
    (revision,) = re.findall(r"(\w{7}) \[" + name, clone.run("dvc", "exp", "list").stdout)
    gate = json.loads(clone.run("git", "show", f"{revision}:metrics/gate.json").stdout)
    told = re.findall(r"^  (holds|FAILS)  ([\w.]+): ", said, re.MULTILINE)
    assert told == [("holds" if found["holds"] else "FAILS", key) for key, found in gate["conditions"].items()]
    assert ("It passes the gate" in said) == gate["passed"] == all(verdict == "holds" for verdict, _ in told)

    again = written()
    assert NAMED.findall(again) == [name]
    assert "exists already" in again
    assert "Running stage" not in again

    # Applied, as printed, it can be committed, and published: what `make publish` checks first holds.
    for command in re.findall(r"dvc exp apply retrain-\S+|dvc add \S+|git add .*", said):
        clone.run(*shlex.split(command))
    clone.commit("New rows")
    assert clone.changed_files() == []
    assert "source: new#1.csv\n  layout: new.yaml" in (clone.path / "params.yaml").read_text()
    assert "Running stage" not in clone.run("dvc", "repro").stdout
    assert workspace_run().tags["git.dirty"] == "false"

    clone.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    clone.run(*re.search(r"Undo it: +(.*?)  ", said)[1].split())
    assert clone.run("dvc", "exp", "list").stdout.strip() == ""


def test_a_retraining_that_fails_leaves_the_workspace_as_it_is_and_nobody_is_told_to_undo_anything(
    clone, retraining, rows
):
    drifted = rows[rows["NObeyesdad"] != "Obesity_Type_I"].assign(Age=rows["Age"] + 25)
    clone.write("README.md", "mine")
    said = retraining(drifted, status=1)
    assert "Obesity_Type_I" in said
    assert "git checkout" not in said
    assert clone.changed_files() == [" M README.md", "?? new#1.csv"]


def test_rows_in_another_unit_train_nothing_and_the_unit_is_named(clone, retraining, rows):
    said = retraining(rows.assign(Height=rows["Height"] * 39.370079), 5)
    assert "new#1.csv is likely in another unit: Height is 39.4 times the value in training" in said
    assert clone.run("dvc", "exp", "list").stdout.strip() == ""


def test_in_a_shallow_repository_nothing_is_trained_and_the_way_out_is_named(clone, retraining, rows):
    clone.write(".git/shallow", clone.run("git", "rev-parse", "HEAD").stdout)
    said = retraining(rows.assign(Age=rows["Age"] + 25), status=1)
    assert "run `git fetch --unshallow` first" in said
    assert "Running stage" not in said


def test_too_few_rows_and_rows_without_labels_are_said_to_be(retraining, rows):
    retraining(rows[:20], status=4)
    assert "has no column 'NObeyesdad'" in retraining(rows.drop(columns="NObeyesdad"), status=1)


@pytest.mark.parametrize(
    ("folder", "setting", "source", "said"),
    [
        ("a#b", "user.email", "new.csv", "move it to a path without '#'"),
        ("a%20b", "user.email", "new.csv", "move it to a path without '%20'"),
        ("Übung", "user.email", "new.csv", "Übung/.dvc/cache is not: move the project"),
        ("a b", "branch.größe.remote", "new.csv", "branch.größe.remote is not: unset it"),
        ("a b", "user.email", "incoming/new.csv", "git has no incoming/: move the file to data/"),
    ],
)
def test_where_dvc_runs_no_experiment_of_its_own_nothing_is_begun(clone, monkeypatch, folder, setting, source, said):
    clone.path = clone.path.rename(clone.path.with_name(folder))
    clone.run("git", "config", setting, "x")
    clone.enter(monkeypatch)
    with pytest.raises(ArtifactError, match=said):
        check_can_run(Path(source), Path("data/layout.yaml"))


@given(name=st.text(st.characters(exclude_categories=["C"]), min_size=1))
@example(name="a\\b\\'c\\")
def test_any_path_is_a_value_of_dvcs_option(name):
    assert OverridesParser.create().parse_override(f"source={hydra_value(Path(name))}").value() == str(Path(name))
