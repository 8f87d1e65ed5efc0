"""The content of a report: what each section shows of the metrics and plots."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from obesity_levels.evaluation.model_card import CONDITIONS, METRICS
from obesity_levels.io import join_names
from obesity_levels.reporting.numbers import Cell, Numbers
from obesity_levels.reporting.reported import Reported

Path = Sequence[str]


class Table(NamedTuple):
    """A table: its rows by their labels. `bars` has the length of a bar beside each row, as a share of the longest."""

    caption: str
    columns: list[str]
    rows: dict[str, list[Cell]]
    bars: dict[str, float] | None = None


class Figure(NamedTuple):
    """A figure: its title, and the same PNG file of each run, by the name of the run."""

    title: str
    images: dict[str, bytes]


class Section(NamedTuple):
    """A part of the report. What a run does not have is left out of it."""

    title: str
    text: str
    tables: list[Table]
    figures: list[Figure]

    @property
    def anchor(self) -> str:
        """The id of the section in the page."""
        return self.title.lower().replace(" ", "-")


_BASELINES = {"bmi_rule": "baseline: the BMI rule", "majority": "baseline: the most frequent level"}
_SPLITS = ("test", "validation")


def sections(now: Reported, before: Reported | None = None) -> list[Section]:
    """The sections of the report on a run; with `before`, beside that one."""
    runs = [now] if before is None else [now, before]
    numbers = Numbers(*(run.metrics | {"search": run.candidates} for run in runs))
    found = [
        Section("In short", "", [_summary(numbers)], []),
        Section(
            "Data and cleaning",
            "The bar of a column shows how many of its cells were set missing.",
            list(_data(numbers)),
            _figures(runs, {"distributions": "Distributions of the answers by level, training rows"}),
        ),
        Section(
            "Search",
            _about_the_search(runs),
            [_candidates(numbers)],
            _figures(runs, {"learning_curve": "Learning curve: weighted F1 by number of training rows"}),
        ),
        Section(
            "Metrics",
            "On rows that the model was not trained on. Choices are made on validation rows; test rows are reported.",
            [_metrics(numbers), _levels(numbers)],
            _figures(
                runs,
                {
                    "confusion_matrix": "Confusion matrix: actual and predicted levels of the test rows",
                    "roc": "ROC: each level against the rest, test rows",
                },
            ),
        ),
        Section(
            "Calibration",
            "How well the probabilities agree with the share of right answers, with and without calibration.",
            [_calibration(numbers)],
            _figures(runs, {"calibration": "Calibration: accuracy by mean confidence, test rows"}),
        ),
        Section(
            "Prediction sets",
            "A set holds the true level in the promised share of cases. Test rows.",
            list(_prediction_sets(numbers)),
            _figures(runs, {"prediction_sets": "Coverage of the prediction sets by slice, with 95 % intervals"}),
        ),
        Section(
            "Contributions",
            (
                "What each answer contributes to the probability of the predicted level, over the validation rows; and"
                " the smallest change that leads to a level nearer to Normal_Weight. This is what the model would say."
                " It does not show what would happen to a person, and it is not advice."
            ),
            list(_contributions(numbers)),
            _figures(
                runs,
                {
                    "contributions": "Contributions of the answers, beside their permutation importance",
                    "permutation_importance": "Permutation importance of the columns, validation rows",
                },
            ),
        ),
        Section("Slices", "Test rows, by group.", [_slices(numbers)], []),
        Section(
            "Drift calibration",
            "How often the drift alarm is wrong on batches without drift, and what it finds on simulated drift.",
            list(_drift(numbers)),
            _figures(runs, {"drift/calibration": "Share of batches that alarm, without drift and with it"}),
        ),
        Section("Gate", "What a champion has to meet. Measured on validation rows.", list(_gate(numbers)), []),
    ]
    filled = [one._replace(tables=[table for table in one.tables if table.rows]) for one in found]
    return [one for one in filled if one.tables or one.figures]


def _table(caption: str, columns: Sequence[str], paths: Mapping[str, Sequence[Path]], numbers: Numbers) -> Table:
    """The rows that have a value in one of the runs."""
    rows = {label: [numbers.cell(*path) for path in row] for label, row in paths.items()}
    filled = {label: row for label, row in rows.items() if any(cell.text or cell.change for cell in row)}
    return Table(caption, list(columns), filled)


def _values(caption: str, paths: Mapping[str, Path], numbers: Numbers) -> Table:
    """A table of one value a row."""
    return _table(caption, ["value"], {label: [path] for label, path in paths.items()}, numbers)


def _below(numbers: Numbers, path: Path, keys: Sequence[str]) -> dict[str, list[Path]]:
    """A row for each key below `path`, with the values of `keys` there."""
    return {_words(name): [(*path, name, key) for key in keys] for name in numbers.keys(*path)}


def _bars(lengths: Mapping[str, float]) -> dict[str, float]:
    longest = max(lengths.values(), default=0) or 1
    return {label: length / longest for label, length in lengths.items()}


def _words(key: str) -> str:
    return key.replace("_", " ")


def _summary(numbers: Numbers) -> Table:
    test = ("evaluate", "test")
    rows = {
        "meets every condition of the gate": ("gate", "passed"),
        "accuracy, test rows": (*test, "accuracy"),
        "accuracy, test rows, 95 % interval": (*test, "accuracy_interval"),
        "accuracy, test rows, the BMI rule": (*test, "baselines", "bmi_rule", "accuracy"),
        "accuracy, cross-validation": ("evaluate", "cross_validation", "accuracy"),
        "expected calibration error, test rows": (*test, "expected_calibration_error"),
        "rows kept": ("clean", "rows", "kept"),
        "model": ("evaluate", "model_version"),
    }
    return _values("The run in short", rows, numbers)


def _data(numbers: Numbers) -> Iterator[Table]:
    rows = {
        "source": ("ingest", "source"),
        "md5 of the source": ("ingest", "md5"),
        "people are simulated": ("ingest", "simulated"),
        "layout": ("ingest", "layout"),
        "rows in the source, before sampling": ("ingest", "sampled_from"),
        "rows read": ("clean", "rows", "read"),
        **{
            f"rows rejected: {_words(why)}": ("clean", "rows", "rejected", why)
            for why in numbers.keys("clean", "rows", "rejected")
        },
        "rows merged into a duplicate": ("clean", "rows", "merged"),
        "rows kept": ("clean", "rows", "kept"),
        "columns dropped": ("clean", "columns_dropped"),
        **{f"rows, {split}": ("featurize", "rows", split) for split in numbers.keys("featurize", "rows")},
    }
    yield _values("Where the rows come from", rows, numbers)
    cells = ("clean", "cells")
    columns = numbers.keys(*cells, "set_missing")
    causes = list(dict.fromkeys(cause for name in columns for cause in numbers.keys(*cells, "set_missing", name)))
    lost = {
        name: [*((*cells, "set_missing", name, cause) for cause in causes), (*cells, "restored", name)]
        for name in columns
    }
    caption = "Cells set missing, by column and cause, and cells restored from a duplicate"
    table = _table(caption, [*map(_words, causes), "restored"], lost, numbers)
    missing = {name: sum(cell.value or 0 for cell in row[: len(causes)]) for name, row in table.rows.items()}
    yield table._replace(bars=_bars(missing))
    yield _table(
        "Columns that lost many of their filled cells",
        ["share", "looks like"],
        {
            name: [("clean", "lost", name, key) for key in ("share", "looks_like")]
            for name in numbers.keys("clean", "lost")
        },
        numbers,
    )


def _about_the_search(runs: Sequence[Reported]) -> str:
    unknown = join_names([run.name for run in runs if not run.candidates])
    if unknown:
        return f"The candidates of {unknown} are in models/manifest.json, which cannot be read here: run `dvc pull`."
    return "Candidates, compared in folds of the training rows. The difference is from the most accurate one."


def _candidates(numbers: Numbers) -> Table:
    keys = {"f1_weighted": "weighted F1", "accuracy_difference": "accuracy, difference", "chosen": "chosen"}
    rows: dict[str, list[Path]] = {name: [("search", name, key) for key in keys] for name in numbers.keys("search")}
    return _table("Candidates of the search", list(keys.values()), rows, numbers)


def _metrics(numbers: Numbers) -> Table:
    places = (*_SPLITS, "cross_validation")
    rows: dict[str, list[Path]] = {}
    for name, title in METRICS.items():
        rows[title] = [("evaluate", place, name) for place in places]
        if name == "accuracy":
            rows["accuracy, 95 % interval"] = [("evaluate", place, "accuracy_interval") for place in _SPLITS]
            rows["accuracy, people"] = [
                *(("evaluate", place, "slices", "origin", "people", "accuracy") for place in _SPLITS),
                ("evaluate", "cross_validation", "people", "accuracy"),
            ]
    for name, title in _BASELINES.items():
        for metric in ("accuracy", "f1_weighted"):
            rows[f"{METRICS[metric]}, {title}"] = [("evaluate", place, "baselines", name, metric) for place in _SPLITS]
    return _table("Metrics", ["test", "validation", "cross-validation"], rows, numbers)


def _levels(numbers: Numbers) -> Table:
    keys = ("precision", "recall", "f1", "support")
    rows = _below(numbers, ("evaluate", "test", "per_level"), keys)
    return _table("By level, test rows", ["precision", "recall", "F1", "rows"], rows, numbers)


def _calibration(numbers: Numbers) -> Table:
    names = ("log_loss", "brier_score", "expected_calibration_error")
    kinds = ("uncalibrated", "calibrated")
    test = ("evaluate", "test", "calibration")
    rows = {
        f"{METRICS[name]}, {group} rows": [(*test, group, kind, name) for kind in kinds]
        for name in names
        for group in numbers.keys(*test)
    }
    return _table("Calibration, test rows", kinds, rows, numbers)


def _prediction_sets(numbers: Numbers) -> Iterator[Table]:
    sets = ("evaluate", "test", "prediction_sets")
    for promised in numbers.keys(*sets):
        yield _table(
            f"Sets of {float(promised):.0%}",
            ["coverage", "95 % interval", "mean size", "one level only", "rows"],
            _by_slice(numbers, (*sets, promised), ("coverage", "interval", "size", "single", "support")),
            numbers,
        )


def _by_slice(numbers: Numbers, path: Path, keys: Sequence[str]) -> dict[str, list[Path]]:
    return {
        label if kind == "all" else f"{_words(kind)}: {label}": row
        for kind in numbers.keys(*path)
        for label, row in _below(numbers, (*path, kind), keys).items()
    }


def _contributions(numbers: Numbers) -> Iterator[Table]:
    path = ("evaluate", "explanations")
    names = numbers.keys(*path, "mean_contribution")
    means = {name: numbers.cell(*path, "mean_contribution", name).value or 0 for name in names}
    largest = sorted(names, key=lambda name: -means[name])
    rows = {name: (*path, "mean_contribution", name) for name in largest}
    yield _values("Mean size of the contribution of each answer", rows, numbers)._replace(bars=_bars(means))
    changes = {
        "rows that are asked about": (*path, "changes", "rows"),
        **{f"share: {name}": (*path, "changes", "shares", name) for name in numbers.keys(*path, "changes", "shares")},
        "kilograms, median where weight changes": (*path, "changes", "median_kilograms"),
    }
    yield _values("Smallest change to a level nearer to Normal_Weight", changes, numbers)
    errors = {_words(name): (*path, "error", name) for name in numbers.keys(*path, "error")}
    yield _values("Error of the contributions, against a larger background", errors, numbers)


def _slices(numbers: Numbers) -> Table:
    rows = _by_slice(numbers, ("evaluate", "test", "slices"), ("accuracy", "f1_weighted", "support"))
    return _table("By slice, test rows", ["accuracy", "F1, weighted", "rows"], rows, numbers)


def _drift(numbers: Numbers) -> Iterator[Table]:
    kinds = {
        "false_alarm_rate": "with labels",
        "false_alarm_rate_unlabelled": "without labels",
        "false_alarm_rate_counts": "by the service's counts",
    }
    rates = ("drift", "calibration")
    rows = {
        f"{size} rows": [(*rates, kind, size, key) for kind in kinds for key in ("rate", "interval")]
        for size in numbers.keys(*rates, "false_alarm_rate")
    }
    columns = [heading for title in kinds.values() for heading in (title, "95 % interval")]
    yield _table("False-alarm rate, by rows of the batch", columns, rows, numbers)
    keys = [("accuracy", "before"), ("accuracy", "after"), ("accuracy", "estimated"), ("verdict",), ("severity",)]
    scenarios: dict[str, list[Path]] = {
        f"{_words(name)}, {intensity}": [("drift", "scenarios", name, intensity, *key) for key in keys]
        for name in numbers.keys("drift", "scenarios")
        for intensity in numbers.keys("drift", "scenarios", name)
    }
    columns = ["accuracy before", "after", "estimated without labels", "verdict", "severity"]
    yield _table("Simulated drift, by kind and strength", columns, scenarios, numbers)
    errors = {
        _words(name): ("drift", "estimated_accuracy", name) for name in numbers.keys("drift", "estimated_accuracy")
    }
    yield _values("Accuracy estimated without labels", errors, numbers)


def _gate(numbers: Numbers) -> Iterator[Table]:
    keys = ("measured", "interval", "at_least", "at_most", "holds")
    conditions = ("gate", "conditions")
    rows = {
        CONDITIONS.get(name, _words(name)): [(*conditions, name, key) for key in keys]
        for name in numbers.keys(*conditions)
    }
    yield _table("Conditions", ["measured", "95 % interval", "at least", "at most", "holds"], rows, numbers)


def _figures(runs: Sequence[Reported], titles: Mapping[str, str]) -> list[Figure]:
    """The figures that a run has. Where all runs have the same one, it is shown once."""
    figures = []
    for name, title in titles.items():
        images = {run.name: run.plots[path] for run in runs if (path := f"plots/{name}.png") in run.plots}
        if len(images) > 1 and len(set(images.values())) == 1:
            images = {"the same in both runs": next(iter(images.values()))}
        if images:
            figures.append(Figure(title, images))
    return figures
