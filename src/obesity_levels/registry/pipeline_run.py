"""What one run of the pipeline made, in the workspace or as an experiment of DVC, checked against its dvc.lock."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from obesity_levels import paths
from obesity_levels.errors import ArtifactError, ObesityLevelsError, RegistryError, check_merged
from obesity_levels.model.classifier import Manifest, load_manifest
from obesity_levels.params import read_yaml
from obesity_levels.versioning import dvc, git

SHA256, DIGEST = "sha256", "digest"
"""Tags of runs and versions: the sha256 of the classifier, and the digest of everything that the run made."""

# Folders that a pipeline run writes; their digest identifies it.
_WRITTEN = tuple(f"{folder}/" for folder in (paths.MODELS, paths.METRICS, paths.PLOTS))


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

    Raises ArtifactError if `dvc repro` would have something to do; ConflictError if a file has a merge conflict.
    """
    check_merged()
    changed = [f"{stage} ({what})" for stage, what, _ in _changes(Path())]
    if changed:
        raise ArtifactError(f"not as dvc.lock says: {', '.join(changed)}; run `dvc repro` first")
    dirty = str(bool(git("status", "--porcelain"))).lower()
    return _load_run(Path(), {"git.dirty": dirty, "git.revision": git("rev-parse", "HEAD")})


@contextmanager
def experiment_run(experiment: Experiment) -> Iterator[PipelineRun]:
    """What an experiment made: its files from git and from DVC's cache, in a folder that is removed afterwards.

    Raises ArtifactError if the cache lacks files, or if stages were not run with the experiment's params and code. An
    experiment that was run only up to a stage still has the files of its baseline in the later stages.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            run = _checked_out(experiment, Path(scratch))
        except ObesityLevelsError as error:
            raise ArtifactError(f"experiment {experiment.name}: {error}".replace(f"{scratch}/", "")) from error
        yield run


def _checked_out(experiment: Experiment, scratch: Path) -> PipelineRun:
    name, revision = experiment
    # Not a clone: that may be of a shallow repository. The project may be in a subfolder of the repository.
    git("init", "--quiet", folder=scratch)
    git("fetch", "--quiet", "--depth", "1", git("rev-parse", "--show-toplevel"), revision, folder=scratch)
    git("checkout", "--quiet", "--detach", "FETCH_HEAD", folder=scratch)
    folder = scratch / git("rev-parse", "--show-prefix")
    # DVC cannot write a path with other characters than ASCII: it is given that of a link.
    cache = scratch / ".git/dvc-cache"
    cache.symlink_to(dvc("cache", "dir").strip())
    dvc("cache", "dir", "--quiet", "--local", str(cache), folder=folder)
    dvc("checkout", "--quiet", "--allow-missing", folder=folder)
    # The source, and rows that the cache no longer holds, may be missing; what was made of them may not.
    changed = [
        f"{stage} ({what} {how})"
        for stage, what, how in _changes(folder)
        if how not in ("deleted", "not in cache") or what.startswith(_WRITTEN)
    ]
    if changed:
        raise ArtifactError(f"not complete (`dvc pull`, or run it to its end): {', '.join(changed)}")
    return _load_run(folder, {"dvc.experiment": name, "git.dirty": "false", "git.revision": revision})


def experiments(*options: str) -> list[Experiment]:
    """The experiments of this repository, sorted by name: those on the last commit, or those that `options` select.

    `options` are those of `dvc exp list`.
    """
    # The default listing is parsed: `--name-only` and `--sha-only` print the experiments in different orders.
    listed = re.findall(r"^\s+(\w+) \[(.+)\]$", dvc("exp", "list", *options), re.MULTILINE)
    return sorted(Experiment(name, git("rev-parse", "--verify", f"{revision}^{{commit}}")) for revision, name in listed)


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


def _load_run(folder: Path, tags: dict[str, str]) -> PipelineRun:
    stages = read_yaml(folder / paths.DVC_LOCK)["stages"].values()
    locked = sorted((out["path"], out["md5"]) for stage in stages for out in stage.get("outs", []))
    digest = hashlib.sha256(json.dumps([out for out in locked if out[0].startswith(_WRITTEN)]).encode()).hexdigest()
    manifest = load_manifest(folder / paths.MODELS / paths.MANIFEST)
    described = {
        SHA256: manifest.sha256,
        DIGEST: digest,
        "data.simulated": str(manifest.data.simulated).lower(),
        "data.md5": manifest.data.md5,
        **{f"dvc.md5.{name}": value for name, value in locked},
    }
    return PipelineRun(folder, manifest, described | tags, digest)


def _changes(folder: Path) -> Iterator[tuple[str, str, str]]:
    """What differs from dvc.lock: the stage, the file, and how (modified, deleted, …)."""
    for stage, entries in json.loads(dvc("status", "--json", folder=folder)).items():
        for entry in entries:
            for changed in entry.values() if isinstance(entry, dict) else [{entry: ""}]:
                yield from ((stage, what, how if isinstance(how, str) else "modified") for what, how in changed.items())
