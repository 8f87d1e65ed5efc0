import shutil

import pytest

from obesity_levels.model.classifier import load_classifier
from tests.serving import running


@pytest.fixture(scope="session")
def model_dir(small_clone, tmp_path_factory):
    """A really trained model and what was measured of it, as a registry hands them out."""
    folder = tmp_path_factory.mktemp("served") / "models"
    shutil.copytree(small_clone.path / "models", folder)
    shutil.copy(small_clone.path / "metrics/evaluate.json", folder)
    return folder


@pytest.fixture(scope="session")
def classifier(model_dir):
    return load_classifier(model_dir)


@pytest.fixture(scope="session")
def service(model_dir, tmp_path_factory):
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", BODY_SECONDS="1.5") as service:
        yield service
