"""How often the drift alarm is wrong and how often it is right, measured on simulated batches."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats

from obesity_levels.drift.batch import Batch, Confidence, HeldOut, Scored, score
from obesity_levels.drift.detection import Detector
from obesity_levels.drift.histograms import Estimate, Interval, judge
from obesity_levels.drift.report import Score, Source, build_report
from obesity_levels.drift.scenarios import SCENARIOS, Moments, Setting, cases
from obesity_levels.params import CalibrateParams, DriftParams

KINDS = ("labelled", "unlabelled", "counts")
"""Kinds of batches: with labels, without labels, and counts alone, as the service has them."""


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
        np.array([judge(detector.reference, detector.cells, one).verdict == "drift" for one in counts]),
    )


def power(detector: Detector, held_out: HeldOut, train: Batch, params: DriftParams) -> pd.DataFrame:
    """The share of drifted batches that alarm: a table of kind, scenario (with its intensity), rows and power."""
    moments = Moments.of(train)
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
    setting = Setting(params.scenarios, Moments.of(train), np.random.default_rng(params.calibrate.seed))
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
