"""A pipeline run as a run of MLflow: params, metrics, plots, the model card, and the model as a pyfunc."""

import importlib.metadata
import json
import shutil
import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types.schema import ColSpec, Schema, TensorSpec

from obesity_levels import paths
from obesity_levels.io import leaves, read_json
from obesity_levels.params import read_yaml
from obesity_levels.registry import NAME
from obesity_levels.registry.pipeline_run import PipelineRun
from obesity_levels.schema import ANSWERS, LEVELS, QUESTIONS, SCALES

_FILES = (
    *(paths.MODELS / name for name in (paths.CLASSIFIER, paths.MANIFEST, paths.DRIFT_REFERENCE)),
    paths.EVALUATE_METRICS,
)
SERVED = tuple(path.name for path in _FILES)
"""The files that are served: the content of a folder that MODEL_DIR names."""

_REPORTED = (paths.METRICS, paths.PLOTS, paths.PARAMS_YAML, paths.DVC_LOCK)
# What the pyfunc needs of this package and of others: nothing that trains.
_MODULES = ("__init__", "errors", "paths", "schema", "model/__init__", "model/features", "model/classifier")
_REQUIREMENTS = ("mlflow", "msgspec", "numpy", "onnxruntime", "pandas")
_LONGEST_DESCRIPTION = 7500


def log_run(run: PipelineRun) -> tuple[str, ModelInfo]:
    """Log a pipeline run as a new run of MLflow; return its id and its model."""
    mlflow.set_experiment(NAME)
    name = run.tags.get("dvc.experiment", run.manifest.version)
    # Otherwise MLflow logs the path of this file, the checked-out commit, and git's remote with any token in it.
    source = {
        "mlflow.source.name": "obesity-levels publish",
        "mlflow.source.git.commit": run.tags["git.revision"],
        "mlflow.source.git.repoURL": "",
    }
    with mlflow.start_run(run_name=name, tags=run.tags | source) as mlflow_run:
        params = leaves(read_yaml(run.folder / paths.PARAMS_YAML), into_lists=False)
        mlflow.log_params({key: json.dumps(value) for key, value in params})
        for path in sorted((run.folder / paths.METRICS).glob("*.json")):
            metrics = leaves(read_json(path), f"{path.stem}.")
            mlflow.log_metrics({key: float(value) for key, value in metrics if isinstance(value, int | float)})
        for reported in _REPORTED:
            path = run.folder / reported
            if path.is_dir():
                mlflow.log_artifacts(str(path), str(reported))
            else:
                mlflow.log_artifact(str(path))
        card = (run.folder / paths.MODEL_CARD).read_text(encoding="utf-8")
        mlflow.set_tag("mlflow.note.content", _description(card))
        return mlflow_run.info.run_id, _log_model(run)


def _description(card: str) -> str:
    """The card, as many whole sections as the description of a run can hold."""
    if len(card) <= _LONGEST_DESCRIPTION:
        return card
    whole, _, _ = card[:_LONGEST_DESCRIPTION].rpartition("\n## ")
    return f"{whole}\n\nThe rest of the card is among the artifacts: {paths.MODEL_CARD}.\n"


def _log_model(run: PipelineRun) -> ModelInfo:
    package = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        files, code = Path(scratch) / NAME, Path(scratch) / package.name
        files.mkdir()
        (code / "model").mkdir(parents=True)
        for path in _FILES:
            shutil.copy(run.folder / path, files)
        for module in _MODULES:
            shutil.copy(package / f"{module}.py", code / f"{module}.py")
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(package / "registry/pyfunc_model.py"),
            artifacts={"files": str(files)},
            code_paths=[str(code)],
            signature=_signature(),
            input_example=pd.DataFrame([{name: question.example for name, question in QUESTIONS.items()}]),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS],
        )


def _signature() -> ModelSignature:
    # Every column is required, as in a request to the service; each cell may be null.
    answers: list[ColSpec | TensorSpec] = [ColSpec("double" if name in SCALES else "string", name) for name in ANSWERS]
    return ModelSignature(
        Schema(answers), Schema([ColSpec("string", "prediction"), *(ColSpec("double", level) for level in LEVELS)])
    )
