"""The ONNX file, scored on rows that it was not trained on: metrics and plots."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from obesity_levels import evaluation, plots
from obesity_levels.modeling import build_estimator
from obesity_levels.params import EvaluateParams, TrainParams, load_params
from obesity_levels.schema import LEVELS
from obesity_levels.scoring import Classifier, Probabilities, load_classifier, most_probable
from obesity_levels.splitting import SPLITS
from obesity_levels.tables import Rows, read_split
from pipeline import EVALUATE_METRICS, FEATURES, MODELS, PLOTS, run, write_json


def main() -> None:
    params = load_params()
    classifier = load_classifier(MODELS)
    splits = [read_split(FEATURES, name) for name in SPLITS]
    train, validation, test = splits
    probabilities = classifier.probabilities(test.matrix)
    manifest = classifier.manifest
    trained_with = msgspec.convert(manifest.params, TrainParams)
    estimator = build_estimator(trained_with, tuple(manifest.features), manifest.search.chosen)

    everyone = Rows(
        pd.concat([rows.answers for rows in splits]),
        np.concatenate([rows.labels for rows in splits]),
        np.concatenate([rows.groups for rows in splits]),
        np.concatenate([rows.matrix for rows in splits]),
    )
    metrics: dict[str, Any] = {
        "model_version": manifest.version,
        "validation": report(validation, classifier.probabilities(validation.matrix), train, params.evaluate),
        "test": report(test, probabilities, train, params.evaluate),
        "cross_validation": evaluation.cross_validate(
            estimator,
            everyone.matrix,
            everyone.labels,
            everyone.groups,
            evaluation.is_people(everyone.answers),
            params.evaluate.cross_validation,
        ),
    }
    write_json(metrics, EVALUATE_METRICS)
    curve = evaluation.learning_curve(
        estimator,
        (train.matrix, train.labels, train.groups),
        (validation.matrix, validation.labels),
        params.evaluate.learning_curve,
    )
    draw(classifier, validation, test, probabilities, curve, params.evaluate)
    accuracy = {name: round(metrics[name]["accuracy"], 4) for name in ("test", "validation")}
    print(f"accuracy on the test rows {accuracy['test']}, on the validation rows {accuracy['validation']}")


def report(rows: Rows, probabilities: Probabilities, train: Rows, params: EvaluateParams) -> dict:
    predicted = most_probable(probabilities)
    majority = evaluation.majority_baseline(train.labels, len(rows.labels))
    rule = evaluation.bmi_rule(rows.answers, params.bmi_rule, otherwise=majority)
    return {
        **evaluation.headline_metrics(rows.labels, probabilities, params.calibration.bins),
        "accuracy_interval": evaluation.accuracy_interval(rows.labels, predicted, params.bootstrap),
        "per_level": evaluation.per_level_metrics(rows.labels, predicted),
        "slices": evaluation.slices(rows.answers, rows.labels, predicted, params.age_bands),
        "baselines": {
            "majority": evaluation.label_metrics(rows.labels, majority),
            "bmi_rule": evaluation.label_metrics(rows.labels, rule),
        },
    }


def draw(
    classifier: Classifier,
    validation: Rows,
    test: Rows,
    probabilities: Probabilities,
    curve: pd.DataFrame,
    params: EvaluateParams,
) -> None:
    predicted = most_probable(probabilities)
    calibration = evaluation.calibration_table(test.labels, probabilities, params.calibration.bins)
    importance = evaluation.permutation_importance(
        lambda matrix: most_probable(classifier.probabilities(matrix)),
        validation.matrix,
        validation.labels,
        classifier.manifest.features,
        params.importance,
    )
    roc = evaluation.roc_table(test.labels, probabilities)
    levels = np.array(LEVELS)
    confusion = pd.DataFrame({"actual": levels[test.labels], "predicted": levels[predicted]})

    PLOTS.mkdir(exist_ok=True)
    tables = {
        "confusion_matrix": confusion,
        "calibration": calibration,
        "permutation_importance": importance,
        "learning_curve": curve,
        "roc": roc,
    }
    for name, table in tables.items():
        table.to_csv(PLOTS / f"{name}.csv", index=False, float_format="%.6f", lineterminator="\n")
    counts = confusion_matrix(test.labels, predicted, labels=range(len(LEVELS)))
    plots.draw_confusion_matrix(counts, PLOTS / "confusion_matrix.png")
    plots.draw_calibration(calibration, PLOTS / "calibration.png")
    plots.draw_importance(importance, PLOTS / "permutation_importance.png")
    plots.draw_learning_curve(curve, PLOTS / "learning_curve.png")
    plots.draw_roc(roc, PLOTS / "roc.png")


if __name__ == "__main__":
    run(main)
