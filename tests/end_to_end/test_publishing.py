"""MLflow's registry, as users meet it: real commands, a real registry in a file, a real server where one is needed."""

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from tests.clone import Clone, copy_clone
from tests.command import exit_status
from tests.conftest import ROOT
from tests.serving import PATIENT, free_port, running

GATE_OPEN = {"at_least:\n(    .*\n)+": "at_least:\n    accuracy: 0\n    f1_weighted: 0\n    worst_level_recall: 0\n"}
GATE_OPEN |= {r"error: 0.15": "error: 1", r"alarm_rate: 0.05": "alarm_rate: 1"}
# MLflow is used here as a library too; its own deprecations are not ours to fix. Two of them are known.
pytestmark = pytest.mark.filterwarnings(
    "default",
    "ignore:The ``noload`` loader strategy is deprecated",  # in mlflow.store.tracking
    "ignore:Operation with range is deprecated",  # in mlflow.models.utils
)
# As `make mlflow-ui` has it.
WITHOUT_EXTRAS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
PATIENTS = [PATIENT, PATIENT | {"Weight": None, "Gender": "MALE"}, dict.fromkeys(PATIENT) | {"Height": 1.7}]


@pytest.fixture(scope="module")
def clone(small_template, tmp_path_factory) -> Clone:
    """A clone in which every model may be promoted. The tests are one story: each goes on from the one before."""
    clone = copy_clone(small_template, tmp_path_factory.mktemp("publishing"))
    clone.edit("params.yaml", GATE_OPEN)
    clone.run("dvc", "repro", "--quiet")
    clone.run("git", "commit", "--quiet", "--all", "--message", "Open the gate")
    return clone


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def publishing(clone, monkeypatch, capsys):
    """The command in the clone. In this process: a new one would import MLflow for four seconds each time."""
    monkeypatch.chdir(clone.path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments: str, check: bool = True) -> Said:
        capsys.readouterr()
        said = Said(exit_status(*arguments), *capsys.readouterr())
        assert not check or said.returncode == 0, said.stderr
        return said

    return run


def with_make(target: str) -> list[str]:
    """A target of the Makefile, in the environment that runs this instead of one of the clone's own."""
    here = Path(sys.executable).parent.parent
    return ["make", "--no-print-directory", f"--old-file={here}/ready", f"VENV={here}", target]


def client(clone: Clone):
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{clone.path / 'mlflow.db'}")


def version_of(clone: Clone) -> str:
    return json.loads((clone.path / "models/manifest.json").read_text())["sha256"][:12]


@contextlib.contextmanager
def committed(clone: Clone, changes: dict[str, str]):
    """With other params, committed as they are made; without them again in the end."""
    clone.edit("params.yaml", changes)
    clone.run("dvc", "repro", "--quiet")
    clone.run("git", "commit", "--quiet", "--all", "--message", "Other params")
    try:
        yield
    finally:
        clone.run("git", "reset", "--quiet", "--hard", "HEAD~1")
        clone.run("dvc", "checkout", "--quiet", "--force")


@contextlib.contextmanager
def edited(clone: Clone, name: str, changes: dict[str, str]):
    """With another content of a file that git tracks; as it was again in the end."""
    clone.edit(name, changes)
    try:
        yield
    finally:
        clone.run("git", "checkout", "--quiet", name)


def test_before_anything_is_published_there_is_no_champion_and_nothing_is_promoted(clone, publishing):
    refused = publishing("fetch", check=False)
    assert refused.returncode == 1
    assert "no version of obesity-levels has the alias 'champion'" in refused.stderr
    refused = publishing("promote", check=False)
    assert refused.returncode == 1
    assert "is not registered: run `make publish` first" in refused.stderr


