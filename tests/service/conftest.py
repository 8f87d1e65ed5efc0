import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families
from service.app import create_app
from service.settings import load_settings

from obesity_levels.model.classifier import load_classifier
from tests.serving import Application, running


@pytest.fixture(scope="session")
def model_dir(small_clone, tmp_path_factory):
    """A really trained model and what was measured of it, as a registry hands them out."""
    folder = tmp_path_factory.mktemp("served") / "models"
    shutil.copytree(small_clone.path / "models", folder)
    shutil.copy(small_clone.path / "metrics/evaluate.json", folder)
    return folder


@pytest.fixture
def artifact(model_dir, tmp_path):
    """The same for one test, which may change it."""
    return shutil.copytree(model_dir, tmp_path / "models")


@pytest.fixture(scope="session")
def classifier(model_dir):
    return load_classifier(model_dir)


@contextmanager
def in_process(model_dir: Path, **variables: str) -> Iterator[Application]:
    """The application without a server. Its metrics are those of this process: others may have counted before it."""
    with TestClient(create_app(load_settings({"MODEL_DIR": str(model_dir)} | variables))) as client:
        yield Application(client)


def samples(app: Application) -> dict[tuple[str, ...], float]:
    """The metrics: name and values of the labels, in their order -> value."""
    families = text_string_to_metric_families(app.client.get("/metrics").text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


@pytest.fixture(scope="session")
def app(model_dir):
    """The application in this process, with the default settings."""
    with in_process(model_dir) as app:
        yield app


@pytest.fixture(scope="session")
def service(model_dir, tmp_path_factory):
    """The service in a process of its own, for what only a socket shows."""
    with running(model_dir, tmp_path_factory.mktemp("log") / "log", BODY_SECONDS="1.5") as service:
        yield service
