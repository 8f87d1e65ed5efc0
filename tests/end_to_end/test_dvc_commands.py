"""The commands of the README, as a DVC user runs them."""

import csv
import itertools
import json
import re
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler

import pytest
from tests.clone import with_make
from tests.conftest import ROOT
from tests.serving import free_port, http_server

from obesity_levels.params import read_yaml
from obesity_levels.schema import PROFILES

REAL = ROOT.parent / "shared/data/obesity_estimation_modified.csv"


def manifest_of(clone) -> dict:
    return json.loads((clone.path / "models/manifest.json").read_text())


def test_an_experiment_with_another_model_changes_the_metrics_and_plots_and_not_the_data(clone, tmp_path):
    said = clone.run("dvc", "exp", "run", "-S", "train.model=logistic_regression", "evaluate").stdout
    assert "Stage 'clean' didn't change, skipping" in said
    assert "test.accuracy" in clone.run("dvc", "metrics", "diff").stdout
    assert "metrics/clean.json" not in "".join(clone.changed_files())
    assert manifest_of(clone)["model"] == "logistic_regression"
    clone.run("dvc", "plots", "diff", "HEAD", "--out", str(tmp_path))
    page = (tmp_path / "index.html").read_text()
    for title in (
        "Confusion matrix",
        "Calibration",
        "Permutation importance",
        "Contributions of the answers",
        "Learning curve",
        "ROC",
    ):
        assert title in page


def test_an_experiment_with_another_profile_knows_less(clone):
    clone.run("dvc", "exp", "run", "-S", "featurize.profile=habits", "train")
    manifest = manifest_of(clone)
    assert manifest["profile"] == "habits"
    assert manifest["features"] == list(PROFILES["habits"])


def test_a_queued_grid_runs_every_combination_and_one_of_them_is_applied_and_removed(clone):
    """Of the first stage only: a queue runs the others in the same way."""
    clone.run("dvc", "exp", "run", "--queue", "-S", "ingest.seed=6", "-S", "ingest.rows=300,500", "ingest")
    clone.run("dvc", "exp", "run", "--run-all")
    shown = csv.DictReader(clone.run("dvc", "exp", "show", "--csv").stdout.splitlines())
    by_params = {(row["ingest.seed"], row["ingest.rows"]): row["Experiment"] for row in shown if row["Experiment"]}
    assert set(by_params) == {("6", "300"), ("6", "500")}
    assert clone.changed_files() == []
    chosen = by_params["6", "500"]
    clone.run("dvc", "exp", "apply", chosen)
    assert "rows: 500" in clone.run("git", "diff", "params.yaml").stdout
    clone.run("dvc", "exp", "remove", chosen)
    assert chosen not in clone.run("dvc", "exp", "list", "--name-only").stdout


def test_the_report_of_a_review_compares_metrics_params_and_plots_and_fits_into_a_comment(clone, tmp_path):
    """Where every number of the project itself has changed: before, there were none."""
    clone.set_params({"gate.at_least.accuracy": 0.2})
    clone.run("git", "rm", "--quiet", "-r", "metrics")
    clone.commit("Before there were metrics")
    clone.run("git", "checkout", "--quiet", "HEAD~2", "--", "metrics", "params.yaml")
    job = read_yaml(clone.path / ".github/workflows/ci.yaml")["jobs"]["report"]
    (script,) = (step["run"] for step in job["steps"] if step.get("name") == "Write the report")
    script = script.replace("source .venv/bin/activate\n", "")
    clone.run("bash", "-e", "-o", "pipefail", "-c", script, BASE="HEAD", GITHUB_STEP_SUMMARY=str(tmp_path / "summary"))
    report = (clone.path / "report.md").read_text()
    assert "| metrics/gate.json | conditions.accuracy.at_least | - | 0.9 |" in report
    assert "| params.yaml | gate.at_least.accuracy | 0.2 | 0.9 |" in re.sub(" +", " ", report)
    assert len(report) < 65_536
    assert "| metrics/drift.json |" in (tmp_path / "summary").read_text()
    assert (clone.path / "plots-diff/index.html").exists()


def test_the_graph_is_that_of_the_design(small_clone):
    edges = set(re.findall(r'"([\w-]+)" -> "([\w-]+)"', small_clone.run("dvc", "dag", "--dot").stdout))
    chain = ["ingest", "clean", "featurize", "train", "evaluate", "gate"]
    to_gate = {(stage, "gate") for stage in ("ingest", "clean", "featurize", "train", "evaluate", "drift-simulate")}
    also = {
        ("ingest", "train"),
        ("featurize", "evaluate"),
        ("featurize", "drift-simulate"),
        ("train", "drift-simulate"),
    }
    assert edges == set(itertools.pairwise(chain)) | to_gate | also


def test_a_source_from_the_net_is_imported_by_dvc_and_noticed_when_it_changes(clone, tmp_path):
    rows = (clone.path / "data/raw.csv").read_text()
    (tmp_path / "data.csv").write_text(rows)
    with http_server(partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as address:
        clone.run("dvc", "import-url", f"http://{address}/data.csv", "data/uci.csv")
        clone.run("dvc", "exp", "run", "-S", "ingest.source=data/uci.csv", "clean")
        ingest = json.loads((clone.path / "metrics/ingest.json").read_text())
        assert ingest["simulated"] is False
        assert ingest["source"] == "uci.csv"
        (tmp_path / "data.csv").write_text(rows.rsplit("\n", 2)[0] + "\n")
        clone.run("dvc", "update", "data/uci.csv.dvc")
        clone.run("dvc", "repro", "ingest")
        assert json.loads((clone.path / "metrics/ingest.json").read_text())["rows"] == ingest["rows"] - 1


def test_make_uci_runs_an_experiment_on_a_file_from_the_net_once_and_adds_to_the_workspace_what_dvc_tracks_it_with(
    clone, tmp_path
):
    shutil.copy(clone.path / "data/raw.csv", tmp_path)
    with http_server(partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as address:
        first, second = (clone.run(*with_make("uci"), f"UCI_URL=http://{address}/raw.csv").stdout for _ in range(2))
    assert "| accuracy " in first
    assert "was made from data/uci.csv alone" in first
    assert "exists already" in second
    assert clone.changed_files() == [" M data/.gitignore", "?? data/uci.csv.dvc"]


def test_make_uci_without_a_network_is_one_line_that_says_what_to_do(clone):
    refused = clone.run(*with_make("uci"), f"UCI_URL=http://127.0.0.1:{free_port()}/data.csv", check=False)
    assert refused.stderr.startswith("error: http://127.0.0.1:")
    assert "check the network and the address, or download the file yourself" in refused.stderr
    assert (refused.stderr.count("\n"), clone.changed_files()) == (2, [])  # the second line is make's


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
