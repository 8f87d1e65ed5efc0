"""What a run of the pipeline reports: its metrics/ and plots/, in a folder or at a revision."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from obesity_levels.errors import ArtifactError, RegistryError, check_merged
from obesity_levels.model.classifier import Manifest, load_manifest
from obesity_levels.paths import EVALUATE_METRICS, MANIFEST, METRICS, MODELS, PLOTS
from obesity_levels.registry.pipeline_run import find_experiment
from obesity_levels.versioning import dvc, git, git_file

_FOLDERS = (METRICS, PLOTS)
_MANIFEST = (MODELS / MANIFEST).as_posix()


class Reported(NamedTuple):
    """What a run reports.

    `name` is the run's name in the report. `revision` is its commit, None for a folder. `metrics` has the content of
    each JSON file in metrics/, by its name without the suffix. `plots` has the PNG files in plots/, by their path.
    `candidates` has the scores of each candidate of the search; it is empty where the model's manifest is not here,
    which is the only file that is not in git. `is_one_run` is false where stages were run for different models.
    """

    name: str
    revision: str | None
    metrics: dict[str, Any]
    plots: dict[str, bytes]
    candidates: dict[str, Any]
    is_one_run: bool


def reported_at(name: str | None) -> Reported:
    """What a revision of git or an experiment of DVC reports; for None, the workspace.

    Raises ArtifactError if there is no such revision or experiment, or if it has no metrics; ConflictError if a file of
    the workspace has a merge conflict.
    """
    if name is None:
        check_merged()
        return reported_in(Path(), "the workspace")
    title, revision = _find(name)
    # These files are in git (`cache: false` in dvc.yaml): DVC's commands read them there too.
    listed = git("ls-tree", "-r", "-z", "--name-only", revision, *(f"{folder.as_posix()}/" for folder in _FOLDERS))
    files = {path: git_file(revision, path) for path in listed.split("\0") if _is_shown(path)}
    return _reported(title, revision, files, _manifest_at(revision))


def reported_in(folder: Path, name: str) -> Reported:
    """What the run in `folder` reports. Raises ArtifactError if it has no metrics."""
    found = (path for inside in _FOLDERS for path in sorted((folder / inside).rglob("*")))
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found if _is_shown(path.name)}
    return _reported(name, None, files, _manifest(folder / _MANIFEST))


def _find(name: str) -> tuple[str, str]:
    try:
        revision = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except ArtifactError:
        try:
            experiment, revision = find_experiment(name)
        except RegistryError as error:
            raise ArtifactError(f"'{name}' is no revision of git, and {error}") from error
        return f"experiment {experiment}", revision
    return f"revision {revision[:7]}", revision


def _is_shown(path: str) -> bool:
    return path.endswith((".json", ".png"))


def _manifest_at(revision: str) -> Manifest | None:
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch, MANIFEST)
        try:
            dvc("get", "--quiet", "--rev", revision, "--out", str(manifest), ".", _MANIFEST)
        except ArtifactError:  # neither DVC's cache nor its default remote has it
            return None
        return _manifest(manifest)


def _manifest(path: Path) -> Manifest | None:
    try:
        return load_manifest(path)
    except ArtifactError:  # it is not here, or another version of the code wrote it: the rest can be shown
        return None


def _reported(name: str, revision: str | None, files: Mapping[str, bytes], manifest: Manifest | None) -> Reported:
    if EVALUATE_METRICS.as_posix() not in files:
        raise ArtifactError(f"{name} has no {EVALUATE_METRICS}: run `dvc repro` there")
    read = {path: _json(name, path, content) for path, content in files.items() if path.endswith(".json")}
    metrics = {Path(path).stem: content for path, content in read.items()}
    plots = {path: content for path, content in files.items() if path.endswith(".png")}
    models = {content["model_version"] for content in metrics.values() if "model_version" in content}
    if manifest:
        models.add(manifest.version)
    # in a workspace the manifest may be of another run than the metrics
    candidates = _candidates(manifest) if manifest and models == {manifest.version} else {}
    return Reported(name, revision, metrics, plots, candidates, len(models) < 2)


def _json(name: str, path: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{path} of {name} is not JSON: run `dvc repro` there") from error


def _candidates(manifest: Manifest) -> dict[str, Any]:
    """The scores of each candidate of a search, as means with their deviation, by its model and params."""
    scores = {}
    for one in manifest.search.candidates:
        params = (f"{name}={value}" for name, value in one.params.items())
        scores[", ".join([one.model or manifest.model, *params])] = {
            "f1_weighted": {"mean": one.f1_weighted_mean, "std": one.f1_weighted_std},
            "accuracy_difference": {"mean": one.accuracy_difference, "std": one.standard_error},
            "chosen": one.params == manifest.search.chosen and one.model in (manifest.model, None),
        }
    return scores
