"""Retraining: an experiment of DVC on new rows alone, and whether its model passes the gate."""

import hashlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from obesity_levels.drift.causes import Cause
from obesity_levels.drift.histograms import Verdict
from obesity_levels.errors import ArtifactError, ConflictError
from obesity_levels.evaluation.gate import Gate
from obesity_levels.paths import EVALUATE_METRICS, GATE_METRICS
from obesity_levels.registry.pipeline_run import experiments
from obesity_levels.versioning import dvc, dvc_command, dvc_environment, git

_IN_WORKSPACE = "run it in the workspace: `dvc exp run -S ingest.source=…`"


class Retrained(NamedTuple):
    """The name of an experiment on new rows, its metrics and its gate, and whether it existed already."""

    name: str
    metrics: dict[str, Any]
    gate: Gate
    existed: bool


class Outcome(msgspec.Struct, frozen=True):
    """What `obesity-levels retrain` found and did, as its option --json writes it.

    `verdict` is None if drift was not looked for; `experiment` and `gate` are None if nothing was trained.
    """

    verdict: Verdict | None = None
    causes: list[Cause] = []
    recommendation: str = ""
    experiment: str | None = None
    gate: Gate | None = None

    @property
    def unit_error(self) -> str | None:
        """What says that the rows are in another unit; None if nothing does."""
        return next((found.detail for found in self.causes if found.cause == "unit_error"), None)


def experiment_name(source: Path, layout: Path) -> str:
    """The name of the experiment on these rows, read by this layout, with the uncommitted changes that there are."""
    changes = source.read_bytes() + layout.read_bytes() + git("diff", "HEAD").encode()
    return f"retrain-{hashlib.md5(changes, usedforsecurity=False).hexdigest()[:8]}"


def retrain(source: Path, layout: Path) -> Retrained:
    """Run an experiment with `source`, written as `layout` says, as its only data, and leave the workspace as it is.

    The same rows on the same commit, with the same uncommitted changes, are run once. Raises ArtifactError if the
    experiment fails.
    """
    name = experiment_name(source, layout)
    existed = name in dict(experiments())
    if not existed:
        command = dvc_command("exp", "run", "--temp", "--name", name)
        for key, path in {"source": source, "layout": layout}.items():
            command += ["-S", f"ingest.{key}={hydra_value(path)}"]
            if not path.is_absolute():
                command += ["--copy-paths", str(path)]
        if subprocess.run(command, env=dvc_environment(), check=False).returncode:
            raise ArtifactError(f"the experiment on {source} failed, see above; the workspace is unchanged")
    revision = dict(experiments()).get(name)
    if revision is None:
        raise ArtifactError(f"DVC ran {name} but does not list it (`dvc exp list`): run `retrain` again")
    evaluated, gate = (git("show", f"{revision}:./{path.as_posix()}") for path in (EVALUATE_METRICS, GATE_METRICS))
    return Retrained(name, msgspec.json.decode(evaluated), msgspec.json.decode(gate, type=Gate), existed)


def check_can_run(source: Path, layout: Path) -> None:
    """Raise ArtifactError or ConflictError where `dvc exp run --temp` fails, or trains and records nothing.

    `source` and `layout` are as `in_project` returns them. docs/dvc.md names the causes.
    """
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise ArtifactError("DVC records no experiment in a shallow repository: run `git fetch --unshallow` first")
    unmerged = git("diff", "--name-only", "--relative", "--diff-filter=U").splitlines()
    if unmerged:
        raise ConflictError(unmerged)
    # DVC takes this folder for an address (file://), whose special characters are not escaped, ...
    special = re.search("[#?]|%[0-9A-Fa-f]{2}", str(Path.cwd()))
    if special:
        raise ArtifactError(
            f"DVC cannot copy a project into an experiment from {Path.cwd()}: move it to a path without '{special[0]}',"
            f" or {_IN_WORKSPACE}"
        )
    # ... and writes the cache's path and local settings as ASCII. In a worktree it does not write those of git.
    git_config = Path(git("rev-parse", "--show-toplevel"), ".git/config")
    settings = {
        "move the project, or use another cache (`dvc cache dir --local`)": dvc("cache", "dir"),
        "change it in .dvc/config.local": dvc("config", "--local", "--list"),
        "unset it, or set it with `git config --global`": (
            git("config", "--file", str(git_config), "--list") if git_config.is_file() else ""
        ),
    }
    for advice, lines in settings.items():
        for line in lines.splitlines():
            if not line.isascii():
                setting = line.partition("=")[0]  # the value may be a secret
                raise ArtifactError(
                    f"DVC copies only ASCII into an experiment, and {setting} is not: {advice}, or {_IN_WORKSPACE}"
                )
    for path in (source, layout):
        if not (path.is_absolute() or git("ls-files", "--", str(path.parent))):
            raise ArtifactError(f"DVC cannot copy {path}, because git has no {path.parent}/: move the file to data/")


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


def hydra_value(source: Path) -> str:
    """A quoted value for `-S`: a path may contain characters of Hydra's grammar.

    There, a backslash is one unless a quote follows.
    """
    before_quotes = re.sub(r"\\+(?='|$)", lambda found: found[0] * 2, str(source))
    return "'" + before_quotes.replace("'", "\\'") + "'"