def test_a_model_is_published_once_with_all_that_was_measured_of_it(clone, publishing):
    published = clone.run("obesity-levels", "publish")
    assert (published.stdout.count("\n"), published.stderr) == (1, "")
    assert "is version 1 of obesity-levels, the challenger" in published.stdout
    assert "is version 1 of obesity-levels already: nothing to do" in clone.run(*with_make("publish")).stdout

    registry = client(clone)
    (experiment,) = registry.search_experiments(filter_string="name = 'obesity-levels'")
    (run,) = registry.search_runs([experiment.experiment_id])
    metrics = json.loads((clone.path / "metrics/evaluate.json").read_text())
    assert run.data.metrics["evaluate.test.accuracy"] == metrics["test"]["accuracy"]
    assert run.data.metrics["gate.passed"] == 1
    low = run.data.metrics["drift.calibration.false_alarm_rate.50.interval.0"]
    assert low <= run.data.metrics["drift.calibration.false_alarm_rate.50.rate"]
    assert run.data.params["train.model"] == '"by_profile"'
    tags = run.data.tags
    assert tags["git.revision"] == clone.run("git", "rev-parse", "HEAD").stdout.strip()
    assert (tags["git.dirty"], tags["data.simulated"]) == ("false", "true")
    assert tags["sha256"].startswith(version_of(clone))
    assert tags["dvc.md5.models/classifier.onnx"] in (clone.path / "dvc.lock").read_text()
    assert "# Model card" in tags["mlflow.note.content"]
    assert not [key for key, value in tags.items() if str(clone.path) in value or str(ROOT) in value]
    found = {file.path for file in registry.list_artifacts(run.info.run_id)}
    assert found == {"metrics", "plots", "params.yaml", "dvc.lock"}


def test_the_model_is_registered_with_its_signature_an_example_and_pinned_requirements_and_without_a_pickle(
    clone, publishing, tmp_path
):
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    found = client(clone).get_model_version_by_alias("obesity-levels", "challenger")
    folder = Path(download_artifacts(artifact_uri=f"models:/obesity-levels/{found.version}", dst_path=str(tmp_path)))
    signature = Model.load(folder).signature
    assert signature.inputs.input_names() == [*PATIENT]
    assert signature.outputs.input_names()[0] == "prediction"
    assert all("==" in line for line in (folder / "requirements.txt").read_text().split())
    assert json.loads((folder / "input_example.json").read_text())["columns"] == [*PATIENT]
    assert not [*folder.rglob("*.pkl"), *folder.rglob("*.cloudpickle")]


def test_a_model_that_fails_the_gate_is_refused_with_each_condition_and_by_how_much(clone, publishing):
    with committed(clone, {r"accuracy: 0\n": "accuracy: 1\n"}):
        refused = publishing("promote", check=False)
        measured = json.loads((clone.path / "metrics/gate.json").read_text())["conditions"]["accuracy"]["measured"]
    assert refused.returncode == 1
    assert "does not pass the gate" in refused.stderr
    assert f"accuracy: {measured:.4g}, at least 1 is required, missed by {1 - measured:.4g}" in refused.stderr


def test_promoting_from_a_workspace_that_is_not_committed_is_refused(clone, publishing):
    with edited(clone, "README.md", {"# ": "# not committed "}):
        refused = publishing("promote", check=False)
    assert refused.returncode == 1
    assert "commit first" in refused.stderr
    assert "README.md" in refused.stderr


def test_the_first_champion_is_promoted_once(clone, publishing):
    assert "is the champion now" in clone.run(*with_make("promote")).stdout
    assert "is the champion already" in publishing("promote").stdout


def test_the_same_classifier_measured_otherwise_is_another_version_that_may_take_the_champions_place(clone, publishing):
    """What is registered says what was measured: nobody fetches an older account of it."""
    with committed(clone, {r"accuracy: 0\n": "accuracy: 0.01\n"}):
        assert "with these metrics and plots is not registered" in publishing("promote", check=False).stderr
        assert "is version 2 of obesity-levels, the challenger" in publishing("publish").stdout
        assert "version 1 is the same classifier" in publishing("promote").stdout
    assert "version 2 is the same classifier" in publishing("promote").stdout


