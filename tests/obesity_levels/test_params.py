import math

import pytest
from tests.conftest import ROOT
from tests.obesity_levels.yaml_files import REMOVED, with_changes

from obesity_levels.errors import ConflictError, ParamsError
from obesity_levels.params import RENAMED, load_params, read_yaml


def changed(tmp_path, changes):
    return with_changes(ROOT / "params.yaml", tmp_path, changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"train.model": REMOVED, "train.modell": "voting"},
            r"train\.modell: no such key: did you mean 'train\.model'",
        ),
        ({"train.model": REMOVED}, r"train: .*missing required field `model`"),
        ({"featurize.profile": "ful"}, r"featurize\.profile: .*ful"),
        ({"ingest.rows": "many"}, r"ingest\.rows: Expected `int`, got `str`"),
        ({"ingest.rows": 0}, r"ingest\.rows: Expected `int` >= 1"),
        ({"ingest.rows": 21.5}, r"ingest\.rows: Expected `int`, got `float`"),
        ({"featurize.split.validation": 1.5}, r"featurize\.split\.validation: Expected `float` < 1"),
        ({"featurize.split.validation": 0.9}, r"featurize\.split: validation and test together"),
        ({"featurize.split.seed": REMOVED}, "split: .*missing required field `seed`"),
        ({"train.search.folds": 1}, r"train\.search\.folds: Expected `int` >= 2"),
        ({"frobnicate": 1}, "frobnicate: no such key: remove it"),
        (
            {"train.explanations.healthy": {"Age": "decrease"}},
            r"train\.explanations: healthy: Age is not a habit: expected FAVC, FCVC, NCP",
        ),
        ({"evaluate.age_bands": [25, 18, 50]}, r"evaluate: age_bands must rise"),
        ({"train.people_weight": math.inf}, r"train\.people_weight: Expected `float` <="),
        ({"train.people_weight": math.nan}, r"train\.people_weight"),
        ({"train.search.random_forest.max_features": [20]}, r"max_features\[.*\]: Expected `int` <= 14"),
        ({"clean": REMOVED, "cleaning": {}}, r"cleaning: no such key"),
        ({"clean.markers": []}, "clean.markers: it is called 'clean.missing_marks' now"),
        ({"train.masking": {}}, "train.masking: it is called 'train.augmentation' now"),
        ({"drift.detect.causes.alike": 1}, "drift.detect.causes.alike: it is called 'drift.detect.causes.max_ks' now"),
    ],
)
def test_a_wrong_key_type_or_value_is_an_error_that_names_the_file_and_the_key(tmp_path, changes, named):
    path = changed(tmp_path, changes)
    with pytest.raises(ParamsError, match=named) as error:
        load_params(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("ingest: [", "is not YAML"),
        ("people_weight: 2020-13-45", "is not YAML"),
        ("rows: " + "[" * 5000, "is not YAML"),
        ("rows: 1\nrows: 2100", "duplicate key"),
        ("", "Expected `object`, got `null`"),
    ],
)
def test_a_file_that_is_not_params_in_yaml_is_an_error(tmp_path, content, said):
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(ParamsError, match=said) as error:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(error.value)


def test_a_merge_conflict_is_said_to_be_one(tmp_path):
    (tmp_path / "params.yaml").write_text("<<<<<<< HEAD\nrows: 1\n=======\nrows: 2\n>>>>>>> other\n")
    with pytest.raises(ConflictError, match="edit .*params.yaml"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ParamsError, match="does not exist: run from the project's root"):
        load_params(tmp_path / "params.yaml")


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    """YAML 1.2: `1e-1` is a number (PyYAML, which speaks 1.1, takes it for a text)."""
    (tmp_path / "params.yaml").write_text("validation: 1e-1")
    assert read_yaml(tmp_path / "params.yaml") == {"validation": 0.1}


def test_every_new_name_of_a_renamed_key_exists():
    content = read_yaml(ROOT / "params.yaml")
    for name in RENAMED.values():
        value = content
        for part in name.split("."):
            value = value[part]
        assert value is not None, name
