"""Real estimators, trained on a simulated population; small ones: what is tested does not depend on their size."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from tests.obesity_levels.manifests import manifest_of
from tests.strategies import few_examples, matrix_of, records

from obesity_levels.data.simulation import draw_people
from obesity_levels.errors import TooFewRowsError
from obesity_levels.model.augmentation import AugmentedClassifier, mask_cells
from obesity_levels.model.calibration import calibrated
from obesity_levels.model.classifier import Calibration, Classifier, most_probable
from obesity_levels.model.estimators import build_estimator
from obesity_levels.model.features import MISSING, encode_table, input_matrix
from obesity_levels.model.onnx_export import export_onnx
from obesity_levels.model.search import search
from obesity_levels.params import AugmentationParams, AutoParams, Params, TrainParams
from obesity_levels.schema import LABEL, LEVELS, PROFILES

MODELS = ("random_forest", "hist_gradient_boosting", "logistic_regression", "voting")
FULL = PROFILES["full"]
POWER, NONE = Calibration("power", 0.01, 2.4, 0, 0), Calibration("none", 0.0, 1.0, 0, 0)
SMALL = {
    "random_forest": {"n_estimators": [15, 5], "max_features": [4], "min_samples_leaf": [1, 2]},
    "hist_gradient_boosting": {"max_iter": [5], "max_leaf_nodes": [15], "l2_regularization": [0.0, 1.0]},
    "logistic_regression": {"C": [1.0, 100.0]},
    "voting": {"weights": [[2, 1], [1, 1]]},
}


@pytest.fixture(scope="session")
def rows(population):
    people = draw_people(population, 350, np.random.default_rng(0))
    labels = people[LABEL].map(LEVELS.index).to_numpy()
    matrix = input_matrix(encode_table(people), "full")
    return matrix, labels, np.arange(len(labels))


def small(params: Params, model: str, **changed) -> TrainParams:
    spaces = {name: msgspec.structs.replace(getattr(params.train.search, name), **SMALL[name]) for name in MODELS}
    searched = msgspec.structs.replace(params.train.search, folds=2, **spaces)
    augmentation = AugmentationParams(copies=2, masked_cells=0.05, without_height_or_weight=0.2)
    return msgspec.structs.replace(params.train, model=model, search=searched, augmentation=augmentation, **changed)


def trained(params: Params, rows, model: str, **changed):
    """A small estimator, and it as ONNX."""
    matrix, labels, _ = rows
    fitted = build_estimator(small(params, model, **changed), FULL, model).fit(matrix, labels)
    return fitted, export_onnx(fitted, POWER)


def loaded(onnx: bytes) -> Classifier:
    """The bytes as the stages and the service load them."""
    return Classifier(manifest_of(onnx), onnx)


@pytest.mark.parametrize("calibration", [POWER, NONE])
def test_the_probabilities_of_a_row_add_up_to_one(params, rows, calibration):
    """25 times 1/25 is 1.0000001 in float32: the sums of trees are normalised."""
    matrix, labels, _ = rows
    estimator = build_estimator(small(params, "random_forest"), FULL, "random_forest").set_params(
        estimator__n_estimators=25
    )
    probabilities = loaded(export_onnx(estimator.fit(matrix, labels), calibration)).probabilities(matrix)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.min() > 0) == (calibration == POWER)


@pytest.fixture(scope="module", params=MODELS)
def fitted_and_exported(request, params, rows):
    fitted, onnx = trained(params, rows, request.param)
    return fitted, onnx, loaded(onnx)


@few_examples
@given(people=st.lists(records(), min_size=1, max_size=40))
def test_onnx_and_scikit_learn_agree_on_arbitrary_rows_missing_cells_included(fitted_and_exported, people):
    fitted, _, classifier = fitted_and_exported
    matrix = matrix_of(people)
    expected = calibrated(fitted.predict_proba(matrix), POWER.offset, POWER.exponent)
    found = classifier.probabilities(matrix)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    first, second = np.sort(expected, axis=1)[:, [-1, -2]].T
    clear = first - second > 1e-4
    assert (most_probable(found)[clear] == fitted.classes_[expected.argmax(axis=1)][clear]).all()


def test_onnx_and_scikit_learn_agree_on_rows_like_those_trained_on_with_cells_blanked(fitted_and_exported, rows):
    fitted, _, classifier = fitted_and_exported
    matrix = rows[0].copy()
    masking = AugmentationParams(copies=1, masked_cells=0.2, without_height_or_weight=0.4)
    mask_cells(matrix, FULL, masking, np.random.default_rng(1))
    assert (matrix == MISSING).any(axis=1).mean() > 0.9
    expected = calibrated(fitted.predict_proba(matrix), POWER.offset, POWER.exponent)
    np.testing.assert_allclose(classifier.probabilities(matrix), expected, atol=2e-5)


def test_no_rows_have_no_probabilities(fitted_and_exported, rows):
    assert fitted_and_exported[2].probabilities(rows[0][:0]).shape == (0, len(LEVELS))


def test_training_twice_gives_the_same_bytes(fitted_and_exported, rows):
    fitted, onnx, _ = fitted_and_exported
    assert export_onnx(clone(fitted).fit(*rows[:2]), POWER) == onnx


def test_another_seed_gives_another_forest(params, rows):
    one, other = (trained(params, rows, "random_forest", seed=seed)[1] for seed in (1, 2))
    assert one != other


@pytest.mark.parametrize(("model", "candidates"), list(zip(MODELS, (4, 2, 2, 2), strict=True)))
def test_a_search_scores_every_candidate_and_refits_the_best(params, rows, model, candidates):
    params = small(params, model)
    best, named, searched, _ = search(*rows, FULL, params)
    assert len(searched.candidates) == candidates
    assert searched.chosen == max(searched.candidates, key=lambda candidate: candidate.f1_weighted_mean).params
    again = build_estimator(params, FULL, named, searched.chosen).fit(*rows[:2])
    np.testing.assert_array_equal(best.predict_proba(rows[0]), again.predict_proba(rows[0]))


def automatic(params, rows, *models: str):
    """A search among these models, the fastest to serve first."""
    return search(*rows, FULL, msgspec.structs.replace(small(params, "auto"), auto=AutoParams(list(models))))


def test_auto_takes_the_fastest_model_that_is_not_clearly_worse_than_the_best(params, rows):
    found = automatic(params, rows, *MODELS)
    assert [candidate.model for candidate in found.search.candidates] == [MODELS[0]] * 4 + [
        model for model in MODELS[1:] for _ in range(2)
    ]
    good = [c for c in found.search.candidates if c.accuracy_difference >= -c.standard_error]
    assert found.model == min((c.model for c in good), key=MODELS.index)


def test_auto_takes_a_slower_model_that_is_clearly_better(params, rows):
    """The level is the sum of all answers, of which a tree of a small forest sees few."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 2, (3000, len(FULL))).astype(np.float32)
    labels = np.clip((matrix[:, :10].sum(axis=1) - 2).astype(int), 0, 6)
    found = automatic(params, (matrix, labels, np.arange(3000)), "random_forest", "logistic_regression")
    assert found.model == "logistic_regression"
    forest = found.search.candidates[0]
    assert forest.accuracy_difference < -forest.standard_error < 0


