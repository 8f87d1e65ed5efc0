"""A small reference, made of simulated people, and a classifier that needs no training: cuts of the BMI."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.obesity_levels.manifests import manifest_of

from obesity_levels.data.simulation import draw_people
from obesity_levels.drift.batch import CHOICES, NUMBERS, Batch, Confidence, HeldOut, score
from obesity_levels.drift.calibration import build_reference
from obesity_levels.drift.detection import Detector, Results
from obesity_levels.drift.histograms import Reference
from obesity_levels.drift.report import Report, Source, build_report
from obesity_levels.io import level_indices
from obesity_levels.model.features import MISSING
from obesity_levels.params import DriftParams
from obesity_levels.schema import LABEL, LEVELS

CUTS = [18.5, 25, 27, 30, 35, 40]
CONFIDENCE = Confidence(0.0, 1.0)


class ByBodyMassIndex:
    """Stands for a trained model: sure of the level that the BMI says, of the middle one where that is missing."""

    manifest = manifest_of(b"")

    def probabilities(self, matrix):
        level = np.where(matrix[:, -1] == MISSING, 3, np.digitize(matrix[:, -1], CUTS))
        result = np.full((len(matrix), len(LEVELS)), 0.01, dtype=np.float32)
        result[np.arange(len(matrix)), level] = 0.94
        return result


def batch_of(people: pd.DataFrame) -> Batch:
    return Batch.of_table(people, level_indices(people[LABEL]))


def with_column(batch: Batch, name: str, change: Callable, rows: int | None = None, **more) -> Batch:
    """`batch` with the numbers, or the codes, of one column changed in the first `rows`, or in all of them."""
    field, names = ("numbers", NUMBERS) if name in NUMBERS else ("choices", CHOICES)
    values = getattr(batch, field).copy()
    column = values[:rows, names.index(name)]
    column[:] = change(column)
    return replace(batch, **{field: values}, **more)


def with_wrong_labels(batch: Batch, rows: int) -> Batch:
    labels = batch.labels.copy()
    labels[:rows] = (labels[:rows] + 1) % len(LEVELS)
    return replace(batch, labels=labels)


@dataclass
class World:
    """Everything a batch is tested with."""

    train: Batch
    held_out: HeldOut
    reference: Reference
    detector: Detector
    classifier: ByBodyMassIndex

    def results(self, batch: Batch) -> Results:
        return self.detector.test(score(batch, self.classifier, CONFIDENCE))

    def report(self, batch: Batch) -> Report:
        return build_report(self.detector, self.results(batch), batch, self.train, Source("file", "batch.csv"), "now")

    def alarms(self, batch: Batch) -> dict[str, list[str]]:
        """Columns that alarm, with their reasons."""
        return {column.name: column.reasons for column in self.report(batch).columns if column.alarm}


@pytest.fixture(scope="session")
def drift_params(params) -> DriftParams:
    """The project's own, with thresholds from fewer draws, for batches of fewer sizes."""
    calibrate = msgspec.structs.replace(
        params.drift.calibrate, threshold_draws=5000, window_sizes=[50, 200, 1000, 10_000]
    )
    return msgspec.structs.replace(params.drift, calibrate=calibrate)


@pytest.fixture(scope="session")
def world(population, drift_params) -> World:
    train = batch_of(draw_people(population, 1500, np.random.default_rng(1)))
    classifier = ByBodyMassIndex()
    held_out = HeldOut.of(batch_of(draw_people(population, 600, np.random.default_rng(2))), classifier, CONFIDENCE)
    matrix = train.matrix("full")
    reference = build_reference(matrix, held_out.scored.levels[0][:300], classifier.manifest, drift_params)
    detector = Detector(reference, matrix, held_out.scored, drift_params.detect)
    return World(train, held_out, reference, detector, classifier)


@pytest.fixture(scope="session")
def fresh(population) -> Batch:
    """200 more rows of the same people, with labels."""
    return batch_of(draw_people(population, 200, np.random.default_rng(3)))
