"""The model card: what a model is for, what it was made of and how good it is, in the pipeline's own numbers.

After Mitchell et al., "Model Cards for Model Reporting" (2019). Deterministic, so that a review shows what changed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from obesity_levels.evaluation.gate import Condition, Gate
from obesity_levels.model.classifier import Manifest

METRICS = {
    "accuracy": "accuracy",
    "f1_weighted": "F1, weighted",
    "f1_macro": "F1, macro",
    "quadratic_weighted_kappa": "quadratic weighted kappa",
    "within_one_level": "within one level",
    "log_loss": "log loss",
    "expected_calibration_error": "expected calibration error",
}
CONDITIONS = {
    **METRICS,
    "worst_level_recall": "recall of the worst level",
    "drift_false_alarm_rate": "drift, highest false-alarm rate",
}

_INTENDED = """\
## What it is for
It predicts one of seven obesity levels from 16 answers about a person's habits and body, to show what a reproducible
project around a model looks like. **It is not a diagnosis**, and must not decide anything about a person: not their
care, not their insurance, not their work. The levels are a rule on height and weight with names of their own (UCI
dataset 544): who knows both needs no model. Answers may be missing, all but one.

## What it does not know
- The questionnaire is that of UCI 544: people of 14 to 61 years in Colombia, Peru and Mexico answered it, and three
  quarters of that dataset's rows were generated from theirs. Of children, and of people elsewhere, it knows nothing.
