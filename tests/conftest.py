"""What tests share: the project's own population and params, small tables made of them, and strategies for records."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from obesity_levels.params import Params, load_params, load_yaml
from obesity_levels.simulation import Population, as_text, draw_people
from tests.clone import Clone, clone_small

ROOT = Path(__file__).resolve().parent.parent

# The machines that run this are shared and slow at times; what is tested does not depend on time.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("project")


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


@pytest.fixture(scope="session")
def people_texts(people: pd.DataFrame) -> pd.DataFrame:
    """The same rows as a CSV file writes them, with line numbers."""
    texts = as_text(people)
    texts.index = pd.RangeIndex(2, len(texts) + 2, name="line")
    return texts


@pytest.fixture(scope="session")
def small_clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with small params, its pipeline run and committed. A test that changes it takes `clone`."""
    return clone_small(ROOT, tmp_path_factory.mktemp("small"))


@pytest.fixture
def clone(small_clone: Clone) -> Iterator[Clone]:
    """The small clone, put back as it was committed after the test."""
    yield small_clone
    small_clone.run("git", "reset", "--quiet", "--hard")
    small_clone.run("git", "clean", "--quiet", "-d", "--force")
    small_clone.run("dvc", "checkout", "--quiet", "--force")
