"""Figures as PNG files, from the tables that `dvc plots` shows. The same table gives the same bytes."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from obesity_levels.io import write_png
from obesity_levels.schema import LEVELS

# The font and settings of matplotlib itself, whatever the user's matplotlibrc says.
mpl.rcdefaults()

_SHORT = [level.replace("_", " ").replace("Level ", "").replace("Type ", "") for level in LEVELS]


def draw_confusion_matrix(table: pd.DataFrame, path: Path) -> None:
    """A table of `confusion_table`: actual levels in rows, predicted in columns; the shade is the share of the row."""
    counts = confusion_matrix(table["actual"], table["predicted"], labels=LEVELS)
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
    write_png(figure, path)


def draw_calibration(table: pd.DataFrame, path: Path) -> None:
    """A table of `calibration_table`: accuracy against confidence, the size of a mark shows its number of rows."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    axes.plot(table["confidence"], table["accuracy"], color="tab:blue", linewidth=1)
    axes.scatter(table["confidence"], table["accuracy"], s=np.sqrt(table["rows"]) * 12, label="bins of rows")
    axes.set(
        xlabel="mean confidence", ylabel="accuracy", title="Calibration, test rows", xlim=(0, 1.02), ylim=(0, 1.02)
    )
    axes.legend(loc="upper left")
    write_png(figure, path)


def draw_importance(table: pd.DataFrame, path: Path) -> None:
    """A table of `permutation_importance`."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.barh(table["feature"], table["importance"], xerr=table["std"], color="tab:blue", ecolor="grey")
    axes.invert_yaxis()
    axes.set(xlabel="accuracy lost when the column is shuffled", title="Permutation importance, validation rows")
    write_png(figure, path)


def draw_learning_curve(table: pd.DataFrame, path: Path) -> None:
    """A table of `learning_curve`."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for column, marker in (("training", "s"), ("validation", "o")):
        axes.plot(table["rows"], table[column], marker=marker, label=f"{column} rows")
    axes.set(xlabel="rows trained on", ylabel="weighted F1", title="Learning curve")
    axes.grid(alpha=0.3)
    axes.legend()
    write_png(figure, path)


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
    write_png(figure, path)
