"""Figures as PNG files, from the tables that `dvc plots` shows. The same table gives the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from obesity_levels.schema import LEVELS

# Matplotlib's own font and settings, whatever the user's matplotlibrc says.
mpl.rcdefaults()
mpl.use("agg")

_SHORT = [level.replace("_", " ").replace("Level ", "").replace("Type ", "") for level in LEVELS]


def draw_confusion_matrix(counts: npt.NDArray[np.int64], path: Path) -> None:
    """`counts` of shape (7, 7): actual levels down, predicted levels across; the shade is the share of the row."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(count) if count else "", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(LEVELS)), _SHORT, rotation=45, ha="right")
    axes.set_yticks(range(len(LEVELS)), _SHORT)
    axes.set(xlabel="predicted", ylabel="actual", title="Confusion matrix, test rows")
    _save(figure, path)


def draw_calibration(table: pd.DataFrame, path: Path) -> None:
    """A table of `calibration_table`: accuracy against confidence, the size of a mark its number of rows."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    axes.plot(table["confidence"], table["accuracy"], color="tab:blue", linewidth=1)
    axes.scatter(table["confidence"], table["accuracy"], s=np.sqrt(table["rows"]) * 12, label="bins of rows")
    axes.set(
        xlabel="mean confidence", ylabel="accuracy", title="Calibration, test rows", xlim=(0, 1.02), ylim=(0, 1.02)
    )
    axes.legend(loc="upper left")
    _save(figure, path)


def draw_importance(table: pd.DataFrame, path: Path) -> None:
    """A table of `permutation_importance`."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.barh(table["feature"], table["importance"], xerr=table["std"], color="tab:blue", ecolor="grey")
    axes.invert_yaxis()
    axes.set(xlabel="accuracy lost when the column is shuffled", title="Permutation importance, validation rows")
    _save(figure, path)


def draw_learning_curve(table: pd.DataFrame, path: Path) -> None:
    """A table of `learning_curve`."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for column, marker in (("training", "s"), ("validation", "o")):
        axes.plot(table["rows"], table[column], marker=marker, label=f"{column} rows")
    axes.set(xlabel="rows trained on", ylabel="weighted F1", title="Learning curve")
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def draw_roc(table: pd.DataFrame, path: Path) -> None:
    """A table of `roc_table`."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for level, name in zip(LEVELS, _SHORT, strict=True):
        if level in table:
            axes.step(table["false_positive_rate"], table[level], where="post", label=name)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.set(
        xlabel="false-positive rate", ylabel="true-positive rate", title="ROC, one level against the rest, test rows"
    )
    axes.legend(loc="lower right", fontsize="small")
    _save(figure, path)


def draw_drift_calibration(alarms: pd.DataFrame, power: pd.DataFrame, path: Path) -> None:
    """How often the drift alarm is wrong and right, by kind and rows of the batch.

    `alarms` has the columns kind, rows, false_alarm_rate, low, high; `power` has kind, scenario, rows, power.
    """
    kinds = list(dict.fromkeys(alarms["kind"]))
    figure = Figure(figsize=(16, 5), layout="constrained")
    wrong, *right = figure.subplots(1, 1 + len(kinds), width_ratios=[1.5, *[1] * len(kinds)])
    sizes = sorted(set(alarms["rows"]))
    for number, (kind, table) in enumerate(alarms.groupby("kind", sort=False)):
        spread = np.abs(table[["low", "high"]].to_numpy().T - table["false_alarm_rate"].to_numpy())
        # side by side
        wrong.errorbar(table["rows"] * 1.03**number, table["false_alarm_rate"], yerr=spread, marker="o", label=kind)
    wrong.axhline(0.05, color="grey", linestyle="--", label="0.05")
    wrong.set(xlabel="rows in the batch", ylabel="share that alarms", title="Batches without drift", ylim=(0, 0.15))
    wrong.legend()
    wrong.set_xscale("log")
    wrong.set_xticks(sizes, list(map(str, sizes)))
    wrong.minorticks_off()
    for axes, kind in zip(right, kinds, strict=True):
        here = power[power["kind"] == kind]
        table = here.pivot_table(index="scenario", columns="rows", values="power", sort=False)
        axes.imshow(table.to_numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            colour = "white" if value > 0.5 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(table.shape[1]), list(table.columns))
        axes.set_yticks(range(len(table)), list(table.index) if axes is right[0] else [""] * len(table))
        axes.set(xlabel="rows in the batch", title=f"Drifted, {kind}")
    _save(figure, path)


def draw_distributions(shares: Mapping[str, pd.DataFrame], alarms: Collection[str], path: Path) -> None:
    """Each column's shares by cell (the index), in training and in a batch, side by side; a red title is an alarm."""
    figure = Figure(figsize=(16, 3 * -(-len(shares) // 4)), layout="constrained")
    grid = figure.subplots(-(-len(shares) // 4), 4, squeeze=False).flat
    for axes, (name, table) in zip(grid, shares.items(), strict=False):
        at = np.arange(len(table))
        axes.bar(at - 0.2, table["training"], width=0.4, color="tab:grey", label="training")
        axes.bar(at + 0.2, table["batch"], width=0.4, color="tab:blue", label="batch")
        axes.set_xticks(at, list(table.index), rotation=60, ha="right", fontsize="x-small")
        axes.set_title(name, color="tab:red" if name in alarms else "black", fontsize="medium")
    for axes in figure.axes[len(shares) :]:
        axes.set_axis_off()
    figure.axes[0].legend(fontsize="small")
    _save(figure, path)


def draw_scores(scores: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Name of a score -> what is expected of it and what was found, as pairs of bars."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(scores))
    for number, label, colour in ((0, "expected", "tab:grey"), (1, "batch", "tab:blue")):
        values = [pair[number] for pair in scores.values()]
        bars = axes.bar(at + (number - 0.5) * 0.4, values, width=0.4, color=colour, label=label)
        axes.bar_label(bars, fmt="%.3f")
    axes.set_xticks(at, list(scores))
    axes.set(ylim=(0, 1.1), ylabel="score", title="Scores of the batch, and expected")
    axes.legend(loc="lower right")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # no software name in the file: it holds matplotlib's version
    figure.savefig(path, dpi=100, metadata={"Software": None})