- Answers are the people's own. Pregnancy, muscle, illness and disability are not asked.
- Its probabilities were not calibrated: the calibration error below says how far off they are.
"""


def model_card(
    manifest: Manifest,
    *,
    ingest: dict[str, Any],
    clean: dict[str, Any],
    featurize: dict[str, Any],
    evaluation: dict[str, Any],
    drift: dict[str, Any],
    gate: Gate,
) -> str:
    """The card as Markdown, from the manifest and the contents of the files in metrics/ of the same names."""
    test = evaluation["test"]
    parts = [
        f"# Model card: obesity-levels {manifest.version}",
        _origin(manifest),
        _INTENDED,
        "## Data",
        _data(manifest, ingest, clean, featurize),
        "## Model",
        _model(manifest),
        "## How good it is",
        "Rows that it was not trained on. Choices were made on validation rows; test rows are reported only.",
        results_table(evaluation),
        "By level, test rows:",
        _table(
            ["level", "precision", "recall", "F1", "rows"],
            (
                [level, *(_number(of_level[name]) for name in ("precision", "recall", "f1")), of_level["support"]]
                for level, of_level in test["per_level"].items()
            ),
        ),
        "By slice, test rows:",
        _table(
            ["slice", "", "accuracy", "rows"],
            (
                [kind, name.replace("_", " "), _number(cell["accuracy"]), cell["support"]]
                for kind, cells in test["slices"].items()
                for name, cell in cells.items()
            ),
        ),
        "## Gate",
        _gate(gate),
        "## Drift",
        _drift(drift),
        "## How to rebuild it",
        "At the revision that holds this card: `make repro`; or, by force and compared with what is committed,\n"
        f"`make verify`. The classifier's sha256 is then `{manifest.sha256}`.",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def results_table(evaluation: dict[str, Any]) -> str:
    """The content of metrics/evaluate.json as a Markdown table: test, validation, cross-validation."""
    crossed = evaluation["cross_validation"]
    lines = []
    for name, title in METRICS.items():
        cells = (_number(evaluation[split][name]) for split in ("test", "validation"))
        lines.append([title, *cells, _spread(crossed, name)])
    intervals = (_interval(evaluation[split]["accuracy_interval"]) for split in ("test", "validation"))
    lines.insert(1, ["accuracy, 95 % interval", *intervals, ""])
    for kind, slice_name in (("origin", "people"), ("completeness", "incomplete")):
        cells = (_of_rows(evaluation[split]["slices"][kind][slice_name]) for split in ("test", "validation"))
        folds = _spread(crossed["people"], "accuracy") if slice_name == "people" else ""
        lines.append([f"accuracy, {slice_name}", *cells, folds])
    for baseline in ("bmi_rule", "majority"):
        cells = (_number(evaluation[split]["baselines"][baseline]["accuracy"]) for split in ("test", "validation"))
        lines.append([f"accuracy, baseline {baseline}", *cells, ""])
    return _table(["", "test", "validation", "cross-validation"], lines)


def _origin(manifest: Manifest) -> str:
    if manifest.data.simulated:
        return (
            "**Made of simulated people: none of them exists.** What follows says how well the pipeline works, and\n"
            "nothing about people. Nobody may take this for a model of people."
        )
    return f"Made of the rows of `{manifest.data.source}`."


def _data(manifest: Manifest, ingest: dict[str, Any], clean: dict[str, Any], featurize: dict[str, Any]) -> str:
    rows, cells = clean["rows"], clean["cells"]
    blanked = sum(
        count for causes in cells["set_missing"].values() for name, count in causes.items() if name != "empty"
    )
    rejected = sum(rows["rejected"].values())
    simulated = ", a population to simulate" if manifest.data.simulated else ""
    lines = [
        ["source", f"`{manifest.data.source}`{simulated}"],
        ["md5 of the source", f"`{manifest.data.md5}`"],
        ["rows as found", ingest["rows"]],
        ["... rejected, for want of a label or of any answer", rejected],
        ["... merged into a copy of theirs", rows["merged"]],
        ["... kept", rows["kept"]],
        ["cells unreadable, off their scale or a marker: set missing", blanked],
        *([f"rows, {split}", count] for split, count in featurize["rows"].items()),
    ]
    return _table(["", ""], lines)


def _model(manifest: Manifest) -> str:
    best = max(manifest.search.candidates, key=lambda candidate: candidate.f1_weighted_mean)
    lines = [
        ["model", f"{manifest.model}, served as ONNX"],
        ["profile", f"{manifest.profile}: {len(manifest.features)} columns"],
        ["chosen", ", ".join(f"{name}={value}" for name, value in sorted(manifest.search.chosen.items()))],
        [
            "... among",
            f"{len(manifest.search.candidates)} candidates, in {manifest.search.folds} folds of the training rows",
        ],
        ["... weighted F1 there", f"{best.f1_weighted_mean:.3f} ± {best.f1_weighted_std:.3f}"],
        ["libraries", ", ".join(f"{name} {version}" for name, version in sorted(manifest.libraries.items()))],
    ]
    return _table(["", ""], lines)


def _gate(gate: Gate) -> str:
    verdict = "It **meets** every condition" if gate.passed else "It does **not** meet every condition"
    conditions = (
        [CONDITIONS[name], _measured(condition), _limit(condition), "yes" if condition.holds else "**no**"]
        for name, condition in gate.conditions.items()
    )
    table = _table(["condition", "measured", "asked", "holds"], conditions)
    return (
        f"{verdict} for becoming champion (`gate` in params.yaml), measured on validation rows;\n"
        f"how often the drift alarm is wrong, on batches of validation and test rows.\n\n{table}"
    )


def _measured(condition: Condition) -> str:
    if condition.measured is None:
        return "not measured"
    interval = "" if condition.interval is None else " ({:.3f} to {:.3f})".format(*condition.interval)
    return f"{condition.measured:.3f}{interval}"


def _limit(condition: Condition) -> str:
    if condition.at_least is not None:
        return f"at least {condition.at_least:g}"
    return f"at most {condition.at_most:g}{condition.allowance}"


def _drift(drift: dict[str, Any]) -> str:
    rates, power = drift["calibration"]["false_alarm_rate"], drift["calibration"]["power"]
    if not rates:
        return "Too few rows were held out to measure how often the drift alarm is wrong."
    sizes = list(rates)
    alarms = [_percent(rates[size]["rate"], rates[size]["interval"]) for size in sizes]
    found = (
        [f"{name} {intensity}", *(_percent(by_size[size]) for size in sizes)]
        for name, by_intensity in power.items()
        for intensity, by_size in by_intensity.items()
    )
    return (
        "Share of batches that alarm, by their rows, with labels: without drift, which is the false-alarm rate and\n"
        "its 95 % interval, and with simulated drift.\n\n"
        + _table(["batches", *(f"{size} rows" for size in sizes)], [["no drift", *alarms], *found])
    )


def _table(headers: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    return tabulate(list(lines), headers=headers, tablefmt="github", disable_numparse=True)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(value: float, interval: Sequence[float] | None = None) -> str:
    return f"{value:.1%}" + ("" if interval is None else " ({:.1%} to {:.1%})".format(*interval))


def _spread(metrics: dict[str, Any], name: str) -> str:
    if name not in metrics or metrics[name]["mean"] is None:
        return ""
    return f"{_number(metrics[name]['mean'])} ± {_number(metrics[name]['std'])}"


def _interval(interval: dict[str, float]) -> str:
    return f"{_number(interval['low'])} to {_number(interval['high'])}"


def _of_rows(cell: dict[str, Any]) -> str:
    return f"{_number(cell['accuracy'])} ({cell['support']} rows)"