def test_out_of_fold_predictions_are_of_rows_that_the_model_was_not_fitted_on(params, rows):
    """A forest knows rows that it was fitted on nearly by heart."""
    matrix, labels, _ = rows
    found = search(*rows, FULL, small(params, "random_forest"))
    seen, unseen = found.fitted.predict_proba(matrix), found.out_of_fold
    assert (seen.argmax(axis=1) == labels).mean() > (unseen.argmax(axis=1) == labels).mean()
    np.testing.assert_allclose(unseen.sum(axis=1), 1)


def test_a_search_finds_the_same_whatever_the_number_of_threads(params, rows, monkeypatch):
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", threads)
        best = search(*rows, FULL, small(params, "random_forest"))
        found.append((export_onnx(best.fitted, POWER), best.search))
    assert found[0] == found[1]


def test_no_group_is_on_both_sides_of_a_fold(params, rows, monkeypatch):
    matrix, labels, _ = rows
    groups = np.arange(len(labels)) % 50 + 50 * labels
    group_of_row = {row.tobytes(): group for row, group in zip(matrix, groups, strict=True)}
    trained_on = []
    fit = AugmentedClassifier.fit
    monkeypatch.setattr(AugmentedClassifier, "fit", lambda self, X, y: (trained_on.append(X), fit(self, X, y))[1])
    search(matrix, labels, groups, FULL, small(params, "random_forest"))
    assert len(trained_on) == 2 * 4 + 1
    for used in trained_on[:-1]:
        inside = {group_of_row[row.tobytes()] for row in used}
        assert sum(group in inside for group in groups) == len(used)


