"""Figures about drift as PNG files. The same table gives the same bytes."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from obesity_levels.io import write_png

# The font and settings of matplotlib itself, whatever the user's matplotlibrc says; no window.
mpl.rcdefaults()
mpl.use("agg")

_COLOURS = ["tab:grey", "tab:blue"]


def draw_drift_calibration(alarms: pd.DataFrame, power: pd.DataFrame, path: Path) -> None:
    """Draw how often the drift alarm is wrong and right, by kind and rows of the batch.

    `alarms` has the columns kind, rows, false_alarm_rate, low, high; `power` has kind, scenario, rows, power.
    """
    kinds = list(dict.fromkeys(alarms["kind"]))
    figure = Figure(figsize=(16, 5), layout="constrained")
    wrong, *right = figure.subplots(1, 1 + len(kinds), width_ratios=[1.5, *[1] * len(kinds)])
    sizes = sorted(set(alarms["rows"]))
    for number, (kind, table) in enumerate(alarms.groupby("kind", sort=False)):
        spread = np.abs(table[["low", "high"]].to_numpy().T - table["false_alarm_rate"].to_numpy())
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
    write_png(figure, path)


def draw_distributions(shares: Mapping[str, pd.DataFrame], alarms: Collection[str], path: Path) -> None:
    """Draw each column's shares of cells (the index) in training and in a batch; a red title is an alarm."""
    rows = math.ceil(len(shares) / 4)
    figure = Figure(figsize=(16, 3 * rows), layout="constrained")
    grid = figure.subplots(rows, 4, squeeze=False).flat
    for axes, (name, table) in zip(grid, shares.items(), strict=False):
        table.plot.bar(ax=axes, width=0.8, color=_COLOURS, rot=60, fontsize="x-small", legend=axes is figure.axes[0])
        axes.set_title(name, color="tab:red" if name in alarms else "black", fontsize="medium")
    for axes in figure.axes[len(shares) :]:
        axes.set_axis_off()
    write_png(figure, path)


def draw_scores(scores: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Draw, for each score, its expected value and that of the batch, as two bars."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    table = pd.DataFrame.from_dict(scores, orient="index", columns=["expected", "batch"])
    table.plot.bar(
        ax=axes, width=0.8, color=_COLOURS, rot=0, ylim=(0, 1.1), ylabel="score", title="Scores of the batch"
    )
    for bars in axes.containers:
        axes.bar_label(cast(BarContainer, bars), fmt="%.3f")
    axes.legend(loc="lower right")
    write_png(figure, path)
