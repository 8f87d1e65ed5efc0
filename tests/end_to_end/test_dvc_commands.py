"""The commands of the README, as a DVC user runs them."""

import csv
import http.server
import itertools
import json
import re
import threading
from functools import partial

import pytest
from ruamel.yaml import YAML
from tests.conftest import ROOT

yaml = YAML(typ="safe")
REAL = ROOT.parent / "shared/data/obesity_estimation_modified.csv"


def test_an_experiment_with_another_model_changes_the_metrics_and_not_the_data(clone):
    before = (clone.path / "metrics/clean.json").read_text()
    said = clone.run("dvc", "exp", "run", "-S", "train.model=logistic_regression", "evaluate").stdout
    assert "Stage 'clean' didn't change, skipping" in said
    assert (clone.path / "metrics/clean.json").read_text() == before
    assert "test.accuracy" in clone.run("dvc", "metrics", "diff").stdout
    assert json.loads((clone.path / "models/manifest.json").read_text())["model"] == "logistic_regression"


@pytest.mark.parametrize("model", ["hist_gradient_boosting", "voting"])
def test_each_model_is_trained_where_it_is_asked_for(clone, model):
    clone.run("dvc", "exp", "run", "-S", f"train.model={model}", "train")
    assert json.loads((clone.path / "models/manifest.json").read_text())["model"] == model


@pytest.mark.parametrize(("profile", "features"), [("no_weight", 15), ("habits", 14)])
def test_an_experiment_with_another_profile_knows_less(clone, profile, features):
    clone.run("dvc", "exp", "run", "-S", f"featurize.profile={profile}", "train")
    manifest = json.loads((clone.path / "models/manifest.json").read_text())
    assert manifest["profile"] == profile
    assert len(manifest["features"]) == features
    assert "Weight" not in manifest["features"]


def test_an_experiment_in_a_temporary_folder_leaves_the_workspace_alone(clone):
    clone.run("dvc", "exp", "run", "--temp", "--name", "elsewhere", "-S", "train.seed=2", "train")
    assert clone.changed_files() == []
    assert "elsewhere" in clone.run("dvc", "exp", "show", "--csv").stdout


def test_a_queued_grid_runs_every_combination_and_one_of_them_is_applied_and_removed(clone):
    """Up to the model only: what comes after is the same in a queue as elsewhere."""
    clone.run("dvc", "exp", "run", "--queue", "-S", "train.seed=6", "-S", "train.augmentation.copies=1,2", "train")
    clone.run("dvc", "exp", "run", "--run-all")
    shown = list(csv.DictReader(clone.run("dvc", "exp", "show", "--csv").stdout.splitlines()))
    combinations = {
        (row["train.seed"], row["train.augmentation.copies"]) for row in shown if row["rev"] not in ("", "main")
    }
    assert combinations >= {("6", "1"), ("6", "2")}
    assert clone.changed_files() == []
    chosen = next(
        row["Experiment"] for row in shown if (row["train.seed"], row["train.augmentation.copies"]) == ("6", "2")
    )
    clone.run("dvc", "exp", "apply", chosen)
    assert "seed: 6" in clone.run("git", "diff", "params.yaml").stdout
    assert chosen in clone.run("dvc", "exp", "list", "--name-only").stdout
    clone.run("dvc", "exp", "remove", chosen)
    assert chosen not in clone.run("dvc", "exp", "list", "--name-only").stdout


def test_metrics_and_params_are_compared_between_revisions_in_the_report_of_a_review(clone, tmp_path):
    clone.edit("params.yaml", {"accuracy: 0.90": "accuracy: 0.20"})
    clone.run("dvc", "repro", "--quiet", "gate")
    clone.run("git", "commit", "--quiet", "--all", "--message", "Ask for less")
    job = yaml.load(clone.path / ".github/workflows/ci.yaml")["jobs"]["report"]
    (script,) = (step["run"] for step in job["steps"] if step.get("name") == "Write the report")
    script = script.replace("source .venv/bin/activate\n", "")
    clone.run(
        "bash", "-e", "-o", "pipefail", "-c", script, BASE="HEAD~1", GITHUB_STEP_SUMMARY=str(tmp_path / "summary")
    )
    report = (clone.path / "report.md").read_text()
    assert "| metrics/gate.json | conditions.accuracy.at_least | 0.9 | 0.2 |" in report
    assert "| params.yaml | gate.at_least.accuracy |" in re.sub(" +", " ", report)
    assert report == (tmp_path / "summary").read_text()
    assert (clone.path / "plots-diff/index.html").exists()


