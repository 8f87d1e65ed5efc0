"""A pipeline run as a run of MLflow: params, metrics, plots, the report, the model card, and the model as a pyfunc."""

import importlib.metadata
import json
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models.model import ModelInfo

from obesity_levels import paths
from obesity_levels.io import leaves, read_json
from obesity_levels.params import read_yaml
from obesity_levels.registry import NAME
from obesity_levels.registry.pipeline_run import PipelineRun
from obesity_levels.registry.pyfunc_model import SIGNATURE
from obesity_levels.reporting.page import report_page
from obesity_levels.reporting.reported import reported_in
from obesity_levels.schema import QUESTIONS

_ARTIFACT = (paths.CLASSIFIER, paths.MANIFEST, paths.DRIFT_REFERENCE)
_FILES = (*(paths.MODELS / name for name in _ARTIFACT), paths.EVALUATE_METRICS)
SERVED = tuple(path.name for path in _FILES)
"""The files that are served: the content of a folder that MODEL_DIR names."""

_REPORTED = (paths.METRICS, paths.PLOTS, paths.PARAMS_YAML, paths.DVC_LOCK)
# What the pyfunc needs of other packages: nothing that trains.
_REQUIREMENTS = ("mlflow", "msgspec", "numpy", "onnxruntime", "pandas")


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
            mlflow.log_artifact(str(run.folder / reported))
        mlflow.log_text(report_page(reported_in(run.folder, name)), "report.html")
        # The description of the run. MLflow cuts it off where it is too long.
        mlflow.set_tag("mlflow.note.content", (run.folder / paths.MODEL_CARD).read_text(encoding="utf-8"))
        return mlflow_run.info.run_id, _log_model(run)


def _log_model(run: PipelineRun) -> ModelInfo:
    package = Path(__file__).parent.parent
    return mlflow.pyfunc.log_model(
        name="model",
        python_model=str(package / "registry/pyfunc_model.py"),
        artifacts={path.name: str(run.folder / path) for path in _FILES},
        code_paths=[str(package)],
        signature=SIGNATURE,
        input_example=pd.DataFrame([{name: question.example for name, question in QUESTIONS.items()}]),
        pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS],
    )
