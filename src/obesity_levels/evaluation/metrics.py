"""Metrics of a set of rows: headline, by level, by slice, baselines, intervals. They go to `metrics/evaluate.json`."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn import metrics

from obesity_levels.io import Rows
from obesity_levels.model.augmentation import Labels
from obesity_levels.model.classifier import Probabilities, most_probable
from obesity_levels.model.features import body_mass_index, is_whole
from obesity_levels.params import BootstrapParams, EvaluateParams
from obesity_levels.schema import ANSWERS, CATEGORIES, LEVELS, WHOLE_FOR_PEOPLE

_ALL = range(len(LEVELS))

Scores = npt.NDArray[np.floating]
"""Probabilities of the levels, shape (rows, 7), of any float type, calibrated or not."""


def split_metrics(
    rows: Rows, probabilities: Probabilities, scores: Scores, train: Rows, params: EvaluateParams
) -> dict[str, Any]:
    """All metrics of a split: headline, interval, by level, by slice, and baselines that are fitted on `train` only.

    `scores`, shape (rows, 7), are the model's probabilities before they were calibrated.
    """
    predicted = most_probable(probabilities)
    majority = majority_baseline(train.labels, len(rows.labels))
    rule = bmi_rule(rows.answers, params.bmi_rule, otherwise=majority)
    return {
        **headline_metrics(rows.labels, probabilities, params.calibration.bins),
        "calibration": compare_calibration(rows, probabilities, scores, params.calibration.bins),
        "accuracy_interval": accuracy_interval(rows.labels, predicted, params.bootstrap),
        "per_level": per_level_metrics(rows.labels, predicted),
        "slices": slices(rows.answers, rows.labels, predicted, params.age_bands),
        "baselines": {
            "majority": label_metrics(rows.labels, majority),
            "bmi_rule": label_metrics(rows.labels, rule),
        },
    }


def headline_metrics(actual: Labels, probabilities: Probabilities, calibration_bins: int) -> dict[str, float]:
    """The metrics of one set of rows. `actual` are indices in LEVELS, shape (rows,); `probabilities` (rows, 7)."""
    predicted = most_probable(probabilities)
    return {
        **label_metrics(actual, predicted),
        "f1_macro": metrics.f1_score(actual, predicted, average="macro", labels=_ALL, zero_division=0),
        "quadratic_weighted_kappa": metrics.cohen_kappa_score(actual, predicted, weights="quadratic", labels=_ALL),
        "within_one_level": float((np.abs(actual - predicted) <= 1).mean()),
        **probability_metrics(actual, probabilities, calibration_bins),
    }


def probability_metrics(actual: Labels, probabilities: Scores, calibration_bins: int) -> dict[str, float]:
    """Metrics of probabilities, shape (rows, 7): log loss, Brier score, expected calibration error.

    The Brier score is the mean of the squared distances over all levels, from 0 to 2 (Brier 1950).
    """
    # float32 probabilities sum to 1 within 1e-6 only, which scikit-learn warns about
    wide = probabilities.astype(float)
    wide /= wide.sum(axis=1, keepdims=True)
    return {
        "log_loss": metrics.log_loss(actual, wide, labels=_ALL),
        "brier_score": metrics.brier_score_loss(actual, wide, labels=_ALL, scale_by_half=False),
        "expected_calibration_error": expected_calibration_error(actual, probabilities, calibration_bins),
    }


def compare_calibration(rows: Rows, probabilities: Probabilities, scores: Scores, bins: int) -> dict[str, Any]:
    """Metrics of the probabilities, calibrated and not: of all rows, complete and incomplete ones; None of no rows."""
    incomplete = rows.answers[list(ANSWERS)].isna().any(axis=1).to_numpy()
    kinds = {"all": np.ones(len(incomplete), dtype=bool), "complete": ~incomplete, "incomplete": incomplete}
    return {
        kind: {
            name: probability_metrics(rows.labels[mask], found[mask], bins) if mask.any() else None
            for name, found in (("uncalibrated", scores), ("calibrated", probabilities))
        }
        for kind, mask in kinds.items()
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
        batch=100,  # resamples at a time: bounds the memory
        method="percentile",
        rng=np.random.default_rng(params.seed),
    ).confidence_interval
    return {"low": interval.low, "high": interval.high}


def expected_calibration_error(actual: Labels, probabilities: Scores, bins: int) -> float:
    """Mean distance of confidence and accuracy over `bins` equal bins of confidence, weighted by their rows.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), eq. 3.
    """
    table = calibration_table(actual, probabilities, bins)
    return float((table["rows"] * (table["accuracy"] - table["confidence"]).abs()).sum() / table["rows"].sum())


def calibration_table(actual: Labels, probabilities: Scores, bins: int) -> pd.DataFrame:
    """For each bin of confidence (the highest probability) that has rows: mean confidence, accuracy, rows.

    `low` and `high` are where the accuracy of so many rows is in 95 of 100 cases if the confidence is right.
    """
    confidence = probabilities.max(axis=1).astype(float)
    correct = most_probable(probabilities) == actual
    edges = np.linspace(0, 1, bins + 1)
    table = pd.DataFrame({"bin": np.digitize(confidence, edges[1:-1]), "confidence": confidence, "accuracy": correct})
    grouped = table.groupby("bin")
    found = grouped.mean().assign(rows=grouped.size()).reset_index(drop=True)
    low, high = stats.binom.interval(0.95, found["rows"], found["confidence"].clip(upper=1))
    return found.assign(low=low / found["rows"], high=high / found["rows"])


def per_level_metrics(actual: Labels, predicted: Labels) -> dict[str, dict[str, float | int | None]]:
    """Precision, recall, F1 and support of each level; None where there was nothing to divide by."""
    found = metrics.precision_recall_fscore_support(actual, predicted, labels=_ALL, zero_division=np.nan)
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), found, strict=True)), index=LEVELS)
    return table.astype(object).where(table.notna(), None).to_dict("index")


def is_people(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each row has whole numbers only in WHOLE_FOR_PEOPLE, as people answer; a missing cell counts as whole."""
    return is_whole(rows[list(WHOLE_FOR_PEOPLE)].to_numpy(dtype=float))


