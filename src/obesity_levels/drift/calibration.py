"""How often the alarm is wrong, how often it is right, and the thresholds that know the size of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from scipy import stats
from sklearn.linear_model import LogisticRegression

from obesity_levels.drift.batch import Batch
from obesity_levels.drift.histograms import (
    FORMAT,
    LEVEL,
    Column,
    Counts,
    Interval,
    Reference,
    Thresholds,
    judge,
    population_stability_index,
    quantile_edges,
)
from obesity_levels.drift.report import Score, Source, build_report
from obesity_levels.drift.scenarios import SCENARIOS, Moments, Setting, cases
from obesity_levels.drift.tests import Confidence, Detector, Scored, log_odds, scored
from obesity_levels.errors import TooFewRowsError
from obesity_levels.features import MISSING, Matrix
from obesity_levels.params import CalibrateParams, DriftParams
from obesity_levels.schema import CATEGORIES, LEVELS
from obesity_levels.scoring import Classifier, Manifest, Probabilities, most_probable

KINDS = ("labelled", "unlabelled", "counts")
"""Of batches: with labels, without, and by counts alone, as the service has them."""

_NEARLY_UNREGULARISED = 1e6


def fit_confidence(probabilities: Probabilities, labels: npt.NDArray[np.int64]) -> Confidence:
    """Calibrate confidence on rows that the model was not trained on. Unchanged where all are right, or none."""
    correct = most_probable(probabilities) == labels
    if correct.all() or not correct.any():
        return Confidence(0.0, 1.0)
    fitted = LogisticRegression(C=_NEARLY_UNREGULARISED).fit(log_odds(probabilities)[:, None], correct)
    return Confidence(round(float(fitted.intercept_[0]), 6), round(float(fitted.coef_[0, 0]), 6))


def build_reference(
    train: Matrix, levels: npt.NDArray[np.integer], manifest: Manifest, params: DriftParams
) -> Reference:
    """Histograms of the training rows' input matrix, with their thresholds; nothing is measured yet of how they do.

    `levels` are those predicted for rows that the model was not trained on: for its training rows it is too sure.
    """
    calibrate = params.calibrate
    alpha = params.detect.alpha / (2 * (len(manifest.features) + 1))
    columns = []
    for name, values in [*zip(manifest.features, train.T, strict=True), (LEVEL, levels)]:
        present = values[values != MISSING]
        if not len(present):
            raise TooFewRowsError(f"no training row has '{name}': drift has nothing to compare with")
        categories = LEVELS if name == LEVEL else CATEGORIES.get(name)
        if categories is None:
            edges = quantile_edges(present, params.bins)
            counts = np.bincount(
                np.searchsorted(np.array(edges, np.float32), present, side="right"), minlength=len(edges) + 1
            )
        else:
            edges = None
            counts = np.bincount(present.astype(int), minlength=len(categories))
        missing = len(values) - len(present)
        columns.append(
            Column(
                name=name,
                edges=edges,
                categories=None if categories is None else list(categories),
                counts=counts.tolist(),
                missing=missing,
                psi_critical=psi_thresholds(
                    counts, calibrate.window_sizes, alpha, calibrate.threshold_draws, calibrate.seed
                ),
                missing_critical=missing_thresholds(missing, len(values), params.calibrate.window_sizes, alpha),
            )
        )
    detect = params.detect
    return Reference(
        format=FORMAT,
        model_version=manifest.version,
        columns=columns,
        sizes=params.calibrate.window_sizes,
        thresholds=Thresholds(detect.min_window_rows, detect.psi, detect.missing_rate),
        params=msgspec.to_builtins(params),
        false_alarm_rate={},
        estimate=None,
    )


def psi_thresholds(counts: Counts, sizes: Sequence[int], alpha: float, draws: int, seed: int) -> list[float]:
    """For batches of each of `sizes`, the PSI that one without drift exceeds with a chance of `alpha`.

    Simulated from what the reference's `counts` say about the shares, the uncertainty of which is part of it (the
    posterior under Jeffreys' prior; Gelman et al., Bayesian Data Analysis (2013), 3.4 and 6.3).
    """
    # Random numbers of its own: a column's thresholds do not depend on which columns come before it.
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(counts + 0.5, size=draws)
    return [
        round(float(np.quantile(population_stability_index(counts, rng.multinomial(size, shares)), 1 - alpha)), 6)
        for size in sizes
    ]


def missing_thresholds(missing: int, rows: int, sizes: Sequence[int], alpha: float) -> list[float]:
    """The same for the share of missing rows, of which the reference has `missing` in `rows` (beta-binomial)."""
    most = [stats.betabinom.ppf(1 - alpha, size, missing + 0.5, rows - missing + 0.5) for size in sizes]
    # half a row more, so that rounding does not make an alarm of a share that is just allowed
    return [round((float(count) + 0.5) / size, 6) for count, size in zip(most, sizes, strict=True)]


class HeldOut(NamedTuple):
    """The rows that the model was not trained on: as a batch, as the model scored them, and what scores others."""

    batch: Batch
    scored: Scored
    classifier: Classifier
    confidence: Confidence

    @classmethod
    def of(cls, batch: Batch, classifier: Classifier, confidence: Confidence) -> HeldOut:
        """`batch`, scored by `classifier`."""
        return cls(batch, score(batch, classifier, confidence), classifier, confidence)


def score(batch: Batch, classifier: Classifier, confidence: Confidence, batches: int = 1) -> Scored:
    """`batch` with the model's answers, as `batches` of equally many rows."""
    matrix = batch.matrix(classifier.manifest.profile)
    unseen = np.array([[sum(batch.unseen.get(name, {}).values()) for name in classifier.manifest.features]])
    return scored(
        matrix, batch.labels, classifier.probabilities(matrix), confidence, batches, unseen if batches == 1 else None
    )


