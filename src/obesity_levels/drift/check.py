"""Checks a batch of rows, or simulated drift, against a model's reference, and writes the report."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from obesity_levels.data.source import read_raw
from obesity_levels.drift.batch import Batch
from obesity_levels.drift.calibration import simulated
from obesity_levels.drift.detection import Detector
from obesity_levels.drift.histograms import Cells, Reference, load_reference
from obesity_levels.drift.plots import draw_distributions, draw_scores
from obesity_levels.drift.report import Report, Source, build_report, distributions
from obesity_levels.drift.scenarios import FIELD_ERROR_INTENSITY, FIELD_ERRORS
from obesity_levels.drift.scoring import Confidence, HeldOut, Scored, score
from obesity_levels.errors import ArtifactError, ObesityLevelsError
from obesity_levels.io import read_split
from obesity_levels.model.classifier import load_classifier
from obesity_levels.model.features import Matrix
from obesity_levels.params import DriftParams, load_params
from obesity_levels.paths import DRIFT_REFERENCE
from obesity_levels.schema import ANSWERS, SPLITS

DEFAULT_INTENSITY = 0.3


class Calibrated(NamedTuple):
    """A detector with all that `drift-simulate` calibrated, and the rows that it was calibrated with."""

    detector: Detector
    held_out: HeldOut
    train: Batch
    params: DriftParams


class Checked(NamedTuple):
    """A report, with the reference and the scored rows that it was made from."""

    report: Report
    reference: Reference
    scored: Scored


def load_calibrated(models: Path, features: Path) -> Calibrated:
    """Load the reference and the model in `models`, with the splits in `features` that they were made from.

    Raises ArtifactError if these do not belong together.
    """
    classifier = load_classifier(models)
    reference = load_reference(models / DRIFT_REFERENCE)
    if reference.model_version != classifier.manifest.version or reference.estimate is None:
        raise ArtifactError(
            f"{models / DRIFT_REFERENCE} belongs to another model than the one beside it: rebuild it (dvc repro)"
        )
    try:
        # The params of the calibration: its false-alarm rate holds for these only.
        params = msgspec.convert(reference.params, DriftParams)
    except msgspec.ValidationError as error:
        path = models / DRIFT_REFERENCE
        raise ArtifactError(
            f"{path} has params that this version of the code does not read ({error}); rebuild it"
        ) from error
    train, validation, test = (read_split(features, name) for name in SPLITS)
    _check_features(features, train.matrix, reference)
    held_out = HeldOut.of(
        Batch.of_splits(validation, test),
        classifier,
        Confidence(reference.estimate.intercept, reference.estimate.slope),
    )
    detector = Detector(reference, train.matrix, held_out.scored, params.detect)
    return Calibrated(detector, held_out, Batch.of_splits(train), params)


def check_file(path: Path, models: Path, features: Path) -> Checked:
    """Check the rows of a CSV file, with or without labels."""
    calibrated = load_calibrated(models, features)
    source = Source("file", os.fsencode(path.name).decode(errors="replace"))
    batch = Batch.of_raw(read_raw(path, ANSWERS), load_params().clean.markers)
    return _check(calibrated, batch, source)


def check_simulation(name: str, intensity: float | None, models: Path, features: Path) -> Checked:
    """Check the validation and test rows, changed by the scenario `name`."""
    calibrated = load_calibrated(models, features)
    if intensity is None:
        intensity = FIELD_ERROR_INTENSITY if name in FIELD_ERRORS else DEFAULT_INTENSITY
    batch = simulated(name, intensity, calibrated.held_out.batch, calibrated.train, calibrated.params)
    return _check(calibrated, batch, Source("simulation", name, intensity))


def _check(calibrated: Calibrated, batch: Batch, source: Source) -> Checked:
    detector, held_out, train, _ = calibrated
    created = datetime.now(UTC).isoformat(timespec="seconds")
    scored = score(batch, held_out.classifier, held_out.confidence)
    report = build_report(detector, detector.test(scored), batch, train, source, created)
    return Checked(report, detector.reference, scored)


def write_report(checked: Checked, folder: Path) -> list[Path]:
    """Write the report as JSON, and its two figures; return their paths."""
    report, reference, scored = checked
    stamp = (report.created or "").replace("-", "").replace(":", "").replace("T", "_").removesuffix("+0000")
    paths = [
        folder / f"drift_report_{stamp}.json",
        folder / "drift_distributions.png",
        folder / "metrics_comparison.png",
    ]
    alarms = [column.name for column in report.columns if column.alarm]
    performance = report.performance
    scores = {
        "accuracy": performance.accuracy,
        "weighted F1": performance.f1_weighted,
        "accuracy, estimated": performance.estimated_accuracy,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draw_distributions(distributions(reference, scored), alarms, paths[1])
        draw_scores({name: (found.expected, found.value) for name, found in scores.items() if found}, paths[2])
        paths[0].write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise ObesityLevelsError(
            f"{folder} cannot be written ({error.strerror}): name another with --output"
        ) from error
    return paths


def _check_features(folder: Path, train: Matrix, reference: Reference) -> None:
    """Raise ArtifactError if these are not the rows that the reference was made from."""
    columns = reference.columns[:-1]
    counts = None
    if train.shape[1] == len(columns):
        counts = Cells(reference.columns).count(train, np.zeros(len(train), dtype=np.int64))
    expected = [count for column in columns for count in (column.missing, *column.counts)]
    if counts is None or counts[: len(expected)].tolist() != expected:
        raise ArtifactError(
            f"{folder} does not hold the rows that the model was made from: use the model and the rows of one revision"
            " (dvc checkout)"
        )