def test_the_champion_is_fetched_verified_and_served_as_mlflow_serves_it(clone, tmp_path, publishing):
    """The same answers from the service and from `mlflow models serve`, to the last digit."""
    assert version_of(clone) in clone.run(*with_make("fetch-champion")).stdout
    assert {path.name for path in (clone.path / "champion").iterdir()} == {
        *("classifier.onnx", "manifest.json", "drift_reference.json", "evaluate.json"),
    }
    with running(clone.path / "champion", tmp_path / "log") as service:
        answer = service.predict(*PATIENTS).json()
    with mlflow_serving(clone) as address:
        url = f"{address}/invocations"
        rows = httpx.post(url, json={"dataframe_records": PATIENTS}).json()["predictions"]
        wrong = [PATIENT | {"Age": 7}, PATIENT | {"SMOKE": "my secret"}, dict.fromkeys(PATIENT)]
        wrong.append({name: answer for name, answer in PATIENT.items() if name != "TUE"})
        refused = [httpx.post(url, json={"dataframe_records": [row]}) for row in wrong]
    assert [row.pop("prediction") for row in rows] == answer["predictions"]
    assert rows == answer["probabilities"]
    assert [answer.status_code for answer in refused] == [400] * 4
    off_its_scale, no_category, nothing, no_column = (answer.json()["message"] for answer in refused)
    assert "row 0, Age: expected a number from 10 to 100 (years), or null" in off_its_scale
    assert "row 0, SMOKE: expected one of no, yes, or null" in no_category
    assert "my secret" not in no_category
    assert "at least one question must be answered" in nothing
    assert "TUE" in no_column


def mlflow_serving(clone: Clone):
    model = ("models", "serve", "-m", "models:/obesity-levels@champion", "--env-manager", "local")
    return mlflow_running(clone, *model, path="/ping", MLFLOW_TRACKING_URI="sqlite:///mlflow.db")


@contextlib.contextmanager
def mlflow_running(clone: Clone, *command: str, path: str, make: str = "", **environment: str):
    """The address of an MLflow command, or of a target of the Makefile, that answers on a port."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    started = [*with_make(make), f"PORT={port}"] if make else ["mlflow", *command, "--port", str(port)]
    settings = {} if make else WITHOUT_EXTRAS
    with (clone.path.parent / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            started, cwd=clone.path, stdout=log, stderr=log, start_new_session=True,
            env=clone.environment | settings | {"PYTHONPATH": ""} | environment,
        )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(address + path).status_code == 200:
                    break
            assert process.poll() is None, (clone.path.parent / "mlflow.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def test_a_server_is_a_registry_like_the_file(clone, publishing, monkeypatch, tmp_path):
    store = (
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "store"),
    )
    with mlflow_running(clone, "server", "--workers", "1", *store, path="/health") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("://", "://user:secret@"))
        published = publishing("publish")
        again = publishing("publish")
        publishing("fetch", "--alias", "challenger", "--to", str(tmp_path / "models"))
    assert "is version 1 of obesity-levels, the challenger" in published.stdout
    assert "is version 1 of obesity-levels already" in again.stdout
    assert "secret" not in published.stdout + published.stderr
    fetched, made = (folder / "classifier.onnx" for folder in (tmp_path / "models", clone.path / "models"))
    assert fetched.read_bytes() == made.read_bytes()


def test_the_runs_can_be_looked_at_with_their_plots_their_card_and_their_params(clone, publishing):
    """What the page of `make mlflow-ui` asks for; the page itself is MLflow's."""
    with mlflow_running(clone, path="/health", make="mlflow-ui") as address:
        page = httpx.get(address)
        runs = httpx.post(f"{address}/ajax-api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"]}).json()["runs"]
        found = {"run_uuid": runs[0]["info"]["run_id"]}
        plot = httpx.get(f"{address}/get-artifact", params=found | {"path": "plots/confusion_matrix.png"})
        card = httpx.get(f"{address}/get-artifact", params=found | {"path": "metrics/model_card.md"})
    assert "text/html" in page.headers["content-type"]
    assert plot.content.startswith(b"\x89PNG")
    assert card.text.startswith("# Model card")
    assert {"train.seed", "gate.at_least.accuracy"} <= {param["key"] for param in runs[0]["data"]["params"]}
    assert "mlflow.note.content" in {tag["key"] for tag in runs[0]["data"]["tags"]}


def test_fetching_into_a_folder_that_holds_other_things_changes_nothing(clone, tmp_path, publishing):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("all I have")
    refused = publishing("fetch", "--to", str(tmp_path / "mine"), check=False)
    assert refused.returncode == 1
    assert "holds other files than a model" in refused.stderr
    assert (tmp_path / "mine/thesis.txt").read_text() == "all I have"


