"""Calibration of drift detection: the reference with its thresholds, and how often the alarm is right and wrong.

The thresholds know the size of a batch. How often the alarm is right and wrong is measured on simulated batches.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats

from obesity_levels.drift import histograms
from obesity_levels.drift.batch import Batch, Confidence, HeldOut, Scored, score
from obesity_levels.drift.detection import Detector
from obesity_levels.drift.histograms import LEVEL, Column, Counts, Estimate, Interval, Reference
from obesity_levels.drift.report import Score, Source, build_report
from obesity_levels.drift.scenarios import SCENARIOS, Setting, cases
from obesity_levels.errors import TooFewRowsError
from obesity_levels.model.classifier import Manifest
from obesity_levels.model.features import MISSING, Matrix
from obesity_levels.params import CalibrateParams, DriftParams
from obesity_levels.schema import CATEGORIES, LEVELS

KINDS = ("labelled", "unlabelled", "counts")
"""Kinds of batches: with labels, without labels, and counts alone, as the service has them."""


def build_reference(
    train: Matrix, levels: npt.NDArray[np.integer], manifest: Manifest, params: DriftParams
) -> Reference:
    """Histograms of the input matrix of the training rows, with thresholds; false-alarm rates are not measured yet.

    `levels` are predicted for rows that the model was not trained on: a forest is overconfident on its training rows.
    """
    calibrate, detect = params.calibrate, params.detect
    sizes, draws, seed = calibrate.window_sizes, calibrate.threshold_draws, calibrate.seed
    alpha = detect.alpha / (2 * (len(manifest.features) + 1))
    columns = []
    for name, values in [*zip(manifest.features, train.T, strict=True), (LEVEL, levels)]:
        present = values[values != MISSING]
        if not len(present):
            raise TooFewRowsError(f"no training row has '{name}': there is nothing to compare with")
        categories = LEVELS if name == LEVEL else CATEGORIES.get(name)
        edges = histograms.quantile_edges(present, params.bins) if categories is None else None
        bounds = edges or range(1, len(categories or ()))
        counts, _ = np.histogram(present, [-np.inf, *bounds, np.inf])
        missing = len(values) - len(present)
        columns.append(
            Column(
                name=name,
                edges=edges,
                categories=None if categories is None else list(categories),
                counts=counts.tolist(),
                missing=missing,
                psi_critical=psi_thresholds(counts, sizes, alpha, draws, seed),
                missing_critical=missing_thresholds(missing, len(values), sizes, alpha),
            )
        )
    return Reference(
        format=histograms.FORMAT,
        model_version=manifest.version,
        columns=columns,
        sizes=sizes,
        thresholds=histograms.Thresholds(detect.min_window_rows, detect.psi, detect.missing_rate),
        params=msgspec.to_builtins(params),
        false_alarm_rate={},
        estimate=None,
    )


def psi_thresholds(counts: Counts, sizes: Sequence[int], alpha: float, draws: int, seed: int) -> list[float]:
    """For each of `sizes`, the PSI that a batch without drift exceeds with probability `alpha`.

    Simulated: shares are drawn from their posterior given the reference's `counts` under Jeffreys' prior, so the
    uncertainty of the reference is included (Gelman et al., Bayesian Data Analysis (2013), 3.4 and 6.3).
    """
    # A generator of its own: the thresholds of a column do not depend on the columns before it.
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(counts + 0.5, size=draws)
    return [
        round(
            float(np.quantile(histograms.population_stability_index(counts, rng.multinomial(size, shares)), 1 - alpha)),
            6,
        )
        for size in sizes
    ]


def missing_thresholds(missing: int, rows: int, sizes: Sequence[int], alpha: float) -> list[float]:
    """The same for the share of missing rows, of which the reference has `missing` among `rows` (beta-binomial)."""
    most = [stats.betabinom.ppf(1 - alpha, size, missing + 0.5, rows - missing + 0.5) for size in sizes]
    # half a row more, so that rounding does not turn a share that is just allowed into an alarm
    return [round((float(count) + 0.5) / size, 6) for count, size in zip(most, sizes, strict=True)]


def false_alarm_rates(detector: Detector, held_out: HeldOut, params: CalibrateParams) -> dict[str, dict[str, Interval]]:
    """The share of batches without drift that alarm: kind -> size of the batch -> rate.

    Sizes larger than the number of held-out rows are left out, here and in `power`.
    """
    sizes = [size for size in params.sizes if size <= len(held_out.batch)]
    found = Parallel(n_jobs=-1)(delayed(alarms)(detector, _drawn(held_out.scored, size, params)) for size in sizes)
    return {
        kind: {str(size): rate(of_kinds[at]) for size, of_kinds in zip(sizes, found, strict=True)}
        for at, kind in enumerate(KINDS)
    }


def alarms(detector: Detector, batches: Scored) -> tuple[npt.NDArray[np.bool_], ...]:
    """For each of KINDS, which of `batches` alarm, shape (batches,)."""
    compared = detector.compare(batches)
    counts = detector.cells.count(batches.matrix, batches.levels)
    return (
        detector.judge(batches, compared).drift,
        detector.judge(batches.without_labels(), compared).drift,
        np.array([histograms.judge(detector.reference, detector.cells, one).verdict == "drift" for one in counts]),
    )


def power(detector: Detector, held_out: HeldOut, train: Batch, params: DriftParams) -> pd.DataFrame:
    """The share of drifted batches that alarm: a table of kind, scenario (with its intensity), rows and power."""
    moments = train.moments()
    sizes = [size for size in params.calibrate.sizes if size <= len(held_out.batch)]
    tasks = [(name, intensity, size) for name, intensity in cases(params.scenarios) for size in sizes]

    def drifted(at: int, name: str, intensity: float, size: int) -> Scored:
        # Every task has its own seed, so the order of tasks and the number of processes do not matter.
        rng = np.random.default_rng([params.calibrate.seed, at])
        amount = params.calibrate.power_draws
        drawn = held_out.batch.take(draw(len(held_out.batch), size, amount, rng).ravel())
        changed = SCENARIOS[name](drawn, intensity, Setting(params.scenarios, moments, rng))
        return score(changed, held_out.classifier, held_out.confidence, amount)

    found = Parallel(n_jobs=-1)(delayed(alarms)(detector, drifted(at, *task)) for at, task in enumerate(tasks))
    rows = [
        (kind, f"{name} {intensity:.1f}", size, of_kinds[at].mean())
        for at, kind in enumerate(KINDS)
        for (name, intensity, size), of_kinds in zip(tasks, found, strict=True)
    ]
    return pd.DataFrame(rows, columns=["kind", "scenario", "rows", "power"])


def power_by_size(power: pd.DataFrame, kind: str) -> dict[str, dict[str, dict[str, float]]]:
    """The power for one kind of batches, for metrics: scenario -> intensity -> size of the batch -> share."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for _, scenario, rows, share in power[power["kind"] == kind].itertuples(index=False):
        name, intensity = scenario.split()
        found.setdefault(name, {}).setdefault(intensity, {})[str(rows)] = share
    return found


