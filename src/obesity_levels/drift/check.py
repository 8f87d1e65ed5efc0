"""Checks a batch of rows, or simulated drift, against a model's reference, and writes the report."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from obesity_levels.data.layout import load_layout
from obesity_levels.data.source import read_raw
from obesity_levels.drift.batch import Batch, Confidence, HeldOut, Scored, score
from obesity_levels.drift.calibration import simulated
from obesity_levels.drift.detection import Detector
from obesity_levels.drift.histograms import Cells, Reference, load_reference
from obesity_levels.drift.plots import draw_distributions, draw_scores
from obesity_levels.drift.report import Report, Source, build_report, distributions
from obesity_levels.drift.scenarios import FIELD_ERROR_INTENSITY, FIELD_ERRORS
from obesity_levels.errors import ArtifactError, ObesityLevelsError
from obesity_levels.io import read_split
from obesity_levels.model.classifier import load_classifier
from obesity_levels.model.features import Matrix
from obesity_levels.params import DriftParams, load_params
from obesity_levels.paths import DRIFT_REFERENCE, FEATURES
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
    path = models / DRIFT_REFERENCE
    classifier = load_classifier(models)
    reference = load_reference(path, classifier.manifest)
    estimate = reference.estimate
    if estimate is None:
        raise ArtifactError(f"{path} has no estimate of the accuracy: rebuild it (dvc repro)")
    try:
        # The params of the calibration: its false-alarm rate holds for these only.
        params = msgspec.convert(reference.params, DriftParams)
    except msgspec.ValidationError as error:
        what = f"params that this version of the code does not read ({error})"
        raise ArtifactError(f"{path} has {what}; rebuild it (dvc repro)") from error
    train, validation, test = (read_split(features, name) for name in SPLITS)
    confidence = Confidence(estimate.intercept, estimate.slope)
    held_out = HeldOut.of(Batch.of_splits(validation, test), classifier, confidence)
    if not _is_made_from(reference, train.matrix):
        raise ArtifactError(
            f"{features} does not hold the rows that the model was made from:"
            " use the model and the rows of one revision (dvc checkout)"
        )
    detector = Detector(reference, train.matrix, held_out.scored, params.detect)
    return Calibrated(detector, held_out, Batch.of_splits(train), params)


def check_file(path: Path, models: Path, layout: Path | None = None) -> Checked:
    """Check the rows of a file, with or without labels, written as `layout` says, by default as the source is."""
    params = load_params()
    clean, written = params.clean, load_layout(layout or Path(params.ingest.layout))
    calibrated = load_calibrated(models, FEATURES)
    marks = calibrated.held_out.classifier.manifest.missing_marks
    batch = Batch.of_raw(
        read_raw(path, ANSWERS, written), clean.missing_marks if marks is None else marks, clean.reported_lost_share
    )
    return _check(calibrated, batch, Source("file", os.fsencode(path.name).decode(errors="replace")))


def check_simulation(name: str, intensity: float | None, models: Path) -> Checked:
    """Check the validation and test rows, changed by the scenario `name`."""
    calibrated = load_calibrated(models, FEATURES)
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
    created = datetime.fromisoformat(str(report.created))
    names = (f"drift_report_{created:%Y%m%d_%H%M%S}.json", "drift_distributions.png", "metrics_comparison.png")
    paths = [folder / name for name in names]
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


def _is_made_from(reference: Reference, train: Matrix) -> bool:
    """Whether `train` are the rows that the reference was made from."""
    columns, cells = reference.columns[:-1], Cells(reference.columns)
    if train.shape[1] != len(columns):
        return False
    counts = cells.count(train, np.zeros(len(train), dtype=np.int64))[: cells.starts[-2]]
    return counts.tolist() == [count for column in columns for count in (column.missing, *column.counts)]
