"""The feature store: what is found by id is what is found by file, to the last bit, offline and online.

A real store, in its own environment, in the folder of a clone. Its commands are those of docs/feature-store.md.
"""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from obesity_levels.io import Rows, read_split
from obesity_levels.model.features import MISSING, body_mass_index
from obesity_levels.schema import ANSWERS, LEVELS, PROFILES, SPLITS
from tests.clone import Clone, copy_clone
from tests.conftest import ROOT

NOW = datetime.now(UTC).replace(microsecond=0)
PYTHON = "deploy/feast/.venv/bin/python"
FEAST = "deploy/feast/.venv/bin/feast --chdir deploy/feast"
COMMANDS = (
    f"{PYTHON} deploy/feast/write_answers.py",
    f"{FEAST} apply",
    f"{FEAST} materialize-incremental $(date -u +%Y-%m-%dT%H:%M:%S)",
)
STORES = ("offline", "online")
WEIGHT, AGE = PROFILES["full"].index("Weight"), PROFILES["full"].index("Age")


class Store:
    """A store with the clean rows of a clone, and what was found there by id."""

    def __init__(self, clone: Clone) -> None:
        self.clone, self.said = clone, ""
        splits = Rows.concatenate(*(read_split(clone.path / "data/features", name) for name in SPLITS))
        self.answers, self.matrix = splits.answers, splits.matrix
        self.ids = [f"line-{line}" for line in splits.answers.index]
        self.run("obesity-levels predict data/clean.parquet --keep line --to by-file.parquet")
        by_file = pd.read_parquet(clone.path / "by-file.parquet").set_index("line")
        self.by_file = by_file.loc[splits.answers.index.astype(str)]
        self.found: dict[str, np.ndarray] = {}

    def run(self, command: str) -> str:
        run = self.clone.run("bash", "-c", command)
        self.said += run.stdout + run.stderr
        return run.stdout

    def add(self, person: str, answered_at: datetime, **answers: float | str | None) -> None:
        """Answers of a person, those of the first row but for `answers`."""
        path = self.clone.path / "deploy/feast/data/answers.parquet"
        rows = pd.read_parquet(path)
        added = rows.iloc[[0]].assign(person_id=person, answered_at=answered_at, **answers)
        pd.concat([rows, added.astype(rows.dtypes)]).to_parquet(path, index=False)

    def ask(self, questions: dict[str, tuple[list[str], datetime | None]]) -> None:
        asked = {name: {"ids": ids, "at": at and at.isoformat()} for name, (ids, at) in questions.items()}
        self.clone.write("questions.json", json.dumps(asked))
        script = ROOT / "tests/deploy/by_id.py"
        # -P: the modules beside the script are not found in place of Python's own
        self.run(f"PYTHONPATH=$PYTHONPATH:deploy/feast {PYTHON} -P {script} questions.json found.npz")
        self.found = dict(np.load(self.clone.path / "found.npz"))