def try_scenarios(
    detector: Detector, held_out: HeldOut, train: Batch, params: DriftParams
) -> tuple[dict[str, dict[str, dict[str, Any]]], list[float]]:
    """Apply each scenario to all held-out rows.

    Returns scenario -> intensity -> scores before and after, and the verdict; and the errors of the estimated accuracy.
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
    """`batch` changed by the scenario `name`; `train` gives the mean and standard deviation of each number."""
    setting = Setting(params.scenarios, train.moments(), np.random.default_rng(params.calibrate.seed))
    return SCENARIOS[name](batch, intensity, setting)


def _before_and_after(score: Score | None) -> dict[str, float | None]:
    return {"before": score.expected if score else None, "after": score.value if score else None}


def draw(rows: int, size: int, amount: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Indices of `amount` batches of `size` rows, each drawn without replacement from `rows`; shape (amount, size)."""
    return rng.permuted(np.tile(np.arange(rows), (amount, 1)), axis=1)[:, :size]


def rate(alarm: npt.NDArray[np.bool_]) -> Interval:
    """The share of alarms with its exact 95 % interval (Clopper & Pearson 1934)."""
    interval = stats.binomtest(int(alarm.sum()), len(alarm)).proportion_ci(0.95, method="exact")
    return Interval(float(alarm.mean()), (round(float(interval.low), 6), round(float(interval.high), 6)), len(alarm))


def estimate_error(confidence: Confidence, errors: list[float]) -> Estimate | None:
    """The error of the estimated accuracy; None where so few rows are held out that none was scored."""
    if not errors:
        return None
    found = np.mean(np.abs(errors)), np.mean(errors), np.max(np.abs(errors))
    return Estimate(*confidence, *(round(float(error), 6) for error in found))


def false_alarm_table(rates: dict[str, dict[str, Interval]]) -> pd.DataFrame:
    """The result of `false_alarm_rates` as a table, one row for each rate."""
    rows = [(kind, int(size), one.rate, *one.interval) for kind, of in rates.items() for size, one in of.items()]
    return pd.DataFrame(rows, columns=["kind", "rows", "false_alarm_rate", "low", "high"])


def _drawn(pool: Scored, size: int, params: CalibrateParams) -> Scored:
    at = draw(pool.levels.shape[1], size, params.draws, np.random.default_rng([params.seed, size]))
    return Scored(pool.matrix[0][at], pool.levels[0][at], pool.labels[0][at], pool.correct[0][at], pool.unseen)
