"""Hypothesis strategies, built from the schema."""

import msgspec
import numpy as np
import pandas as pd
from hypothesis import strategies as st
from msgspec.structs import astuple

from obesity_levels.model.features import Matrix, encode_rows, input_matrix
from obesity_levels.schema import ANSWERS, CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES, Patient


def answers(name: str, values: int | None = None) -> st.SearchStrategy:
    """A valid answer; with `values`, one of so many, so that rows agree now and then."""
    if name in SCALES:
        low, high = SCALES[name]
        if values:
            return st.sampled_from(np.linspace(low, high, 2 * values + 1)[1::2].round(3).tolist())
        return st.floats(low, high, width=32)
    return st.sampled_from((LEVELS if name == LABEL else CATEGORIES[name])[:values])


def records() -> st.SearchStrategy[dict]:
    """The 16 answers of one person, any of them missing."""
    return st.fixed_dictionaries({name: st.none() | answers(name) for name in ANSWERS})


def tables(max_rows: int = 12, values: int = 2) -> st.SearchStrategy[pd.DataFrame]:
    """Valid rows with few different values and some gaps, so that many are copies or nearly so; labels are there."""
    base = st.fixed_dictionaries({name: answers(name, values) for name in COLUMNS})
    gaps = st.sets(st.sampled_from(ANSWERS), max_size=4)
    few_bases = st.lists(base, min_size=1, max_size=3)

    def rows_of(bases: list[dict]) -> st.SearchStrategy[list[dict]]:
        row = st.tuples(st.sampled_from(bases), gaps, st.sampled_from(ANSWERS), st.booleans(), base)
        changed = row.map(
            lambda r: {
                **r[0],
                **({r[2]: r[4][r[2]]} if r[3] else {}),
                **dict.fromkeys(r[1]),
            }
        )
        return st.lists(changed, min_size=1, max_size=max_rows)

    return few_bases.flatmap(rows_of).map(as_table)


def as_table(rows: list[dict]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    types = {name: "float64" if name in SCALES else "str" for name in COLUMNS}
    return table.astype(types).set_index(pd.RangeIndex(2, len(rows) + 2, name="line"))


def matrix_of(rows: list[dict], profile: str = "full") -> Matrix:
    """The input matrix of records, which are read as the service reads them."""
    return input_matrix(encode_rows(map(astuple, msgspec.convert(rows, list[Patient]))), profile)
