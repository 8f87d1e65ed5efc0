"""Verification of a rebuild: which tracked files differ from the last commit, and by how much.

Part of `make verify`, after `dvc repro --force`. On the same platform every bit is equal. On another one the last
digits of floats may differ, and with them every hash of a file that contains them.
"""

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from obesity_levels.io import leaves
from obesity_levels.paths import CONFUSION_MATRIX_CSV, DVC_LOCK, METRICS, PLOTS
from obesity_levels.versioning import git, git_bytes

TRACKED = (DVC_LOCK, METRICS, PLOTS)
DERIVED_FROM_NUMBERS = ("model_version", "recommendation")
"""Keys of texts that may differ where numbers do: a hash of floats, a sentence that quotes them."""


class Difference(NamedTuple):
    """A tracked file that is not as committed: its largest difference of a number, None if there is none to tell."""

    path: Path
    largest: float | None
    what: str


def differences() -> list[Difference]:
    """Each of TRACKED that differs from the last commit. Raises ArtifactError if git fails."""
    paths = list(map(str, TRACKED))
    changed = git("diff", "--name-only", "HEAD", "--", *paths).splitlines()
    new = git("ls-files", "--others", "--exclude-standard", "--", *paths).splitlines()
    return [_difference(Path(name)) for name in changed] + [Difference(Path(name), None, "is new") for name in new]


def largest_difference(found: list[Difference]) -> float:
    """The largest difference of a number in `found`; infinite where one cannot be told."""
    return max((math.inf if one.largest is None else one.largest for one in found), default=0.0)


def _difference(path: Path) -> Difference:
    if not path.exists():
        return Difference(path, None, "is missing")
    before, now = git_bytes("show", f"HEAD:{path.as_posix()}"), path.read_bytes()
    if path == CONFUSION_MATRIX_CSV:
        rows = list(zip(before.splitlines(), now.splitlines(), strict=False))
        changed = sum(one != other for one, other in rows)
        return Difference(path, math.inf, f"{changed} of {len(rows) - 1} test rows have another prediction")
    if path.suffix == ".json":
        return _of_values(path, dict(leaves(json.loads(before))), dict(leaves(json.loads(now))))
    if path.suffix == ".csv":
        return _of_values(path, dict(_cells(before)), dict(_cells(now)))
    what = {".lock": "md5s of files that are not in git", ".md": "quotes metrics", ".png": "is drawn from metrics"}
    return Difference(path, 0.0, what.get(path.suffix, "differs"))


def _of_values(path: Path, before: dict[str, Any], now: dict[str, Any]) -> Difference:
    if before.keys() != now.keys():
        return Difference(path, math.inf, "has other keys or rows")
    distances = {key: _distance(key, value, now[key]) for key, value in before.items() if value != now[key]}
    most = max(distances, key=lambda key: distances[key], default="")
    return Difference(path, distances.get(most, 0.0), f"most in {most}" if most else "")


def _distance(key: str, value: Any, other: Any) -> float:
    """The absolute difference of two numbers; infinite for texts, unless they are derived from numbers."""
    if key.rpartition(".")[2] in DERIVED_FROM_NUMBERS:
        return 0.0
    numbers = [one for one in (value, other) if isinstance(one, int | float) and math.isfinite(one)]
    return abs(numbers[0] - numbers[1]) if len(numbers) == 2 else math.inf


def _cells(content: bytes) -> Iterator[tuple[str, Any]]:
    for at, row in enumerate(csv.DictReader(io.StringIO(content.decode()))):
        for name, text in row.items():
            try:
                yield f"{name}, row {at + 1}", float(text)
            except (TypeError, ValueError):  # a text; None in a row that is too short
                yield f"{name}, row {at + 1}", text
