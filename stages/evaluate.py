"""Scores the ONNX file on rows that it was not trained on: metrics and plots."""

from functools import partial
from typing import Any

import msgspec

from obesity_levels.errors import run_stage
from obesity_levels.evaluation import coverage, explanations, metrics, plots, resampling
from obesity_levels.io import Rows, read_split, write_json, write_plot_csv
from obesity_levels.model.calibration import uncalibrated
from obesity_levels.model.classifier import load_classifier, most_probable
from obesity_levels.model.estimators import build_estimator
from obesity_levels.params import TrainParams, load_params
from obesity_levels.paths import CONFUSION_MATRIX_CSV, EVALUATE_METRICS, FEATURES, MODELS, PLOTS
from obesity_levels.schema import SPLITS


def main() -> None:
    params = load_params().evaluate
    classifier = load_classifier(MODELS)
    manifest = classifier.manifest
    train, validation, test = splits = [read_split(FEATURES, name) for name in SPLITS]
    on_validation, on_test = (classifier.probabilities(rows.matrix) for rows in (validation, test))
    scores_on_validation, scores_on_test = (
        uncalibrated(found, manifest.calibration) for found in (on_validation, on_test)
    )
    train_params = msgspec.convert(manifest.params, TrainParams)
    estimator = build_estimator(train_params, tuple(manifest.features), manifest.model, manifest.search.chosen)
    everyone = Rows.concatenate(*splits)
    sets = {
        name: coverage.coverage_by_slice(rows, found, classifier, params)
        for name, rows, found in (("validation", validation, on_validation), ("test", test, on_test))
    }
    report: dict[str, Any] = {
        "model_version": manifest.version,
        "validation": metrics.split_metrics(validation, on_validation, scores_on_validation, train, params)
        | {"prediction_sets": sets["validation"]},
        "test": metrics.split_metrics(test, on_test, scores_on_test, train, params) | {"prediction_sets": sets["test"]},
        "cross_validation": resampling.cross_validate(
            estimator,
            everyone.matrix,
            everyone.labels,
            everyone.groups,
            metrics.is_people(everyone.answers),
            params.cross_validation,
            params.calibration.bins,
        ),
        "explanations": explanations.explanation_metrics(
            validation, on_validation, train, classifier, params.explanations
        ),
    }
    write_json(report, EVALUATE_METRICS)

    importance = resampling.permutation_importance(classifier, validation.matrix, validation.labels, params.importance)
    mean_contribution = (report["explanations"] or {}).get("mean_contribution", {})
    contributions = explanations.contribution_table(mean_contribution, importance)
    curve = resampling.learning_curve(
        estimator,
        (train.matrix, train.labels, train.groups),
        (validation.matrix, validation.labels),
        params.learning_curve,
    )
    confusion = metrics.confusion_table(test.labels, most_probable(on_test))
    calibration, before = (
        metrics.calibration_table(test.labels, found, params.calibration.bins) for found in (on_test, scores_on_test)
    )
    shown = max(sets["test"], key=float)
    draw_sets = partial(plots.draw_coverage, float(shown))
    write_plot_csv(before, PLOTS / "calibration_uncalibrated.csv")
    for path, table, draw in (
        (CONFUSION_MATRIX_CSV, confusion, plots.draw_confusion_matrix),
        (PLOTS / "prediction_sets.csv", coverage.coverage_table(sets["test"][shown]), draw_sets),
        (PLOTS / "calibration.csv", calibration, partial(plots.draw_calibration, before)),
        (PLOTS / "permutation_importance.csv", importance, plots.draw_importance),
        (PLOTS / "contributions.csv", contributions, plots.draw_contributions),
        (PLOTS / "learning_curve.csv", curve, plots.draw_learning_curve),
        (PLOTS / "roc.csv", metrics.roc_table(test.labels, on_test), plots.draw_roc),
    ):
        write_plot_csv(table, path)
        draw(table, path.with_suffix(".png"))
    plots.draw_distributions(train, PLOTS / "distributions.png")
    accuracy = {name: round(report[name]["accuracy"], 4) for name in ("test", "validation")}
    print(f"accuracy on the test rows {accuracy['test']}, on the validation rows {accuracy['validation']}")


if __name__ == "__main__":
    run_stage(main)
