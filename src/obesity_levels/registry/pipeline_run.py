"""What one run of the pipeline made, in the workspace or as an experiment of DVC, checked to be whole and unaltered."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from obesity_levels.drift.histograms import load_reference
from obesity_levels.errors import ArtifactError, ObesityLevelsError, RegistryError
from obesity_levels.io import leaves
from obesity_levels.model.classifier import Manifest, load_classifier
from obesity_levels.params import load_yaml
from obesity_levels.paths import DRIFT_METRICS, DRIFT_REFERENCE, DVC_LOCK, EVALUATE_METRICS, GATE_METRICS, MODELS
from obesity_levels.versioning import dvc, git

SHA256, DIGEST = "sha256", "digest"
"""Tags of runs and versions: the sha256 of the classifier, and the digest of everything that the run made."""

# Folders that a pipeline run writes; their digest identifies it.
_WRITTEN = ("models", "metrics", "plots")
# Each of these names the model that it measured.
_OF_A_MODEL = (EVALUATE_METRICS, GATE_METRICS, DRIFT_METRICS)


class LockedFile(msgspec.Struct):
    """An output in dvc.lock; without an md5 it was never made."""

    path: str
    md5: str = ""


class LockedStage(msgspec.Struct):
    """A stage in dvc.lock."""

    outs: list[LockedFile] = []


class Lock(msgspec.Struct):
    """The part of dvc.lock that is read here."""

    stages: dict[str, LockedStage]


class Experiment(NamedTuple):
    """An experiment of DVC: its name and its revision."""

    name: str
    revision: str


class PipelineRun(NamedTuple):
    """The folder of a pipeline run, its model, the tags that describe it, and the digest of all files it made."""

    folder: Path
    manifest: Manifest
    tags: dict[str, str]
    digest: str


def workspace_run() -> PipelineRun:
    """What the last `dvc repro` left in this folder.

    Raises ArtifactError where its files are not of one run, or where `dvc repro` would have something to do.
    """
    run = _load_run(Path(), {"git.dirty": str(bool(git("status", "--porcelain"))).lower(), **_revision("HEAD")})
    stages = json.loads(dvc("status", "--json"))
    if stages:
        raise ArtifactError(f"not as dvc.lock says: {', '.join(sorted(stages))}; run `dvc repro` first")
    return run


@contextmanager
def experiment_run(experiment: Experiment) -> Iterator[PipelineRun]:
    """What an experiment made: a clone with its files from git and from DVC's cache, which is removed afterwards.

    Raises ArtifactError if the cache lacks its files, or where they are not of one run.
    """
    name, revision = experiment
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        git("clone", "--quiet", "--shared", "--no-checkout", ".", scratch)
        git("-C", scratch, "checkout", "--quiet", "--detach", revision)
        dvc("cache", "dir", "--quiet", "--local", dvc("cache", "dir").strip(), folder=folder)
        dvc("checkout", "--quiet", "--allow-missing", folder=folder)
        try:
            run = _load_run(folder, {"dvc.experiment": name, "git.dirty": "false", **_revision(revision)})
            _check_complete(folder)
        except ObesityLevelsError as error:
            raise ArtifactError(f"experiment {name}: {error}".replace(f"{folder}/", "")) from error
        yield run


def experiments(*options: str) -> list[Experiment]:
    """The experiments of this repository by name: of the last commit, or as `options` of `dvc exp list` say."""
    # By baseline, each line with a short revision and a name; `--name-only` and `--sha-only` have different orders.
    listed = re.findall(r"^\s+(\w+) \[(.+)\]$", dvc("exp", "list", *options), re.MULTILINE)
    return sorted(Experiment(name, git("rev-parse", revision)) for revision, name in listed)


def find_experiment(name: str) -> Experiment:
    """The experiment with this name, or whose revision begins with it. Raises RegistryError unless there is one."""
    everywhere = experiments("--all-commits")
    found = [one for one in everywhere if name == one.name or (len(name) > 3 and one.revision.startswith(name))]
    if not found:
        raise RegistryError(f"there is no experiment '{name}' (`dvc exp list -A` names them)")
    if len(found) > 1:
        revisions = ", ".join(one.revision[:7] for one in found)
        raise RegistryError(f"several experiments are called '{name}': choose one by its revision ({revisions})")
    return found[0]


def md5(path: Path) -> str:
    """The md5 of a file, as DVC computes it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _load_run(folder: Path, tags: dict[str, str]) -> PipelineRun:
    outs = [out for stage in load_yaml(folder / DVC_LOCK, Lock).stages.values() for out in stage.outs]
    written = sorted((out.path, out.md5) for out in outs if Path(out.path).parts[0] in _WRITTEN)
    for name, locked in written:
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing, also in DVC's cache: run `dvc repro`, or `dvc pull`")
        if md5(path) != locked:
            raise ArtifactError(f"{path} is not the file that dvc.lock names: it was edited or replaced")
    manifest = load_classifier(folder / MODELS).manifest
    load_reference(folder / MODELS / DRIFT_REFERENCE)
    for metrics in _OF_A_MODEL:
        _check_model_version(folder / metrics, manifest)
    digest = hashlib.sha256(json.dumps(written).encode()).hexdigest()
    described = {
        SHA256: manifest.sha256,
        DIGEST: digest,
        "data.simulated": str(manifest.data.simulated).lower(),
        "data.md5": manifest.data.md5,
    }
    return PipelineRun(folder, manifest, described | tags | {f"dvc.md5.{out.path}": out.md5 for out in outs}, digest)


def _check_model_version(path: Path, manifest: Manifest) -> None:
    try:
        version = json.loads(path.read_bytes())["model_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is missing, or not what the pipeline writes: run `dvc repro`") from error
    if version != manifest.version:
        raise ArtifactError(f"{path} measured {version}, and {MODELS} holds {manifest.version}: run `dvc repro`")


def _check_complete(folder: Path) -> None:
    """Raise ArtifactError where the params or the code in `folder` are not those that its dvc.lock was made from.

    An experiment that was run up to a stage stops there; the later stages are still those of its baseline.
    """
    status: dict[str, Any] = json.loads(dvc("status", "--json", folder=folder))
    # "deleted" are files that are not in git: the source, and outs that the cache no longer holds.
    changed = [stage for stage, found in status.items() if any(value != "deleted" for _, value in leaves(found))]
    if changed:
        raise ArtifactError(f"not run to its end: params or code of these stages changed: {', '.join(sorted(changed))}")


def _revision(name: str) -> dict[str, str]:
    return {"git.revision": git("rev-parse", name)}
