"""The search for hyperparameters: grouped, stratified cross-validation within the training split."""

from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from obesity_levels.errors import TooFewRowsError
from obesity_levels.model.augmentation import AugmentedClassifier, Labels
from obesity_levels.model.classifier import Candidate, Search
from obesity_levels.model.estimators import build_estimator, hyperparameter_prefix, search_space
from obesity_levels.model.features import Matrix
from obesity_levels.params import TrainParams
from obesity_levels.schema import LEVELS

Groups = npt.NDArray[np.int64]
"""A number for each row, shape (rows,), equal for rows that may be the same person."""


def search(
    matrix: Matrix, labels: Labels, groups: Groups, features: tuple[str, ...], params: TrainParams
) -> tuple[AugmentedClassifier, Search]:
    """Score every candidate of `params.model` by weighted F1 in grouped, stratified cross-validation; refit the best.

    `matrix` is (rows, features); rows of a group are in one fold. Prints its progress. Raises TooFewRowsError if a
    level has fewer groups than there are folds.
    """
    folds = params.search.folds
    check_folds(labels, groups, folds, "train.search.folds")
    prefix = f"estimator__{hyperparameter_prefix(params.model)}"
    grid = GridSearchCV(
        build_estimator(params, features),
        {prefix + name: values for name, values in search_space(params.search, params.model).items()},
        scoring="f1_weighted",
        cv=StratifiedGroupKFold(folds, shuffle=True, random_state=params.seed),
        n_jobs=-1,
        verbose=3,
        error_score="raise",
    )
    # Threads: trees are grown without the interpreter's lock, and each process would import everything again.
    with joblib.parallel_backend("threading"):
        grid.fit(matrix, labels, groups=groups)
    results = grid.cv_results_
    candidates = [
        Candidate(_without(prefix, candidate), round(float(mean), 6), round(float(std), 6))
        for candidate, mean, std in zip(
            results["params"], results["mean_test_score"], results["std_test_score"], strict=True
        )
    ]
    return grid.best_estimator_, Search(folds, _without(prefix, grid.best_params_), candidates)


def check_folds(labels: Labels, groups: Groups, folds: int, key: str) -> None:
    """Raise TooFewRowsError, naming the level and the params `key`, if a level has fewer groups than `folds`."""
    for level, name in enumerate(LEVELS):
        found = len(np.unique(groups[labels == level]))
        if found < folds:
            raise TooFewRowsError(
                f"level '{name}' has {found} groups of rows, fewer than {key} ({folds}):"
                " give more rows of this level, or fewer folds"
            )


def _without(prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in sorted(params.items())}
