"""The files beside the classifier: what was measured belongs to it, and in a checkout all are those of dvc.lock.

msgspec only, because the service imports it.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from obesity_levels.errors import ArtifactError, check_merged
from obesity_levels.model.classifier import Manifest
from obesity_levels.paths import CLASSIFIER, DRIFT_REFERENCE, DVC_LOCK, EVALUATE_METRICS, MANIFEST


class Evaluation(msgspec.Struct):
    """The part of metrics/evaluate.json that is served: which model was measured, and its metrics on the test rows."""

    model_version: str
    test: dict[str, Any]


def read_evaluation(directory: Path, manifest: Manifest) -> Evaluation | None:
    """What was measured of the model in `directory`; None where nothing is there.

    Raises ArtifactError if the file cannot be read or measured another model.
    """
    path = _evaluation_path(directory)
    if path is None:
        return None
    try:
        evaluation = msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path} does not name the model that it measured: rebuild it (dvc repro)") from error
    if evaluation.model_version != manifest.version:
        raise ArtifactError(
            f"{path} measured another model than {CLASSIFIER} beside it: use both from one revision (dvc checkout)"
        )
    return evaluation


def check_lock(directory: Path) -> None:
    """Raise ArtifactError if `directory` is the models/ of a checkout, and its files, or the metrics beside it, are not
    those of its dvc.lock; ConflictError if the lock has a merge conflict.
    """
    lock = directory.resolve().parent / DVC_LOCK
    if not lock.is_file():
        return
    try:
        stages = msgspec.yaml.decode(lock.read_bytes())["stages"].values()
        locked = {lock.parent / out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}
    except (OSError, msgspec.DecodeError, ValueError, KeyError, AttributeError, TypeError) as error:
        check_merged(lock)
        raise ArtifactError(f"{lock} is not a lock of DVC: restore it (git checkout {DVC_LOCK})") from error
    served = [*(directory / name for name in (CLASSIFIER, MANIFEST, DRIFT_REFERENCE)), _evaluation_path(directory)]
    for path in (path.resolve() for path in served if path is not None and path.is_file()):
        if path in locked and hashlib.md5(path.read_bytes()).hexdigest() != locked[path]:
            raise ArtifactError(
                f"{path} is not the file that {DVC_LOCK} names: run `dvc repro`, or restore it (dvc checkout)"
            )


def _evaluation_path(directory: Path) -> Path | None:
    """Among the files of the model, as a registry has them, or in the checkout that they belong to."""
    for path in (directory / EVALUATE_METRICS.name, directory.parent / EVALUATE_METRICS):
        if path.exists():
            return path
    return None
