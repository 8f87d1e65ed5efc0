"""MLflow's registry, as users meet it: real commands, a real registry in a file, a real server where one is needed.

Which runs of the pipeline may be published is tested in tests/obesity_levels/registry.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pandas as pd
import pytest
from tests.artifacts import constant_onnx
from tests.clone import Clone, copy_clone, with_make
from tests.command import exit_status
from tests.conftest import ROOT
from tests.serving import PATIENT, free_port, http_server, running
from tests.strategies import matrix_of
from tests.waiting import eventually

from obesity_levels.model.classifier import load_classifier
from obesity_levels.schema import LEVELS

NAME = "obesity-levels"
GATE_OPEN = {
    **dict.fromkeys(("gate.at_least.accuracy", "gate.at_least.f1_weighted", "gate.at_least.worst_level_recall"), 0),
    **dict.fromkeys(("gate.at_most.expected_calibration_error", "gate.at_most.drift_false_alarm_rate"), 1),
}
# MLflow is used here as a library too; its own deprecations are not ours to fix. Two of them are known.
pytestmark = pytest.mark.filterwarnings(
    "default",
    "ignore:The ``noload`` loader strategy is deprecated",  # in mlflow.store.tracking
    "ignore:Operation with range is deprecated",  # in mlflow.models.utils
)
PATIENTS = [PATIENT, PATIENT | {"Weight": None, "Gender": "MALE"}, dict.fromkeys(PATIENT) | {"Height": 1.7}]


@pytest.fixture(scope="module")
def clone(small_template, tmp_path_factory) -> Clone:
    """A clone in which every model may be promoted, and one is published. A test leaves its files as they are."""
    clone = copy_clone(small_template, tmp_path_factory.mktemp("publishing"))
    clone.set_params(GATE_OPEN)
    clone.run("dvc", "repro", "--quiet")
    clone.commit("Open the gate")
    published = clone.run(*with_make("publish"))
    assert "is version 1 of obesity-levels, the challenger" in published.stdout
    assert (published.stdout.count("\n"), published.stderr) == (1, "")
    return clone


@pytest.fixture
def registry(clone, tmp_path, monkeypatch):
    """A registry of the test's own, with version 1 as challenger and champion, which the commands in the clone use."""
    import mlflow  # after the package, whose settings it reads when it is imported

    shutil.copy(clone.path / "mlflow.db", tmp_path)
    clone.enter(monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    registry = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    registry.set_registered_model_alias(NAME, "champion", "1")
    return registry


@pytest.fixture
def publishing(registry, capsys):
    """The command line in the clone. In this process: a new one would import MLflow for four seconds each time."""

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        said = subprocess.CompletedProcess(arguments, exit_status(*arguments), *capsys.readouterr())
        assert not check or said.returncode == 0, said.stderr
        return said

    return run


@pytest.fixture(scope="module")
def promoted_in_turn(clone, tmp_path_factory) -> Path:
    """A registry's file in which version 1 was promoted, then 2, then 3: one classifier, measured in three ways."""
    file = Path(shutil.copy(clone.path / "mlflow.db", tmp_path_factory.mktemp("promoted-in-turn")))
    metrics = (clone.path / "metrics/clean.json").read_bytes()
    with pytest.MonkeyPatch.context() as monkeypatch:
        clone.enter(monkeypatch)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
        assert exit_status("promote") == 0
        for blanks in (b"\n", b"\n\n"):
            with made(clone, {"metrics/clean.json": metrics + blanks}):
                assert exit_status("publish") == exit_status("promote") == 0
    return file


@pytest.fixture
def three(promoted_in_turn, registry, tmp_path, monkeypatch):
    """A registry of the test's own, like that, in place of the one with version 1."""
    file = shutil.copy(promoted_in_turn, tmp_path / "three.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    return type(registry)(os.environ["MLFLOW_TRACKING_URI"])


def version_of(clone: Clone) -> str:
    return json.loads((clone.path / "models/manifest.json").read_text())["sha256"][:12]


def version_with(registry, alias: str) -> int:
    return registry.get_model_version_by_alias(NAME, alias).version


@contextlib.contextmanager
def made(clone: Clone, files: dict[str, bytes]):
    """With other outs, committed as if the pipeline had made them; as it was again in the end."""
    for path, content in files.items():
        (clone.path / path).unlink()  # it may be a link into DVC's cache
        clone.write(path, content)
    clone.run("dvc", "commit", "--quiet", "--force")
    clone.commit("Other outs")
    try:
        yield
    finally:
        clone.run("git", "reset", "--quiet", "--hard", "HEAD~1")
        clone.run("dvc", "checkout", "--quiet", "--force")


@contextlib.contextmanager
def experiment(clone: Clone, name: str, *command: str):
    """An experiment of this name, as long as it is needed: what a command of DVC makes, else the workspace as it is."""
    clone.run("dvc", "exp", *(command or ("save",)), "--quiet", "--name", name)
    try:
        yield
    finally:
        clone.run("dvc", "exp", "remove", "--quiet", name)


def knowing_nothing(clone: Clone) -> dict[str, bytes]:
    """The files of a model for which every level is equally probable."""
    onnx = constant_onnx()
    manifest = json.loads((clone.path / "models/manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(onnx).hexdigest()
    return {"models/classifier.onnx": onnx, "models/manifest.json": json.dumps(manifest).encode()}


def test_before_anything_is_published_there_is_no_champion_and_nothing_is_promoted(registry, publishing):
    registry.delete_registered_model(NAME)
    refused = publishing("fetch", check=False)
    assert refused.returncode == 1
    assert "no version of obesity-levels has the alias 'champion'" in refused.stderr
    refused = publishing("promote", check=False)
    assert refused.returncode == 1
    assert "is not registered: run `make publish` first" in refused.stderr


def test_a_model_is_published_once(publishing):
    assert "is version 1 of obesity-levels already: nothing to do" in publishing("publish").stdout


def test_the_first_champion_is_promoted_once(registry, publishing):
    registry.delete_registered_model_alias(NAME, "champion")
    assert "is the champion now" in publishing("promote").stdout
    assert "is the champion already" in publishing("promote").stdout


def test_a_model_is_published_with_all_that_was_measured_of_it(clone, registry):
    (experiment,) = registry.search_experiments(filter_string=f"name = '{NAME}'")
    (run,) = registry.search_runs([experiment.experiment_id])
    metrics = json.loads((clone.path / "metrics/evaluate.json").read_text())
    assert run.data.metrics["evaluate.test.accuracy"] == metrics["test"]["accuracy"]
    assert run.data.metrics["gate.passed"] == 1
    low = run.data.metrics["drift.calibration.false_alarm_rate.50.interval.0"]
    assert low <= run.data.metrics["drift.calibration.false_alarm_rate.50.rate"]
    assert run.data.params["train.model"] == '"auto"'
    tags = run.data.tags
    assert tags["git.revision"] == clone.run("git", "rev-parse", "HEAD").stdout.strip()
    assert (tags["git.dirty"], tags["data.simulated"]) == ("false", "true")
    assert tags["sha256"].startswith(version_of(clone))
    assert tags["dvc.md5.models/classifier.onnx"] in (clone.path / "dvc.lock").read_text()
    assert "# Model card" in tags["mlflow.note.content"]
    assert not [key for key, value in tags.items() if str(clone.path) in value or str(ROOT) in value]
    found = {file.path for file in registry.list_artifacts(run.info.run_id)}
    assert found == {"metrics", "plots", "params.yaml", "dvc.lock", "report.html"}


def test_the_model_is_registered_with_its_signature_an_example_and_pinned_requirements_and_without_a_pickle(
    registry, tmp_path
):
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    model = f"models:/{NAME}@challenger"
    folder = Path(download_artifacts(model, dst_path=str(tmp_path), tracking_uri=registry.tracking_uri))
    signature = Model.load(folder).signature
    assert signature.inputs.input_names() == [*PATIENT]
    assert signature.outputs.input_names()[0] == "prediction"
    assert all("==" in line for line in (folder / "requirements.txt").read_text().split())
    assert json.loads((folder / "input_example.json").read_text())["columns"] == [*PATIENT]
    assert not [*folder.rglob("*.pkl"), *folder.rglob("*.cloudpickle")]


def test_a_model_that_fails_the_gate_is_refused_with_each_condition_and_by_how_much(clone, publishing):
    gate = json.loads((clone.path / "metrics/gate.json").read_text())
    gate["conditions"]["accuracy"] = {"measured": 0.25, "holds": False, "at_least": 1}
    with made(clone, {"metrics/gate.json": json.dumps(gate | {"passed": False}).encode()}):
        refused = publishing("promote", check=False)
    assert refused.returncode == 1
    assert "does not pass the gate" in refused.stderr
    assert "accuracy: 0.25, at least 1 is required, missed by 0.75" in refused.stderr


def test_promoting_from_a_workspace_that_is_not_committed_is_refused(clone, publishing):
    clone.write("README.md", "not committed")
    try:
        refused = publishing("promote", check=False)
    finally:
        clone.run("git", "checkout", "--quiet", "README.md")
    assert refused.returncode == 1
    assert "commit first" in refused.stderr
    assert "README.md" in refused.stderr


def test_the_same_classifier_measured_otherwise_is_another_version_that_may_take_the_champions_place(clone, publishing):
    """What is registered says what was measured: nobody fetches an older account of it."""
    metrics = (clone.path / "metrics/clean.json").read_bytes()
    with made(clone, {"metrics/clean.json": metrics + b"\n"}):
        assert "with these metrics and plots is not registered" in publishing("promote", check=False).stderr
        assert "is version 2 of obesity-levels, the challenger" in publishing("publish").stdout
        assert "version 1 is the same classifier" in publishing("promote").stdout
    assert "version 2 is the same classifier" in publishing("promote").stdout


def test_a_challenger_takes_the_place_of_a_champion_that_it_beats_on_the_same_rows_and_of_no_other(
    clone, registry, publishing
):
    with made(clone, knowing_nothing(clone)):
        assert "is version 2" in publishing("publish").stdout
        refused = publishing("promote", check=False)
    assert refused.returncode == 1
    assert "does not beat the champion, version 1: f1_weighted 0." in refused.stderr
    assert (version_with(registry, "champion"), version_with(registry, "challenger")) == (1, 2)
    registry.set_registered_model_alias(NAME, "champion", "2")
    said = publishing("promote").stdout
    assert "version 1" in said
    assert "which beats version 2 with" in said
    assert version_with(registry, "champion") == 1


def test_a_rollback_makes_the_version_before_the_champion_and_names_both(clone, three, publishing):
    name = version_of(clone)
    said = publishing("promote", "--rollback").stdout
    assert f"version 2 ({name}) is the champion again, in place of version 3 ({name})" in said
    assert "until `make fetch-champion` and a restart" in said
    assert version_with(three, "champion") == 2


def test_each_rollback_goes_one_version_further_back_until_the_first(three, publishing):
    publishing("promote", "--rollback")
    publishing("promote", "--rollback")
    assert version_with(three, "champion") == 1
    refused = publishing("promote", "--rollback", check=False)
    assert refused.returncode == 1
    assert "does not say which version it replaced: it is the first champion" in refused.stderr
    assert version_with(three, "champion") == 1


def test_a_version_that_was_rolled_back_says_which_one_took_its_place(three, publishing):
    publishing("promote", "--rollback")
    assert three.get_model_version(NAME, "3").tags["rolled_back_to"] == "2"


def test_a_rollback_needs_no_workspace(three, publishing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "version 2" in publishing("promote", "--rollback").stdout


def test_a_version_that_was_rolled_back_may_be_promoted_again(three, publishing):
    assert "version 1" in publishing("promote").stdout
    publishing("promote", "--rollback")
    assert "it had been rolled back" in publishing("promote").stdout
    assert version_with(three, "champion") == 1
    assert "rolled_back_to" not in three.get_model_version(NAME, "1").tags


def test_a_rollback_never_goes_back_to_a_version_that_was_rolled_back(three, publishing):
    """Version 1 is promoted again after 3, and rolled back: 2, which replaced it once, does not bring it back."""
    publishing("promote")
    publishing("promote", "--rollback")
    publishing("promote", "--rollback")
    refused = publishing("promote", "--rollback", check=False)
    assert "was rolled back itself; to choose one by hand, give it the alias 'champion'" in refused.stderr
    assert version_with(three, "champion") == 2


def test_to_a_version_that_was_deleted_there_is_no_way_back_and_nothing_changes(three, publishing):
    three.delete_model_version(NAME, "2")
    refused = publishing("promote", "--rollback", check=False)
    assert refused.returncode == 1
    assert "version 2, which version 3" in refused.stderr
    assert "was deleted; to choose one by hand, give it the alias 'champion'" in refused.stderr
    assert version_with(three, "champion") == 3
    assert "rolled_back_to" not in three.get_model_version(NAME, "3").tags


def test_a_champion_that_was_not_promoted_says_how_to_choose_another_one_by_hand(registry, publishing):
    refused = publishing("promote", "--rollback", check=False)
    assert refused.returncode == 1
    assert "became it by hand or before --rollback existed" in refused.stderr
    assert "give it the alias 'champion' in `make mlflow-ui`" in refused.stderr


def test_without_a_champion_there_is_nothing_to_roll_back(registry, publishing):
    registry.delete_registered_model_alias(NAME, "champion")
    assert "there is nothing to roll back" in publishing("promote", "--rollback", check=False).stderr


def test_an_experiment_is_published_from_the_cache_and_the_workspace_is_left_alone(clone, registry, publishing):
    with made(clone, knowing_nothing(clone)), experiment(clone, "other"):
        version = version_of(clone)
        clone.run("git", "checkout", "--quiet", "HEAD~1")
        clone.run("dvc", "checkout", "--quiet", "--force")
        said = publishing("publish", "--exp", "other").stdout
        assert clone.changed_files() == []
        assert version_of(clone) != version
        clone.run("git", "checkout", "--quiet", "main")
    assert f"{version} (other) is version 2 of obesity-levels, the challenger" in said
    (run,) = registry.search_runs(["1"], "tags.`dvc.experiment` = 'other'")
    assert run.info.run_name == "other"


def test_of_all_experiments_one_that_cannot_be_published_is_named_and_the_others_are_published(clone, publishing):
    """Its gate was not run with its params."""
    up_to_the_model = ("run", "--temp", "-S", "gate.at_least.accuracy=1", "train")
    with experiment(clone, "incomplete", *up_to_the_model), experiment(clone, "complete"):
        said = publishing("publish", "--all-experiments", check=False)
    assert said.returncode == 1
    assert "(complete) is version 1 of obesity-levels already" in said.stdout
    assert said.stderr.startswith("error: experiment incomplete: not complete")
    assert "check (params.yaml modified), gate (params.yaml modified)" in said.stderr
    assert said.stderr.count("\n") == 1


def test_what_an_interrupted_attempt_left_is_cleared_away(registry, publishing):
    """A run whose model's version is not whole: as after a kill, or a server that went down in between."""
    registry.delete_model_version_tag(NAME, "1", "digest")
    assert "is version 2 of obesity-levels, the challenger" in publishing("publish").stdout
    (version,) = registry.search_model_versions(f"name = '{NAME}'")
    (run,) = registry.search_runs(["1"])
    (model,) = registry.search_logged_models(["1"])
    assert (version.version, version.run_id) == (2, run.info.run_id)
    assert model.source_run_id == run.info.run_id


def test_fetching_into_a_folder_that_holds_other_things_changes_nothing(tmp_path, publishing):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("all I have")
    refused = publishing("fetch", "--to", str(tmp_path / "mine"), check=False)
    assert refused.returncode == 1
    assert "holds other files than a model" in refused.stderr
    assert (tmp_path / "mine/thesis.txt").read_text() == "all I have"


@pytest.fixture
def gone(clone):
    """The artifacts of the registry are not where they were, but in this folder."""
    gone = (clone.path / "mlruns").rename(clone.path / "gone")
    yield gone
    gone.rename(clone.path / "mlruns")


def test_a_registry_without_its_artifacts_is_said_to_lack_them(gone, publishing):
    assert "bring the folder mlruns back" in publishing("fetch", check=False).stderr


def test_a_version_without_its_artifacts_does_not_become_the_champion_again(three, gone, publishing):
    assert "bring the folder mlruns back" in publishing("promote", "--rollback", check=False).stderr
    assert version_with(three, "champion") == 3


def test_a_registry_that_was_moved_with_the_project_has_its_artifacts_where_it_is(
    clone, gone, publishing, tmp_path, monkeypatch
):
    moved = shutil.copytree(clone.path, tmp_path / "moved #%20", symlinks=True)
    (moved / gone.name).rename(moved / "mlruns")
    monkeypatch.chdir(moved)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert version_of(clone) in publishing("fetch", "--alias", "challenger").stdout
    with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
        assert str(clone.path) not in "".join(database.iterdump())


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        ("publish EXP=deeper", "publish --exp deeper"),
        ("publish EXP=all", "publish --all-experiments"),
        ("promote ROLLBACK=1", "promote --rollback"),
        ("fetch-champion MODEL_DIR=served", "fetch --to served"),
        ("retrain SOURCE=new.csv", 'retrain "new.csv"'),
    ],
)
def test_a_target_of_the_makefile_is_the_command(clone, asked, command):
    said = clone.run(*with_make("--dry-run"), *asked.split()).stdout
    assert f"obesity-levels {command}" in " ".join(said.split()) + " "


def test_the_champion_is_fetched_verified_and_served_as_mlflow_serves_it(clone, tmp_path, publishing):
    """The same answers from the service and from `mlflow models serve`, to the last digit."""
    assert version_of(clone) in publishing("fetch", "--to", str(tmp_path / "champion")).stdout
    assert {path.name for path in (tmp_path / "champion").iterdir()} == {
        *("classifier.onnx", "manifest.json", "drift_reference.json", "evaluate.json"),
    }
    with running(tmp_path / "champion", tmp_path / "log") as service:
        answer = service.predict(*PATIENTS).json()
    model = ("mlflow", "models", "serve", "-m", f"models:/{NAME}@champion", "--env-manager", "local")
    with answering(clone, *model, path="/ping", MLFLOW_TRACKING_URI=os.environ["MLFLOW_TRACKING_URI"]) as address:
        url = f"{address}/invocations"
        rows = httpx.post(url, json={"dataframe_records": PATIENTS}).json()["predictions"]
        wrong = [PATIENT | wrong for wrong in ({"Age": 7}, {"Age": "my secret"}, {"SMOKE": "my secret"})]
        wrong += [dict.fromkeys(PATIENT), {name: answer for name, answer in PATIENT.items() if name != "TUE"}]
        refused = [httpx.post(url, json={"dataframe_records": [row]}) for row in wrong]
    assert [row.pop("prediction") for row in rows] == answer["predictions"]
    assert [row.pop("prediction_set") for row in rows] == answer["prediction_sets"]
    assert rows == answer["probabilities"]
    assert [answer.status_code for answer in refused] == [400] * 5
    *by_the_model, by_mlflow = (answer.json()["message"] for answer in refused)
    assert by_the_model == [
        *["row 0, Age: expected a number from 10 to 100 (years), or null"] * 2,
        "row 0, SMOKE: expected one of no, yes, or null",
        "at least one question must be answered in every row",
    ]
    assert "TUE" in by_mlflow


def test_the_registered_model_takes_columns_of_any_type_that_holds_the_answers(clone, registry):
    import mlflow

    rows = [PATIENT | {"Height": 1.5}, PATIENT | {"Height": 2, "Age": None, "SMOKE": None}]
    types = {"Age": "Int64", "Height": "float32", "Weight": "int64", "NCP": "category", "SMOKE": "category"}
    answers = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(pd.DataFrame(rows).astype(types))
    expected = load_classifier(clone.path / "models").probabilities(matrix_of(rows))
    assert (answers[[*LEVELS]].to_numpy() == expected).all()


@contextlib.contextmanager
def answering(clone: Clone, *command: str, path: str, **environment: str):
    """The address of a command that serves on PORT, once it answers."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    port_of_command = [f"PORT={port}"] if command[0] == "make" else ["--port", str(port)]
    with (clone.path.parent / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *port_of_command],
            cwd=clone.path,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=clone.environment | {"PYTHONPATH": "", "MLFLOW_DISABLE_TELEMETRY": "true"} | environment,
        )

    def answers() -> bool:
        assert process.poll() is None, (clone.path.parent / "mlflow.log").read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(address + path).is_success
        return False

    try:
        eventually(answers, " ".join(command), seconds=300)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def test_a_server_is_a_registry_like_the_file_and_shows_the_plots_of_a_run(clone, publishing, monkeypatch, tmp_path):
    """By `make mlflow-ui`; its pages are MLflow's."""
    with answering(
        clone, *with_make("mlflow-ui"), path="/health", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/its.db"
    ) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("://", "://user:secret@"))
        published = publishing("publish")
        publishing("fetch", "--alias", "challenger", "--to", str(tmp_path / "models"))
        runs = httpx.post(f"{address}/ajax-api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"]}).json()["runs"]
        asked = {"run_uuid": runs[0]["info"]["run_id"], "path": "plots/confusion_matrix.png"}
        plot = httpx.get(f"{address}/get-artifact", params=asked)
    assert "is version 1 of obesity-levels, the challenger" in published.stdout
    assert "secret" not in published.stdout + published.stderr
    fetched, ours = (folder / "classifier.onnx" for folder in (tmp_path / "models", clone.path / "models"))
    assert fetched.read_bytes() == ours.read_bytes()
    assert plot.content.startswith(b"\x89PNG")


class Refusing(BaseHTTPRequestHandler):
    """Answers every method with 501."""

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def unreachable(kind: str):
    """The address of a registry that is down, or never answers, or refuses every request."""
    with socket.create_server(("127.0.0.1", 0)) as silent, http_server(Refusing) as refusing:
        silent_port = silent.getsockname()[1]
        places = {"down": f"127.0.0.1:{free_port()}", "slow": f"127.0.0.1:{silent_port}", "refusing": refusing}
        yield f"http://user:secret@{places[kind]}"


@pytest.mark.parametrize("kind", ["down", "slow", "refusing"])
def test_a_server_that_is_down_slow_or_refusing_is_one_clear_line_and_nothing_is_lost(
    clone, kind, publishing, monkeypatch
):
    with unreachable(kind) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        refused = publishing("publish", check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: MLflow's registry http://127.0.0.1:")
    assert "nothing is lost" in refused.stderr
    assert "secret" not in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert clone.changed_files() == []


def test_a_registry_that_another_process_has_locked_is_one_clear_line(registry, publishing, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        refused = publishing("publish", check=False)
    assert refused.returncode == 1
    assert "database is locked" in refused.stderr
    assert refused.stderr.count("\n") == 1
