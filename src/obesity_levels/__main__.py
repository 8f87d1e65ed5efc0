"""`python -m obesity_levels`: the metrics of the last run as a table (Markdown)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

METRICS = {
    "accuracy": "accuracy",
    "f1_weighted": "F1, weighted",
    "f1_macro": "F1, macro",
    "quadratic_weighted_kappa": "quadratic weighted kappa",
    "within_one_level": "within one level",
    "log_loss": "log loss",
    "expected_calibration_error": "expected calibration error",
}


def results_table(metrics: dict[str, Any]) -> str:
    """The content of metrics/evaluate.json as a Markdown table: test, validation, cross-validation."""
    crossed = metrics["cross_validation"]
    lines = []
    for name, title in METRICS.items():
        lines.append(
            [title, *(_number(metrics[split][name]) for split in ("test", "validation")), _spread(crossed, name)]
        )
    lines.insert(
        1,
        ["accuracy, 95 % interval", *(_interval(metrics[s]["accuracy_interval"]) for s in ("test", "validation")), ""],
    )
    for kind, slice_name in (("origin", "people"), ("completeness", "incomplete")):
        cells = [metrics[split]["slices"][kind][slice_name] for split in ("test", "validation")]
        folds = _spread(crossed["people"], "accuracy") if slice_name == "people" else ""
        lines.append([f"accuracy, {slice_name}", *(_of_rows(cell) for cell in cells), folds])
    for baseline in ("bmi_rule", "majority"):
        cells = [metrics[split]["baselines"][baseline]["accuracy"] for split in ("test", "validation")]
        lines.append([f"accuracy, baseline {baseline}", *map(_number, cells), ""])
    return tabulate(
        lines, headers=["", "test", "validation", "cross-validation"], tablefmt="github", disable_numparse=True
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _spread(metrics: dict[str, Any], name: str) -> str:
    if name not in metrics or metrics[name]["mean"] is None:
        return ""
    return f"{_number(metrics[name]['mean'])} ± {_number(metrics[name]['std'])}"


def _interval(interval: dict[str, float]) -> str:
    return f"{_number(interval['low'])} to {_number(interval['high'])}"


def _of_rows(cell: dict[str, Any]) -> str:
    return f"{_number(cell['accuracy'])} ({cell['support']} rows)"


def main() -> None:
    """Print the table of metrics/evaluate.json in this folder."""
    path = Path("metrics/evaluate.json")
    if not path.exists():
        sys.exit(f"error: {path} does not exist: run `make repro` (or `dvc repro`) in the project's root first")
    print(results_table(json.loads(path.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
