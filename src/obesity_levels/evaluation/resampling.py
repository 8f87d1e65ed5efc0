"""Cross-validation, learning curve and permutation importance."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import inspection
from sklearn.frozen import FrozenEstimator
from tqdm import tqdm

from obesity_levels.evaluation.coverage import coverage_of_folds
from obesity_levels.evaluation.metrics import label_metrics, probability_metrics
from obesity_levels.model.augmentation import AugmentedClassifier, Labels
from obesity_levels.model.calibration import calibrated, fit_calibration
from obesity_levels.model.classifier import Classifier, most_probable
from obesity_levels.model.features import Matrix
from obesity_levels.model.prediction_sets import Sets, fit_thresholds, has_bmi, prediction_sets
from obesity_levels.model.search import Fold, Groups, fit_on_one_thread, out_of_fold, split_folds
from obesity_levels.params import CrossValidationParams, ImportanceParams, LearningCurveParams
from obesity_levels.schema import LEVELS


def cross_validate(
    estimator: AugmentedClassifier,
    matrix: Matrix,
    labels: Labels,
    groups: Groups,
    people: npt.NDArray[np.bool_],
    params: CrossValidationParams,
    bins: int,
) -> dict[str, Any]:
    """Refit `estimator` in grouped, stratified cross-validation over all rows; repeat r is split with seed r.

    In each repeat every row is predicted once, by a model that was fitted without its group. Returns mean and standard
    deviation over the repeats of accuracy, weighted F1, and accuracy on the `people` rows (None if there are none); of
    the first repeat the metrics of the probabilities and of the prediction sets, for which calibration and thresholds
    are fitted in each fold again. Raises TooFewRowsError if a level has fewer groups than there are folds.
    """
    scores = []
    of_first: dict[str, Any] = {}
    for repeat in tqdm(range(params.repeats), desc="cross-validation", unit="repeat"):
        folds = split_folds(matrix, labels, groups, params.folds, repeat, "evaluate.cross_validation.folds")
        found = out_of_fold([estimator], matrix, labels, folds)[0]
        if repeat == 0:
            nested = [_refit(estimator, found, matrix, labels, groups, fold) for fold in folds]
            truth = np.concatenate([labels[held_out] for _, held_out in folds])
            bmi_known = has_bmi(np.concatenate([matrix[held_out] for _, held_out in folds]), list(estimator.features))
            of_first |= probability_metrics(truth, np.concatenate([one.probabilities for one in nested]), bins)
            of_first["prediction_sets"] = {
                promised: coverage_of_folds(np.concatenate([one.sets[promised] for one in nested]), truth, bmi_known)
                for promised in nested[0].sets
            }
        predicted = found.argmax(axis=1)
        right = pd.Series(predicted == labels)
        scores.append({**label_metrics(labels, predicted), "people": right[people].mean()})
    spread = {
        name: {"mean": _number_or_none(score.mean()), "std": _number_or_none(score.std(ddof=0))}
        for name, score in pd.DataFrame(scores).items()
    }
    return {**spread, "people": {"accuracy": spread["people"]}, **of_first}


def permutation_importance(
    classifier: Classifier, matrix: Matrix, labels: Labels, params: ImportanceParams
) -> pd.DataFrame:
    """How much accuracy is lost when a column is shuffled: mean and standard deviation over the repeats, largest first.

    Breiman, "Random Forests" (2001), section 10; scikit-learn's `permutation_importance`.
    """

    def accuracy(frozen: FrozenEstimator, X: Matrix, y: Labels) -> float:
        return float((most_probable(frozen.estimator.probabilities(X)) == y).mean())

    frozen = FrozenEstimator(classifier)
    found = inspection.permutation_importance(
        frozen, matrix, labels, scoring=accuracy, n_repeats=params.repeats, random_state=params.seed
    )
    columns = {"importance": found.importances_mean, "std": found.importances_std}
    table = pd.DataFrame({"feature": classifier.manifest.features, **columns})
    return table.sort_values(["importance", "feature"], ascending=[False, True], ignore_index=True)


def learning_curve(
    estimator: AugmentedClassifier,
    train: tuple[Matrix, Labels, Groups],
    validation: tuple[Matrix, Labels],
    params: LearningCurveParams,
) -> pd.DataFrame:
    """Weighted F1 on the validation rows and on the training rows, by the number of training rows.

    Whole groups are taken, in one random order, so each share contains the smaller ones. A share in which a level is
    missing is left out.
    """
    matrix, labels, groups = train
    members, member = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(params.seed).permutation(len(members))
    place = np.argsort(order)[member] / len(members)
    table = []
    for share in tqdm(params.shares, desc="learning curve", unit="fit"):
        used = place < share
        if len(np.unique(labels[used])) < len(np.unique(labels)):
            continue
        fitted = fit_on_one_thread(estimator, matrix[used], labels[used])
        scored = ((matrix[used], labels[used]), validation)
        table.append([used.sum(), *(label_metrics(y, fitted.predict(X))["f1_weighted"] for X, y in scored)])
    return pd.DataFrame(table, columns=["rows", "training", "validation"])


class _Refitted(NamedTuple):
    probabilities: npt.NDArray[np.float64]
    sets: dict[str, Sets]


def _refit(
    estimator: AugmentedClassifier,
    scores: npt.NDArray[np.float64],
    matrix: Matrix,
    labels: Labels,
    groups: Groups,
    fold: Fold,
) -> _Refitted:
    """The fold's held-out rows, whose `scores` are calibrated and made sets of by what the other rows alone say."""
    fitted_on, held_out = fold
    params, features = estimator.params, list(estimator.features)
    within = matrix[fitted_on], labels[fitted_on], groups[fitted_on]
    # a level that is in few groups is in fewer of them here
    folds = min(params.search.folds, *(len(np.unique(within[2][within[1] == level])) for level in range(len(LEVELS))))
    inner = split_folds(*within, folds, params.seed, "train.search.folds")
    found = out_of_fold([estimator], *within[:2], inner)[0]
    fit = fit_calibration(found, within[1], params.calibration)
    probabilities, known = calibrated(found, fit.offset, fit.exponent), has_bmi(within[0], features)
    calibrated_here = calibrated(scores[held_out], fit.offset, fit.exponent)
    sets = {
        f"{promised:g}": prediction_sets(
            calibrated_here,
            has_bmi(matrix[held_out], features),
            fit_thresholds(probabilities, within[1], known, promised),
        )
        for promised in params.prediction_sets.coverage
    }
    return _Refitted(calibrated_here, sets)


def _number_or_none(value: float) -> float | None:
    """`value`, or None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)
