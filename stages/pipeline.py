"""What the stages share: the files between them, and how a stage ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from obesity_levels.errors import ObesityLevelsError

RAW_CSV = Path("data/raw.csv")
CLEAN_PARQUET = Path("data/clean.parquet")
REJECTED_CSV = Path("data/rejected.csv")
FEATURES = Path("data/features")
MODELS = Path("models")
INGEST_METRICS = Path("metrics/ingest.json")
CLEAN_METRICS = Path("metrics/clean.json")
FEATURIZE_METRICS = Path("metrics/featurize.json")
EVALUATE_METRICS = Path("metrics/evaluate.json")
DRIFT_METRICS = Path("metrics/drift.json")
GATE_METRICS = Path("metrics/gate.json")
MODEL_CARD = Path("metrics/model_card.md")
PLOTS = Path("plots")
DRIFT_PLOTS = Path("plots/drift")

# DVC deletes what a stage wrote before it runs it. This brings all back but the source, which is the user's;
# --force, because what a killed or failed stage left half-written is in its place.
RESTORE = "git checkout params.yaml dvc.lock metrics plots && dvc checkout --force"
EXPERIMENTS = "/.dvc/tmp/exps/"
"""Where DVC runs experiments that leave the workspace alone."""


def run(main: Callable[[], None], restore: str = RESTORE) -> None:
    """Run a stage. An error that a person can act on is one line on standard error and exit status 1."""
    try:
        main()
    except (ObesityLevelsError, OSError) as error:  # OSError: a disk that is full, a folder that may not be written
        print(f"error: {error}", file=sys.stderr)
        # `dvc exp run --temp` and `--queue` run in a copy: there is nothing to have back, and work to be lost.
        if EXPERIMENTS not in Path.cwd().as_posix():
            print(f"To have back what stood at the last commit: {restore}", file=sys.stderr)
        sys.exit(1)


def is_simulated(source: Path) -> bool:
    """Whether `source` is a population to simulate, rather than rows."""
    return source.suffix.lower() in (".yaml", ".yml")


def write_csv(rows: pd.DataFrame, path: Path) -> None:
    """Texts as they are, without quotes where none are needed: a table of `simulate` has no cell that needs them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write((",".join(rows.columns) + "\n").encode())
        options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
        pa.csv.write_csv(pa.Table.from_pandas(rows, preserve_index=False), file, options)


def write_json(content: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rounded(value: Any, digits: int = 6) -> Any:
    """`value`, a JSON-like structure, with plain, rounded numbers: the last bits differ from machine to machine."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    if isinstance(value, float | np.floating):
        return round(float(value), digits) + 0.0  # no negative zero
    return int(value) if isinstance(value, np.integer) else value
