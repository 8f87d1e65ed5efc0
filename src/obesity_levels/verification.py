"""`python -m obesity_levels.verification`: what a rebuild changed, and by how much, against the last commit.

Part of `make verify`, after `dvc repro --force`. On one platform every bit is the same; on another one the last digits
of floats may differ, and with them everything that has them hashed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from obesity_levels.errors import ObesityLevelsError
from obesity_levels.git import git, git_bytes

TRACKED = ("dvc.lock", "metrics", "plots")
MADE_OF_NUMBERS = ("model_version", "recommendation")
"""Keys of texts that may differ where numbers do: a hash of floats, a sentence that quotes them."""
PREDICTIONS = Path("plots/confusion_matrix.csv")


class Difference(NamedTuple):
    """A tracked file that is not as committed: its largest difference of a number, None where it cannot be said."""

    path: Path
    largest: float | None
    what: str


def differences() -> list[Difference]:
    """Each of TRACKED that differs from the last commit. Raises ArtifactError where git cannot tell."""
    changed = git("diff", "--name-only", "HEAD", "--", *TRACKED).splitlines()
    new = git("ls-files", "--others", "--exclude-standard", "--", *TRACKED).splitlines()
    return [_difference(Path(name)) for name in changed] + [Difference(Path(name), None, "is new") for name in new]


def _difference(path: Path) -> Difference:
    if not path.exists():
        return Difference(path, None, "is not there")
    before, now = git_bytes("show", f"HEAD:{path}"), path.read_bytes()
    if path == PREDICTIONS:
        rows = list(zip(before.splitlines(), now.splitlines(), strict=False))
        changed = sum(one != other for one, other in rows)
        return Difference(path, math.inf, f"{changed} of {len(rows) - 1} test rows are labelled otherwise")
    if path.suffix == ".json":
        return _of_numbers(path, dict(_leaves(json.loads(before))), dict(_leaves(json.loads(now))))
    if path.suffix == ".csv":
        return _of_numbers(path, dict(_cells(before)), dict(_cells(now)))
    what = {".lock": "md5s of files that are not in git", ".md": "quotes metrics", ".png": "is drawn from metrics"}
    return Difference(path, 0.0, what.get(path.suffix, "differs"))


def _of_numbers(path: Path, before: dict[str, Any], now: dict[str, Any]) -> Difference:
    if before.keys() != now.keys():
        return Difference(path, math.inf, "has other keys or rows")
    largest, where, texts = 0.0, "", 0
    for key, value in before.items():
        difference = _distance(key.rpartition(".")[2], value, now[key])
        if difference > largest:
            largest, where = difference, key
        elif value != now[key] and not isinstance(value, float):
            texts += 1
    said = [f"most in {where}"] if where else []
    return Difference(path, largest, ", ".join(said + ([f"{texts} texts differ"] if texts else [])))


def _distance(key: str, value: Any, other: Any) -> float:
    """Infinite where one is no number, and for texts; but for those that are made of numbers."""
    if value == other or key in MADE_OF_NUMBERS:
        return 0.0
    if isinstance(value, float) and isinstance(other, float) and not math.isnan(value + other):
        return abs(value - other)
    return math.inf


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, float(tree) if isinstance(tree, int | float) else tree


def _cells(content: bytes) -> Iterator[tuple[str, Any]]:
    for at, row in enumerate(csv.DictReader(io.StringIO(content.decode()))):
        for name, text in row.items():
            try:
                yield f"{name}, row {at + 1}", float(text)
            except (TypeError, ValueError):  # a text; None in a row that is cut short
                yield f"{name}, row {at + 1}", text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what differs. The exit status is 0 if nothing does, or nothing by more than --tolerance; else 1."""
    parser = argparse.ArgumentParser(prog="python -m obesity_levels.verification", description=__doc__)
    parser.add_argument("--tolerance", type=float, default=0.0, help="of a number (default: every bit is compared)")
    tolerance = parser.parse_args(arguments).tolerance
    try:
        found = differences()
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not found:
        print("verified: dvc.lock, metrics and plots were rebuilt bit for bit")
        return 0
    rows = [[str(one.path), "" if one.largest is None else f"{one.largest:.2g}", one.what] for one in found]
    print(tabulate(rows, ["file", "largest difference", ""], "github", disable_numparse=True))
    labels = "differ" if any(one.path == PREDICTIONS for one in found) else "are equal"
    largest = max(math.inf if one.largest is None else one.largest for one in found)
    print(f"The labels of the test rows {labels}; no number differs by more than {largest:.2g}.")
    if 0 < tolerance >= largest:
        print(f"verified: within {tolerance:g}")
        return 0
    print("error: the rebuilt numbers above differ from the committed ones", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
