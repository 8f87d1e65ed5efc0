import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from obesity_levels.data import matching
from obesity_levels.data.matching import agreeing_pairs, connected_groups

COLUMNS = 6
codes_tables = (
    st.integers(0, 40)
    .flatmap(lambda rows: arrays(np.int32, (rows, COLUMNS), elements=st.integers(-1, 1)))
    .map(lambda codes: np.unique(codes, axis=0))
)


def pairs_by_definition(codes, min_shared):
    one, other = np.triu_indices(len(codes), k=1)
    both = (codes[one] >= 0) & (codes[other] >= 0)
    agree = ((codes[one] == codes[other]) | ~both).all(axis=1) & (both.sum(axis=1) >= min_shared)
    return list(zip(one[agree].tolist(), other[agree].tolist(), strict=True))


@given(codes_tables, st.integers(1, COLUMNS))
def test_the_pairs_found_are_those_of_the_definition(codes, min_shared):
    assert list(map(tuple, agreeing_pairs(codes, min_shared))) == pairs_by_definition(codes, min_shared)


@given(codes_tables, st.integers(1, COLUMNS), st.randoms(use_true_random=False))
def test_asked_of_some_rows_the_pairs_are_those_with_one_of_them(codes, min_shared, random):
    of = np.array([random.random() < 0.5 for _ in range(len(codes))], dtype=bool)
    wanted = [pair for pair in pairs_by_definition(codes, min_shared) if of[list(pair)].any()]
    assert list(map(tuple, agreeing_pairs(codes, min_shared, of=of))) == wanted


@pytest.mark.parametrize("categories", [2, 30])
def test_large_buckets_that_are_split_column_by_column_lose_no_pair(categories):
    rng = np.random.default_rng(categories)
    codes = rng.integers(0, [categories, 3, 2, 2, 2, 2], size=(600, COLUMNS)).astype(np.int32)
    codes[rng.random(codes.shape) < 0.1] = -1
    codes = np.unique(codes, axis=0)
    found = list(map(tuple, agreeing_pairs(codes, 4)))
    assert found == pairs_by_definition(codes, 4)
    assert len(found) > 100


def test_comparisons_grow_with_the_rows_and_not_with_their_square(monkeypatch):
    """Counted, not timed: the pairs compared for ten times the rows are about ten times as many."""
    compared = []
    products = matching._agreeing_products

    def counted(row, right, bucket, *rest):
        lefts, rights = (np.bincount(bucket[side], minlength=bucket.max(initial=0) + 1) for side in (~right, right))
        compared.append((lefts * rights).sum())
        return products(row, right, bucket, *rest)

    monkeypatch.setattr(matching, "_agreeing_products", counted)
    counts = {}
    for rows in (2_000, 20_000):
        rng = np.random.default_rng(0)
        codes = rng.integers(0, [rows // 10, 60, 50, 4, 3, 2, 2], size=(rows, 7)).astype(np.int32)
        codes[rng.random(codes.shape) < 0.02] = -1
        compared.clear()
        agreeing_pairs(np.unique(codes, axis=0), 5)
        counts[rows] = sum(compared)
    assert counts[20_000] < 15 * counts[2_000]


def test_rows_are_of_one_group_when_pairs_lead_from_one_to_the_other():
    groups = connected_groups(np.array([[0, 2], [2, 4]]), rows=5)
    assert groups[0] == groups[2] == groups[4]
    assert len({groups[0], groups[1], groups[3]}) == 3
