"""The path of each file of a project, relative to its root, which is the current folder."""

from pathlib import Path

PARAMS_YAML = Path("params.yaml")
DVC_YAML = Path("dvc.yaml")
DVC_LOCK = Path("dvc.lock")

POPULATION_YAML = Path("data/population.yaml")
RAW_CSV = Path("data/raw.csv")
CLEAN_PARQUET = Path("data/clean.parquet")
REJECTED_CSV = Path("data/rejected.csv")
FEATURES = Path("data/features")

MODELS = Path("models")
CLASSIFIER = "classifier.onnx"
MANIFEST = "manifest.json"
DRIFT_REFERENCE = "drift_reference.json"
"""CLASSIFIER, MANIFEST, DRIFT_REFERENCE: the files of a model, in MODELS or in another folder."""

METRICS = Path("metrics")
INGEST_METRICS = METRICS / "ingest.json"
CLEAN_METRICS = METRICS / "clean.json"
FEATURIZE_METRICS = METRICS / "featurize.json"
EVALUATE_METRICS = METRICS / "evaluate.json"
DRIFT_METRICS = METRICS / "drift.json"
GATE_METRICS = METRICS / "gate.json"
MODEL_CARD = METRICS / "model_card.md"

PLOTS = Path("plots")
CONFUSION_MATRIX_CSV = PLOTS / "confusion_matrix.csv"
DRIFT_PLOTS = PLOTS / "drift"

TRACKED = (DVC_LOCK, METRICS, PLOTS)
"""What a run of the pipeline writes into git."""

REPORTS = Path("reports")