def test_a_challenger_that_does_not_beat_the_champion_on_the_same_rows_is_refused(clone, publishing):
    """A logistic regression that may hardly learn."""
    clone.edit("params.yaml", {r"  model: .*": "  model: logistic_regression", r"C: \[.*\]": "C: [0.0001]"})
    clone.run("dvc", "repro", "--quiet")
    clone.run("git", "commit", "--quiet", "--all", "--message", "Learn nothing")
    assert "is version 3" in publishing("publish").stdout
    refused = publishing("promote", check=False)
    assert refused.returncode == 1
    assert "does not beat the champion, version 1: f1_weighted 0." in refused.stderr
    assert client(clone).get_model_version_by_alias("obesity-levels", "champion").version == 1
    assert client(clone).get_model_version_by_alias("obesity-levels", "challenger").version == 3


def test_a_challenger_that_beats_the_champion_takes_its_place(clone, publishing):
    clone.edit("params.yaml", {r"  model: .*": "  model: logistic_regression", r"C: \[.*\]": "C: [1000.0]"})
    clone.edit("params.yaml", {r"  copies: 1 ": "  copies: 8 "})
    clone.run("dvc", "repro", "--quiet")
    clone.run("git", "commit", "--quiet", "--all", "--message", "Learn more")
    publishing("publish")
    said = publishing("promote").stdout
    assert "version 4" in said
    assert "which beats version 1 with" in said


def test_an_experiment_is_published_from_the_cache_and_the_workspace_is_left_alone(clone, publishing):
    clone.run("dvc", "exp", "run", "--quiet", "--temp", "--name", "deeper", "-S", "train.seed=5")
    before = version_of(clone)
    said = clone.run(*with_make("publish"), "EXP=deeper").stdout
    assert before not in said
    assert "(deeper) is version 5 of obesity-levels, the challenger" in said
    (run,) = client(clone).search_runs(["1"], "tags.`dvc.experiment` = 'deeper'")
    assert run.info.run_name == "deeper"
    assert clone.changed_files() == []
    assert "there is no experiment 'shallower'" in publishing("publish", "--exp", "shallower", check=False).stderr


def test_an_experiment_in_a_shallow_repository_is_found_complete(clone, publishing):
    """Most clones in CI are shallow; nothing can be cloned from them."""
    shallow = clone.write(".git/shallow", clone.run("git", "rev-parse", "HEAD").stdout)
    said = publishing("publish", "--exp", "deeper").stdout
    shallow.unlink()
    assert "(deeper) is version 5 of obesity-levels already" in said


def test_of_all_experiments_one_that_cannot_be_published_is_named_and_the_others_are_published(clone, publishing):
    """One that was run up to the model only has the metrics of another."""
    clone.run("dvc", "exp", "run", "--quiet", "--temp", "--name", "broken-off", "-S", "train.seed=6", "train")
    said = publishing("publish", "--all-experiments", check=False)
    assert said.returncode == 1
    assert "(deeper) is version 5 of obesity-levels already" in said.stdout
    assert client(clone).get_model_version_by_alias("obesity-levels", "challenger").version == 5
    assert said.stderr.startswith("error: experiment broken-off: not complete")
    assert said.stderr.count("\n") == 1


def test_an_experiment_whose_gate_was_not_run_with_its_params_is_not_published(clone, publishing):
    clone.run("dvc", "exp", "run", "--quiet", "--temp", "--name", "stricter", "-S", "gate.at_least.accuracy=1", "train")
    refused = publishing("publish", "--exp", "stricter", check=False)
    assert refused.returncode == 1
    assert "experiment stricter: not complete" in refused.stderr
    assert "check (params.yaml modified), gate (params.yaml modified)" in refused.stderr


def test_an_experiment_whose_model_is_not_in_the_cache_is_not_published(clone, publishing):
    (revision,) = re.findall(r"(\w{7}) \[broken-off", clone.run("dvc", "exp", "list").stdout)
    locks = (clone.run("git", "show", f"{commit}:dvc.lock").stdout for commit in (revision, "HEAD"))
    its, ours = (set(re.findall(r"path: models/classifier.onnx\s+hash: md5\s+md5: (\w+)", lock)) for lock in locks)
    (md5,) = its - ours
    cached = clone.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    content = cached.read_bytes()
    cached.unlink()
    refused = publishing("publish", "--exp", "broken-off", check=False)
    cached.write_bytes(content)
    assert refused.returncode == 1
    assert "experiment broken-off: not complete (`dvc pull`" in refused.stderr
    assert "train (models/classifier.onnx not in cache)" in refused.stderr


