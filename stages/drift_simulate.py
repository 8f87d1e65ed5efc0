"""Drift on purpose, and none: the reference with its thresholds, how often the alarm is wrong, how often right."""

import msgspec
import numpy as np
import pandas as pd

from obesity_levels import plots
from obesity_levels.drift.batch import Batch
from obesity_levels.drift.calibration import (
    HeldOut,
    build_reference,
    false_alarm_rates,
    fit_confidence,
    power,
    try_scenarios,
)
from obesity_levels.drift.histograms import DRIFT_REFERENCE, Estimate, Interval
from obesity_levels.drift.tests import Detector
from obesity_levels.params import load_params
from obesity_levels.scoring import load_classifier, most_probable
from obesity_levels.splitting import SPLITS
from obesity_levels.tables import read_split
from pipeline import DRIFT_METRICS, DRIFT_PLOTS, FEATURES, MODELS, run, write_json


def main() -> None:
    params = load_params().drift
    classifier = load_classifier(MODELS)
    train, validation, test = (read_split(FEATURES, name) for name in SPLITS)
    on_validation = classifier.probabilities(validation.matrix)
    confidence = fit_confidence(on_validation, validation.labels)
    reference = build_reference(train.matrix, most_probable(on_validation), classifier.manifest, params)

    trained_on = Batch.of_splits(train)
    held_out = HeldOut.of(Batch.of_splits(validation, test), classifier, confidence)
    detector = Detector(reference, train.matrix, held_out.scored, params.detect)
    rates = false_alarm_rates(detector, held_out, params.calibrate)
    found = power(detector, held_out, trained_on, params)
    scenarios, errors = try_scenarios(detector, held_out, trained_on, params)

    # None where so few rows are held out that nothing was scored
    estimate = Estimate(*confidence, *summary(errors)) if errors else None
    reference = msgspec.structs.replace(reference, false_alarm_rate=rates, estimate=estimate)
    # as it was used, every digit: its edges are exact, all else was rounded when it was made
    (MODELS / DRIFT_REFERENCE).write_bytes(msgspec.json.format(msgspec.json.encode(reference), indent=2) + b"\n")
    write_json(
        {
            "model_version": reference.model_version,
            "rows": {"reference": len(train.labels), "held_out": len(held_out.batch)},
            "calibration": {
                "false_alarm_rate": msgspec.to_builtins(rates["labelled"]),
                "false_alarm_rate_unlabelled": msgspec.to_builtins(rates["unlabelled"]),
                "false_alarm_rate_counts": msgspec.to_builtins(rates["counts"]),
                "power": found["labelled"],
                "power_unlabelled": found["unlabelled"],
                "power_counts": found["counts"],
            },
            "estimated_accuracy": msgspec.to_builtins(estimate),
            "scenarios": scenarios,
        },
        DRIFT_METRICS,
    )
    draw(rates, found)
    said = ", ".join(f"{rate.rate:.1%} of {size} rows" for size, rate in rates["labelled"].items())
    print(f"false alarms, share of the batches without drift: {said or 'not measured, too few rows'}")


def summary(errors: list[float]) -> tuple[float, float, float]:
    """Mean absolute, mean and largest absolute error."""
    found = np.mean(np.abs(errors)), np.mean(errors), np.max(np.abs(errors))
    return tuple(round(float(error), 6) for error in found)  # type: ignore[return-value]


def draw(rates: dict[str, dict[str, Interval]], power: dict[str, dict[str, dict[str, dict[str, float]]]]) -> None:
    alarms = pd.DataFrame(
        [
            (kind, int(size), rate.rate, *rate.interval)
            for kind, by_size in rates.items()
            for size, rate in by_size.items()
        ],
        columns=["kind", "rows", "false_alarm_rate", "low", "high"],
    )
    found = pd.DataFrame(
        [
            (kind, f"{name} {intensity}", int(size), rate)
            for kind, by_name in power.items()
            for name, by_intensity in by_name.items()
            for intensity, by_size in by_intensity.items()
            for size, rate in by_size.items()
        ],
        columns=["kind", "scenario", "rows", "power"],
    )
    # a column for each kind, as `dvc plots` draws lines; the intervals are in the metrics
    by_kind = alarms.pivot_table(index="rows", columns="kind", values="false_alarm_rate", sort=False).reset_index()
    DRIFT_PLOTS.mkdir(parents=True, exist_ok=True)
    for name, table in (("false_alarms", by_kind), ("power", found)):
        table.to_csv(DRIFT_PLOTS / f"{name}.csv", index=False, float_format="%.6f", lineterminator="\n")
    plots.draw_drift_calibration(alarms, found, DRIFT_PLOTS / "calibration.png")


if __name__ == "__main__":
    run(main)
