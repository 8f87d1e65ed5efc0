"""What tests share: the project's own population and params, clones, and programs that check from outside."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from obesity_levels.data.simulation import Population, draw_people
from obesity_levels.params import Params, load_params, load_yaml
from tests.clone import Clone, clone_small, copy_clone

ROOT = Path(__file__).resolve().parent.parent

# Each of the hundreds of processes that the tests start would compile the project anew: 0.2 to 0.3 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# They run on all cores already: a pool of processes would import everything again, and threads of OpenMP spin.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

# The machines that run this are shared and slow at times; what is tested does not depend on time.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage of properties, which would take twice as long: a line that only they reach is not counted.

    One process begins with the file that takes longest, and makes the small clone. Until that is there, the others run
    what does not need it.
    """
    need_it = {item.path for item in items if "small_template" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path.name != "test_publishing.py", item.path in need_it))
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def population() -> Population:
    return load_yaml(ROOT / "data/population.yaml", Population)


@pytest.fixture(scope="session")
def people(population: Population) -> pd.DataFrame:
    """500 valid, complete rows."""
    return draw_people(population, 500, np.random.default_rng(0))


@contextmanager
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory, what: str) -> Iterator[Path]:
    """Of all processes of a run one does this, and the others wait for it: the folder that they share."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared


def environment(tmp_path_factory: pytest.TempPathFactory, folder: str) -> Path:
    """The programs of the environment in `folder`, made as its lock says."""
    with one_at_a_time(tmp_path_factory, folder.replace("/", "-")):
        # The environment that runs these tests is not made anew, whatever is newer than it.
        subprocess.run(["make", "--silent", "--old-file=.venv/ready", f"{folder}/.venv/ready"], cwd=ROOT, check=True)
    return ROOT / folder / ".venv/bin"


@pytest.fixture(scope="session")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs that check and load the service from outside."""
    return environment(tmp_path_factory, "deploy")


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the environment of `obesity-levels predict` on a cluster."""
    return environment(tmp_path_factory, "deploy/batch") / "python"


@pytest.fixture(scope="session")
def feast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of the feature store."""
    return environment(tmp_path_factory, "deploy/feast")


@pytest.fixture(scope="session")
def small_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a clone with small params, its pipeline run and committed: made once for all processes of a run."""
    with one_at_a_time(tmp_path_factory, "small-template") as shared:
        template = shared / "small-template"
        if not template.exists():
            unfinished = shared / "small-template-unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            clone_small(ROOT, unfinished)
            unfinished.rename(template)
    return template


@pytest.fixture(scope="session")
def small_clone(small_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with small params, its pipeline run and committed. A test that changes it takes `clone`."""
    return copy_clone(small_template, tmp_path_factory.mktemp("small"))


@pytest.fixture
def clone(small_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The same for one test: a copy is made in 0.1 s, putting one back took DVC a second."""
    folder = tmp_path_factory.mktemp("clone")
    yield copy_clone(small_template, folder)
    shutil.rmtree(folder, ignore_errors=True)