def test_a_level_with_fewer_groups_than_folds_is_named(params, rows):
    matrix, labels, groups = rows
    kept = (labels != 3) | (np.cumsum(labels == 3) <= 1)
    said = r"level 'Overweight_Level_II' has 1 groups .* fewer than train\.search\.folds"
    with pytest.raises(TooFewRowsError, match=said):
        search(matrix[kept], labels[kept], groups[kept], FULL, small(params, "random_forest"))


@pytest.mark.parametrize("profile", PROFILES)
def test_masking_blanks_the_shares_it_was_told_and_the_body_mass_index_with_its_parts(profile):
    features = PROFILES[profile]
    matrix = np.ones((20_000, len(features)), dtype=np.float32)
    masking = AugmentationParams(copies=1, masked_cells=0.1, without_height_or_weight=0.4)
    mask_cells(matrix, features, masking, np.random.default_rng(0))
    masked = dict(zip(features, (matrix == MISSING).T, strict=True))
    assert masked["Age"].mean() == pytest.approx(0.1, abs=0.01)
    for name in {"Height", "Weight"} & set(features):
        assert masked[name].mean() == pytest.approx(0.2 + 0.8 * 0.1, abs=0.01)
    if "BMI" in features:
        assert (masked["BMI"] == masked["Height"] | masked["Weight"]).all()


def test_rows_answered_in_whole_numbers_count_more(params, rows):
    """Two rows alike but for their age, one whole, with two labels: the heavier one wins."""
    matrix = np.repeat(rows[0][:1], 2, axis=0)
    for name in ("FCVC", "NCP", "CH2O", "FAF", "TUE"):
        matrix[:, FULL.index(name)] = 1
    matrix[:, FULL.index("Age")] = [30, 30.5]
    labels = np.array([0, 1])
    chances = {}
    for weight in (1.0, 5.0):
        estimator = build_estimator(
            small(params, "logistic_regression", people_weight=weight), FULL, "logistic_regression"
        )
        chances[weight] = estimator.fit(matrix, labels).predict_proba(matrix)[:, 0].mean()
    assert chances[1.0] == pytest.approx(0.5, abs=0.05)
    assert chances[5.0] > chances[1.0] + 0.1


def test_rows_that_lack_height_or_weight_are_predicted_far_better_than_by_the_majority(params, population):
    train, held_out = (draw_people(population, 1500, np.random.default_rng(seed)) for seed in (1, 2))
    labels = [rows[LABEL].map(LEVELS.index).to_numpy() for rows in (train, held_out)]
    fitted = build_estimator(small(params, "random_forest"), FULL, "random_forest").fit(
        input_matrix(encode_table(train), "full"), labels[0]
    )
    for name in ("Height", "Weight"):
        matrix = input_matrix(encode_table(held_out.assign(**{name: np.nan})), "full")
        assert (fitted.predict(matrix) == labels[1]).mean() > 2 * np.bincount(labels[1]).max() / len(labels[1])
