"""`python -m obesity_levels.drift`: check a batch of rows for drift, or see what simulated drift looks like."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from obesity_levels import plots
from obesity_levels.drift.batch import Batch
from obesity_levels.drift.calibration import HeldOut, score, simulated
from obesity_levels.drift.histograms import DRIFT_REFERENCE, Cells, Reference, load_reference
from obesity_levels.drift.report import Report, Source, build_report, distributions, report_table
from obesity_levels.drift.scenarios import FIELD_ERROR_INTENSITY, FIELD_ERRORS, SCENARIOS
from obesity_levels.drift.tests import Confidence, Detector, Scored
from obesity_levels.errors import ArtifactError, ObesityLevelsError
from obesity_levels.features import Matrix
from obesity_levels.params import DriftParams, load_params
from obesity_levels.raw import read_raw
from obesity_levels.schema import ANSWERS
from obesity_levels.scoring import load_classifier
from obesity_levels.splitting import SPLITS
from obesity_levels.tables import read_split

MODELS = Path("models")
FEATURES = Path("data/features")
REPORTS = Path("reports")
INTENSITY = 0.3
EXIT_STATUS = {"no drift": 0, "drift": 3, "too few rows to tell": 4}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, write the report and its figures. The exit status is by the verdict, or 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.data is not None and options.intensity is not None:
        parser.error("--intensity is of simulated drift: leave it out with --data")
    try:
        report, reference, scored = check(options)
        paths = write_report(report, reference, scored, options.output)
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    said = "\n".join([report_table(report), *(f"written: {path}" for path in paths)])
    try:
        print(
            said.encode(sys.stdout.encoding or "utf-8", errors="replace").decode(sys.stdout.encoding or "utf-8"),
            flush=True,
        )
    except OSError:  # who reads it has gone, or its disk is full: the report is written, and so is the status
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_STATUS[report.verdict]


class Calibrated(NamedTuple):
    """What batches are tested with: all that drift-simulate calibrated, and the rows that it used."""

    detector: Detector
    held_out: HeldOut
    trained_on: Batch
    params: DriftParams


def load_calibrated(models: Path, features: Path) -> Calibrated:
    """The reference in `models`, with its model and the splits in `features` that it was made of.

    Raises ArtifactError where they do not belong together.
    """
    classifier = load_classifier(models)
    reference = load_reference(models / DRIFT_REFERENCE)
    if reference.model_version != classifier.manifest.version or reference.estimate is None:
        raise ArtifactError(f"{models / DRIFT_REFERENCE} is not of the model beside it: rebuild it (dvc repro)")
    try:
        # What it was calibrated with, so that the false-alarm rate is that of these thresholds.
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


def check(options: argparse.Namespace) -> tuple[Report, Reference, Scored]:
    """The report that the command line asks for, and what it was made of."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    detector, held_out, trained_on, params = load_calibrated(options.models, options.features)
    if options.data is None:
        intensity = options.intensity or (FIELD_ERROR_INTENSITY if options.drift_type in FIELD_ERRORS else INTENSITY)
        source = Source("simulation", options.drift_type, intensity)
        batch = simulated(options.drift_type, intensity, held_out.batch, trained_on, params)
    else:
        source = Source("file", os.fsencode(options.data.name).decode(errors="replace"))
        batch = Batch.of_raw(read_raw(options.data, ANSWERS), load_params().clean.markers)
    scored = score(batch, held_out.classifier, held_out.confidence)
    report = build_report(detector, detector.test(scored), batch, trained_on, source, created)
    return report, detector.reference, scored


def _check_features(folder: Path, train: Matrix, reference: Reference) -> None:
    """Raise ArtifactError if these are not the rows that the reference was made of."""
    columns = reference.columns[:-1]
    counts = None
    if train.shape[1] == len(columns):
        counts = Cells(reference.columns).count(train, np.zeros(len(train), dtype=np.int64))
    expected = [count for column in columns for count in (column.missing, *column.counts)]
    if counts is None or counts[: len(expected)].tolist() != expected:
        raise ArtifactError(
            f"{folder} has not the rows that the model was made of: take both from one place (dvc checkout)"
        )


def write_report(report: Report, reference: Reference, scored: Scored, folder: Path) -> list[Path]:
    """Write the report as JSON, and its two figures; return their paths."""
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
        plots.draw_distributions(distributions(reference, scored), alarms, paths[1])
        plots.draw_scores({name: (found.expected, found.value) for name, found in scores.items() if found}, paths[2])
        paths[0].write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise ObesityLevelsError(
            f"{folder} cannot be written ({error.strerror}): name another with --output"
        ) from error
    return paths


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m obesity_levels.drift",
        description="Check rows for drift. Exit status: 0 no drift, 3 drift, 4 too few rows to tell, 1 an error.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, metavar="FILE.csv", help="a batch of real rows, with or without labels")
    what.add_argument("--drift-type", choices=SCENARIOS, help="simulate this on the validation and test rows")
    parser.add_argument(
        "--intensity",
        type=_intensity,
        help=f"of simulated drift, over 0 up to 1 (default {INTENSITY}; {FIELD_ERROR_INTENSITY:g} for field errors)",
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the model and its drift reference")
    parser.add_argument(
        "--features", type=Path, default=FEATURES, help="folder of the splits that the model was made of"
    )
    parser.add_argument("--output", type=Path, default=REPORTS, help="folder for the report and its figures")
    return parser


def _intensity(text: str) -> float:
    try:
        intensity = float(text)
    except ValueError:
        intensity = 0.0
    if not 0 < intensity <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number over 0 up to 1")
    return intensity


if __name__ == "__main__":
    sys.exit(main())
