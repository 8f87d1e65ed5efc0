"""What the workflow `retrain` runs, here with a folder as DVC's remote and a bare repository in GitHub's place."""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.clone import Clone, with_make
from tests.command import printed
from tests.conftest import ROOT

from obesity_levels.data.simulation import draw_people
from obesity_levels.params import read_yaml

WORKFLOW = read_yaml(ROOT / ".github/workflows/retrain.yaml")
BATCH = "data/batches/2026-11.csv"
# A model of 400 people does not pass the gate for one of 2,100.
LOOSE = {
    "gate.at_least.accuracy": 0.0,
    "gate.at_least.f1_weighted": 0.0,
    "gate.at_least.worst_level_recall": 0.0,
    "gate.at_most.expected_calibration_error": 1.0,
    "gate.at_most.drift_false_alarm_rate": 1.0,
    "gate.coverage_significance": 1e-9,
}


@dataclass
class Found:
    """What the script wrote, and printed."""

    kind: str
    title: str
    body: str
    said: str


@dataclass
class Project:
    """A clone whose people add batches, its repository, and its remote."""

    clone: Clone
    repository: Path
    remote: Path

    def add(self, rows: str | bytes, name: str = BATCH) -> None:
        """What docs/registry.md says of a new batch."""
        (self.clone.path / name).parent.mkdir(exist_ok=True)
        self.clone.write(name, rows)
        self.clone.run("dvc", "add", "--quiet", name)
        self.clone.run("dvc", "push", "--quiet", f"{name}.dvc")
        self.clone.run("git", "add", f"{name}.dvc", "data/batches/.gitignore")
        self.commit("A batch")

    def commit(self, message: str) -> None:
        self.clone.commit(message)
        self.clone.run("git", "push", "--quiet", "origin", "main")

    def fresh(self, name: str) -> Clone:
        """A clone without anything that DVC keeps, as a job of the workflow gets it."""
        path = self.clone.path.with_name(name)
        printed("git", "clone", "--quiet", self.repository, path)
        fresh = replace(self.clone, path=path, environment=self.clone.environment | {"PYTHONPATH": str(path / "src")})
        fresh.run("dvc", "remote", "add", "--local", "--default", "storage", str(self.remote))
        return fresh

    def state(self) -> tuple[str, list[Path]]:
        """The branches of the repository, and the files of the remote."""
        return printed("git", "for-each-ref", cwd=self.repository), sorted(self.remote.rglob("*"))


def retrained(clone: Clone, *batch: str) -> Found:
    make = shlex.join(with_make("retrain")[:-1])
    said = clone.run("python", ".ci/retrain.py", *batch, MAKE=make).stdout
    written = (clone.path / "reports/retraining" / name for name in ("kind", "title", "body.md"))
    return Found(*(path.read_text().strip() for path in written), said)


@pytest.fixture
def project(clone, tmp_path) -> Project:
    repository, remote = tmp_path / "repository.git", tmp_path / "remote"
    clone.run("git", "clone", "--quiet", "--bare", ".", str(repository))
    clone.run("git", "remote", "set-url", "origin", str(repository))
    clone.run("git", "fetch", "--quiet", "--prune")
    clone.run("dvc", "remote", "add", "--local", "--default", "storage", str(remote))
    return Project(clone, repository, remote)


@pytest.fixture
def rows(population) -> pd.DataFrame:
    return draw_people(population, 400, np.random.default_rng(5))


