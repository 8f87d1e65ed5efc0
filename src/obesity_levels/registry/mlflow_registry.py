"""MLflow's registry: publish a pipeline run, promote it to champion, fetch a registered model.

No stage uses it. MLFLOW_TRACKING_URI names a server; without it, mlflow.db in the current folder is the registry.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
import msgspec
import sqlalchemy
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from obesity_levels import paths
from obesity_levels.drift.batch import Batch
from obesity_levels.errors import ArtifactError, RegistryError
from obesity_levels.evaluation.gate import Gate
from obesity_levels.evaluation.metrics import label_metrics
from obesity_levels.io import Rows, read_split
from obesity_levels.model.classifier import Manifest, load_classifier, most_probable
from obesity_levels.registry import CHALLENGER, CHAMPION, NAME
from obesity_levels.registry.mlflow_run import SERVED, log_run
from obesity_levels.registry.pipeline_run import DIGEST, SHA256, PipelineRun, workspace_run
from obesity_levels.versioning import git

LOCAL_REGISTRY = "sqlite:///mlflow.db"
CHOSEN_BY = "f1_weighted"
"""The metric, on validation rows, by which a challenger has to beat the champion."""

# Tags of a version: the champion before it, and the one that it was rolled back to.
_REPLACED, _ROLLED_BACK = "replaced", "rolled_back_to"
_ARTIFACTS = "mlruns"
# Where MLflow keeps absolute paths of artifacts in its database.
_LOCATIONS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def publish(run: PipelineRun, *, challenger: bool = True) -> tuple[str, bool]:
    """Log a pipeline run and register its model, as challenger or without an alias.

    Returns the version, and whether it is new: what is registered already, with every file, is left as it is. What an
    interrupted attempt left is deleted first. Raises RegistryError if the registry fails.
    """
    with _registry() as client:
        if not client.search_registered_models(f"name = '{NAME}'"):
            with suppress(MlflowException):  # another `publish` made it at the same time; else the next call fails
                client.create_registered_model(NAME)
        registered = _registered(client, run.digest)
        if registered is not None:
            return registered, False
        _delete_incomplete_runs(client, run.digest)
        run_id, model = log_run(run)
        tags, text = {SHA256: run.manifest.sha256}, _description(run.manifest)
        version = client.create_model_version(
            NAME, model.model_uri, run_id, tags=tags, description=text, model_id=model.model_id
        ).version
        if challenger:
            client.set_registered_model_alias(NAME, CHALLENGER, version)
        # Last: a version with this tag is complete.
        client.set_model_version_tag(NAME, version, DIGEST, run.digest)
        return version, True


def promote() -> str:
    """Make the committed model of this folder the champion, if it may be. Returns a sentence that says what was done.

    Raises ArtifactError if the workspace is not as committed; RegistryError if the model is not registered, fails the
    gate, or does not beat the champion on the validation rows of this workspace.
    """
    run = workspace_run()
    name = run.manifest.version
    changed = [line[3:] for line in git("status", "--porcelain").splitlines()]
    if changed:
        names = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
        raise ArtifactError(f"commit first, so that the promoted model can be rebuilt; not committed: {names}")
    gate = msgspec.json.decode(paths.GATE_METRICS.read_bytes(), type=Gate)
    if not gate.passed:
        failing = "; ".join(f"{key}: {condition}" for key, condition in gate.conditions.items() if not condition.holds)
        raise RegistryError(f"{name} does not pass the gate ({paths.GATE_METRICS}): {failing}")
    with _registry() as client:
        version = _registered(client, run.digest)
        if version is None:
            raise RegistryError(f"{name} with these metrics and plots is not registered: run `make publish` first")
        champion = _by_alias(client, CHAMPION)
        if champion is not None and champion.version == version:
            return f"version {version} ({name}) is the champion already"
        rows = read_split(paths.FEATURES, "validation")
        score = _score(paths.MODELS, rows)
        beaten = "" if champion is None else _compare(champion, run.manifest, score, rows)
        client.set_model_version_tag(NAME, version, "promoted_from", run.tags["git.revision"])
        client.set_model_version_tag(NAME, version, f"validation.{CHOSEN_BY}", f"{score:.6f}")
        if champion is not None:
            client.set_model_version_tag(NAME, version, _REPLACED, str(champion.version))
        again = ""
        if _ROLLED_BACK in client.get_model_version(NAME, version).tags:
            client.delete_model_version_tag(NAME, version, _ROLLED_BACK)
            again = "; it had been rolled back"
        client.set_registered_model_alias(NAME, CHAMPION, version)
        return f"version {version} ({name}) is the champion now: {CHOSEN_BY} {score:.6f}{beaten}{again}"


def rollback() -> str:
    """Give the alias of the champion back to the version that it replaced. Returns a sentence that says what was done.

    With nothing changed, raises RegistryError if there is no champion or no version that it may go back to, and
    ArtifactError if the files of that version are altered.
    """
    with _registry() as client:
        champion = _by_alias(client, CHAMPION)
        if champion is None:
            raise RegistryError(f"no version of {NAME} has the alias '{CHAMPION}': there is nothing to roll back")
        former = _replaced_by(client, champion)
        with _downloaded(former) as folder:
            load_classifier(folder)  # what `fetch` would refuse must not become the champion
        # The alias last: if a call fails, the command can be run again.
        client.set_model_version_tag(NAME, champion.version, _ROLLED_BACK, str(former.version))
        client.set_registered_model_alias(NAME, CHAMPION, former.version)
        return (
            f"{_named(former)} is the champion again, in place of {_named(champion)}. A running service keeps its model"
            " until `make fetch-champion` and a restart"
        )


def fetch(alias: str, folder: Path) -> Manifest:
    """Copy the served files of the version with `alias` into `folder`, for MODEL_DIR.

    `folder` is replaced as a whole, after the new files were verified. Raises RegistryError if no version has `alias`,
    or if `folder` holds other files.
    """
    with registered_model(alias) as found:
        manifest = load_classifier(found).manifest
        if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {*SERVED}):
            raise RegistryError(f"{folder} holds other files than a model: name another folder with --to")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
            fresh = shutil.copytree(found, Path(beside) / "fresh")
            if folder.exists():
                folder.rename(Path(beside) / "old")
            fresh.rename(folder)
        return manifest


@contextmanager
def registered_model(alias: str) -> Iterator[Path]:
    """A folder with the served files of the version with `alias`. Raises RegistryError if there is none."""
    with _registry() as client:
        version = _by_alias(client, alias)
        if version is None:
            raise RegistryError(f"no version of {NAME} has the alias '{alias}': run `make publish`, or `make promote`")
        with _downloaded(version) as folder:
            yield folder


@contextmanager
def _registry() -> Iterator[mlflow.MlflowClient]:
    """A client of the registry, whose errors become RegistryError."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or LOCAL_REGISTRY
    try:
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient()
        if uri == LOCAL_REGISTRY:
            _follow_move()
        yield client
    # ImportError: a database whose driver is not installed.
    except (MlflowException, SQLAlchemyError, RequestException, ImportError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"MLflow's registry {uri} failed, and nothing is lost ({reason})"
        # Without the parts of an address that may hold a password: the login, and the query.
        raise RegistryError(re.sub(r"(?<=//)[^/\s]*@|\?[^\s)'\"]+", "", message)) from error


def _follow_move() -> None:
    """Make the local registry find its artifacts in this folder, which may have been moved or copied.

    MLflow makes every path absolute, and has no command that changes one.
    """
    here = (Path.cwd() / _ARTIFACTS).as_uri()
    with sqlalchemy.create_engine(LOCAL_REGISTRY).begin() as database:
        query = sqlalchemy.text("SELECT artifact_location FROM experiments WHERE name = :name")
        location = database.scalar(query, {"name": NAME}) or ""
        before, _, experiment = location.rpartition("/")
        local = before.startswith(("/", "file:///")) and before.endswith(f"/{_ARTIFACTS}")
        if not local or before in (here, str(Path(_ARTIFACTS).absolute())) or not Path(_ARTIFACTS, experiment).is_dir():
            return
        for table, column in _LOCATIONS.items():
            update = f"UPDATE {table} SET {column} = :here || substr({column}, length(:before) + 1)"
            inside = f"WHERE substr({column}, 1, length(:before) + 1) = :before || '/'"
            database.execute(sqlalchemy.text(f"{update} {inside}"), {"here": here, "before": before})


def _registered(client: mlflow.MlflowClient, digest: str) -> str | None:
    """The version with everything that `digest` identifies."""
    found = client.search_model_versions(f"name = '{NAME}' and tag.{DIGEST} = '{digest}'")
    return found[0].version if found else None


def _by_alias(client: mlflow.MlflowClient, alias: str) -> ModelVersion | None:
    found = client.search_registered_models(f"name = '{NAME}'")
    version = found[0].aliases.get(alias) if found else None
    return None if version is None else client.get_model_version(NAME, version)


def _replaced_by(client: mlflow.MlflowClient, champion: ModelVersion) -> ModelVersion:
    """The version that the champion replaced. Raises RegistryError if it is not known, deleted, or rolled back."""
    by_hand = f"to choose one by hand, give it the alias '{CHAMPION}' in `make mlflow-ui`"
    replaced = champion.tags.get(_REPLACED)
    if replaced is None:
        raise RegistryError(
            f"{_named(champion)} does not say which version it replaced: it is the first champion, or became it by hand"
            f" or before --rollback existed; {by_hand}"
        )
    versions = client.search_model_versions(f"name = '{NAME}' and version_number = {replaced}")
    if not versions:
        raise RegistryError(f"version {replaced}, which {_named(champion)} replaced, was deleted; {by_hand}")
    if _ROLLED_BACK in versions[0].tags:
        raise RegistryError(
            f"{_named(versions[0])}, which {_named(champion)} replaced, was rolled back itself; {by_hand}"
        )
    return versions[0]


def _named(version: ModelVersion) -> str:
    sha256 = version.tags.get(SHA256, "")  # none if somebody else registered it
    return f"version {version.version} ({sha256[:12] or 'unknown'})"


def _delete_incomplete_runs(client: mlflow.MlflowClient, digest: str) -> None:
    """Delete what an interrupted attempt left. Of two attempts at the same time, the later one remains."""
    experiment = client.get_experiment_by_name(NAME)
    if experiment is None:
        return
    ids = [experiment.experiment_id]
    for run in client.search_runs(ids, f"tags.{DIGEST} = '{digest}'"):
        run_id = run.info.run_id
        for version in client.search_model_versions(f"run_id = '{run_id}'"):
            client.delete_model_version(NAME, version.version)
        for model in client.search_logged_models(ids, f"source_run_id = '{run_id}'"):
            client.delete_logged_model(model.model_id)
        client.delete_run(run_id)


@contextmanager
def _downloaded(version: ModelVersion) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        uri = f"models:/{NAME}/{version.version}"
        model = Path(download_artifacts(artifact_uri=uri, dst_path=scratch))
        manifest = next(model.rglob(paths.MANIFEST), None)
        if manifest is None:
            raise RegistryError(
                f"the files of version {version.version} are not where it was registered: bring the folder {_ARTIFACTS}"
                " back, or delete the version in `make mlflow-ui` and run `make publish`"
            )
        yield manifest.parent


def _compare(champion: ModelVersion, manifest: Manifest, score: float, rows: Rows) -> str:
    """How the model relates to the champion, in words. Raises RegistryError if it does not beat it."""
    if champion.tags.get(SHA256) == manifest.sha256:
        return f"; version {champion.version} is the same classifier, with other metrics"
    with _downloaded(champion) as folder:
        best = _score(folder, rows)
    if score <= best:
        raise RegistryError(
            f"{manifest.version} does not beat the champion, version {champion.version}: {CHOSEN_BY} "
            f"{score:.6f} against {best:.6f} on the same {len(rows.labels)} validation rows"
        )
    return f", which beats version {champion.version} with {best:.6f}"


def _score(models: Path, rows: Rows) -> float:
    """The score of the model in `models`, of any profile, on `rows`."""
    classifier = load_classifier(models)
    probabilities = classifier.probabilities(Batch.of_splits(rows).matrix(classifier.manifest.profile))
    return label_metrics(rows.labels, most_probable(probabilities))[CHOSEN_BY]


def _description(manifest: Manifest) -> str:
    data = "simulated people" if manifest.data.simulated else f"the rows of {manifest.data.source}"
    return f"{manifest.version}: {manifest.model}, profile {manifest.profile}, of {data}"