def test_of_two_experiments_of_one_name_the_revision_says_which(clone, publishing):
    clone.run("git", "commit", "--quiet", "--allow-empty", "--message", "Another baseline")
    clone.run("dvc", "exp", "run", "--quiet", "--temp", "--name", "deeper", "-S", "train.seed=5")
    refused = publishing("publish", "--exp", "deeper", check=False)
    clone.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    assert refused.returncode == 1
    revisions = re.search(r"choose one by its revision \((\w{7}), (\w{7})\)", refused.stderr).groups()
    assert "(deeper) is version 5" in publishing("publish", "--exp", revisions[0]).stdout


def test_what_an_interrupted_attempt_left_is_cleared_away(clone, publishing):
    """A run whose model's version is not whole: as after a kill, or a server that went down in between."""
    registry = client(clone)
    version = registry.get_model_version_by_alias("obesity-levels", "challenger")
    registry.delete_model_version_tag("obesity-levels", version.version, "digest")
    (revision, *_) = re.findall(r"(\w{7}) \[deeper", clone.run("dvc", "exp", "list", "-A").stdout)
    assert "is version 6 of obesity-levels, the challenger" in publishing("publish", "--exp", revision).stdout
    versions = registry.search_model_versions("name = 'obesity-levels'")
    assert sorted(found.version for found in versions) == [1, 2, 3, 4, 6]
    (run,) = registry.search_runs(["1"], "tags.`dvc.experiment` = 'deeper'")
    models = registry.search_logged_models(["1"])
    assert len(models) == len(versions)
    assert run.info.run_id in {model.source_run_id for model in models}


def test_a_number_that_was_edited_by_hand_is_not_published(clone, publishing):
    with edited(clone, "metrics/evaluate.json", {'"accuracy": 0': '"accuracy": 1'}):
        refused = publishing("publish", check=False)
    assert refused.returncode == 1
    assert "evaluate (metrics/evaluate.json)" in refused.stderr


def test_what_dvc_would_make_anew_is_not_published(clone, publishing):
    with edited(clone, "params.yaml", {"min_rows: 50": "min_rows: 51"}):
        refused = publishing("publish", check=False)
    assert refused.returncode == 1
    assert "not as dvc.lock says: check (params.yaml), drift-simulate (params.yaml); run `dvc repro`" in refused.stderr


def test_an_altered_model_is_not_published(clone, publishing):
    path = clone.path / "models/classifier.onnx"
    path.unlink()
    path.write_bytes(b"something else")
    try:
        refused = publishing("publish", check=False)
    finally:
        clone.run("dvc", "checkout", "--quiet", "--force")
    assert refused.returncode == 1
    assert "train (models/classifier.onnx)" in refused.stderr


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def unreachable(kind: str):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if kind == "slow":
            yield f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}"
            return
    if kind == "down":
        yield f"http://user:secret@127.0.0.1:{free_port()}"
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["down", "slow", "refusing"])
def test_a_server_that_is_down_slow_or_refusing_is_one_clear_line_after_seconds_and_nothing_is_lost(
    clone, kind, publishing, monkeypatch
):
    before = clone.changed_files()
    with unreachable(kind) as uri:
        began = time.monotonic()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        refused = publishing("publish", check=False)
        seconds = time.monotonic() - began
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: MLflow's registry http://127.0.0.1:")
    assert "nothing is lost" in refused.stderr
    assert "secret" not in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert seconds < 30
    assert clone.changed_files() == before


def test_a_registry_that_another_process_has_locked_is_one_clear_line(clone):
    lock = sqlite3.connect(clone.path / "mlflow.db")
    lock.execute("BEGIN EXCLUSIVE")
    try:
        refused = clone.run("obesity-levels", "publish", check=False)
    finally:
        lock.close()
    assert refused.returncode == 1
    assert "database is locked" in refused.stderr
    assert refused.stderr.count("\n") == 1
