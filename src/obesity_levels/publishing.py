"""MLflow's registry mirrors what the pipeline made: `python -m obesity_levels.publishing publish | promote | fetch`.

No stage knows of it. MLFLOW_TRACKING_URI names a server; without it, mlflow.db in this folder is the registry.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from obesity_levels.drift.batch import Batch
from obesity_levels.drift.histograms import DRIFT_REFERENCE, load_reference
from obesity_levels.errors import ArtifactError, ObesityLevelsError, RegistryError
from obesity_levels.evaluation import label_metrics
from obesity_levels.gate import Gate
from obesity_levels.git import git
from obesity_levels.params import load_yaml, read_yaml
from obesity_levels.schema import ANSWERS, LEVELS, QUESTIONS, SCALES
from obesity_levels.scoring import CLASSIFIER, MANIFEST, Manifest, load_classifier, most_probable
from obesity_levels.tables import Rows, read_split

if TYPE_CHECKING:
    from dvc.dependency.base import Dependency
    from dvc.repo import Repo
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

NAME = "obesity-levels"
"""Of the registered model, and of the MLflow experiment that its runs are in."""
CHALLENGER, CHAMPION = "challenger", "champion"
LOCAL_REGISTRY = "sqlite:///mlflow.db"
CHOSEN_BY = "f1_weighted"
"""The metric, on validation rows, by which a challenger has to beat the champion."""

MODELS, METRICS, FEATURES = Path("models"), Path("metrics"), Path("data/features")
EVALUATION, GATE, MODEL_CARD = "evaluate.json", "gate.json", "model_card.md"
# Of which model they are, each of these says.
_OF_THE_MODEL = (EVALUATION, GATE, "drift.json")
# Where the files lie that were made, and are told apart by.
_MADE = ("models", "metrics", "plots")
# What a run shows beside the model.
_REPORTED = ("metrics", "plots", "params.yaml", "dvc.lock")
# What is served: a folder of these, as MODEL_DIR is.
_SERVED = (CLASSIFIER, MANIFEST, DRIFT_REFERENCE, EVALUATION)
# What `mlflow_model` needs of this package, and of others: nothing that trains.
_MODULES = ("__init__", "errors", "features", "schema", "scoring")
_REQUIREMENTS = ("mlflow", "msgspec", "numpy", "onnxruntime", "pandas")
# Tags of runs and versions: the classifier's, and that of everything that was made, by which they are found again.
_SHA256, _DIGEST = "sha256", "digest"
# What MLflow waits for a server, and how often it asks again; not its own minutes.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # It would print a password that is part of the server's address.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LONGEST_DESCRIPTION = 7500


class LockedFile(msgspec.Struct):
    """An output in dvc.lock; one without an md5 was never made."""

    path: str
    md5: str = ""


class LockedStage(msgspec.Struct):
    """A stage in dvc.lock."""

    outs: list[LockedFile] = []


class Lock(msgspec.Struct):
    """What is read of dvc.lock."""

    stages: dict[str, LockedStage]


class Experiment(NamedTuple):
    """An experiment of DVC: its name, its revision, and what it was run upon."""

    name: str
    revision: str
    baseline: str


class Made(NamedTuple):
    """What one run of the pipeline made: where its files are, of which model, from where, and a digest of all of it."""

    folder: Path
    manifest: Manifest
    tags: dict[str, str]
    digest: str


def publish(made: Made, *, challenger: bool = True) -> tuple[str, bool]:
    """Log a run and register its model, as the challenger or not. Returns the version, and whether it is new.

    What is registered already, in every file, is left as it is. What an interrupted attempt left is cleared away
    first. Raises RegistryError if the registry does not do it.
    """
    with _registry() as client:
        _create_registered_model(client)
        known = _registered(client, made.digest)
        if known is not None:
            return known.version, False
        _clear_away(client, made.digest)
        run_id, model = _log_run(made)
        version = client.create_model_version(
            NAME, model.model_uri, run_id, description=_origin(made.manifest), model_id=model.model_id
        ).version
        client.set_model_version_tag(NAME, version, _SHA256, made.manifest.sha256)
        if challenger:
            client.set_registered_model_alias(NAME, CHALLENGER, version)
        # Last: a version that has this is whole.
        client.set_model_version_tag(NAME, version, _DIGEST, made.digest)
        return version, True


def promote() -> str:
    """Make the committed model of this folder the champion, if it may be. Returns what was done, in words.

    Raises ArtifactError if the workspace is not as committed, RegistryError if the model is not registered, fails the
    gate, or does not beat the champion on this workspace's validation rows.
    """
    made = of_workspace()
    _check_committed()
    gate = msgspec.json.decode((METRICS / GATE).read_bytes(), type=Gate)
    if not gate.passed:
        failing = "; ".join(f"{name}: {found}" for name, found in gate.conditions.items() if not found.holds)
        raise RegistryError(f"{made.manifest.version} does not meet the gate ({METRICS / GATE}): {failing}")
    with _registry() as client:
        version = _registered(client, made.digest)
        if version is None:
            raise RegistryError(f"{made.manifest.version}, as it is here, is not registered: run `make publish` first")
        champion = _by_alias(client, CHAMPION)
        if champion is not None and champion.version == version.version:
            return f"version {version.version} ({made.manifest.version}) is the champion already"
        rows = read_split(FEATURES, "validation")
        score, beaten = _score(MODELS, rows), ""
        if champion is not None and champion.tags.get(_SHA256) == made.manifest.sha256:
            beaten = f"; version {champion.version} is the same classifier, with other figures"
        elif champion is not None:
            with _downloaded(f"models:/{NAME}/{champion.version}") as folder:
                best = _score(folder, rows)
            if score <= best:
                raise RegistryError(
                    f"{made.manifest.version} does not beat the champion, version {champion.version}: {CHOSEN_BY} "
                    f"{score:.6f} against {best:.6f} on the same {len(rows.labels)} validation rows"
                )
            beaten = f", which beats version {champion.version} with {best:.6f}"
        tags = {
            "promoted_from": made.tags["git.revision"],
            f"validation.{CHOSEN_BY}": f"{score:.6f}",
            "validation.md5": _md5(FEATURES / "validation.parquet"),
        }
        for key, value in tags.items():
            client.set_model_version_tag(NAME, version.version, key, value)
        client.set_registered_model_alias(NAME, CHAMPION, version.version)
        return (
            f"version {version.version} ({made.manifest.version}) is the champion now: {CHOSEN_BY} {score:.6f}{beaten}"
        )


def fetch(alias: str, folder: Path) -> Manifest:
    """Put the files that are served of the version with `alias` into `folder`, as MODEL_DIR takes them.

    `folder` is replaced as a whole, once what was fetched has been verified. Raises RegistryError if there is none.
    """
    with _registry() as client:
        version = _by_alias(client, alias)
        if version is None:
            raise RegistryError(f"no version of {NAME} has the alias '{alias}': run `make publish`, or `make promote`")
        with _downloaded(f"models:/{NAME}/{version.version}") as found:
            manifest = load_classifier(found).manifest
            foreign = folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {*_SERVED})
            if foreign:
                raise RegistryError(f"{folder} holds other things than a model: name a folder of its own with --to")
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
                fresh = Path(beside) / "fresh"
                fresh.mkdir(mode=0o755)
                for name in _SERVED:
                    shutil.copy(found / name, fresh)
                if folder.exists():
                    folder.rename(Path(beside) / "old")
                fresh.rename(folder)
            return manifest


def of_workspace() -> Made:
    """What the last `dvc repro` left in this folder.

    Raises ArtifactError where its parts are not of one run, or where DVC would make one of them anew.
    """
    made = _made(Path(), {"git.dirty": str(bool(git("status", "--porcelain"))).lower(), **_revision("HEAD")})
    _check_up_to_date()
    return made


@contextmanager
def of_experiment(experiment: Experiment) -> Iterator[Made]:
    """What an experiment made: its files from git and from DVC's cache, in a folder that is removed after.

    Raises ArtifactError if the cache has not its files, or where they are not of one run.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    name, revision = experiment.name, experiment.revision
    with tempfile.TemporaryDirectory() as folder:
        files = DVCFileSystem(rev=revision)
        for path in ("models", *_REPORTED):
            try:
                files.get(path, str(Path(folder) / path), recursive=True)
            except (OSError, DvcException) as error:
                raise ArtifactError(f"experiment {name}: {path} is not in DVC's cache (dvc pull): {error}") from error
        try:
            made = _made(Path(folder), {"dvc.experiment": name, "git.dirty": "false", **_revision(revision)})
            _check_run_whole(revision)
        except ObesityLevelsError as error:
            raise ArtifactError(f"experiment {name}: {error}".replace(f"{folder}/", "")) from error
        yield made


