"""The search for a model and its hyperparameters: grouped, stratified cross-validation within the training split."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from obesity_levels.errors import TooFewRowsError
from obesity_levels.model.augmentation import AugmentedClassifier, Labels
from obesity_levels.model.classifier import Candidate, Search
from obesity_levels.model.estimators import build_estimator, candidates
from obesity_levels.model.features import Matrix
from obesity_levels.params import TrainParams
from obesity_levels.schema import LEVELS

Groups = npt.NDArray[np.int64]
"""A number for each row, shape (rows,), equal for rows that may be the same person."""
Fold = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""The indices of the rows to fit on, and of those to predict."""


class Searched(NamedTuple):
    """The chosen candidate, fitted on all rows; what the search found; and the chosen model's out-of-fold predictions.

    `out_of_fold` are probabilities, shape (rows, 7): of each row by the model that was fitted without its fold.
    """

    fitted: AugmentedClassifier
    model: str
    search: Search
    out_of_fold: npt.NDArray[np.float64]


def search(matrix: Matrix, labels: Labels, groups: Groups, features: tuple[str, ...], params: TrainParams) -> Searched:
    """Score every candidate of `params.models` in grouped, stratified cross-validation; fit the chosen one on all rows.

    Of each model the candidate with the highest weighted F1 is taken; of these the first, in the order of the models,
    that is right in no fewer rows than the most accurate one, less one standard error of the difference. `matrix` is
    (rows, features); rows of a group are in one fold. Raises TooFewRowsError if a level has fewer groups than there are
    folds.
    """
    folds = split_folds(matrix, labels, groups, params.search.folds, params.seed, "train.search.folds")
    tried = [(model, chosen) for model in params.models for chosen in candidates(params, model)]
    estimators = [build_estimator(params, features, model, chosen) for model, chosen in tried]
    predicted = out_of_fold(estimators, matrix, labels, folds)
    scores = [_scores(probabilities, labels, folds) for probabilities in predicted]

    best_of_model: dict[str, int] = {}
    for at, (model, _) in enumerate(tried):
        best_of_model.setdefault(model, at)
        if scores[at][0] > scores[best_of_model[model]][0]:
            best_of_model[model] = at
    right = np.array([probabilities.argmax(axis=1) == labels for probabilities in predicted])
    most_accurate = max(best_of_model.values(), key=lambda at: right[at].mean())
    differences = right.astype(float) - right[most_accurate]
    means, errors = differences.mean(axis=1), differences.std(axis=1, ddof=1) / np.sqrt(len(labels))
    chosen = next(at for at in best_of_model.values() if means[at] >= -errors[at])

    compared = [
        Candidate(parameters, _rounded(f1), _rounded(spread), model, _rounded(mean), _rounded(error))
        for (model, parameters), (f1, spread), mean, error in zip(tried, scores, means, errors, strict=True)
    ]
    model, parameters = tried[chosen]
    fitted = fit_on_one_thread(estimators[chosen], matrix, labels)
    return Searched(fitted, model, Search(params.search.folds, parameters, compared), predicted[chosen])


def split_folds(matrix: Matrix, labels: Labels, groups: Groups, folds: int, seed: int, key: str) -> list[Fold]:
    """Grouped, stratified folds. Raises TooFewRowsError, naming the params `key`, if a level has fewer groups."""
    for level, name in enumerate(LEVELS):
        found = len(np.unique(groups[labels == level]))
        if found < folds:
            raise TooFewRowsError(
                f"level '{name}' has {found} groups of rows, fewer than {key} ({folds}):"
                " give more rows of this level, or fewer folds"
            )
    return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(matrix, labels, groups))


def out_of_fold(
    estimators: Sequence[AugmentedClassifier], matrix: Matrix, labels: Labels, folds: Sequence[Fold]
) -> list[npt.NDArray[np.float64]]:
    """For each estimator the probabilities of all rows, shape (rows, 7), each fitted without the row's fold."""

    def predict(estimator: AugmentedClassifier, fold: Fold) -> npt.NDArray[np.float64]:
        fit, held_out = fold
        return fit_on_one_thread(estimator, matrix[fit], labels[fit]).predict_proba(matrix[held_out])

    # Threads: trees are grown without the interpreter's lock, and each process would import everything again.
    tasks = (delayed(predict)(estimator, fold) for estimator in estimators for fold in folds)
    found = Parallel(n_jobs=-1, backend="threading", verbose=3)(tasks)
    probabilities = [np.empty((len(labels), len(LEVELS))) for _ in estimators]
    for at, part in enumerate(found):
        probabilities[at // len(folds)][folds[at % len(folds)][1]] = part
    return probabilities


def fit_on_one_thread(estimator: AugmentedClassifier, matrix: Matrix, labels: Labels) -> AugmentedClassifier:
    """A fitted copy of `estimator`. Threads of boosting that each start threads of OpenMP take 60 times as long."""
    with threadpool_limits(1, user_api="openmp"):
        return clone(estimator).fit(matrix, labels)


def _scores(probabilities: npt.NDArray[np.float64], labels: Labels, folds: Sequence[Fold]) -> tuple[float, float]:
    """Mean and standard deviation over the folds of weighted F1."""
    predicted = probabilities.argmax(axis=1)
    found = [f1_score(labels[held_out], predicted[held_out], average="weighted") for _, held_out in folds]
    return float(np.mean(found)), float(np.std(found))


def _rounded(value: Any) -> float:
    return round(float(value), 6)
