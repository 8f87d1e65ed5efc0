import pytest
from tests.conftest import ROOT

from obesity_levels.errors import ParamsError
from obesity_levels.params import RENAMED, load_params, read_yaml


def edited(tmp_path, old: str, new: str):
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("  model: ", "  modell: ", r"train\.modell: no such key: did you mean 'train\.model'"),
        ("  profile: full ", "  profile: ful ", r"featurize\.profile: .*ful"),
        ("  rows: 2100 ", "  rows: many ", r"ingest\.rows: Expected `int`, got `str`"),
        ("  rows: 2100 ", "  rows: 0 ", r"ingest\.rows: Expected `int` >= 1"),
        ("  rows: 2100 ", "  rows: 21.5 ", r"ingest\.rows: Expected `int`, got `float`"),
        ("    validation: 0.15", "    validation: 1.5", r"featurize\.split\.validation: Expected `float` < 1"),
        ("    validation: 0.15", "    validation: 0.9", r"featurize\.split: validation and test together"),
        ("    folds: 5", "    folds: 1", r"train\.search\.folds: Expected `int` >= 2"),
        ("ingest:", "frobnicate: 1\ningest:", "frobnicate: no such key: remove it"),
        ("  age_bands: [18, 25", "  age_bands: [25, 18", r"evaluate: age_bands must rise"),
        ("  seed: 1\n", "", "split: .*missing required field `seed`"),
        ("ingest:", "ingest: [", "is not YAML"),
        ("people_weight: 2.0", "people_weight: .inf", r"train\.people_weight: Expected `float` <="),
        ("people_weight: 2.0", "people_weight: .nan", r"train\.people_weight"),
        ("people_weight: 2.0", "people_weight: 2020-13-45", "is not YAML"),
        ("rows: 2100", "rows: " + "[" * 5000, "is not YAML"),
        ("max_features: [2,", "max_features: [20,", r"max_features\[.*\]: Expected `int` <= 14"),
        ("clean:", "cleaning:", r"cleaning: no such key"),
    ],
)
def test_a_wrong_key_type_or_value_is_an_error_that_names_the_file_and_the_key(tmp_path, old, new, named):
    path = edited(tmp_path, old, new)
    with pytest.raises(ParamsError, match=named) as error:
        load_params(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(ParamsError, match=r"train: .*missing required field `model`"):
        load_params(edited(tmp_path, "  model: by_profile", "  # "))


@pytest.mark.parametrize(
    ("model", "profile", "named"),
    [
        ("by_profile", "full", "random_forest"),
        ("by_profile", "habits", "voting"),
        ("logistic_regression", "habits", "logistic_regression"),
    ],
)
def test_the_model_is_the_one_that_is_named_or_else_the_profile_s_own(tmp_path, model, profile, named):
    train = load_params(edited(tmp_path, "model: by_profile", f"model: {model}")).train
    assert train.for_profile(profile).model == named


def test_a_key_given_twice_is_an_error(tmp_path):
    with pytest.raises(ParamsError, match="duplicate key"):
        load_params(edited(tmp_path, "  rows: 2100", "  rows: 1\n  rows: 2100"))


def test_a_missing_file_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ParamsError, match="does not exist: run from the project's root"):
        load_params(tmp_path / "params.yaml")


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(ParamsError, match="Expected `object`, got `null`"):
        load_params(tmp_path / "params.yaml")


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    """YAML 1.2: `1e-1` is a number (PyYAML, which speaks 1.1, takes it for a text)."""
    assert load_params(edited(tmp_path, "validation: 0.15", "validation: 1e-1")).featurize.split.validation == 0.1


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("  missing_marks:", "  markers:", "clean.markers: it is called 'clean.missing_marks' now"),
        ("  augmentation:", "  masking:", "train.masking: it is called 'train.augmentation' now"),
        ("      max_ks:", "      alike:", "drift.detect.causes.alike: it is called 'drift.detect.causes.max_ks' now"),
    ],
)
def test_a_key_that_had_another_name_is_an_error_that_says_the_new_one(tmp_path, old, new, named):
    with pytest.raises(ParamsError, match=named):
        load_params(edited(tmp_path, old, new))


def test_every_new_name_of_a_renamed_key_exists():
    content = read_yaml(ROOT / "params.yaml")
    for name in RENAMED.values():
        value = content
        for part in name.split("."):
            value = value[part]
        assert value is not None, name
