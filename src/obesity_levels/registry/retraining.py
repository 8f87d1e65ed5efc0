"""Retraining: an experiment of DVC on new rows alone, and whether its model passes the gate."""

import hashlib
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from obesity_levels.errors import ArtifactError
from obesity_levels.evaluation.gate import Gate
from obesity_levels.paths import EVALUATE_METRICS, GATE_METRICS
from obesity_levels.registry.pipeline_run import experiments
from obesity_levels.versioning import dvc_command, dvc_environment, git


class Retrained(NamedTuple):
    """The name of an experiment on new rows, its metrics and its gate, and whether it existed already."""

    name: str
    metrics: dict[str, Any]
    gate: Gate
    existed: bool


def retrain(source: Path, layout: Path) -> Retrained:
    """Run an experiment with `source`, written as `layout` says, as its only data, and leave the workspace as it is.

    The same rows on the same commit, with the same uncommitted changes, are run once. Raises ArtifactError if the
    experiment fails, or at once in a shallow repository, where DVC would train and record nothing.
    """
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise ArtifactError("DVC records no experiment in a shallow repository: run `git fetch --unshallow` first")
    changes = source.read_bytes() + layout.read_bytes() + git("diff", "HEAD").encode()
    name = f"retrain-{hashlib.md5(changes, usedforsecurity=False).hexdigest()[:8]}"
    existed = name in dict(experiments())
    if not existed:
        command = dvc_command("exp", "run", "--temp", "--name", name)
        for key, path in {"source": source, "layout": layout}.items():
            command += ["-S", f"ingest.{key}={_hydra_value(path)}"]
            if not path.is_absolute():
                command += ["--copy-paths", str(path)]
        if subprocess.run(command, env=dvc_environment(), check=False).returncode:
            raise ArtifactError(f"the experiment on {source} failed, see above; the workspace is unchanged")
    revision = dict(experiments()).get(name)
    if revision is None:
        raise ArtifactError(f"DVC ran {name} but does not list it (`dvc exp list`): run `retrain` again")
    evaluated, gate = (git("show", f"{revision}:./{path.as_posix()}") for path in (EVALUATE_METRICS, GATE_METRICS))
    return Retrained(name, msgspec.json.decode(evaluated), msgspec.json.decode(gate, type=Gate), existed)


def next_steps(source: Path, layout: Path, name: str) -> Iterator[str]:
    """The commands that show, apply or remove the experiment `name` on `source`."""
    yield f"See it:    dvc exp diff HEAD {name}     (`dvc exp show` lists all)"
    yield f"Apply it:  dvc exp apply {name}"
    added = "params.yaml dvc.lock metrics plots"
    if not layout.is_absolute() and git("status", "--porcelain", "--", str(layout)):
        added += f" {shlex.quote(str(layout))}"
    if not (source.is_absolute() or git("ls-files", "--", str(source))):
        if not Path(f"{source}.dvc").exists():
            yield f"           dvc add {shlex.quote(str(source))}    (DVC keeps the rows, git their md5)"
        added += " " + " ".join(shlex.quote(str(path)) for path in (f"{source}.dvc", source.parent / ".gitignore"))
    yield f"           git add {added}"
    yield "           git commit, make publish, make promote"
    yield f"Undo it:   dvc exp remove {name}        (nothing else was changed)"


def in_project(source: Path) -> Path:
    """`source` relative to this folder if it is in it, so that an experiment can be committed; else absolute."""
    absolute, here = source.resolve(), Path.cwd().resolve()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def _hydra_value(source: Path) -> str:
    """A quoted value for `-S`: a path may contain characters of Hydra's grammar."""
    return "'" + str(source).replace("\\", "\\\\").replace("'", "\\'") + "'"
