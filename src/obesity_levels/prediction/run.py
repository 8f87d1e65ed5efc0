"""What a prediction of many rows is made from, so that another run goes on with it only if all of that is equal."""

import hashlib
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import to_builtins

import obesity_levels
from obesity_levels.data.layout import Layout
from obesity_levels.io import leaves
from obesity_levels.paths import CLASSIFIER, DRIFT_REFERENCE, MANIFEST
from obesity_levels.prediction.storage import File, fingerprint

_LIBRARIES = ("numpy", "onnxruntime", "pandas", "pyarrow")


def describe_run(
    inputs: Sequence[File], layout: Layout, options: dict[str, Any], model: dict[str, Any]
) -> dict[str, Any]:
    """What predictions depend on: the inputs in their order, the layout, the options, and `model`, of `made_with`."""
    files = [{"file": str(file), **fingerprint(file)} for file in inputs]
    return {"inputs": files, "layout": to_builtins(layout), "options": options, **model}


def made_with(model: str) -> dict[str, Any]:
    """What has to be equal wherever a part is predicted: the files of the model in this folder, and the package."""
    return {"model": model_hashes(model), "package": package_versions()}


def model_hashes(folder: str) -> dict[str, str]:
    """The sha256 of each file of the model in a folder; "none" where there is no such file."""
    paths = [Path(folder) / name for name in (CLASSIFIER, MANIFEST, DRIFT_REFERENCE)]
    return {path.name: fingerprint(path)["sha256"] if path.exists() else "none" for path in paths}


@cache
def package_versions() -> dict[str, str]:
    """The sha256 of this package's code, and the versions of what the bits of a prediction depend on."""
    code = hashlib.sha256()
    root = Path(obesity_levels.__file__).parent
    for path in sorted(root.rglob("*.py")):
        code.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    python = ".".join(map(str, sys.version_info[:2]))
    return {"obesity_levels": code.hexdigest(), "python": python} | {name: version(name) for name in _LIBRARIES}


def differences(before: Any, now: Any) -> str:
    """The names of the values that differ, such as `options.keep`; at most three of them."""
    old, new = (dict(leaves({"": run})) for run in (before, now))
    names = [name.removeprefix(".") for name in sorted(old | new) if old.get(name) != new.get(name)]
    return ", ".join([*names[:3], "…"] if len(names) > 3 else names)
