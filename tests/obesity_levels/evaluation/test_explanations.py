import msgspec
import numpy as np
import pandas as pd
import pytest

from obesity_levels.evaluation.explanations import contribution_table, explanation_metrics
from obesity_levels.io import read_split
from obesity_levels.model.classifier import load_classifier
from obesity_levels.params import ExplanationSampleParams
from obesity_levels.schema import ANSWERS

PARAMS = ExplanationSampleParams(rows=5, background=100, seed=1)


@pytest.fixture
def measured(small_clone):
    """A really trained model, its validation rows with their probabilities, and its training rows."""
    classifier = load_classifier(small_clone.path / "models")
    rows, train = (read_split(small_clone.path / "data/features", name) for name in ("validation", "train"))
    return rows, classifier.probabilities(rows.matrix), train, classifier


def test_every_row_of_another_level_is_counted_with_one_kind_of_change_or_none(measured):
    rows, probabilities, train, classifier = measured
    changes = explanation_metrics(rows, probabilities, train, classifier, PARAMS)["changes"]
    assert changes["rows"] == (probabilities.argmax(axis=1) != 1).sum()
    assert sum(changes["shares"].values()) == pytest.approx(1)
    assert changes["median_kilograms"] > 0


def test_the_error_is_that_of_as_many_rows_as_there_are(measured):
    rows, probabilities, train, classifier = measured
    most = ExplanationSampleParams(rows=10_000, background=10_000, seed=1)
    error = explanation_metrics(rows, probabilities, train, classifier, most)["error"]
    assert (error["rows"], error["background"]) == (len(rows.labels), len(train.labels))
    assert 0 < error["mean"] < error["mean_of_largest"] < 0.2


def test_a_model_without_a_background_is_not_measured(measured):
    rows, probabilities, train, classifier = measured
    basis = msgspec.structs.replace(classifier.manifest.explanations, background=[])
    for explanations in (None, basis):
        classifier.manifest = msgspec.structs.replace(classifier.manifest, explanations=explanations)
        assert explanation_metrics(rows, probabilities, train, classifier, PARAMS) is None


def test_the_body_mass_index_has_an_importance_and_no_contribution():
    importance = pd.DataFrame({"feature": ["BMI", "Age"], "importance": [0.6, 0.1], "std": [0.0, 0.0]})
    table = contribution_table({name: at / 100 for at, name in enumerate(ANSWERS)}, importance)
    assert table["feature"].tolist() == [*reversed(ANSWERS), "BMI"]
    assert table.iloc[-1].tolist()[1:] == [pytest.approx(np.nan, nan_ok=True), 0.6]
