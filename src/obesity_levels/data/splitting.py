"""Three splits: rows that may be the same person are in the same split, and every level has its share in each."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.data.matching import agreeing_pairs, cell_codes, connected_groups
from obesity_levels.errors import TooFewRowsError
from obesity_levels.params import SplitParams
from obesity_levels.schema import LEVELS, SPLITS


def group_rows(rows: pd.DataFrame, min_shared_cells: int) -> npt.NDArray[np.int32]:
    """A number for each row, shape (rows,), equal for rows that may be the same person.

    These are rows that agree on every cell valid in both, with at least `min_shared_cells` such cells, directly or
    through other rows. `rows` must not hold two rows that are equal in all cells.
    """
    codes, _ = cell_codes(rows)
    return connected_groups(agreeing_pairs(codes, min_shared_cells), len(rows))


def split_rows(levels: pd.Series, groups: npt.NDArray[np.int32], params: SplitParams) -> npt.NDArray[np.str_]:
    """One of SPLITS for each row: whole groups, drawn at random within each level, in the shares of `params`.

    Rows of a group have the same level, because the label is one of the cells that agree. Raises TooFewRowsError if a
    level has too few rows for every split.
    """
    if len(set(levels)) == 1:
        raise TooFewRowsError(
            f"all {len(levels)} rows are '{levels.iloc[0]}': nothing to learn; give rows of all seven levels"
        )
    rng = np.random.default_rng(params.seed)
    split = np.full(len(levels), SPLITS[0], dtype="<U10")
    for level in LEVELS:
        at = np.flatnonzero(levels == level)
        members, sizes = np.unique(groups[at], return_counts=True)
        order = rng.permutation(len(members))
        middle = np.cumsum(sizes[order]) - sizes[order] / 2
        sides = np.digitize(middle, [len(at) * params.test, len(at) * (params.test + params.validation)])
        split_of_group = pd.Series(np.array(SPLITS)[2 - sides], index=members[order])
        if split_of_group.nunique() < len(SPLITS):
            raise TooFewRowsError(
                f"level '{level}' has {len(at)} rows in {len(members)} groups: too few for each of"
                f" {', '.join(SPLITS)}; give more rows of this level"
            )
        split[at] = split_of_group[groups[at]]
    return split
