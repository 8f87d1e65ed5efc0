"""Verification of a rebuild: which tracked files differ from the last commit, and by how much.

Part of `make verify`, after `dvc repro --force`. On the same platform every bit is equal. On another one the last
digits of floats may differ, and with them every hash of a file that contains them.
"""

import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from obesity_levels.errors import check_merged
from obesity_levels.io import leaves
from obesity_levels.paths import CONFUSION_MATRIX_CSV, TRACKED
from obesity_levels.versioning import git

DERIVED_FROM_NUMBERS = ("model_version", "recommendation")
"""Keys of texts that may differ where numbers do: a hash of floats, a sentence that quotes them."""


class Difference(NamedTuple):
    """A tracked file that is not as committed: its largest difference of a number, infinite if none can be told."""

    path: Path
    largest: float
    what: str


def differences() -> list[Difference]:
    """Each of TRACKED that differs from the last commit. Raises ConflictError, and ArtifactError if git fails."""
    check_merged()
    paths = list(map(str, TRACKED))
    changed = git("diff", "--name-only", "HEAD", "--", *paths).splitlines()
    new = git("ls-files", "--others", "--exclude-standard", "--", *paths).splitlines()
    return [_difference(Path(name)) for name in changed] + [Difference(Path(name), math.inf, "is new") for name in new]


def _difference(path: Path) -> Difference:
    if not path.exists():
        return Difference(path, math.inf, "is missing")
    if path.suffix not in (".json", ".csv"):
        what = {".lock": "md5s of files that are not in git", ".md": "quotes metrics", ".png": "is drawn from metrics"}
        return Difference(path, 0.0, what.get(path.suffix, "differs"))
    before, now = git("show", f"HEAD:{path.as_posix()}"), path.read_text(encoding="utf-8")
    if path == CONFUSION_MATRIX_CSV:
        rows = list(zip(before.splitlines(), now.splitlines(), strict=False))
        changed = sum(one != other for one, other in rows)
        return Difference(path, math.inf, f"{changed} of {len(rows) - 1} test rows have another prediction")
    values, others = _values(path.suffix, before), _values(path.suffix, now)
    if values.keys() != others.keys():
        return Difference(path, math.inf, "has other keys or rows")
    distances = {key: _distance(key, value, others[key]) for key, value in values.items() if value != others[key]}
    most = max(distances, key=lambda key: distances[key], default="")
    return Difference(path, distances.get(most, 0.0), f"most in {most}" if most else "")


def _distance(key: str, value: Any, other: Any) -> float:
    """The absolute difference of two numbers; infinite for texts, unless they are derived from numbers."""
    if key.rpartition(".")[2] in DERIVED_FROM_NUMBERS:
        return 0.0
    numbers = [one for one in (value, other) if isinstance(one, int | float) and math.isfinite(one)]
    return abs(numbers[0] - numbers[1]) if len(numbers) == 2 else math.inf


def _values(suffix: str, text: str) -> dict[str, Any]:
    """The values of a JSON or a CSV file, each with its place. An empty cell is an empty text."""
    if suffix == ".json":
        return dict(leaves(json.loads(text)))
    rows = pd.read_csv(io.StringIO(text)).astype(object).fillna("").to_dict("records")
    return {f"{name}, row {at}": value for at, row in enumerate(rows, 1) for name, value in row.items()}