def experiments() -> list[Experiment]:
    """The experiments of this repository, of all commits, by name."""
    from dvc.repo import Repo

    with _repository(Repo) as repo:
        listed = repo.experiments.ls(all_commits=True)
    return sorted(
        Experiment(name, revision, baseline)
        for baseline, found in listed.items()
        for name, revision in found
        if revision
    )


def experiment_called(name: str) -> Experiment:
    """The experiment with this name, or whose revision begins so. Raises RegistryError unless it is one."""
    found = [one for one in experiments() if name == one.name or (len(name) > 3 and one.revision.startswith(name))]
    if not found:
        raise RegistryError(f"there is no experiment '{name}' (dvc exp list -A names them)")
    if len(found) > 1:
        revisions = ", ".join(one.revision[:7] for one in found)
        raise RegistryError(f"several experiments are called '{name}': say which by its revision ({revisions})")
    return found[0]


def _made(folder: Path, tags: dict[str, str]) -> Made:
    outs = [out for stage in load_yaml(folder / "dvc.lock", Lock).stages.values() for out in stage.outs]
    locked = {f"dvc.md5.{out.path}": out.md5 for out in outs}
    made = sorted((out.path, out.md5) for out in outs if Path(out.path).parts[0] in _MADE)
    for name, md5 in made:
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is not there: run `dvc repro`")
        if _md5(folder / name) != md5:
            raise ArtifactError(
                f"{folder / name} is not the one that dvc.lock names: it was edited or replaced; run `dvc repro`"
            )
    manifest = load_classifier(folder / MODELS).manifest
    load_reference(folder / MODELS / DRIFT_REFERENCE)
    for name in _OF_THE_MODEL:
        path = folder / METRICS / name
        try:
            version = json.loads(path.read_bytes())["model_version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is not there, or not what the pipeline writes: run `dvc repro`") from error
        if version != manifest.version:
            raise ArtifactError(f"{path} measured {version}, and {MODELS} holds {manifest.version}: run `dvc repro`")
    digest = hashlib.sha256(json.dumps(made).encode()).hexdigest()
    simulated = {"data.simulated": str(manifest.data.simulated).lower(), "data.md5": manifest.data.md5}
    own = {_SHA256: manifest.sha256, _DIGEST: digest}
    return Made(folder, manifest, {**own, **simulated, **tags, **locked}, digest)


