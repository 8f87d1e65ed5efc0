"""Duplicates: the same row twice, damaged independently. They become one row, and each fills the gaps of the other."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.data.matching import Codes, agreeing_pairs, cell_codes, connected_groups
from obesity_levels.params import DuplicatesParams
from obesity_levels.schema import COLUMNS, SCALES


def merge_duplicates(rows: pd.DataFrame, params: DuplicatesParams) -> tuple[pd.DataFrame, dict[str, int]]:
    """Merge every set of duplicates into one row. Returns the remaining rows, and the restored cells by column.

    Duplicates are rows that are equal in all cells, or that agree on every cell valid in both, with at least
    `min_shared_cells` such cells, of which at least `min_fractions` are numbers with a fraction. The first row of a
    set remains; its gaps are filled from the others. Agreement is not transitive: where a row agrees with two rows that
    contradict each other, nothing tells which of them it duplicates, and none of the three is merged. A merged row may
    agree with further rows, so merging is repeated until no rows agree. The result does not depend on row order.
    """
    found, values = cell_codes(rows)
    codes, remaining = found, np.arange(len(rows))
    pairs = np.empty((0, 2), dtype=np.int64)
    # rows whose pairs are not known yet: of two rows that agree and are not equal, one has a missing cell
    changed = np.any(codes < 0, axis=1)
    while True:
        equal = pd.DataFrame(codes).duplicated().to_numpy()
        kept = np.flatnonzero(~equal)
        pairs = np.searchsorted(kept, pairs[~(changed | equal)[pairs].any(axis=1)])
        codes, remaining, changed = codes[kept], remaining[kept], changed[kept]
        pairs = np.concatenate([pairs, agreeing_pairs(codes, params.min_shared_cells, of=changed)])

        odd = _have_fractions(codes, values)
        shared = (odd[pairs[:, 0]] & odd[pairs[:, 1]]).sum(axis=1)
        sets = pd.Series(connected_groups(pairs[shared >= params.min_fractions], len(codes)))
        filled = pd.DataFrame(codes).groupby(sets).transform("max").to_numpy()
        contradicts = ((codes >= 0) & (codes != filled)).any(axis=1)
        changed = (sets.duplicated(keep=False) & ~sets.isin(sets[contradicts])).to_numpy()
        if not changed.any():
            break
        # the rows of a set are now equal, and all but the first are dropped
        codes[changed] = filled[changed]

    result = rows.iloc[remaining].copy()
    restored = codes != found[remaining]
    for at, (name, column) in enumerate(values.items()):
        gaps = np.flatnonzero(restored[:, at])
        result.iloc[gaps, result.columns.get_loc(name)] = column.take(codes[gaps, at])
    return result, dict(zip(values, restored.sum(axis=0).tolist(), strict=True))


def _have_fractions(codes: Codes, values: dict[str, pd.Index]) -> npt.NDArray[np.bool_]:
    """Whether a cell is a number with a fraction, shape (rows, numbers); False where it is missing."""
    # the code of a missing cell, -1, is the place of the False at the end
    odd = [np.append(values[name] % 1 > 0, False)[codes[:, COLUMNS.index(name)]] for name in SCALES]
    return np.column_stack(odd)
