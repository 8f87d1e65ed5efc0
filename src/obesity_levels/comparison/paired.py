"""Two models on the same labelled rows: only the rows on which one of them is right tell them apart."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Right = npt.NDArray[np.bool_]
"""Whether a model is right, shape (rows,)."""


class Paired(NamedTuple):
    """Two models on the same rows.

    `won` are the rows on which only the challenger is right, `lost` those on which only the champion is. `difference`
    is the challenger's accuracy less the champion's, from `low` to `high`; `p` that it is at least so large by chance.
    """

    rows: int
    won: int
    lost: int
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p: float


def compare_rows(champion: Right, challenger: Right, alpha: float) -> Paired:
    """Compare two models on the same rows, of which there is at least one.

    p is that of the exact McNemar test. The interval, of confidence 1 - `alpha`, is that of Bonett & Price, "Adjusted
    Wald confidence interval for a difference of binomial proportions based on paired data" (2012).
    """
    rows = len(champion)
    won, lost = int((challenger & ~champion).sum()), int((champion & ~challenger).sum())
    up, down = (won + 1) / (rows + 2), (lost + 1) / (rows + 2)
    half = stats.norm.isf(alpha / 2) * np.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    return Paired(
        rows=rows,
        won=won,
        lost=lost,
        champion=float(champion.mean()),
        challenger=float(challenger.mean()),
        difference=(won - lost) / rows,
        low=max(up - down - half, -1.0),
        high=min(up - down + half, 1.0),
        p=float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0,
    )


def compare_groups(
    champion: Right, challenger: Right, groups: Mapping[str, npt.NDArray[np.bool_]], alpha: float
) -> dict[str, Paired]:
    """Compare two models on each of `groups`, which are masks of the rows; a group without a row is left out.

    p is corrected for the number of groups, as in the drift report (Benjamini & Hochberg 1995): the chance that any has
    a p below `alpha`, although the models are equally good on all, is at most `alpha`.
    """
    found = {name: compare_rows(champion[mask], challenger[mask], alpha) for name, mask in groups.items() if mask.any()}
    corrected = stats.false_discovery_control([one.p for one in found.values()]).tolist()
    return {name: one._replace(p=p) for (name, one), p in zip(found.items(), corrected, strict=True)}
