"""Cross-validation, learning curve and permutation importance."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import inspection
from sklearn.frozen import FrozenEstimator
from tqdm import tqdm

from obesity_levels.evaluation.metrics import label_metrics
from obesity_levels.model.augmentation import AugmentedClassifier, Labels
from obesity_levels.model.classifier import Classifier, most_probable
from obesity_levels.model.features import Matrix
from obesity_levels.model.search import Groups, fit_on_one_thread, out_of_fold, split_folds
from obesity_levels.params import CrossValidationParams, ImportanceParams, LearningCurveParams


def cross_validate(
    estimator: AugmentedClassifier,
    matrix: Matrix,
    labels: Labels,
    groups: Groups,
    people: npt.NDArray[np.bool_],
    params: CrossValidationParams,
) -> dict[str, Any]:
    """Refit `estimator` in grouped, stratified cross-validation over all rows; repeat r is split with seed r.

    In each repeat every row is predicted once, by a model that was fitted without its group. Returns mean and standard
    deviation over the repeats of accuracy, weighted F1, and accuracy on the `people` rows (None if there are none).
    Raises TooFewRowsError if a level has fewer groups than there are folds.
    """
    scores = []
    for repeat in tqdm(range(params.repeats), desc="cross-validation", unit="repeat"):
        folds = split_folds(matrix, labels, groups, params.folds, repeat, "evaluate.cross_validation.folds")
        predicted = out_of_fold([estimator], matrix, labels, folds)[0].argmax(axis=1)
        right = pd.Series(predicted == labels)
        scores.append({**label_metrics(labels, predicted), "people": right[people].mean()})
    spread = {
        name: {"mean": _number_or_none(score.mean()), "std": _number_or_none(score.std(ddof=0))}
        for name, score in pd.DataFrame(scores).items()
    }
    return {**spread, "people": {"accuracy": spread["people"]}}


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


def _number_or_none(value: float) -> float | None:
    """`value`, or None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)