def false_alarm_rates(detector: Detector, held_out: HeldOut, params: CalibrateParams) -> dict[str, dict[str, Interval]]:
    """The share of batches without drift that alarm, by size of the batch: with labels, without, and by counts alone.

    Sizes of which there are not so many rows to draw from are left out, as they are in `power`.
    """
    sizes = [size for size in params.sizes if size <= len(held_out.batch)]
    in_processes = Parallel(n_jobs=-1)
    found = in_processes(delayed(alarms)(detector, _drawn(held_out.scored, size, params)) for size in sizes)
    return {
        kind: {str(size): rate(of_kinds[at]) for size, of_kinds in zip(sizes, found, strict=True)}
        for at, kind in enumerate(KINDS)
    }


def alarms(detector: Detector, batches: Scored) -> tuple[npt.NDArray[np.bool_], ...]:
    """Which of `batches` alarm, for each of KINDS: shape (batches,)."""
    compared = detector.compare(batches)
    return (
        detector.judge(batches, compared).drift,
        detector.judge(batches.without_labels(), compared).drift,
        np.array(
            [judge(detector.reference, detector.cells, counts).verdict == "drift" for counts in detector.count(batches)]
        ),
    )


def power(
    detector: Detector, held_out: HeldOut, train: Batch, params: DriftParams
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """The share of drifted batches that alarm: kind (as in `false_alarm_rates`) -> scenario -> intensity -> size."""
    moments = Moments.of(train)
    sizes = [size for size in params.calibrate.sizes if size <= len(held_out.batch)]
    tasks = [(name, intensity, size) for name, intensity in cases(params.scenarios) for size in sizes]

    def drifted(at: int, name: str, intensity: float, size: int) -> Scored:
        # Every task has a seed of its own, so their order and the number of processes do not matter.
        rng = np.random.default_rng([params.calibrate.seed, at])
        amount = params.calibrate.power_draws
        drawn = held_out.batch.take(draw(len(held_out.batch), size, amount, rng).ravel())
        changed = SCENARIOS[name](drawn, intensity, Setting(params.scenarios, moments, rng))
        return score(changed, held_out.classifier, held_out.confidence, amount)

    found = Parallel(n_jobs=-1)(delayed(alarms)(detector, drifted(at, *task)) for at, task in enumerate(tasks))
    table: dict[str, dict[str, dict[str, dict[str, float]]]] = {kind: {} for kind in KINDS}
    for (name, intensity, size), of_kinds in zip(tasks, found, strict=True):
        for kind, of_kind in zip(KINDS, of_kinds, strict=True):
            by_size = table[kind].setdefault(name, {}).setdefault(f"{intensity:.1f}", {})
            by_size[str(size)] = float(of_kind.mean())
    return table


def try_scenarios(
    detector: Detector, held_out: HeldOut, train: Batch, params: DriftParams
) -> tuple[dict[str, dict[str, dict[str, Any]]], list[float]]:
    """What each scenario does to all held-out rows: scenario -> intensity -> scores before and after, and what is said.

    The second are the differences of the estimated accuracy from the true one.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    errors = []
    for name, intensity in cases(params.scenarios):
        changed = simulated(name, intensity, held_out.batch, train, params)
        results = detector.test(score(changed, held_out.classifier, held_out.confidence))
        report = build_report(detector, results, changed, train, Source("simulation", name, intensity))
        scores = report.performance
        if scores.accuracy:
            errors.append(scores.estimated_accuracy.value - scores.accuracy.value)
        found.setdefault(name, {})[f"{intensity:.1f}"] = {
            "accuracy": {**_before_and_after(scores.accuracy), "estimated": scores.estimated_accuracy.value},
            "f1_weighted": _before_and_after(scores.f1_weighted),
            "columns": [column.name for column in report.columns if column.alarm],
            "verdict": report.verdict,
            "severity": report.severity,
            "causes": [cause.cause for cause in report.causes],
            "recommendation": report.recommendation,
        }
    return found, errors


def simulated(name: str, intensity: float, batch: Batch, train: Batch, params: DriftParams) -> Batch:
    """`batch` changed by the scenario of that `name`; `train` says how far a standard deviation is."""
    setting = Setting(params.scenarios, Moments.of(train), np.random.default_rng(params.calibrate.seed))
    return SCENARIOS[name](batch, intensity, setting)


def _before_and_after(score: Score | None) -> dict[str, float | None]:
    return {"before": score.expected if score else None, "after": score.value if score else None}


def draw(rows: int, size: int, amount: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Places of `amount` batches of `size` rows, each drawn without replacement from `rows`; shape (amount, size)."""
    return rng.permuted(np.tile(np.arange(rows), (amount, 1)), axis=1)[:, :size]


def rate(alarm: npt.NDArray[np.bool_]) -> Interval:
    """The share of alarms with its exact interval."""
    interval = stats.binomtest(int(alarm.sum()), len(alarm)).proportion_ci(0.95, method="exact")
    return Interval(float(alarm.mean()), (round(float(interval.low), 6), round(float(interval.high), 6)), len(alarm))


def _drawn(pool: Scored, size: int, params: CalibrateParams) -> Scored:
    rng = np.random.default_rng([params.seed, size])
    at = draw(pool.levels.shape[1], size, params.draws, rng)
    return Scored(
        pool.matrix[0][at], pool.levels[0][at], pool.labels[0][at], pool.correct[0][at],
        np.zeros((params.draws, pool.matrix.shape[2]), dtype=np.int64),
    )  # fmt: skip