def _log_run(made: Made) -> tuple[str, ModelInfo]:
    """A new run with all that was made: its id, and its model."""
    import mlflow

    mlflow.set_experiment(NAME)
    name = made.tags.get("dvc.experiment", made.manifest.version)
    # Else MLflow notes where this file lies, which commit is checked out, and git's remote, a token in it too.
    source = {
        "mlflow.source.name": "python -m obesity_levels.publishing",
        "mlflow.source.git.commit": made.tags["git.revision"],
        "mlflow.source.git.repoURL": "",
    }
    with mlflow.start_run(run_name=name, tags=made.tags | source) as run:
        mlflow.log_params({key: json.dumps(value) for key, value in _leaves(read_yaml(made.folder / "params.yaml"))})
        metrics = {
            f"{path.stem}.{key}": float(value)
            for path in sorted((made.folder / METRICS).glob("*.json"))
            for key, value in _leaves(json.loads(path.read_bytes()), lists=True)
            if isinstance(value, int | float)
        }
        mlflow.log_metrics(metrics)
        for reported in _REPORTED:
            path = made.folder / reported
            if path.is_dir():
                mlflow.log_artifacts(str(path), reported)
            else:
                mlflow.log_artifact(str(path))
        card = (made.folder / METRICS / MODEL_CARD).read_text(encoding="utf-8")
        mlflow.set_tag("mlflow.note.content", _description(card))
        return run.info.run_id, _log_model(made)


def _description(card: str) -> str:
    """The card as far as a run's description can hold it, in whole sections."""
    if len(card) <= _LONGEST_DESCRIPTION:
        return card
    whole, _, _ = card[:_LONGEST_DESCRIPTION].rpartition("\n## ")
    return f"{whole}\n\nThe rest of the card is among the artifacts: metrics/{MODEL_CARD}.\n"


