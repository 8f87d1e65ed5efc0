"""Pairs of rows that agree on every cell that both have: the evidence for duplicates and for the groups of splits."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from obesity_levels.schema import COLUMNS

Codes = npt.NDArray[np.int32]
Pairs = npt.NDArray[np.int64]

# A bucket is compared pair by pair if that takes at most this many comparisons per row; a larger one is split further.
_COMPARISONS_PER_ROW = 4
_PAIRS_AT_ONCE = 500_000


def cell_codes(rows: pd.DataFrame) -> tuple[Codes, dict[str, pd.Index]]:
    """Encode the cells of `rows`.

    Returns codes of shape (rows, 17), -1 where a cell is missing, and for each column its values, indexed by code.
    """
    codes, values = zip(*(pd.factorize(rows[column]) for column in COLUMNS), strict=True)
    return np.stack(codes, axis=1, dtype=np.int32, casting="same_kind"), dict(zip(COLUMNS, values, strict=True))


def connected_groups(pairs: Pairs, rows: int) -> npt.NDArray[np.int32]:
    """The connected component of each of `rows` rows, shape (rows,), under `pairs` of row indices, shape (pairs, 2)."""
    links = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(rows, rows))
    return connected_components(links, directed=False)[1]


def agreeing_pairs(codes: Codes, min_shared: int, of: npt.NDArray[np.bool_] | None = None) -> Pairs:
    """Pairs of rows that agree on every cell valid in both and have at least `min_shared` such cells.

    `codes` has shape (rows, columns), -1 where a cell is missing; its rows must be distinct (merge equal rows first).
    `of`, shape (rows,), restricts the pairs to those of these rows. Returns row indices of shape (pairs, 2), sorted,
    with the smaller index first.

    Not all pairs are compared. In each column, two rows that agree are both valid and equal, or one of them is missing;
    the latter in at most `columns - min_shared` columns. Of two distinct rows that agree, one has a missing cell. So
    buckets of (rows with a missing cell, any rows) are split by one column after the other, the most selective first,
    into three cases: equal, left missing, right missing. The cases with a missing cell have few rows on one side, and
    after a few columns on the other, so the cost grows with the number of rows and not with its square.
    """
    columns = codes.shape[1]
    allowed = columns - min_shared
    missing = codes < 0
    usable = np.flatnonzero(missing.sum(axis=1) <= allowed)
    left = usable[(np.any(missing, axis=1) if of is None else of)[usable]]

    row = np.concatenate([left, usable])
    right = np.repeat([False, True], [len(left), len(usable)])
    bucket = np.zeros(len(row), dtype=np.int64)
    lacked = np.zeros(len(row), dtype=np.int8)
    found = []
    for column in sorted(range(columns), key=lambda c: -codes[:, c].max(initial=0)):
        value = codes[row, column].astype(np.int64)
        valid = value >= 0
        left_lacks = np.flatnonzero(right | ~valid)
        right_lacks = np.flatnonzero(right != valid)
        equal = np.flatnonzero(valid)
        taken = np.concatenate([equal, left_lacks, right_lacks])
        cases = int(value.max(initial=0)) + 3
        case = np.concatenate([value[equal] + 2, np.zeros_like(left_lacks), np.ones_like(right_lacks)])
        lacked = lacked[taken]
        lacked[len(equal) :] += 1
        bucket = pd.factorize(bucket[taken] * cases + case)[0]
        row, right = row[taken], right[taken]

        lefts = np.bincount(bucket, weights=~right)[bucket]
        rights = np.bincount(bucket, weights=right)[bucket]
        alive = (lacked <= allowed) & (lefts > 0) & (rights > 0)
        small = alive & (lefts * rights <= _COMPARISONS_PER_ROW * (lefts + rights))
        found.append(_agreeing_products(row[small], right[small], bucket[small], codes, min_shared))
        large = alive & ~small
        row, right, bucket, lacked = row[large], right[large], bucket[large], lacked[large]
    found.append(_agreeing_products(row, right, bucket, codes, min_shared))
    return np.unique(np.concatenate(found), axis=0)


def _agreeing_products(row: Pairs, right: npt.NDArray[np.bool_], bucket: Pairs, codes: Codes, min_shared: int) -> Pairs:
    """In each bucket, the pairs of a left row and a right row that agree."""
    if not len(row):
        return np.empty((0, 2), dtype=np.int64)
    table = pd.DataFrame({"row": row, "bucket": bucket})
    pairs = table[~right].merge(table[right], on="bucket")[["row_x", "row_y"]].to_numpy()
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    found = []
    for part in np.array_split(pairs, len(pairs) // _PAIRS_AT_ONCE + 1):
        one, other = codes.take(part[:, 0], axis=0), codes.take(part[:, 1], axis=0)
        both = (one >= 0) & (other >= 0)
        found.append(part[((one == other) | ~both).all(axis=1) & (both.sum(axis=1) >= min_shared)])
    return np.concatenate(found)
