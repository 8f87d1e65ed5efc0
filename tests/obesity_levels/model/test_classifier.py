import hashlib
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tests.artifacts import constant_onnx, write_artifact

from obesity_levels.errors import ArtifactError
from obesity_levels.model.classifier import load_classifier, most_probable
from obesity_levels.paths import CLASSIFIER, MANIFEST
from obesity_levels.schema import LEVELS


@pytest.fixture
def artifact(tmp_path):
    return write_artifact(tmp_path, constant_onnx())


def change_manifest(artifact, **changed):
    manifest = json.loads((artifact / MANIFEST).read_text())
    (artifact / MANIFEST).write_text(json.dumps(manifest | changed))


def test_an_artifact_is_loaded_and_predicts(artifact):
    classifier = load_classifier(artifact)
    probabilities = classifier.probabilities(np.zeros((3, 17), dtype=np.float32))
    np.testing.assert_allclose(probabilities, np.full((3, 7), 1 / 7), rtol=1e-6)


def test_of_levels_with_equal_probability_the_less_severe_is_predicted():
    assert most_probable(np.array([[0, 0.5, 0.5, 0, 0, 0, 0]])).tolist() == [1]


def test_the_version_is_the_beginning_of_the_sha256(artifact):
    assert load_classifier(artifact).manifest.version == hashlib.sha256(constant_onnx()).hexdigest()[:12]


@pytest.mark.parametrize("name", [CLASSIFIER, MANIFEST])
def test_a_missing_file_is_named(artifact, name):
    (artifact / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} cannot be read .*run `dvc repro`"):
        load_classifier(artifact)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"", lambda b: b[:-9] + b"?" + b[-8:]]
)
def test_a_truncated_or_altered_classifier_is_refused(artifact, damage):
    (artifact / CLASSIFIER).write_bytes(damage(constant_onnx()))
    with pytest.raises(ArtifactError, match=r"classifier.onnx is truncated or altered"):
        load_classifier(artifact)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "one"}', "\udcff"])
def test_what_is_no_manifest_is_refused(artifact, content):
    (artifact / MANIFEST).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=r"manifest.json is not a manifest"):
        load_classifier(artifact)


@pytest.mark.parametrize(
    "changed",
    [{"format": 2}, {"levels": list(reversed(LEVELS))}, {"missing": -2.0}, {"features": ["Age"]}, {"profile": "other"}],
)
def test_a_manifest_that_does_not_fit_the_code_is_refused(artifact, changed):
    change_manifest(artifact, **changed)
    with pytest.raises(ArtifactError, match="rebuild it"):
        load_classifier(artifact)


def test_a_pickle_with_the_right_checksum_is_not_run(artifact):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    content = pickle.dumps(Bomb())
    (artifact / CLASSIFIER).write_bytes(content)
    change_manifest(artifact, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ArtifactError, match="is not a model that ONNX Runtime can load"):
        load_classifier(artifact)


def test_onnx_runtime_leaves_no_device_id_in_the_home_folder_and_sends_nothing(tmp_path):
    """It would, from its import on, for its maker; unset here, so that it is this package that sees to it."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    home = environment | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", "import obesity_levels.model.classifier"], env=home, check=True)
    assert [*tmp_path.rglob("*")] == []
