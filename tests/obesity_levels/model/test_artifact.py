"""The files beside a classifier: whose they are, and whether dvc.lock has them."""

import hashlib
import json

import pytest
import yaml
from tests.artifacts import constant_onnx, write_artifact

from obesity_levels.errors import ArtifactError, ConflictError
from obesity_levels.model.artifact import check_lock, read_evaluation
from obesity_levels.model.classifier import load_manifest

LOCKED = ("models/classifier.onnx", "models/manifest.json", "metrics/evaluate.json")


@pytest.fixture
def checkout(tmp_path):
    """A model with its metrics, and a dvc.lock that names both."""
    write_artifact(tmp_path / "models", constant_onnx(0))
    (tmp_path / "metrics").mkdir()
    version = load_manifest(tmp_path / "models/manifest.json").version
    write_evaluation(tmp_path / "metrics/evaluate.json", version)
    outs = [{"path": path, "md5": hashlib.md5((tmp_path / path).read_bytes()).hexdigest()} for path in LOCKED]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}, "check": {}}}))
    return tmp_path


@pytest.fixture
def manifest(checkout):
    return load_manifest(checkout / "models/manifest.json")


def write_evaluation(path, version):
    path.write_text(json.dumps({"model_version": version, "test": {"accuracy": 0.9}}))


def test_what_the_lock_names_is_accepted(checkout):
    check_lock(checkout / "models")


@pytest.mark.parametrize("path", LOCKED)
def test_a_file_that_is_not_the_one_of_the_lock_is_refused_by_name(checkout, path):
    with (checkout / path).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ArtifactError, match=f"{path} is not the file that dvc.lock names: run `dvc repro`"):
        check_lock(checkout / "models")


def test_a_model_that_is_in_no_checkout_needs_no_lock(checkout):
    (checkout / "dvc.lock").unlink()
    check_lock(checkout / "models")


@pytest.mark.parametrize("content", [b"stages: [1, 2]", b"[]", b"{", b"stages: {train: {outs: [{path: 1}]}}", b"\xff"])
def test_a_lock_that_is_none_is_refused(checkout, content):
    (checkout / "dvc.lock").write_bytes(content)
    with pytest.raises(ArtifactError, match="is not a lock of DVC: restore it"):
        check_lock(checkout / "models")


def test_a_lock_with_a_merge_conflict_is_said_to_have_one(checkout):
    (checkout / "dvc.lock").write_text("<<<<<<< HEAD\n" + (checkout / "dvc.lock").read_text())
    with pytest.raises(ConflictError, match="git checkout --ours dvc.lock"):
        check_lock(checkout / "models")


def test_metrics_are_found_in_the_checkout(checkout, manifest):
    assert read_evaluation(checkout / "models", manifest).test == {"accuracy": 0.9}


def test_metrics_among_the_files_of_the_model_come_first(checkout, manifest):
    (checkout / "metrics/evaluate.json").write_text("{}")
    write_evaluation(checkout / "models/evaluate.json", manifest.version)
    assert read_evaluation(checkout / "models", manifest).model_version == manifest.version


def test_without_metrics_there_are_none(checkout, manifest):
    (checkout / "metrics/evaluate.json").unlink()
    assert read_evaluation(checkout / "models", manifest) is None


def test_metrics_of_another_model_are_refused(checkout, manifest):
    write_evaluation(checkout / "metrics/evaluate.json", "0" * 12)
    with pytest.raises(ArtifactError, match="evaluate.json measured another model"):
        read_evaluation(checkout / "models", manifest)


@pytest.mark.parametrize("content", [b"[]", b"", b'{"model_version": "\xff"}', b"[" * 100_000])
def test_metrics_that_are_none_are_refused(checkout, manifest, content):
    (checkout / "metrics/evaluate.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="does not name the model that it measured"):
        read_evaluation(checkout / "models", manifest)
