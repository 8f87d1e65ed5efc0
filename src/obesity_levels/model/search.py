"""The search for hyperparameters: grouped, stratified cross-validation within the training split."""

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from obesity_levels.errors import TooFewRowsError
from obesity_levels.model.augmentation import AugmentedClassifier, Labels
from obesity_levels.model.classifier import Candidate, Search
from obesity_levels.model.estimators import base_estimator, build_estimator, candidates
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
    tried = candidates(params, params.model)
    grid = GridSearchCV(
        build_estimator(params, features),
        {"estimator": [base_estimator(params, params.model, chosen) for chosen in tried]},
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
    scores = zip(tried, results["mean_test_score"], results["std_test_score"], strict=True)
    scored = [Candidate(chosen, round(float(mean), 6), round(float(std), 6)) for chosen, mean, std in scores]
    return grid.best_estimator_, Search(folds, tried[grid.best_index_], scored)


def check_folds(labels: Labels, groups: Groups, folds: int, key: str) -> None:
    """Raise TooFewRowsError, naming the level and the params `key`, if a level has fewer groups than `folds`."""
    for level, name in enumerate(LEVELS):
        found = len(np.unique(groups[labels == level]))
        if found < folds:
            raise TooFewRowsError(
                f"level '{name}' has {found} groups of rows, fewer than {key} ({folds}):"
                " give more rows of this level, or fewer folds"
            )
