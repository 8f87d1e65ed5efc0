"""Copies: the same row twice, damaged independently. They become one row, each filling the other's gaps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.agreement import (
    Codes,
    Pairs,
    agreeing_pairs,
    cell_codes,
    connected_groups,
    first_of_equal_rows,
)
from obesity_levels.params import CopiesParams
from obesity_levels.schema import COLUMNS, SCALES


def merge_copies(rows: pd.DataFrame, params: CopiesParams) -> tuple[pd.DataFrame, dict[str, int]]:
    """Make one row of every set of copies; returns the rows that remain, and how many cells were restored by column.

    Copies are rows that are equal in all cells, or that agree on every cell valid in both with at least
    `min_shared_cells` such cells, at least `min_odd_numbers` of them numbers that are not whole. The first of a set
    stays, its gaps filled from the others. Agreement is not transitive: where a row is like two that contradict one
    another, nothing tells whose copy it is, and none of them is merged. A merged row may agree with further rows, so
    this goes on until none does; the outcome does not depend on the order of the rows.
    """
    codes, values = cell_codes(rows)
    odd = [name in SCALES and _odd(values[number]) for number, name in enumerate(COLUMNS)]
    remaining = np.arange(len(rows))
    found = codes
    pairs = np.empty((0, 2), dtype=np.int64)
    merged: npt.NDArray[np.bool_] | None = None
    while True:
        kept = np.unique(first_of_equal_rows(codes))
        codes, remaining, pairs = codes[kept], remaining[kept], _renumbered(pairs, kept, len(codes))
        if merged is not None:
            merged = merged[kept]
            pairs = pairs[~merged[pairs].any(axis=1)]
        pairs = np.concatenate([pairs, agreeing_pairs(codes, params.min_shared_cells, of=merged)])

        sets = _consistent_sets(codes, pairs[_shared_odd_numbers(codes, pairs, odd) >= params.min_odd_numbers])
        first = np.flatnonzero(~pd.Series(sets).duplicated())
        if len(first) == len(codes):
            break
        filled = _filled(codes, sets)[sets[first]]
        merged = np.bincount(sets)[sets[first]] > 1
        codes, remaining, pairs = filled, remaining[first], _renumbered(pairs, first, len(codes))

    result = rows.iloc[remaining].copy()
    restored = (codes >= 0) & (found[remaining] < 0)
    for number, name in enumerate(COLUMNS):
        gaps = np.flatnonzero(restored[:, number])
        if len(gaps):
            result.iloc[gaps, result.columns.get_loc(name)] = values[number].take(codes[gaps, number])
    return result, {name: int(count) for name, count in zip(COLUMNS, restored.sum(axis=0), strict=True)}


def _odd(values: pd.Index) -> npt.NDArray[np.bool_]:
    numbers = values.to_numpy(dtype=float)
    return numbers != np.floor(numbers)


def _shared_odd_numbers(codes: Codes, pairs: Pairs, odd: list) -> npt.NDArray[np.int64]:
    """Of each pair that agrees, how many cells valid in both are numbers that are not whole."""
    count = np.zeros(len(pairs), dtype=np.int64)
    for number, is_odd in enumerate(odd):
        if is_odd is not False and len(is_odd):
            one, other = codes[pairs[:, 0], number], codes[pairs[:, 1], number]
            count += (one >= 0) & (other >= 0) & is_odd[one]
    return count


def _consistent_sets(codes: Codes, copies: Pairs) -> npt.NDArray[np.int64]:
    """A number for each row, shared by the rows that are copies of one another and nowhere contradict one another."""
    sets = connected_groups(copies, len(codes))
    size = np.bincount(sets)
    members = np.flatnonzero(size[sets] > 1)
    contradicts = np.zeros(len(size), dtype=bool)
    table = pd.DataFrame(codes[members]).where(codes[members] >= 0)
    spread = table.groupby(sets[members]).nunique()
    contradicts[spread.index] = (spread > 1).any(axis=1)
    alone = contradicts[sets]
    sets = sets.astype(np.int64)
    sets[alone] = len(size) + np.arange(alone.sum())
    return np.unique(sets, return_inverse=True)[1]


def _filled(codes: Codes, sets: npt.NDArray[np.int64]) -> Codes:
    """For each set the codes that any of its rows has, shape (sets, columns); -1 where none has."""
    filled = np.full((int(sets.max()) + 1, codes.shape[1]), -1, dtype=codes.dtype)
    np.maximum.at(filled, sets, codes)
    return filled


def _renumbered(pairs: Pairs, kept: npt.NDArray[np.int64], before: int) -> Pairs:
    """`pairs` in the numbering of the `kept` rows; those of a row that is gone are dropped."""
    position = np.full(before, -1, dtype=np.int64)
    position[kept] = np.arange(len(kept))
    pairs = position[pairs]
    return pairs[(pairs >= 0).all(axis=1)]
