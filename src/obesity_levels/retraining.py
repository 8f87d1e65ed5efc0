"""`python -m obesity_levels.retraining new.csv`: where new rows have drifted, an experiment on them, and its gate."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from obesity_levels.drift.__main__ import EXIT_STATUS
from obesity_levels.drift.__main__ import main as check_for_drift
from obesity_levels.errors import ArtifactError, ObesityLevelsError
from obesity_levels.gate import Gate
from obesity_levels.git import git
from obesity_levels.publishing import GATE, METRICS, Experiment, experiments
from obesity_levels.raw import read_raw


class Retrained(NamedTuple):
    """An experiment on new rows, how it meets the gate, and whether it was there already."""

    name: str
    gate: Gate
    made_before: bool


def retrain(source: Path) -> Retrained:
    """Run an experiment with `source` as its only data, without touching the workspace.

    Once for the same rows on the same commit, with the same changes to it. Raises ArtifactError where it fails.
    """
    head = git("rev-parse", "HEAD")
    changes = source.read_bytes() + git("diff", "HEAD").encode()
    name = f"retrain-{hashlib.md5(changes, usedforsecurity=False).hexdigest()[:8]}"
    known = _find(name, head)
    if known is None:
        command = ["dvc", "exp", "run", "--temp", "--name", name, "-S", f"ingest.source={_as_source(source)}"]
        if not source.is_absolute():
            command += ["--copy-paths", str(source)]
        if subprocess.run(command, check=False).returncode:
            raise ArtifactError(f"the experiment on {source} failed, as said above; the workspace is as it was")
    made = known or _find(name, head)
    if made is None:
        raise ArtifactError(f"dvc exp run ended well, and there is no experiment {name}: was it removed meanwhile?")
    return Retrained(name, _gate_of(made), known is not None)


def _find(name: str, baseline: str) -> Experiment | None:
    return next((one for one in experiments() if (one.name, one.baseline) == (name, baseline)), None)


def _as_source(source: Path) -> str:
    """A value for `-S`, in quotes: a path may hold what Hydra's grammar reads otherwise."""
    return "'" + str(source).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _gate_of(experiment: Experiment) -> Gate:
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(rev=experiment.revision)
    return msgspec.json.decode(files.read_bytes(str(METRICS / GATE)), type=Gate)


def _inside(source: Path) -> Path:
    """Relative to this folder if it lies in it, so that an experiment can be applied and committed; else absolute."""
    absolute = source.resolve()
    here = Path.cwd().resolve()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def main(arguments: Sequence[str] | None = None) -> int:
    """Say what was done, and how to apply or undo it. The exit status is 0, 4 with too few rows, or 1."""
    parser = argparse.ArgumentParser(prog="python -m obesity_levels.retraining", description=__doc__)
    parser.add_argument("source", type=Path, metavar="FILE.csv", help="labelled rows, dirty as they come")
    source = _inside(parser.parse_args(arguments).source)
    try:
        read_raw(source)  # with a column of labels, which the check for drift does not need
        status = check_for_drift(["--data", str(source)])
        if status != EXIT_STATUS["drift"]:
            if status == EXIT_STATUS["no drift"]:
                print(f"\n{source} has not drifted: nothing was trained")
            return status
        name, gate, made_before = retrain(source)
    except (ObesityLevelsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    made = "is there already, made before" if made_before else "was made"
    print(f"\n{source} has drifted: the experiment {name} {made} of it alone; its model is {gate.model_version}.")
    print("It meets the gate:" if gate.passed else "It does NOT meet the gate:")
    for condition, found in gate.conditions.items():
        print(f"  {'holds' if found.holds else 'FAILS'}  {condition}: {found}")
    print(f"See it:    dvc exp diff HEAD {name}     (`dvc exp show` lists all)")
    print(f"Apply it:  dvc exp apply {name}")
    added = "params.yaml dvc.lock metrics plots"
    if not (source.is_absolute() or git("ls-files", "--", str(source))):
        print(f"           dvc add {shlex.quote(str(source))}    (DVC keeps the rows, git their md5)")
        added += " " + " ".join(shlex.quote(str(path)) for path in (f"{source}.dvc", source.parent / ".gitignore"))
    print(f"           git add {added}")
    print("           git commit, make publish, make promote")
    print(f"Undo it:   dvc exp remove {name}        (nothing else was changed)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
