"""The proof of the project: in a clone elsewhere, everything rebuilt by force, nothing that git tracks differs.

Here with small params; `.ci/run` does it with the project's own.
"""

import hashlib
import json

import pytest
from tests.clone import copy_clone
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def rebuilt(small_template, tmp_path_factory):
    clone = copy_clone(small_template, tmp_path_factory.mktemp("elsewhere"))
    elsewhere = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    one_thread = {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}
    clone.run("sh", "-c", "umask 077 && dvc repro --force", **elsewhere, **one_thread)
    return clone


def test_rebuilding_by_force_changes_no_tracked_number(rebuilt):
    """With another hash seed, time zone, locale and umask, and with one thread."""
    assert rebuilt.run("git", "diff", "--stat").stdout == ""
    assert rebuilt.changed_files() == []


def test_the_manifest_names_the_classifier_that_was_built(rebuilt):
    manifest = json.loads((rebuilt.path / "models/manifest.json").read_text())
    onnx = (rebuilt.path / "models/classifier.onnx").read_bytes()
    assert manifest["sha256"] == hashlib.sha256(onnx).hexdigest()
    assert manifest["data"] == {
        "simulated": True,
        "source": "population.yaml",
        "md5": hashlib.md5((ROOT / "data/population.yaml").read_bytes()).hexdigest(),
    }


def test_a_false_number_that_was_committed_is_found(clone):
    """`make verify` forces, because a plain repro of a fresh clone believes what git holds."""
    path = clone.path / "metrics/clean.json"
    truth = path.read_text()
    clone.edit("metrics/clean.json", {'"merged": .*': '"merged": 0'})
    clone.run("git", "commit", "--all", "--quiet", "--message", "Lie")
    clone.run("dvc", "repro", "--force", "--single-item", "clean")
    assert "metrics/clean.json" in clone.run("git", "diff", "--name-only", check=False).stdout
    assert path.read_text() == truth


def test_a_second_repro_does_nothing(small_clone):
    said = small_clone.run("dvc", "repro").stdout
    assert "Data and pipelines are up to date." in said
    assert "Running stage" not in said


def test_metrics_hold_the_numbers_that_the_documentation_names(rebuilt):
    metrics = json.loads((ROOT / "metrics/evaluate.json").read_text())
    for split in ("validation", "test"):
        assert set(metrics[split]) == {
            *("accuracy", "f1_weighted", "f1_macro", "quadratic_weighted_kappa", "within_one_level", "log_loss"),
            *("expected_calibration_error", "accuracy_interval", "per_level", "slices", "baselines"),
        }
        assert set(metrics[split]["slices"]) == {"sex", "age", "completeness", "origin"}
        assert set(metrics[split]["baselines"]) == {"majority", "bmi_rule"}
        assert metrics[split]["accuracy"] > metrics[split]["baselines"]["bmi_rule"]["accuracy"]
    assert set(metrics["cross_validation"]) == {"accuracy", "f1_weighted", "people"}
    for png in ("confusion_matrix", "calibration", "permutation_importance", "learning_curve", "roc"):
        assert (rebuilt.path / f"plots/{png}.png").read_bytes().startswith(b"\x89PNG")


def test_read_is_kept_plus_rejected_plus_merged(rebuilt):
    rows = json.loads((rebuilt.path / "metrics/clean.json").read_text())["rows"]
    rejected = (rebuilt.path / "data/rejected.csv").read_text().splitlines()
    assert rows["read"] == rows["kept"] + sum(rows["rejected"].values()) + rows["merged"]
    assert len(rejected) - 1 == sum(rows["rejected"].values())
    assert rejected[0].startswith("line,reason,Gender,")
