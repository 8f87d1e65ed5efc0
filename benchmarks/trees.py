"""What trees cost and what they are worth: `python benchmarks/trees.py`. Needs the pipeline's results (`make repro`).

For each number of trees a forest is trained on the workspace's training rows with the other hyperparameters of
models/manifest.json, exported, and scored on the validation rows; then ONNX Runtime alone is timed, as the service sets
it up. One row: in a tight loop, and with the caches emptied before each, which is nearer to what a request meets.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tabulate import tabulate

from obesity_levels.io import read_split
from obesity_levels.model.classifier import Classifier, load_manifest
from obesity_levels.model.estimators import build_estimator
from obesity_levels.model.features import Matrix
from obesity_levels.model.onnx_export import export_onnx
from obesity_levels.params import load_params
from obesity_levels.paths import MANIFEST

ROOT = Path(__file__).resolve().parent.parent
BATCH = 1000
# More than the last cache of a processor holds.
EMPTIES_CACHES = np.ones(64 * 2**20 // 8)


def main() -> None:
    parser = argparse.ArgumentParser(description="What trees cost and what they are worth.")
    parser.add_argument("trees", nargs="*", type=int, default=[1, 10, 25, 50, 100, 200, 300])
    numbers = parser.parse_args().trees
    params = load_params(ROOT / "params.yaml")
    manifest = load_manifest(ROOT / "models" / MANIFEST)
    if manifest.model != "random_forest":
        parser.error(f"models/ holds a {manifest.model}, and only a forest has trees to count")
    train, validation = (read_split(ROOT / "data/features", name) for name in ("train", "validation"))

    calibration = manifest.calibration
    if calibration is None:
        parser.error("models/ holds a model of before probabilities were calibrated: run `dvc repro`")

    lines = []
    for trees in numbers:
        chosen = manifest.search.chosen | {"n_estimators": trees}
        fitted = build_estimator(params.train, tuple(manifest.features), manifest.model, chosen).fit(
            train.matrix, train.labels
        )
        onnx = export_onnx(fitted, calibration)
        classifier = Classifier(manifest, onnx)
        accuracy = (classifier.probabilities(validation.matrix).argmax(axis=1) == validation.labels).mean()
        row, batch = train.matrix[:1], np.resize(train.matrix, (BATCH, train.matrix.shape[1]))
        warm, batched = seconds(classifier, row, 2000), seconds(classifier, batch, 100)
        cold = seconds(classifier, row, 200, EMPTIES_CACHES.sum)
        lines.append([trees, f"{accuracy:.3f}", f"{len(onnx) / 1e6:.1f}", *(f"{x * 1e6:.0f}" for x in (warm, cold))])
        lines[-1].append(f"{batched * 1e3:.2f}")
    columns = ["trees", "accuracy, validation", "MB", "one row, µs", "... caches empty, µs", f"{BATCH} rows, ms"]
    print(tabulate(lines, columns, "github", disable_numparse=True))


def seconds(classifier: Classifier, matrix: Matrix, times: int, before: Callable[[], object] = lambda: None) -> float:
    """The median of `times` calls with `matrix`, each after `before`, which is not counted."""
    taken = []
    for _ in range(times):
        before()
        began = time.perf_counter()
        classifier.probabilities(matrix)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
