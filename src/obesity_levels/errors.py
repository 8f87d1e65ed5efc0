"""Errors that a person can act on: each names the file, the column or the key, and says what to do.

What msgspec reports is read here and nowhere else.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from obesity_levels.paths import DVC_YAML, PARAMS_YAML, TRACKED

RESTORE = "git checkout params.yaml dvc.lock metrics plots && dvc checkout --force"
"""Restores what DVC deleted before it ran a stage, except the source, which belongs to the user. `--force` replaces
what a stage that failed has left half-written."""

_DVC_EXPERIMENTS = "/.dvc/tmp/exps/"


class ObesityLevelsError(Exception):
    """Base of all errors that are shown without a traceback."""


class ParamsError(ObesityLevelsError):
    """params.yaml, or another YAML file, has a wrong key, type or value."""


class SourceError(ObesityLevelsError):
    """The source is missing, not readable, or not a table of survey rows."""


class TooFewRowsError(ObesityLevelsError):
    """After cleaning, too few rows are left to split or to train on."""


class RegistryError(ObesityLevelsError):
    """MLflow's registry does not answer, lacks what is asked for, or the model may not become champion."""


class ArtifactError(ObesityLevelsError):
    """The artifact is missing, truncated, altered, or was not made by this project."""


class RunError(ObesityLevelsError):
    """A prediction of many rows cannot be started, or cannot go on."""


class ComparisonError(ObesityLevelsError):
    """Two models cannot be compared by what is given."""


class ConflictError(ObesityLevelsError):
    """Files have merge conflicts. What the pipeline writes is not merged: it is made again."""

    def __init__(self, names: Sequence[str]) -> None:
        """Say how to settle the conflicts in the files `names`."""
        made = {str(path) for path in TRACKED}
        written = " ".join(name for name in names if made.isdisjoint(Path(name).parts))
        steps = [f"edit {written} and run `git add {written}`"] if written else []
        if len(written.split()) < len(names):
            tracked = " ".join(map(str, TRACKED))
            steps.append(f"run `git checkout --ours {tracked}`, `dvc repro` and `git add {tracked}`")
        super().__init__(f"merge conflict in {', '.join(names)}: {'; then '.join(steps)}")


class InvalidField(NamedTuple):
    """The first invalid field that msgspec found.

    `path` is where it is, such as `patients[3].Age`, empty at the top. `name` is the field that is missing or unknown,
    else empty. `reason` is in msgspec's words, which may repeat the value.
    """

    path: str
    kind: Literal["missing", "unknown", "invalid"]
    name: str
    reason: str


def invalid_field(error: msgspec.ValidationError) -> InvalidField:
    """Read the message of msgspec: `Expected … - at `$.path``.

    The name of an unknown field may be any text, and look like a path at its end: where that matters, accept only paths
    that exist.
    """
    reason, _, path = str(error).rpartition(" - at `$")
    if re.fullmatch(r"[\w.\[\]]*`", path):
        path = path.strip(".`")
    else:
        reason, path = str(error), ""
    named = re.fullmatch(r"Object (missing|contains unknown)(?: required)? field `(.*)`", reason, re.DOTALL)
    if not named:
        return InvalidField(path, "invalid", "", reason)
    return InvalidField(path, "missing" if named[1] == "missing" else "unknown", named[2], reason)


def check_merged(*paths: Path) -> None:
    """Raise ConflictError if one of `paths`, by default of all that DVC and the stages keep in git, has a conflict."""
    roots = paths or (PARAMS_YAML, DVC_YAML, *TRACKED)
    files = [file for path in roots for file in (path, *sorted(path.rglob("*"))) if file.is_file()]
    names = [str(file) for file in files if b"\n<<<<<<< " in b"\n" + file.read_bytes()]
    if names:
        raise ConflictError(names)


def run_stage(main: Callable[[], None], restore: str = RESTORE) -> None:
    """Run a stage. An error that a person can act on is one line on standard error, with exit status 1."""
    try:
        main()
    except (ObesityLevelsError, OSError) as error:  # OSError: a full disk, a folder without write permission
        print(f"error: {error}", file=sys.stderr)
        # `dvc exp run --temp` and `--queue` run in a copy: there is nothing to restore, and work that would be lost.
        # Git does not restore a file that has a conflict.
        if not isinstance(error, ConflictError) and _DVC_EXPERIMENTS not in Path.cwd().as_posix():
            print(f"To restore the last commit: {restore}", file=sys.stderr)
        sys.exit(1)
