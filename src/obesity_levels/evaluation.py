"""Metrics, slices, baselines, intervals: what `metrics/evaluate.json` holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats
from sklearn import metrics
from sklearn.base import clone
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from obesity_levels.features import Matrix, body_mass_index, in_whole_numbers
from obesity_levels.modeling import Groups, Labels, MaskedCopies, check_folds
from obesity_levels.params import BootstrapParams, CrossValidationParams, ImportanceParams, LearningCurveParams
from obesity_levels.schema import ANSWERS, CATEGORIES, LEVELS, WHOLE_FOR_PEOPLE
from obesity_levels.scoring import Probabilities, most_probable

_ALL = range(len(LEVELS))


def headline_metrics(actual: Labels, probabilities: Probabilities, calibration_bins: int) -> dict[str, float]:
    """The metrics of one set of rows. `actual` are indices in LEVELS, shape (rows,); `probabilities` (rows, 7)."""
    predicted = most_probable(probabilities)
    return {
        **label_metrics(actual, predicted),
        "f1_macro": metrics.f1_score(actual, predicted, average="macro", labels=_ALL, zero_division=0),
        "quadratic_weighted_kappa": metrics.cohen_kappa_score(actual, predicted, weights="quadratic", labels=_ALL),
        "within_one_level": float((np.abs(actual - predicted) <= 1).mean()),
        "log_loss": metrics.log_loss(actual, _summing_to_one(probabilities), labels=_ALL),
        "expected_calibration_error": expected_calibration_error(actual, probabilities, calibration_bins),
    }


def label_metrics(actual: Labels, predicted: Labels) -> dict[str, float]:
    """Accuracy, and F1 weighted by support."""
    return {
        "accuracy": metrics.accuracy_score(actual, predicted),
        "f1_weighted": metrics.f1_score(actual, predicted, average="weighted", labels=_ALL, zero_division=0),
    }


def accuracy_interval(actual: Labels, predicted: Labels, params: BootstrapParams) -> dict[str, float]:
    """The 95 % percentile bootstrap interval of accuracy over rows (Efron & Tibshirani 1993, ch. 13)."""
    correct = (actual == predicted).astype(float)
    interval = stats.bootstrap(
        (correct,),
        np.mean,
        n_resamples=params.resamples,
        batch=100,  # resamples at once: bounds the memory
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(params.seed),
    ).confidence_interval
    return {"low": interval.low, "high": interval.high}


def expected_calibration_error(actual: Labels, probabilities: Probabilities, bins: int) -> float:
    """Mean distance of confidence and accuracy over `bins` equal bins of confidence, weighted by their rows.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), eq. 3.
    """
    table = calibration_table(actual, probabilities, bins)
    return float((table["rows"] * (table["accuracy"] - table["confidence"]).abs()).sum() / table["rows"].sum())


def calibration_table(actual: Labels, probabilities: Probabilities, bins: int) -> pd.DataFrame:
    """For each bin of confidence (the highest probability) that has rows: mean confidence, accuracy, rows."""
    confidence = probabilities.max(axis=1).astype(float)
    correct = most_probable(probabilities) == actual
    edges = np.linspace(0, 1, bins + 1)
    table = pd.DataFrame({"bin": np.digitize(confidence, edges[1:-1]), "confidence": confidence, "accuracy": correct})
    grouped = table.groupby("bin")
    return grouped.mean().assign(rows=grouped.size()).reset_index(drop=True)


def per_level_metrics(actual: Labels, predicted: Labels) -> dict[str, dict[str, float | int | None]]:
    """Precision, recall, F1 and support of each level; None where there was nothing to divide by."""
    columns = metrics.precision_recall_fscore_support(actual, predicted, labels=_ALL, zero_division=np.nan)
    return {
        level: {
            "precision": _number_or_none(precision),
            "recall": _number_or_none(recall),
            "f1": _number_or_none(f1),
            "support": int(support),
        }
        for level, precision, recall, f1, support in zip(LEVELS, *columns, strict=True)
    }


def is_people(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each row was answered as people do: Age, FCVC, NCP, CH2O, FAF, TUE all whole where present."""
    return in_whole_numbers(rows[list(WHOLE_FOR_PEOPLE)].to_numpy(dtype=float))


def slices(rows: pd.DataFrame, actual: Labels, predicted: Labels, age_bands: Sequence[float]) -> dict[str, Any]:
    """Accuracy, weighted F1 and support by sex, age band, completeness and origin; None where a slice is empty.

    `rows` are the answers, in the order of `actual` and `predicted`. `age_bands` are the ages at which a band begins.
    """
    age = rows["Age"].to_numpy(dtype=float)
    edges = [-np.inf, *age_bands, np.inf]
    names = [f"under_{age_bands[0]:g}", *(f"{a:g}_to_{b:g}" for a, b in itertools.pairwise(age_bands))]
    bands = zip([*names, f"{age_bands[-1]:g}_and_over"], edges, edges[1:], strict=False)
    incomplete = rows[list(ANSWERS)].isna().any(axis=1).to_numpy()
    people = is_people(rows)
    masks = {
        "sex": {
            **{sex: (rows["Gender"] == sex).to_numpy() for sex in CATEGORIES["Gender"]},
            "missing": rows["Gender"].isna().to_numpy(),
        },
        "age": {**{name: (age >= low) & (age < high) for name, low, high in bands}, "missing": np.isnan(age)},
        "completeness": {"complete": ~incomplete, "incomplete": incomplete},
        "origin": {"people": people, "generated": ~people},
    }
    return {
        kind: {name: _slice(actual[mask], predicted[mask]) for name, mask in by_name.items()}
        for kind, by_name in masks.items()
    }