def test_what_a_review_shows_of_another_model_fits_into_a_comment(clone):
    """Of every number that there is: as the workflow writes it, where each of them has changed."""
    clone.run("git", "rm", "--quiet", "-r", "metrics")
    clone.run("git", "commit", "--quiet", "--message", "Before there were any")
    clone.run("git", "checkout", "--quiet", "HEAD~1", "--", "metrics")
    targets = ("--targets", "metrics/evaluate.json", "metrics/gate.json")
    shown = clone.run("bash", "-c", f"dvc metrics diff --md HEAD {' '.join(targets)} | tr -s ' -'").stdout
    assert "| metrics/evaluate.json | validation.accuracy |" in shown
    assert len(shown) < 50_000


def test_plots_are_compared_between_revisions(clone):
    clone.run("dvc", "exp", "run", "-S", "train.seed=2", "evaluate")
    clone.run("dvc", "plots", "diff", "HEAD", "--out", "diff")
    page = (clone.path / "diff/index.html").read_text()
    for title in ("Confusion matrix", "Calibration", "Permutation importance", "Learning curve", "ROC"):
        assert title in page


def test_the_graph_is_that_of_the_design(clone):
    edges = set(re.findall(r'"([\w-]+)" -> "([\w-]+)"', clone.run("dvc", "dag", "--dot").stdout))
    chain = ["ingest", "clean", "featurize", "train", "evaluate", "gate"]
    to_gate = {(stage, "gate") for stage in ("ingest", "clean", "featurize", "train", "evaluate", "drift-simulate")}
    also = {
        ("ingest", "train"),
        ("featurize", "evaluate"),
        ("featurize", "drift-simulate"),
        ("train", "drift-simulate"),
    }
    assert edges == set(itertools.pairwise(chain)) | to_gate | also


def test_the_artifact_is_declared_for_dvc(clone):
    assert "models/classifier.onnx" in (clone.path / "dvc.yaml").read_text().split("artifacts:")[1]
    listed = clone.run("dvc", "ls", ".", "models", "--dvc-only").stdout
    assert "classifier.onnx" in listed


def test_a_source_from_the_net_is_imported_by_dvc_and_noticed_when_it_changes(clone, tmp_path):
    rows = (clone.path / "data/raw.csv").read_text()
    (tmp_path / "data.csv").write_text(rows)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/data.csv"
        clone.run("dvc", "import-url", address, "data/uci.csv")
        clone.run("dvc", "exp", "run", "-S", "ingest.source=data/uci.csv", "clean")
        ingest = json.loads((clone.path / "metrics/ingest.json").read_text())
        assert ingest["simulated"] is False
        assert ingest["source"] == "uci.csv"
        (tmp_path / "data.csv").write_text(rows.rsplit("\n", 2)[0] + "\n")
        clone.run("dvc", "update", "data/uci.csv.dvc")
        clone.run("dvc", "repro", "ingest")
        assert json.loads((clone.path / "metrics/ingest.json").read_text())["rows"] == ingest["rows"] - 1
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.skipif(not REAL.exists(), reason="the real file is not on this machine: it is not ours to give away")
def test_the_real_file_runs_unchanged_and_says_that_it_is_not_simulated(clone):
    clone.run("dvc", "exp", "run", "-S", f"ingest.source={REAL}", "-S", "train.search.random_forest.n_estimators=[30]")
    account = json.loads((clone.path / "metrics/clean.json").read_text())
    assert account["rows"] == {
        "read": 2153,
        "kept": 2078,
        "rejected": {"no_label": 22, "unreadable_label": 0, "nothing_answered": 0},
        "merged": 53,
    }
    assert account["columns_dropped"] == ["mixed_type_col"]
    manifest = json.loads((clone.path / "models/manifest.json").read_text())
    assert manifest["data"] == {
        "simulated": False,
        "source": "obesity_estimation_modified.csv",
        "md5": "a3f3a840683ff115b8853e992200ba97",
    }
    metrics = json.loads((clone.path / "metrics/evaluate.json").read_text())
    assert metrics["cross_validation"]["accuracy"]["mean"] > 0.95