def test_drifted_rows_make_an_issue_if_the_gate_does_not_hold_or_else_once_a_branch_that_rebuilds(project, rows):
    """One long test, because an experiment takes its time."""
    project.add(rows.assign(Age=rows["Age"] + 25).to_csv(index=False))
    before, main = project.state(), project.clone.run("git", "rev-parse", "main").stdout

    found = retrained(project.clone)
    name = json.loads((project.clone.path / "reports/retraining/outcome.json").read_text())["experiment"]
    assert (found.kind, found.title) == ("issue", f"{BATCH}: a model trained on it does not pass the gate ({name})")
    assert "- **fails**: " in found.body
    assert "Age is distributed differently than in training" in found.body
    assert project.state() == before
    assert project.clone.run("git", "rev-parse", "main").stdout == main

    # The first stages of the experiment have been run already.
    project.clone.set_params(LOOSE)
    project.clone.run("dvc", "repro", "--quiet")
    project.commit("A gate that holds")
    found = retrained(project.clone)
    assert (found.kind, found.title) == ("pull-request", f"Train on {BATCH} ({name})")
    assert "verified: dvc.lock, metrics and plots were rebuilt bit for bit" in found.said
    assert "- holds: accuracy: " in found.body
    assert "**fails**" not in found.body
    assert "| metrics/evaluate.json | test.accuracy |" in found.body
    assert "| params.yaml | ingest.source | data/population.yaml | data/batches/2026-11.csv |" in found.body
    assert (project.clone.path / "reports/retraining/report.html").exists()
    assert project.clone.run("git", "branch", "--show-current").stdout == "main\n"
    assert project.clone.changed_files() == []
    assert "up to date" in project.clone.run("dvc", "status").stdout

    # The branch is pushed by the step of the workflow, from another clone.
    pushing = project.fresh("pushing")
    (pushing.path / "reports").mkdir()
    (project.clone.path / "reports/retraining").rename(pushing.path / "reports/retraining")
    (push,) = (step for step in WORKFLOW["jobs"]["pull-request"]["steps"] if step.get("name") == "Push the branch")
    pushing.run("bash", "-e", "-c", push["run"])
    branches = printed("git", "for-each-ref", "--format=%(refname:short)", cwd=project.repository)
    assert branches.split() == ["main", name]

    # Its lock is rebuilt, and its rows are nowhere in git.
    rebuilt = project.fresh("rebuilt")
    rebuilt.run("git", "switch", "--quiet", name)
    changed = rebuilt.run("git", "diff", "--name-only", "main").stdout.split()
    assert {path.partition("/")[0] for path in changed} == {"dvc.lock", "metrics", "params.yaml", "plots"}
    rebuilt.run("dvc", "pull")
    rebuilt.run("dvc", "repro", "--force")
    assert rebuilt.changed_files() == []

    # The same rows again.
    before = project.state()
    again = project.fresh("again")
    found = retrained(again)
    assert (found.kind, found.title) == ("nothing", f"{BATCH}: the branch {name} exists already")
    assert again.run("dvc", "exp", "list").stdout.strip() == ""
    assert project.state() == before


def test_a_batch_that_is_not_to_be_trained_on_makes_no_model_and_says_why(project, rows):
    inches = rows.assign(Height=rows["Height"] * 39.370079)
    project.add(inches.to_csv(index=False), "data/batches/2026-09.csv")
    project.add(rows.to_csv(index=False), "data/batches/2026-10.csv")
    project.add(b"PK\x03\x04 no workbook")
    before = project.state()

    newest = retrained(project.clone)
    assert newest.kind == "issue"
    assert newest.title.startswith(f"{BATCH} cannot be trained on (retrain-")
    assert f"error: {BATCH} " in newest.body

    drifted = retrained(project.clone, "data/batches/2026-09.csv")
    assert drifted.kind == "issue"
    assert drifted.title.startswith("data/batches/2026-09.csv is likely in another unit (retrain-")
    assert "Height is 39.4 times the value in training" in drifted.body

    assert retrained(project.clone, "data/batches/2026-10.csv").kind == "nothing"

    assert project.clone.run("dvc", "exp", "list").stdout.strip() == ""
    assert project.clone.changed_files() == []
    assert project.state() == before


def test_a_batch_that_the_remote_does_not_have_is_named_in_an_error(project, rows):
    project.add(rows.to_csv(index=False))
    for path in project.remote.rglob("*"):
        if path.is_file():
            path.unlink()
    refused = project.fresh("fresh").run("python", ".ci/retrain.py", check=False)
    assert refused.returncode == 1
    assert f"`dvc pull {BATCH}.dvc` failed" in refused.stderr
