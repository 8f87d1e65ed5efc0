"""Cross-validation, learning curve and permutation importance."""

from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import inspection
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from tqdm import tqdm

from obesity_levels.evaluation.metrics import label_metrics, number_or_none
from obesity_levels.model.augmentation import AugmentedClassifier, Labels
from obesity_levels.model.classifier import Classifier, most_probable
from obesity_levels.model.features import Matrix
from obesity_levels.model.search import Groups, check_folds
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
    check_folds(labels, groups, params.folds, "evaluate.cross_validation.folds")
    scores = []
    for repeat in tqdm(range(params.repeats), desc="cross-validation", unit="repeat"):
        folds = StratifiedGroupKFold(params.folds, shuffle=True, random_state=repeat)
        # Threads: trees are grown without the interpreter's lock. The result does not depend on their number.
        with joblib.parallel_backend("threading"):
            predicted = cross_val_predict(estimator, matrix, labels, groups=groups, cv=folds, n_jobs=-1)
        right = predicted == labels
        scores.append({**label_metrics(labels, predicted), "people": right[people].mean() if people.any() else np.nan})
    table = pd.DataFrame(scores)
    spread = {
        name: {"mean": number_or_none(table[name].mean()), "std": number_or_none(table[name].std(ddof=0))}
        for name in table
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

    found = inspection.permutation_importance(
        FrozenEstimator(classifier),
        matrix,
        labels,
        scoring=accuracy,
        n_repeats=params.repeats,
        random_state=params.seed,
    )
    table = pd.DataFrame(
        {
            "feature": classifier.manifest.features,
            "importance": found.importances_mean,
            "std": found.importances_std,
        }
    )
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
    members = np.unique(groups)
    position = np.empty(len(members))
    position[np.random.default_rng(params.seed).permutation(len(members))] = np.arange(len(members)) / len(members)
    place = position[np.searchsorted(members, groups)]
    table = []
    for share in tqdm(params.shares, desc="learning curve", unit="fit"):
        used = place < share
        if len(np.unique(labels[used])) < len(np.unique(labels)):
            continue
        fitted = clone(estimator).fit(matrix[used], labels[used])
        table.append(
            {
                "rows": int(used.sum()),
                "training": label_metrics(labels[used], fitted.predict(matrix[used]))["f1_weighted"],
                "validation": label_metrics(validation[1], fitted.predict(validation[0]))["f1_weighted"],
            }
        )
    return pd.DataFrame(table, columns=["rows", "training", "validation"])