def _log_model(made: Made) -> ModelInfo:
    import mlflow
    import pandas as pd

    package = Path(__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        files, code = Path(scratch) / NAME, Path(scratch) / package.name
        files.mkdir()
        code.mkdir()
        for name in _SERVED:
            shutil.copy(made.folder / (METRICS if name == EVALUATION else MODELS) / name, files)
        for module in _MODULES:
            shutil.copy(package / f"{module}.py", code)
        example = pd.DataFrame([{name: question.example for name, question in QUESTIONS.items()}])
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(package / "mlflow_model.py"),
            artifacts={"files": str(files)},
            code_paths=[str(code)],
            signature=_signature(),
            input_example=example,
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS],
        )


def _signature() -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema, TensorSpec

    # Every column has to be there, as in a request to the service; each cell may be null.
    answers: list[ColSpec | TensorSpec] = [ColSpec("double" if name in SCALES else "string", name) for name in ANSWERS]
    return ModelSignature(
        Schema(answers), Schema([ColSpec("string", "prediction"), *(ColSpec("double", level) for level in LEVELS)])
    )


def _score(models: Path, rows: Rows) -> float:
    """How good the model in `models`, of whatever profile, is on `rows`."""
    classifier = load_classifier(models)
    probabilities = classifier.probabilities(Batch.of_splits(rows).matrix(classifier.manifest.profile))
    return label_metrics(rows.labels, most_probable(probabilities))[CHOSEN_BY]


@contextmanager
def _registry() -> Iterator[MlflowClient]:
    """A client of a registry that answers. Its errors become RegistryError; a server is not waited for for minutes."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    uri = os.environ.get("MLFLOW_TRACKING_URI") or LOCAL_REGISTRY
    try:
        mlflow.set_tracking_uri(uri)
        yield MlflowClient()
    # ImportError: a database whose driver is not installed.
    except (MlflowException, SQLAlchemyError, RequestException, ImportError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"MLflow's registry {uri} did not do it, nothing is lost ({reason})"
        raise RegistryError(_without_secrets(message, uri)) from error


def _without_secrets(message: str, uri: str) -> str:
    """Without what may hold a password: what stands before the host, and behind the question mark."""
    parts = urlsplit(uri)
    login = parts.netloc.rpartition("@")[0]
    for secret in (f"{login}@" if login else "", f"?{parts.query}" if parts.query else ""):
        message = message.replace(secret, "") if secret else message
    return message


def _create_registered_model(client: MlflowClient) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _registered(client: MlflowClient, digest: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name = '{NAME}' and tag.{_DIGEST} = '{digest}'")
    return client.get_model_version(NAME, found[0].version) if found else None


def _by_alias(client: MlflowClient, alias: str) -> ModelVersion | None:
    found = client.search_registered_models(f"name = '{NAME}'")
    version = found[0].aliases.get(alias) if found else None
    return None if version is None else client.get_model_version(NAME, version)


def _clear_away(client: MlflowClient, digest: str) -> None:
    """Delete what an attempt that did not come to its end left: of two at once, the later one stays."""
    experiment = client.get_experiment_by_name(NAME)
    if experiment is None:
        return
    ids = [experiment.experiment_id]
    for run in client.search_runs(ids, f"tags.{_DIGEST} = '{digest}'"):
        run_id = run.info.run_id
        for version in client.search_model_versions(f"run_id = '{run_id}'"):
            client.delete_model_version(NAME, version.version)
        for model in client.search_logged_models(ids, f"source_run_id = '{run_id}'"):
            client.delete_logged_model(model.model_id)
        client.delete_run(run_id)


@contextmanager
def _downloaded(uri: str) -> Iterator[Path]:
    """The folder of the files that are served of a registered model."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as scratch:
        yield Path(download_artifacts(artifact_uri=uri, dst_path=scratch)) / "artifacts" / NAME


@contextmanager
def _repository(kind: type[Repo]) -> Iterator[Repo]:
    from dvc.exceptions import DvcException

    try:
        with kind() as repo:
            yield repo
    except DvcException as error:
        raise ArtifactError(f"DVC: {error}") from error


