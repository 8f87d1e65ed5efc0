"""Duplicates: the same row twice, damaged independently. They become one row, and each fills the gaps of the other."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.data.matching import (
    Codes,
    Pairs,
    agreeing_pairs,
    cell_codes,
    connected_groups,
    first_of_equal_rows,
)
from obesity_levels.params import CopiesParams
from obesity_levels.schema import COLUMNS, SCALES


def merge_duplicates(rows: pd.DataFrame, params: CopiesParams) -> tuple[pd.DataFrame, dict[str, int]]:
    """Merge every set of duplicates into one row. Returns the remaining rows, and the restored cells by column.

    Duplicates are rows that are equal in all cells, or that agree on every cell valid in both, with at least
    `min_shared_cells` such cells, of which at least `min_odd_numbers` are numbers with a fraction. The first row of a
    set remains; its gaps are filled from the others. Agreement is not transitive: where a row agrees with two rows that
    contradict each other, nothing tells which of them it duplicates, and none of the three is merged. A merged row may
    agree with further rows, so merging is repeated until no rows agree. The result does not depend on row order.
    """
    codes, values = cell_codes(rows)
    fractional = [_has_fraction(values[at]) if name in SCALES else None for at, name in enumerate(COLUMNS)]
    remaining = np.arange(len(rows))
    found = codes
    pairs = np.empty((0, 2), dtype=np.int64)
    merged: npt.NDArray[np.bool_] | None = None
    while True:
        kept = np.unique(first_of_equal_rows(codes))
        codes, remaining, pairs = codes[kept], remaining[kept], _reindexed(pairs, kept, len(codes))
        if merged is not None:
            merged = merged[kept]
            pairs = pairs[~merged[pairs].any(axis=1)]
        pairs = np.concatenate([pairs, agreeing_pairs(codes, params.min_shared_cells, of=merged)])

        sets = _consistent_sets(codes, pairs[_shared_fractions(codes, pairs, fractional) >= params.min_odd_numbers])
        first = np.flatnonzero(~pd.Series(sets).duplicated())
        if len(first) == len(codes):
            break
        filled = _filled(codes, sets)[sets[first]]
        merged = np.bincount(sets)[sets[first]] > 1
        codes, remaining, pairs = filled, remaining[first], _reindexed(pairs, first, len(codes))

    result = rows.iloc[remaining].copy()
    restored = (codes >= 0) & (found[remaining] < 0)
    for number, name in enumerate(COLUMNS):
        gaps = np.flatnonzero(restored[:, number])
        if len(gaps):
            result.iloc[gaps, result.columns.get_loc(name)] = values[number].take(codes[gaps, number])
    return result, {name: int(count) for name, count in zip(COLUMNS, restored.sum(axis=0), strict=True)}


def _has_fraction(values: pd.Index) -> npt.NDArray[np.bool_]:
    numbers = values.to_numpy(dtype=float)
    return numbers != np.floor(numbers)


def _shared_fractions(
    codes: Codes, pairs: Pairs, fractional: list[npt.NDArray[np.bool_] | None]
) -> npt.NDArray[np.int64]:
    """For each pair that agrees, how many cells valid in both are numbers with a fraction."""
    count = np.zeros(len(pairs), dtype=np.int64)
    for at, has_fraction in enumerate(fractional):
        if has_fraction is not None and len(has_fraction):
            one, other = codes[pairs[:, 0], at], codes[pairs[:, 1], at]
            count += (one >= 0) & (other >= 0) & has_fraction[one]
    return count


def _consistent_sets(codes: Codes, duplicates: Pairs) -> npt.NDArray[np.int64]:
    """A number for each row, equal for rows that are duplicates of each other and do not contradict each other."""
    sets = connected_groups(duplicates, len(codes))
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
    """For each set, the codes that any of its rows has, shape (sets, columns); -1 where none has one."""
    filled = np.full((int(sets.max()) + 1, codes.shape[1]), -1, dtype=codes.dtype)
    np.maximum.at(filled, sets, codes)
    return filled


def _reindexed(pairs: Pairs, kept: npt.NDArray[np.int64], before: int) -> Pairs:
    """`pairs` as indices among the `kept` rows, without those of a row that is not kept."""
    position = np.full(before, -1, dtype=np.int64)
    position[kept] = np.arange(len(kept))
    pairs = position[pairs]
    return pairs[(pairs >= 0).all(axis=1)]
