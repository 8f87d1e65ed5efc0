from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.obesity_levels.model.test_estimators import small
from tests.strategies import as_table

from obesity_levels.errors import TooFewRowsError
from obesity_levels.evaluation import metrics as evaluation
from obesity_levels.evaluation import resampling
from obesity_levels.model.estimators import build_estimator
from obesity_levels.model.features import encode_table, input_matrix
from obesity_levels.params import BootstrapParams, CrossValidationParams, ImportanceParams, LearningCurveParams
from obesity_levels.schema import CATEGORIES, LABEL, LEVELS, PROFILES


def sure_of(levels: list[int], confidence: float = 1.0) -> np.ndarray:
    """Probabilities that give `confidence` to one level of each row and share the rest among the others."""
    probabilities = np.full((len(levels), 7), (1 - confidence) / 6, dtype=np.float32)
    probabilities[range(len(levels)), levels] = confidence
    return probabilities


PROBABILITIES = ("log_loss", "brier_score", "expected_calibration_error")


def test_metrics_of_a_worked_example():
    actual, predicted = np.array([0, 0, 1, 6]), [0, 1, 1, 3]
    metrics = evaluation.headline_metrics(actual, sure_of(predicted, 0.7), 10)
    assert metrics["accuracy"] == 0.5
    assert metrics["within_one_level"] == 0.75
    # F1 of the levels 0, 1, 3, 6: 2/3, 2/3, 0, 0
    assert metrics["f1_weighted"] == pytest.approx((2 * 2 / 3 + 2 / 3) / 4)
    assert metrics["f1_macro"] == pytest.approx((2 / 3 + 2 / 3) / 7)
    # half of the rows 0.7, half (0.3 / 6)
    assert metrics["log_loss"] == pytest.approx(-(np.log(0.7) + np.log(0.05)) / 2, abs=1e-6)
    assert metrics["expected_calibration_error"] == pytest.approx(0.2, abs=1e-6)
    # of a right row 0.3² + 6 * 0.05², of a wrong one 0.95² + 0.7² + 5 * 0.05²
    assert metrics["brier_score"] == pytest.approx((0.105 + 1.405) / 2, abs=1e-6)
    # Cohen (1968): 1 - sum(w * observed) / sum(w * expected), w the squared distance; observed 0 + 1 + 0 + 9
    pairs = [(a - p) ** 2 for a in actual for p in predicted]
    assert metrics["quadratic_weighted_kappa"] == pytest.approx(1 - 10 / (sum(pairs) / 4))


def test_calibration_error_is_weighted_by_the_rows_of_each_bin():
    actual = np.array([0, 0, 0, 1])
    probabilities = np.concatenate([sure_of([0, 0, 0], 0.95), sure_of([0], 0.55)])
    # bin of 0.95: 3 rows, all right; bin of 0.55: one row, wrong
    assert evaluation.expected_calibration_error(actual, probabilities, 10) == pytest.approx((3 * 0.05 + 0.55) / 4)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.floats(0.2, 1)), min_size=1, max_size=30))
def test_the_calibration_table_holds_every_row_once(rows):
    actual = np.array([row[0] for row in rows])
    probabilities = np.concatenate([sure_of([level], confidence) for _, level, confidence in rows])
    table = evaluation.calibration_table(actual, probabilities, 10)
    assert table["rows"].sum() == len(rows)
    assert table["accuracy"].between(0, 1).all()
    assert 0 <= evaluation.expected_calibration_error(actual, probabilities, 10) <= 1


def test_the_band_of_a_bin_is_where_chance_puts_95_of_100_accuracies_of_so_many_rows():
    rng = np.random.default_rng(0)
    confidence = np.full(40, 0.85)
    inside = []
    for _ in range(500):
        actual = np.where(rng.random(40) < 0.85, 0, 1)
        (row,) = evaluation.calibration_table(
            actual, np.concatenate([sure_of([0], c) for c in confidence]), 10
        ).itertuples()
        inside.append(row.low <= row.accuracy <= row.high)
    assert 0.92 <= np.mean(inside) <= 1


def test_calibration_is_compared_for_complete_and_incomplete_rows_and_none_where_there_are_no_rows():
    answers = as_table([person(), person(), person(Weight=None)])
    rows = SimpleNamespace(answers=answers, labels=np.array([0, 1, 2]))
    found = evaluation.compare_calibration(rows, sure_of([0, 1, 2], 0.9), sure_of([0, 1, 2], 0.5), 10)
    assert list(found) == ["all", "complete", "incomplete"]
    assert found["incomplete"]["calibrated"]["log_loss"] == pytest.approx(-np.log(0.9), abs=1e-6)
    assert found["all"]["uncalibrated"]["log_loss"] == pytest.approx(-np.log(0.5), abs=1e-6)
    rows = SimpleNamespace(answers=answers[:2], labels=rows.labels[:2])
    nothing = evaluation.compare_calibration(rows, sure_of([0, 1]), sure_of([0, 1]), 10)["incomplete"]
    assert nothing == {"uncalibrated": None, "calibrated": None}