def majority_baseline(train: Labels, rows: int) -> Labels:
    """The most frequent level of the training rows, for each of `rows` rows."""
    return np.full(rows, np.bincount(train, minlength=len(LEVELS)).argmax())


def bmi_rule(rows: pd.DataFrame, cuts: Sequence[float], otherwise: Labels) -> Labels:
    """The level by fixed cuts of the BMI (kg/m², the lowest of the level above); `otherwise` where it is missing."""
    bmi = np.array(
        [body_mass_index(*row) for row in zip(rows["Height"], rows["Weight"], strict=True)], dtype=np.float64
    )
    return np.where(np.isnan(bmi), otherwise, np.digitize(bmi, cuts))


def cross_validate(
    estimator: MaskedCopies,
    matrix: Matrix,
    labels: Labels,
    groups: Groups,
    people: npt.NDArray[np.bool_],
    params: CrossValidationParams,
) -> dict[str, Any]:
    """Refit `estimator` in grouped, stratified cross-validation over all rows; repeat r is split with seed r.

    Every row is predicted once a repeat, by a model that saw none of its group. Returns mean and standard deviation
    over the repeats of accuracy, weighted F1, and accuracy on the `people` rows (None if there is none). Raises
    TooFewRowsError if a level has fewer groups than there are folds.
    """
    check_folds(labels, groups, params.folds, "evaluate.cross_validation.folds")
    # Threads: trees are grown without the interpreter's lock. The outcome does not depend on their number.
    in_threads = Parallel(n_jobs=-1, prefer="threads")
    scores = []
    for repeat in tqdm(range(params.repeats), desc="cross-validation", unit="repeat"):
        folds = StratifiedGroupKFold(params.folds, shuffle=True, random_state=repeat)
        parts = list(folds.split(matrix, labels, groups))
        fitted = in_threads(delayed(clone(estimator).fit)(matrix[train], labels[train]) for train, _ in parts)
        predicted = np.empty_like(labels)
        for model, (_, held_out) in zip(fitted, parts, strict=True):
            predicted[held_out] = model.predict(matrix[held_out])
        right = predicted == labels
        scores.append({**label_metrics(labels, predicted), "people": right[people].mean() if people.any() else np.nan})
    table = pd.DataFrame(scores)
    spread = {
        name: {"mean": _number_or_none(table[name].mean()), "std": _number_or_none(table[name].std(ddof=0))}
        for name in table
    }
    return {**spread, "people": {"accuracy": spread["people"]}}


def permutation_importance(
    predict: Callable[[Matrix], Labels],
    matrix: Matrix,
    actual: Labels,
    features: Sequence[str],
    params: ImportanceParams,
) -> pd.DataFrame:
    """How much accuracy is lost when a column is shuffled: mean and standard deviation over the repeats, largest first.

    Breiman, "Random Forests" (2001), section 10.
    """
    rng = np.random.default_rng(params.seed)
    whole = (predict(matrix) == actual).mean()
    table = []
    for at, name in enumerate(features):
        losses = []
        for _ in range(params.repeats):
            shuffled = matrix.copy()
            shuffled[:, at] = rng.permutation(shuffled[:, at])
            losses.append(whole - (predict(shuffled) == actual).mean())
        table.append({"feature": name, "importance": np.mean(losses), "std": np.std(losses)})
    return pd.DataFrame(table).sort_values(["importance", "feature"], ascending=[False, True], ignore_index=True)


def learning_curve(
    estimator: MaskedCopies,
    train: tuple[Matrix, Labels, Groups],
    validation: tuple[Matrix, Labels],
    params: LearningCurveParams,
) -> pd.DataFrame:
    """Weighted F1 on the validation rows, and on the rows trained on, by the number of the latter.

    Whole groups are taken, in one random order, so that each share holds the smaller ones. A share in which a level is
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


def roc_table(actual: Labels, probabilities: Probabilities) -> pd.DataFrame:
    """One-vs-rest ROC curves on a grid of false-positive rates: a column of true-positive rates for each level.

    A level that has no rows, or all of them, has no curve and no column.
    """
    grid = np.linspace(0, 1, 101)
    curves = {"false_positive_rate": grid}
    for number, level in enumerate(LEVELS):
        positive = actual == number
        if positive.any() and not positive.all():
            false_rate, true_rate, _ = metrics.roc_curve(positive, probabilities[:, number], drop_intermediate=False)
            curves[level] = true_rate[np.searchsorted(false_rate, grid, side="right") - 1]
    return pd.DataFrame(curves)


def _slice(actual: Labels, predicted: Labels) -> dict[str, float | int | None]:
    if not len(actual):
        return {"accuracy": None, "f1_weighted": None, "support": 0}
    return {**label_metrics(actual, predicted), "support": len(actual)}


def _summing_to_one(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    # float32 probabilities sum to 1 within 1e-6 only, which scikit-learn warns about
    wide = probabilities.astype(float)
    return wide / wide.sum(axis=1, keepdims=True)


def _number_or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
