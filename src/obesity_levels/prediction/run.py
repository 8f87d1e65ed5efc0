"""What a prediction of many rows is made from, so that another run goes on with it only if all of that is equal."""

import hashlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import to_builtins

import obesity_levels
from obesity_levels.io import leaves
from obesity_levels.paths import CLASSIFIER, DRIFT_REFERENCE, MANIFEST
from obesity_levels.prediction.storage import File, fingerprint
from obesity_levels.prediction.task import Task

_LIBRARIES = ("numpy", "onnxruntime", "pandas", "pyarrow")


def describe_run(task: Task, inputs: Sequence[File], part_bytes: int) -> dict[str, Any]:
    """What predictions depend on: the inputs, the model, the layout, the options and the package, by hash or value."""
    options = {
        "keep": task.keep,
        "evaluate": task.evaluate,
        "missing_marks": task.missing_marks,
        "part_bytes": part_bytes,
    }
    return {
        "inputs": {str(file): fingerprint(file) for file in inputs},
        "model": model_hashes(task.model),
        "layout": to_builtins(task.layout),
        "options": options,
        "package": package_versions(),
    }


def model_hashes(folder: str) -> dict[str, str]:
    """The sha256 of each file of the model in a folder; "none" where there is no such file."""
    paths = [Path(folder) / name for name in (CLASSIFIER, MANIFEST, DRIFT_REFERENCE)]
    return {path.name: fingerprint(path) if path.exists() else "none" for path in paths}


def package_versions() -> dict[str, str]:
    """The sha256 of this package's code, and the versions of what the bits of a prediction depend on."""
    code = hashlib.sha256()
    root = Path(obesity_levels.__file__).parent
    for path in sorted(root.rglob("*.py")):
        code.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    python = ".".join(map(str, sys.version_info[:2]))
    return {"obesity_levels": code.hexdigest(), "python": python} | {name: version(name) for name in _LIBRARIES}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The names of the values that differ, such as `options.keep`."""
    old, new = (dict(leaves(run, into_lists=False)) for run in (before, now))
    return sorted(name for name in old | new if old.get(name) != new.get(name))
