"""Hypothesis strategies, built from the schema."""

import msgspec
import numpy as np
import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from msgspec.structs import astuple

from obesity_levels.model.features import Matrix, encode_rows, input_matrix
from obesity_levels.schema import ANSWERS, CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES, Patient

# For what takes 10 ms or more a call, however few rows it is called with, as pandas and scikit-learn do: fewer examples
# than hypothesis' 100, of more rows. Each property was seen to fail with a bug planted in what it is about.
few_examples = settings(max_examples=30)


def answers(name: str) -> st.SearchStrategy:
    """A valid answer."""
    return st.floats(*SCALES[name], width=32) if name in SCALES else st.sampled_from(CATEGORIES[name])


def records() -> st.SearchStrategy[dict]:
    """The 16 answers of one person, any of them missing."""
    return st.fixed_dictionaries({name: st.none() | answers(name) for name in ANSWERS})


def _two_answers(name: str) -> list:
    """A whole number and one with a fraction, or two categories."""
    if name in SCALES:
        low, high = SCALES[name]
        return [low, low + (high - low) / 4 + 0.125]
    return list((LEVELS if name == LABEL else CATEGORIES[name])[:2])


# None is last, so that it is the answer number -1.
_ANSWERS = [np.array([*_two_answers(name), None], dtype=object) for name in COLUMNS]
_CHANGED = 7


def _codes(kind: type, shape: int | tuple[int, int], *values: int | str) -> st.SearchStrategy[np.ndarray]:
    return arrays(kind, shape, elements=st.sampled_from(values), fill=st.nothing())


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 20) -> pd.DataFrame:
    """Valid rows with labels, copies of at most three: a few columns have gaps, and now and then another answer."""
    rows = draw(st.integers(1, max_rows))
    numbers = draw(_codes(int, (3, len(COLUMNS)), 0, 1))[draw(_codes(int, rows, 0, 1, 2))]
    columns = draw(st.lists(st.integers(0, len(COLUMNS) - 1), min_size=_CHANGED, max_size=_CHANGED, unique=True))
    change = draw(_codes("U5", (rows, _CHANGED), *["none"] * 10, *["gap"] * 5, "other"))
    for at, column in enumerate(columns):
        numbers[change[:, at] == "other", column] ^= 1
        if COLUMNS[column] != LABEL:
            numbers[change[:, at] == "gap", column] = -1
    return as_table({name: _ANSWERS[at][numbers[:, at]] for at, name in enumerate(COLUMNS)})


def as_table(rows: list[dict] | dict[str, np.ndarray]) -> pd.DataFrame:
    """Clean rows with line numbers, of records or of columns."""
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    types = {name: "float64" if name in SCALES else "str" for name in COLUMNS}
    return table.astype(types).set_index(pd.RangeIndex(2, len(table) + 2, name="line"))


def matrix_of(rows: list[dict], profile: str = "full") -> Matrix:
    """The input matrix of records, which are read as the service reads them."""
    return input_matrix(encode_rows(map(astuple, msgspec.convert(rows, list[Patient]))), profile)
