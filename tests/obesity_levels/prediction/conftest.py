import pandas as pd
import pytest


@pytest.fixture
def project(small_clone, monkeypatch):
    """The folder of a clone with a model, which is the current folder."""
    monkeypatch.chdir(small_clone.path)
    return small_clone.path


@pytest.fixture
def raw(project):
    return pd.read_csv(project / "data/raw.csv", dtype=str, keep_default_na=False)
