"""SECURITY.md names tests and settings: they are there, and as it says."""

import re

import pytest
from service.settings import load_settings

from tests.conftest import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]*test_\w+\.py)`", TEXT))))
def test_a_test_that_it_names_is_there(name):
    assert list((ROOT / "tests").rglob(name.removeprefix("tests/")))


@pytest.mark.parametrize(("name", "default"), re.findall(r"^\| `([A-Z_]+)` \| `(\d+)` \|", TEXT, re.MULTILINE))
def test_a_setting_that_it_names_has_the_default_that_it_says(name, default):
    assert getattr(load_settings({}), name.lower()) == float(default)