def slices(rows: pd.DataFrame, actual: Labels, predicted: Labels, age_bands: Sequence[float]) -> dict[str, Any]:
    """Accuracy, weighted F1 and support by slice; None where a slice is empty. `rows` as in `slice_masks`."""
    return {
        kind: {name: _slice(actual, predicted, mask) for name, mask in masks.items()}
        for kind, masks in slice_masks(rows, age_bands).items()
    }


def slice_masks(rows: pd.DataFrame, age_bands: Sequence[float]) -> dict[str, dict[str, npt.NDArray[np.bool_]]]:
    """Which rows are in each slice: by sex, age band, completeness and origin.

    `rows` are the answers. `age_bands` are the ages at which a band begins.
    """
    bands = [f"under_{age_bands[0]:g}", *(f"{a:g}_to_{b:g}" for a, b in itertools.pairwise(age_bands))]
    bands.append(f"{age_bands[-1]:g}_and_over")
    band = pd.cut(rows["Age"], [-np.inf, *age_bands, np.inf], right=False, labels=bands)
    incomplete = rows[list(ANSWERS)].isna().any(axis=1)
    kinds = {
        "sex": (rows["Gender"].fillna("missing"), [*CATEGORIES["Gender"], "missing"]),
        "age": (band.astype(object).fillna("missing"), [*bands, "missing"]),
        "completeness": (np.where(incomplete, "incomplete", "complete"), ["complete", "incomplete"]),
        "origin": (np.where(is_people(rows), "people", "generated"), ["people", "generated"]),
    }
    return {kind: {name: np.asarray(of_row == name) for name in names} for kind, (of_row, names) in kinds.items()}


def majority_baseline(train: Labels, rows: int) -> Labels:
    """The most frequent level of the training rows, for each of `rows` rows."""
    return np.full(rows, np.bincount(train).argmax())


def bmi_rule(rows: pd.DataFrame, cuts: Sequence[float], otherwise: Labels) -> Labels:
    """The level by fixed cuts of the BMI (kg/m², the lowest BMI of the next level); `otherwise` where it is missing."""
    bmi = body_mass_index(rows["Height"].to_numpy(), rows["Weight"].to_numpy())
    return np.where(np.isnan(bmi), otherwise, np.digitize(bmi, cuts))


def confusion_table(actual: Labels, predicted: Labels) -> pd.DataFrame:
    """The actual and the predicted level of each row, as `dvc plots` counts them."""
    levels = np.array(LEVELS)
    return pd.DataFrame({"actual": levels[actual], "predicted": levels[predicted]})


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


def _slice(actual: Labels, predicted: Labels, mask: npt.NDArray[np.bool_]) -> dict[str, float | int | None]:
    if not mask.any():
        return {"accuracy": None, "f1_weighted": None, "support": 0}
    return {**label_metrics(actual[mask], predicted[mask]), "support": int(mask.sum())}