def _check_committed() -> None:
    """Raise ArtifactError unless git says that this folder is as committed."""
    changed = git("status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:5]) + (", ..." if len(changed) > 5 else "")
        raise ArtifactError(f"commit first, what is promoted has to be found again; not as committed: {names}")


def _check_up_to_date() -> None:
    """Raise ArtifactError where `dvc repro` would have something to do."""
    from dvc.repo import Repo

    with _repository(Repo) as repo:
        stages = repo.status()
    if stages:
        raise ArtifactError(f"not as dvc.lock says: {', '.join(sorted(stages))}; run `dvc repro` first")


def _check_run_whole(revision: str) -> None:
    """Raise ArtifactError where params.yaml or the code of `revision` is not that of which its dvc.lock was made.

    An experiment with a target stops there: what comes after it is still that of the commit that it was run upon.
    """
    from dvc.repo import Repo

    with _repository(Repo) as repo, repo.switch(revision):
        made = {out.def_path: out.hash_info for stage in repo.index.stages for out in stage.outs}
        stages = [stage.addressing for stage in repo.index.stages if any(_changed(dep, made) for dep in stage.deps)]
    if stages:
        names = ", ".join(sorted(stage.rpartition(":")[2] for stage in stages))
        raise ArtifactError(f"not run to its end, what these make is not of its params and code: {names}")


def _changed(dependency: Dependency, made: dict[str, Any]) -> bool:
    """Whether a stage was run with another one. `made` are the hashes of the outs of all stages."""
    if dependency.def_path in made:
        return bool(dependency.hash_info != made[dependency.def_path])
    # "deleted" are files that are not in git: the source, and parts of an out.
    return any(status != "deleted" for _, status in _leaves(dependency.status()))


def _revision(name: str) -> dict[str, str]:
    return {"git.revision": git("rev-parse", name)}


def _origin(manifest: Manifest) -> str:
    made_of = "simulated people" if manifest.data.simulated else f"the rows of {manifest.data.source}"
    return f"{manifest.version}: {manifest.model}, profile {manifest.profile}, of {made_of}"


def _leaves(tree: Any, prefix: str = "", *, lists: bool = False) -> Iterator[tuple[str, Any]]:
    """The values of nested mappings (and of lists, where asked), each with its keys, joined by dots."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict) or (lists and isinstance(value, list)):
            yield from _leaves(value, f"{prefix}{key}.", lists=lists)
        else:
            yield f"{prefix}{key}", value


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. The exit status is 0, or 1 with an error in one line."""
    options = _parser().parse_args(arguments)
    try:
        return int(not options.do(options))
    except (ObesityLevelsError, OSError) as error:  # OSError: a disk that is full, a folder that may not be written
        print(f"error: {error}", file=sys.stderr)
        return 1


def _publish(options: argparse.Namespace) -> bool:
    if not (options.exp or options.all_experiments):
        made = of_workspace()
        _publish_and_say(made)
        return True
    chosen = experiments() if options.all_experiments else [experiment_called(name) for name in options.exp]
    if not chosen:
        print("there are no experiments (dvc exp run makes one)")
    failed = 0
    for experiment in chosen:
        try:
            with of_experiment(experiment) as made:
                # Of many at once none is meant.
                _publish_and_say(made, challenger=not options.all_experiments)
        # One that was never run to its end is no reason to leave out the others; a registry that is away is.
        except ArtifactError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    return not failed


def _publish_and_say(made: Made, *, challenger: bool = True) -> None:
    version, is_new = publish(made, challenger=challenger)
    name = f" ({experiment})" if (experiment := made.tags.get("dvc.experiment")) else ""
    said = f"{made.manifest.version}{name} is version {version} of {NAME}"
    if not is_new:
        said += " already: nothing to do"
    elif challenger:
        said += f", the {CHALLENGER}"
    print(said)


def _promote(options: argparse.Namespace) -> bool:
    print(promote())
    return True


def _fetch(options: argparse.Namespace) -> bool:
    manifest = fetch(options.alias, options.to)
    print(
        f"{options.to} holds the {options.alias}, {manifest.version}: serve it with MODEL_DIR={options.to} make serve"
    )
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m obesity_levels.publishing", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("publish", help="log what was made, and register its model, once per artifact")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--exp", action="append", default=[], metavar="NAME", help="an experiment, not the workspace")
    which.add_argument("--all-experiments", action="store_true", help="all experiments")
    command.set_defaults(do=_publish)
    command = commands.add_parser("promote", help="make the committed model the champion, if it may be")
    command.set_defaults(do=_promote)
    command = commands.add_parser("fetch", help="take a registered model's files, for MODEL_DIR")
    command.add_argument("--alias", default=CHAMPION, help="of the version to take (default: %(default)s)")
    command.add_argument("--to", type=Path, default=Path(CHAMPION), metavar="DIR", help="(default: %(default)s)")
    command.set_defaults(do=_fetch)
    return parser


if __name__ == "__main__":
    sys.exit(main())