def test_the_interval_of_accuracy_holds_it_and_is_as_wide_as_chance_makes_it():
    rng = np.random.default_rng(0)
    actual = np.zeros(400, dtype=int)
    predicted = np.where(rng.random(400) < 0.9, 0, 1)
    interval = evaluation.accuracy_interval(actual, predicted, BootstrapParams(2000, 1))
    accuracy = (predicted == 0).mean()
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 400)
    assert interval["low"] == pytest.approx(accuracy - half, abs=0.005)
    assert interval["high"] == pytest.approx(accuracy + half, abs=0.005)


def test_a_level_that_was_neither_there_nor_predicted_has_no_metrics_but_its_support():
    levels = evaluation.per_level_metrics(np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert levels["Insufficient_Weight"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert levels["Obesity_Type_III"] == {"precision": None, "recall": None, "f1": None, "support": 0}


def person(**answers) -> dict:
    categories = {name: values[0] for name, values in CATEGORIES.items()}
    whole = {"Age": 30.0, "Height": 1.65, "Weight": 60.5, "FCVC": 2.0, "NCP": 3.0, "CH2O": 2.0, "FAF": 1.0, "TUE": 0.0}
    return categories | whole | {LABEL: "Normal_Weight"} | answers


@pytest.mark.parametrize("name", ["Age", "FCVC", "NCP", "CH2O", "FAF", "TUE"])
def test_people_answer_in_whole_numbers_where_they_answer(name):
    rows = as_table([person(), person(**{name: None}), person(**{name: 2.25})])
    assert evaluation.is_people(rows).tolist() == [True, True, False]


def test_slices_count_every_row_once_in_each_kind_and_say_null_where_there_is_none():
    rows = as_table([person(Age=17.9), person(Age=18), person(Age=None, Gender=None), person(Age=60.5, Gender="Male")])
    actual, predicted = np.array([1, 1, 1, 1]), np.array([1, 1, 2, 1])
    found = evaluation.slices(rows, actual, predicted, [18, 25, 50])
    support = {kind: {name: cell["support"] for name, cell in cells.items()} for kind, cells in found.items()}
    assert support["sex"] == {"Female": 2, "Male": 1, "missing": 1}
    assert support["age"] == {"under_18": 1, "18_to_25": 1, "25_to_50": 0, "50_and_over": 1, "missing": 1}
    assert support["completeness"] == {"complete": 3, "incomplete": 1}
    assert support["origin"] == {"people": 2, "generated": 2}
    assert all(sum(cells.values()) == 4 for cells in support.values())
    assert found["age"]["25_to_50"] == {"accuracy": None, "f1_weighted": None, "support": 0}
    assert found["sex"]["missing"]["accuracy"] == 0


def test_the_bmi_rule_cuts_at_the_lowest_index_of_the_level_above_and_falls_back_where_there_is_none():
    rows = pd.DataFrame({"Height": [2.0, 2.0, 2.0, np.nan, 2.0], "Weight": [73.9, 74.0, 160, 70, np.nan]})
    otherwise = np.full(5, 4)
    rule = evaluation.bmi_rule(rows, [18.5, 25, 27, 30, 35, 40], otherwise)
    assert rule.tolist() == [0, 1, 6, 4, 4]


def test_the_majority_baseline_is_the_most_frequent_level_of_the_training_rows():
    assert evaluation.majority_baseline(np.array([5, 2, 5, 1]), 3).tolist() == [5, 5, 5]


@pytest.fixture(scope="module")
def trained(params, people):
    matrix = input_matrix(encode_table(people), "full")
    labels = people[LABEL].map(LEVELS.index).to_numpy()
    return build_estimator(small(params, "random_forest"), PROFILES["full"], "random_forest"), matrix, labels


def cross_validated(trained, people, folds=2, repeats=1, times=1):
    """Each row is there so many times, and these are one group."""
    estimator, matrix, labels = trained
    groups = np.arange(len(labels)) % (len(labels) // times)
    return resampling.cross_validate(
        estimator, matrix, labels, groups, people, CrossValidationParams(folds, repeats), 10
    )


def test_cross_validation_predicts_each_row_by_a_model_that_saw_none_of_its_group(trained, people):
    """Every row twice, each time with another label: whoever sees its twin is always wrong, and is not here."""
    estimator, matrix, labels = trained
    answered = evaluation.is_people(people)
    found = cross_validated(trained, answered, folds=5, repeats=4)
    both = estimator, np.tile(matrix, (2, 1)), np.concatenate([labels, (labels + 3) % 7])
    twice = cross_validated(both, np.tile(answered, 2), folds=5, times=2)
    assert found["accuracy"]["mean"] > 0.8
    assert found["accuracy"]["std"] > 0
    assert 0 < found["people"]["accuracy"]["mean"] != found["accuracy"]["mean"]
    assert set(found) == {"accuracy", "f1_weighted", "people", *PROBABILITIES, "prediction_sets"}
    sets = found["prediction_sets"]["0.95"]
    assert 0.9 < sets["coverage"] <= 1 <= sets["size"]
    assert sets["coverage_without_bmi"] is None  # all people have answered
    assert twice["accuracy"]["mean"] == pytest.approx(found["accuracy"]["mean"] / 2, abs=0.1)


def test_the_accuracy_of_people_is_that_of_their_rows_alone(trained):
    """The labels of the others are shuffled: who counts them in cannot do well."""
    estimator, matrix, labels = trained
    some = np.arange(len(labels)) % 2 == 0
    shuffled = estimator, matrix, np.where(some, labels, (labels + 3) % 7)
    found, others = (cross_validated(shuffled, rows) for rows in (some, ~some))
    together = (found["people"]["accuracy"]["mean"] + others["people"]["accuracy"]["mean"]) / 2
    assert found["accuracy"]["mean"] == pytest.approx(together)
    assert found["people"]["accuracy"]["mean"] != others["people"]["accuracy"]["mean"]


def test_without_people_their_accuracy_is_null(trained):
    found = cross_validated(trained, np.zeros(len(trained[2]), dtype=bool))
    assert found["people"] == {"accuracy": {"mean": None, "std": None}}


def test_more_folds_than_groups_of_a_level_are_refused_by_the_key(trained):
    with pytest.raises(TooFewRowsError, match=r"fewer than evaluate.cross_validation.folds \(400\)"):
        cross_validated(trained, trained[2] == 0, folds=400)


def test_a_share_that_leaves_out_a_level_has_no_place_in_the_learning_curve(trained):
    estimator, matrix, labels = trained
    rows, params = (matrix, labels, np.arange(len(labels))), LearningCurveParams([0.004, 1.0], 1)
    table = resampling.learning_curve(estimator, rows, (matrix, labels), params)
    assert table["rows"].tolist() == [len(labels)]


def test_shuffling_a_column_that_is_not_used_costs_nothing_and_one_that_decides_costs_most():
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 7, size=(300, 3)).astype(np.float32)
    actual = matrix[:, 1].astype(int)
    manifest = SimpleNamespace(features=["a", "b", "c"])
    by_column_b = SimpleNamespace(manifest=manifest, probabilities=lambda m: np.eye(7)[m[:, 1].astype(int)])
    table = resampling.permutation_importance(by_column_b, matrix, actual, ImportanceParams(5, 1))
    assert table["feature"].tolist() == ["b", "a", "c"]
    assert table["importance"].tolist() == [pytest.approx(6 / 7, abs=0.05), 0, 0]
    assert (matrix[:, 1] == actual).all()


def test_a_learning_curve_rises_with_the_rows_and_keeps_groups_whole(trained, monkeypatch):
    estimator, matrix, labels = trained
    groups = np.arange(400) // 2
    used = []
    fit = type(estimator).fit
    monkeypatch.setattr(type(estimator), "fit", lambda self, X, y: (used.append(X), fit(self, X, y))[1])
    rows, held_out = (matrix[:400], labels[:400], groups), (matrix[400:], labels[400:])
    table = resampling.learning_curve(estimator, rows, held_out, LearningCurveParams([0.1, 0.5, 1.0], 1))
    assert table["rows"].tolist() == [40, 200, 400]
    assert table["validation"].iloc[-1] > table["validation"].iloc[0]
    taken = [{row.tobytes() for row in part} for part in used]
    assert taken[0] < taken[1] < taken[2]
    for part in taken:
        is_taken = np.array([row.tobytes() in part for row in matrix[:400]])
        assert (is_taken[::2] == is_taken[1::2]).all()


def test_roc_curves_rise_from_zero_to_one_and_a_perfect_one_is_one_throughout():
    actual = np.array([0, 0, 1, 1, 2, 2])
    probabilities = sure_of([0, 0, 1, 2, 2, 1], 0.9)
    table = evaluation.roc_table(actual, probabilities)
    assert list(table.columns) == ["false_positive_rate", *LEVELS[:3]]
    assert (table["Insufficient_Weight"] == 1).all()
    for level in LEVELS[:3]:
        assert table[level].is_monotonic_increasing
        assert table[level].iloc[-1] == 1
