"""The model card: what a model is for, what it was made from and how good it is, in the numbers of the pipeline.

After Mitchell et al., "Model Cards for Model Reporting" (2019). Deterministic, so that a review shows what changed.
"""

from typing import Any

from tabulate import tabulate

from obesity_levels.evaluation.gate import Gate
from obesity_levels.io import number, render_template
from obesity_levels.model.classifier import Manifest

METRICS = {
    "accuracy": "accuracy",
    "f1_weighted": "F1, weighted",
    "f1_macro": "F1, macro",
    "quadratic_weighted_kappa": "quadratic weighted kappa",
    "within_one_level": "within one level",
    "log_loss": "log loss",
    "brier_score": "Brier score",
    "expected_calibration_error": "expected calibration error",
}
CONDITIONS = {
    **METRICS,
    "worst_level_recall": "recall of the worst level",
    "drift_false_alarm_rate": "drift, highest false-alarm rate",
}


def model_card(manifest: Manifest, gate: Gate, **metrics: dict[str, Any]) -> str:
    """The card as Markdown: model_card.md.jinja with the manifest and the contents of the files in metrics/.

    `metrics` are those of `ingest`, `clean`, `featurize`, `evaluation` and `drift`.
    """
    causes = [cause for column in metrics["clean"]["cells"]["set_missing"].values() for cause in column.items()]
    card = render_template(
        "evaluation/model_card.md.jinja",
        manifest=manifest,
        gate=gate,
        cells_set_missing=sum(count for cause, count in causes if cause != "empty"),
        results=results_table(metrics["evaluation"]),
        titles=CONDITIONS | {name: _coverage_title(name) for name in gate.conditions if name.startswith("coverage_")},
        **metrics,
    )
    return f"{card}\n"


def results_table(evaluation: dict[str, Any]) -> str:
    """The content of metrics/evaluate.json as a Markdown table: test, validation, cross-validation."""
    splits, crossed = (evaluation["test"], evaluation["validation"]), evaluation["cross_validation"]
    lines = [
        [title, *(number(one[name]) for one in splits), _spread(crossed.get(name))] for name, title in METRICS.items()
    ]
    intervals = (one["accuracy_interval"] for one in splits)
    lines.insert(1, ["accuracy, 95 % interval", *(f"{one['low']:.3f} to {one['high']:.3f}" for one in intervals), ""])
    for kind, name in (("origin", "people"), ("completeness", "incomplete")):
        cells = (one["slices"][kind][name] for one in splits)
        texts = (f"{number(cell['accuracy'])} ({cell['support']} rows)" for cell in cells)
        lines.append([f"accuracy, {name}", *texts, _spread(crossed.get(name, {}).get("accuracy"))])
    for name in ("bmi_rule", "majority"):
        scores = (number(one["baselines"][name]["accuracy"]) for one in splits)
        lines.append([f"accuracy, baseline {name}", *scores, ""])
    return tabulate(lines, ["", "test", "validation", "cross-validation"], "github", disable_numparse=True)


def _coverage_title(condition: str) -> str:
    _, promised, *sex = condition.split("_")
    return f"coverage of the prediction sets of {float(promised):.0%}{', ' + sex[0].lower() if sex else ''}"


def _spread(found: dict[str, float | None] | float | None) -> str:
    if isinstance(found, float):
        return number(found)
    return "" if not found or found["mean"] is None else f"{found['mean']:.3f} ± {found['std']:.3f}"
