from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import few_examples

from obesity_levels.data.sampling import row_hashes, sample_rows

TEXTS = st.text(max_size=3) | st.sampled_from(["yes", "no"])
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Texts in two columns, with equal rows among them, indexed by the line."""
    distinct = draw(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20))
    rows = draw(st.lists(st.sampled_from(distinct), min_size=1, max_size=60))
    return pd.DataFrame(rows, columns=["x", "y"], dtype="str").rename(index=lambda row: row + 2).rename_axis("line")


def in_blocks(table: pd.DataFrame, cuts: list[int]) -> list[pd.DataFrame]:
    return [
        table.iloc[start:end] for start, end in pairwise([0, *sorted(cut % len(table) for cut in cuts), len(table)])
    ]


@few_examples
@given(tables(), st.integers(1, 70), SEEDS, st.lists(st.integers(0, 59), max_size=8))
def test_blocks_of_any_size_give_the_same_rows(table, size, seed, cuts):
    kept, rows = sample_rows(in_blocks(table, cuts), size, seed)
    pd.testing.assert_frame_equal(kept, sample_rows([table], size, seed)[0])
    assert rows == len(table)


@few_examples
@given(tables(), st.integers(1, 70), SEEDS)
def test_so_many_rows_as_are_asked_for_are_kept_in_their_order_and_those_left_out_have_no_smaller_hash(
    table, size, seed
):
    kept, _ = sample_rows([table], size, seed)
    assert len(kept) == min(size, len(table))
    pd.testing.assert_frame_equal(kept, table[table.index.isin(kept.index)])
    by_hash = pd.Series(row_hashes(table, seed), table.index)
    left_out = by_hash.drop(kept.index)
    assert left_out.empty or by_hash[kept.index].max() <= left_out.min()


@few_examples
@given(tables(), SEEDS)
def test_a_sample_of_as_many_rows_as_there_are_is_all_of_them(table, seed):
    pd.testing.assert_frame_equal(sample_rows([table], len(table), seed)[0], table)


@few_examples
@given(tables(), SEEDS)
def test_a_smaller_sample_is_part_of_a_larger_one(table, seed):
    lines = [set(sample_rows([table], size, seed)[0].index) for size in range(1, len(table) + 1)]
    assert all(smaller < larger for smaller, larger in pairwise(lines))


def test_of_equal_rows_the_first_are_kept():
    table = pd.DataFrame({"x": ["same"] * 5}, dtype="str")
    assert sample_rows([table.iloc[:2], table.iloc[2:]], 3, 1)[0].index.tolist() == [0, 1, 2]


@given(SEEDS, SEEDS)
def test_another_seed_keeps_other_rows_as_often_as_chance_has_it(one, other):
    """Two samples of half of the rows share a quarter: 1,000 of 4,000, give or take 16, the standard deviation."""
    table = pd.DataFrame({"x": np.arange(4000).astype(str)}, dtype="str")
    kept, kept_by_other = (set(sample_rows([table], 2000, seed)[0].index) for seed in (one, other))
    shared = len(kept & kept_by_other)
    assert shared == 2000 if one == other else abs(shared - 1000) < 100


def test_the_hashes_are_those_of_the_standard():
    """A change of them would be another sample of every source."""
    table = pd.DataFrame({"x": ["Female", "é"], "y": ["21.0", ""]}, dtype="str")
    assert row_hashes(table, 20190825).tolist() == [11266776410240742292, 17608351632160445294]
