"""The model that is served: verified before anything is answered, and what is to be said of it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import astuple

from obesity_levels.drift.histograms import LEVEL, Reference, load_reference
from obesity_levels.errors import ArtifactError
from obesity_levels.model.classifier import Classifier, load_classifier, most_probable
from obesity_levels.model.features import encode_rows, input_matrix
from obesity_levels.paths import CLASSIFIER, DRIFT_REFERENCE, DVC_LOCK, EVALUATE_METRICS, MANIFEST
from obesity_levels.schema import BMI, LEVELS, QUESTIONS, Patient
from service.contract import Data, Feature, LevelProbabilities, ModelInfo, Predictions
from service.memory import give_back_memory
from service.monitor import Monitor
from service.shadow import Shadow
from service.together import Together

logger = logging.getLogger(__name__)

# From so many rows on numpy is the faster.
_MANY = 20


class Evaluation(msgspec.Struct):
    """What is told of metrics/evaluate.json."""

    model_version: str
    test: dict[str, Any]


class Model:
    """A verified artifact and what was measured of it. Load it with `load_model`."""

    def __init__(
        self, classifier: Classifier, evaluation: Evaluation | None, reference: Reference | None, git_revision: str
    ) -> None:
        self.classifier = classifier
        self.manifest = classifier.manifest
        self.version = classifier.manifest.version
        self.info = _info(classifier, evaluation, git_revision)
        self.reference = reference
        self.monitor: Monitor | None = None
        self.shadow: Shadow | None = None
        self.predict_together = Together(self.predict).predict

    def watch(self, window: int, shared: Path | None) -> None:
        """From now on count what is predicted, over a window of rows (0: do not), if there is a reference for it."""
        if self.reference is not None and window:
            self.monitor = Monitor(self.reference, window, shared)

    def shadow_with(self, directory: Path | None, share: float, shared: Path | None) -> None:
        """From now on show a share of what is predicted to the model in `directory`, if there is one."""
        if directory is None:
            return
        try:
            self.shadow = Shadow(directory, share, shared)
        except OSError as error:
            logger.error("no challenger: its process cannot be started (%s)", error.strerror)

    def predict(self, patients: Sequence[Patient]) -> Predictions:
        """The most probable level and the probability of every level, of each patient, in their order."""
        matrix = input_matrix(encode_rows(map(astuple, patients)), self.manifest.profile)
        if self.shadow is None:
            # What nobody else holds is given up here, while it is in the processor's caches: later it would take twice
            # as long, and the answer would be made in other memory.
            del patients
        probabilities = self.classifier.probabilities(matrix)
        places: Sequence[int] | npt.NDArray[np.int64]
        if len(matrix) < _MANY:
            # The same as below, without numpy: between requests its code leaves the processor's caches, and argmax
            # alone costs a request 7 µs.
            rows = probabilities.tolist()
            places = levels = [row.index(max(row)) for row in rows]
            by_level = [LevelProbabilities(*row) for row in rows]
        else:
            places = most_probable(probabilities)
            levels = places.tolist()
            by_level = list(map(LevelProbabilities, *probabilities.T.tolist()))
        if self.monitor is not None:
            self.monitor.observe(matrix, places)
        if self.shadow is not None:
            self.shadow.observe(patients, levels)
        return Predictions([LEVELS[level] for level in levels], by_level, self.version)


def load_model(directory: Path, git_revision: str = "") -> Model:
    """Load and verify the artifact in `directory`, and score one row with it.

    Where `directory` is the `models/` of a checkout, its files, and the metrics beside them, must be those of dvc.lock.
    Raises ArtifactError that names the file and what to do.
    """
    evaluation_path = _evaluation_path(directory)
    _check_lock(directory, evaluation_path)
    classifier = load_classifier(directory)
    reference = _read_reference(directory / DRIFT_REFERENCE, classifier)
    model = Model(classifier, _read_evaluation(evaluation_path, classifier), reference, git_revision)
    example = msgspec.convert({name: question.example for name, question in QUESTIONS.items()}, Patient)
    row = np.array(astuple(model.predict([example]).probabilities[0]))
    if not (np.isfinite(row).all() and abs(row.sum() - 1) < 1e-3):
        raise ArtifactError(f"{directory / CLASSIFIER} does not answer with probabilities: rebuild it (dvc repro)")
    give_back_memory()
    return model


def _evaluation_path(directory: Path) -> Path | None:
    """Among the model's files, as a registry hands them out, or in the checkout that they belong to."""
    for path in (directory / EVALUATE_METRICS.name, directory.parent / EVALUATE_METRICS):
        if path.exists():
            return path
    return None


def _read_evaluation(path: Path | None, classifier: Classifier) -> Evaluation | None:
    if path is None:
        return None
    try:
        evaluation = msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path} does not say what it measured of which model: rebuild it (dvc repro)") from error
    if evaluation.model_version != classifier.manifest.version:
        raise ArtifactError(
            f"{path} measured another model than {CLASSIFIER} beside it: take both from one place (dvc checkout)"
        )
    return evaluation


def _read_reference(path: Path, classifier: Classifier) -> Reference | None:
    if not path.exists():
        return None  # the pipeline was run up to the model only
    reference = load_reference(path)
    columns = [column.name for column in reference.columns]
    if reference.model_version != classifier.manifest.version or columns != [*classifier.manifest.features, LEVEL]:
        raise ArtifactError(f"{path} is of another model than {CLASSIFIER} beside it: rebuild it (dvc repro)")
    return reference


def _check_lock(directory: Path, evaluation: Path | None) -> None:
    lock = directory.resolve().parent / DVC_LOCK
    if not lock.is_file():
        return
    try:
        stages = msgspec.yaml.decode(lock.read_bytes())["stages"].values()
        locked = {lock.parent / out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}
    except (OSError, msgspec.DecodeError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArtifactError(f"{lock} is not a lock of DVC: restore it (git checkout {DVC_LOCK})") from error
    served = [(directory / name).resolve() for name in (CLASSIFIER, MANIFEST)]
    if not all(path in locked for path in served):
        return  # a folder beside the checkout's own
    served.append((directory / DRIFT_REFERENCE).resolve())
    if evaluation is not None:
        served.append(evaluation.resolve())
    for path in served:
        if path.is_file() and path in locked and hashlib.md5(path.read_bytes()).hexdigest() != locked[path]:
            raise ArtifactError(
                f"{path} is not the one that {DVC_LOCK} names: run `dvc repro`, or restore it (dvc checkout)"
            )


def _info(classifier: Classifier, evaluation: Evaluation | None, git_revision: str) -> ModelInfo:
    manifest = classifier.manifest
    return ModelInfo(
        name="obesity-levels",
        version=manifest.version,
        sha256=manifest.sha256,
        data=Data(manifest.data.simulated, manifest.data.source, manifest.data.md5, manifest.rows),
        model=manifest.model,
        profile=manifest.profile,
        levels=manifest.levels,
        features=[_feature(name) for name in manifest.features],
        params=manifest.params,
        chosen=manifest.search.chosen,
        test_metrics=evaluation.test if evaluation else None,
        libraries=manifest.libraries,
        git_revision=git_revision or None,
    )


def _feature(name: str) -> Feature:
    if name == BMI:
        return Feature(name, "Body-mass index, computed from Height and Weight", "kg/m²", None, None)
    question = QUESTIONS[name]
    return Feature(name, question.description, question.unit, question.scale, question.categories)