@pytest.fixture(scope="module")
def store(feast: Path, small_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    clone = copy_clone(small_template, tmp_path_factory.mktemp("feast"))
    (clone.path / "deploy/feast/.venv").symlink_to(feast.parent)
    store = Store(clone)
    write_answers, apply, materialize = COMMANDS
    store.run(write_answers)
    store.add("changed", NOW - timedelta(days=20), Weight=60.0, Age=30.0)
    store.add("changed", NOW - timedelta(days=10), Weight=90.0, Age=None)
    store.add("too_old", NOW - timedelta(days=400))
    store.add("silent", NOW - timedelta(days=1), **dict.fromkeys(ANSWERS))
    store.run(apply)
    store.run(materialize)
    later = datetime.now(UTC)
    twice = [*store.ids, store.ids[0]]
    questions = {
        "offline": (twice, later),
        "online": (twice, None),
        "before": (["changed"], NOW - timedelta(days=15)),
        "offline_after": (["changed"], NOW - timedelta(days=5)),
        "online_after": (["changed"], None),
        "before_the_first": (["changed"], NOW - timedelta(days=30)),
        "while_recent": (["too_old"], NOW - timedelta(days=300)),
    }
    for name, at in (("offline", later), ("online", None)):
        questions[f"{name}_nobody"] = ([store.ids[0], "nobody", "no one"], at)
        questions[f"{name}_silent"] = (["silent"], at)
        questions[f"{name}_too_old"] = (["too_old"], at)
    store.ask(questions | {"too_old_but_loaded": (["too_old"], None)})
    return store


@pytest.mark.parametrize("name", STORES)
def test_the_matrix_by_id_is_that_of_featurize(store, name):
    assert (store.matrix == MISSING).any()
    assert store.found[f"{name}.matrix"].tobytes() == store.matrix.tobytes() + store.matrix[0].tobytes()


@pytest.mark.parametrize("name", STORES)
def test_probabilities_by_id_are_those_by_file(store, name):
    by_file = store.by_file[list(LEVELS)].to_numpy()
    by_id = store.found[f"{name}.probabilities"].astype(np.float64)
    assert by_id.tobytes() == by_file.tobytes() + by_file[0].tobytes()


@pytest.mark.parametrize("name", STORES)
def test_the_body_mass_index_on_demand_is_that_of_the_features_module(store, name):
    height, weight = (store.answers[question].to_numpy() for question in ("Height", "Weight"))
    expected = body_mass_index(height, weight)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(store.found[f"{name}.bmi"][:-1], expected)


def test_a_prediction_by_id_at_the_command_line_is_that_by_file(store):
    assert store.ids[0] == "line-2"
    answer = store.run(f"echo line-2 | {PYTHON} deploy/feast/predict_by_id.py")
    (row,) = csv.DictReader(io.StringIO(answer))
    expected = store.by_file.iloc[0]
    assert row["prediction"] == expected["prediction"]
    assert [float(row[level]) for level in LEVELS] == list(expected[list(LEVELS)])


def test_offline_the_answers_are_those_of_the_time(store):
    assert store.found["before.matrix"][0, WEIGHT] == 60
    assert store.found["offline_after.matrix"][0, WEIGHT] == 90


def test_online_the_answers_are_the_last_ones(store):
    assert store.found["online_after.matrix"][0, WEIGHT] == 90


@pytest.mark.parametrize("name", STORES)
def test_an_answer_that_is_missing_now_is_not_taken_from_before(store, name):
    assert store.found["before.matrix"][0, AGE] == 30
    assert store.found[f"{name}_after.matrix"][0, AGE] == MISSING


@pytest.mark.parametrize("name", STORES)
def test_an_unknown_person_is_an_error_that_names_the_place(store, name):
    error = str(store.found[f"{name}_nobody.error"])
    assert "2 of 3 persons have no answers" in error
    assert "in the order of the ids: 2, 3)" in error


@pytest.mark.parametrize("name", ["offline_silent", "online_silent", "before_the_first"])
def test_a_person_without_answers_is_an_error_and_not_a_prediction(store, name):
    assert "1 of 1 persons" in str(store.found[f"{name}.error"])
    assert f"{name}.matrix" not in store.found


@pytest.mark.parametrize("name", ["offline_too_old", "online_too_old", "too_old_but_loaded"])
def test_answers_that_are_too_old_are_none(store, name):
    assert "while_recent.matrix" in store.found
    assert "or too old ones" in str(store.found[f"{name}.error"])


def test_no_id_is_printed(store):
    errors = [str(value) for name, value in store.found.items() if name.endswith(".error")]
    said = "\n".join([store.said, *errors])
    assert "persons" in said
    assert not [person for person in ("line-", "nobody", "no one", "changed", "silent") if person in said]


def test_before_anything_is_defined_the_error_says_what_to_do(feast, small_template, tmp_path):
    clone = copy_clone(small_template, tmp_path)
    run = clone.run("bash", "-c", f"echo line-2 | {feast / 'python'} deploy/feast/predict_by_id.py", check=False)
    assert run.returncode == 1
    assert "run `feast apply`" in run.stderr
