"""Figures as PNG files, from the tables that `dvc plots` shows. The same table gives the same bytes."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from obesity_levels.io import Rows, write_png
from obesity_levels.schema import ANSWERS, CATEGORIES, LEVELS

# The font and settings of matplotlib itself, whatever the user's matplotlibrc says; no window.
mpl.rcdefaults()
mpl.use("agg")

_SHORT = {level: level.replace("_", " ").replace("Level ", "").replace("Type ", "") for level in LEVELS}


def draw_confusion_matrix(table: pd.DataFrame, path: Path) -> None:
    """Draw a table of `confusion_table`: actual levels in rows, predicted levels in columns."""
    figure, axes = _figure(7, 6)
    counts = confusion_matrix(table["actual"], table["predicted"], labels=LEVELS)
    display = ConfusionMatrixDisplay(counts, display_labels=list(_SHORT.values()))
    display.plot(ax=axes, cmap="Blues", colorbar=False, xticks_rotation=45)
    axes.set(xlabel="predicted", ylabel="actual", title="Confusion matrix, test rows")
    write_png(figure, path)


def draw_calibration(uncalibrated: pd.DataFrame, calibrated: pd.DataFrame, path: Path) -> None:
    """Draw two tables of `calibration_table`: accuracy against confidence; the size of a mark shows its number of rows.

    The band is where chance puts the calibrated one.
    """
    figure, axes = _figure(5, 5)
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfectly calibrated")
    axes.fill_between(
        calibrated["confidence"], calibrated["low"], calibrated["high"], alpha=0.15, label="95 % by chance"
    )
    for label, table, color in (("calibrated", calibrated, "tab:blue"), ("uncalibrated", uncalibrated, "tab:orange")):
        table.plot(x="confidence", y="accuracy", ax=axes, legend=False, color=color, label="_")
        sizes = table["rows"] ** 0.5 * 12
        table.plot.scatter(x="confidence", y="accuracy", s=sizes, ax=axes, color=color, label=label)
    axes.set(xlabel="mean confidence", title="Calibration, test rows", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="upper left")
    write_png(figure, path)


def draw_coverage(promised: float, table: pd.DataFrame, path: Path) -> None:
    """Draw a table of `coverage_table`: the coverage of each slice with its 95 % interval, beside what was promised."""
    figure, axes = _figure(7, 8)
    table = table[::-1]
    spread = [table["coverage"] - table["low"], table["high"] - table["coverage"]]
    axes.errorbar(table["coverage"], table["slice"], xerr=spread, fmt="o", capsize=3)
    axes.axvline(promised, linestyle="--", color="grey")
    axes.set(
        xlabel="share of rows whose prediction set holds the level",
        title=f"Prediction sets of {promised:.0%}, test rows",
    )
    write_png(figure, path)


def draw_importance(table: pd.DataFrame, path: Path) -> None:
    """Draw a table of `permutation_importance`."""
    figure, axes = _figure(7, 5)
    table[::-1].plot.barh(x="feature", y="importance", xerr="std", ecolor="grey", legend=False, ax=axes)
    axes.set(xlabel="accuracy lost when the column is shuffled", title="Permutation importance, validation rows")
    axes.set_ylabel("")
    write_png(figure, path)


def draw_contributions(table: pd.DataFrame, path: Path) -> None:
    """Draw a table of `contribution_table`: contribution and importance side by side, each on its own scale."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    titles = {
        "contribution": "mean absolute contribution to the probability",
        "importance": "accuracy lost when the column is shuffled",
    }
    for (column, title), axes in zip(titles.items(), figure.subplots(1, 2, sharey=True), strict=True):
        axes.barh(table["feature"][::-1], table[column][::-1])
        axes.set(xlabel=title)
    figure.suptitle("Contributions and permutation importance, validation rows")
    write_png(figure, path)


def draw_learning_curve(table: pd.DataFrame, path: Path) -> None:
    """Draw a table of `learning_curve`."""
    figure, axes = _figure(6, 4.5)
    table.plot(x="rows", marker="o", grid=True, ax=axes)
    axes.set(xlabel="training rows", ylabel="weighted F1", title="Learning curve")
    write_png(figure, path)


def draw_roc(table: pd.DataFrame, path: Path) -> None:
    """Draw a table of `roc_table`."""
    figure, axes = _figure(6, 5)
    axes.plot([0, 1], [0, 1], "--", color="grey")
    table.rename(columns=_SHORT).plot(x="false_positive_rate", drawstyle="steps-post", ax=axes)
    axes.set(
        xlabel="false-positive rate", ylabel="true-positive rate", title="ROC, one level against the rest, test rows"
    )
    write_png(figure, path)


def draw_distributions(rows: Rows, path: Path) -> None:
    """Draw each answer by level: a number as a box of quartiles, its whiskers at 5 and 95 %; a category as shares.

    Outliers are not drawn: each would be the answer of one person.
    """
    figure = Figure(figsize=(18, 14), layout="constrained")
    levels = np.array(list(_SHORT.values()))
    for axes, name in zip(figure.subplots(4, 4, sharex=True).flat, ANSWERS, strict=True):
        if name in CATEGORIES:
            counts = pd.crosstab(levels[rows.labels], rows.answers[name].to_numpy())
            counts = counts.reindex(index=levels, columns=CATEGORIES[name], fill_value=0)
            shares = counts.div(counts.sum(axis=1), axis=0).fillna(0.0)
            shares.plot.bar(stacked=True, ax=axes, ylim=(0, 1), colormap="viridis")
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="x-small")
        else:
            known = [rows.answers[name][rows.labels == level].dropna() for level in range(len(LEVELS))]
            axes.boxplot(known, positions=range(len(LEVELS)), whis=(5, 95), showfliers=False)
        axes.set_xticks(range(len(LEVELS)), levels, rotation=60, fontsize="small")
        axes.set(title=name, xlabel="")
    figure.suptitle("Answers by level, training rows")
    write_png(figure, path)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
