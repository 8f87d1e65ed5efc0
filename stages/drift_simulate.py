"""Measures how often the drift alarm is wrong and how often it is right, and writes the reference it compares with."""

import msgspec

from obesity_levels.drift import calibration
from obesity_levels.drift.batch import Batch, HeldOut, fit_confidence
from obesity_levels.drift.detection import Detector
from obesity_levels.drift.plots import draw_drift_calibration
from obesity_levels.errors import run_stage
from obesity_levels.io import read_split, write_json, write_plot_csv
from obesity_levels.model.classifier import load_classifier, most_probable
from obesity_levels.params import load_params
from obesity_levels.paths import DRIFT_METRICS, DRIFT_PLOTS, DRIFT_REFERENCE, FEATURES, MODELS
from obesity_levels.schema import SPLITS


def main() -> None:
    params = load_params().drift
    classifier = load_classifier(MODELS)
    train, validation, test = (read_split(FEATURES, name) for name in SPLITS)
    on_validation = classifier.probabilities(validation.matrix)
    confidence = fit_confidence(on_validation, validation.labels)
    reference = calibration.build_reference(train.matrix, most_probable(on_validation), classifier.manifest, params)

    train_batch = Batch.of_splits(train)
    held_out = HeldOut.of(Batch.of_splits(validation, test), classifier, confidence)
    detector = Detector(reference, train.matrix, held_out.scored, params.detect)
    rates = calibration.false_alarm_rates(detector, held_out, params.calibrate)
    power = calibration.power(detector, held_out, train_batch, params)
    scenarios, errors = calibration.try_scenarios(detector, held_out, train_batch, params)
    estimate = calibration.estimate_error(confidence, errors)

    reference = msgspec.structs.replace(reference, false_alarm_rate=rates, estimate=estimate)
    # With every digit, as it was used: its edges are exact, and everything else was rounded when it was computed.
    (MODELS / DRIFT_REFERENCE).write_bytes(msgspec.json.format(msgspec.json.encode(reference), indent=2) + b"\n")
    report = {
        "model_version": reference.model_version,
        "rows": {"reference": len(train.labels), "held_out": len(held_out.batch)},
        "calibration": {
            "false_alarm_rate": msgspec.to_builtins(rates["labelled"]),
            "false_alarm_rate_unlabelled": msgspec.to_builtins(rates["unlabelled"]),
            "false_alarm_rate_counts": msgspec.to_builtins(rates["counts"]),
            "power": calibration.power_by_size(power, "labelled"),
            "power_unlabelled": calibration.power_by_size(power, "unlabelled"),
            "power_counts": calibration.power_by_size(power, "counts"),
        },
        "estimated_accuracy": msgspec.to_builtins(estimate),
        "scenarios": scenarios,
    }
    write_json(report, DRIFT_METRICS)
    alarms = calibration.false_alarm_table(rates)
    by_kind = alarms.pivot_table(index="rows", columns="kind", values="false_alarm_rate", sort=False)
    write_plot_csv(by_kind.reset_index(), DRIFT_PLOTS / "false_alarms.csv")
    write_plot_csv(power, DRIFT_PLOTS / "power.csv")
    draw_drift_calibration(alarms, power, DRIFT_PLOTS / "calibration.png")
    measured = ", ".join(f"{rate.rate:.1%} of {size} rows" for size, rate in rates["labelled"].items())
    print(f"false alarms, share of the batches without drift: {measured or 'not measured, too few rows'}")


if __name__ == "__main__":
    run_stage(main)
