import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from tests.conftest import ROOT
from tests.obesity_levels.data.test_matching import pairs_by_definition
from tests.strategies import few_examples, tables

from obesity_levels.data.duplicates import merge_duplicates
from obesity_levels.data.matching import cell_codes
from obesity_levels.data.splitting import group_rows, split_rows
from obesity_levels.errors import TooFewRowsError
from obesity_levels.params import DuplicatesParams, SplitParams, load_params
from obesity_levels.schema import LABEL, LEVELS, SPLITS

PARAMS = load_params(ROOT / "params.yaml").featurize.split


def split_of(counts: dict[str, int], params: SplitParams = PARAMS) -> tuple[pd.Series, np.ndarray]:
    levels = pd.Series(np.repeat(list(counts), list(counts.values())))
    return levels, split_rows(levels, np.arange(len(levels)), params)


@few_examples
@given(tables())
def test_rows_are_of_one_group_when_they_agree_on_twelve_cells_or_more_and_contradict_in_none(rows):
    rows, _ = merge_duplicates(rows, DuplicatesParams(12, 2))
    groups = group_rows(rows, 12)
    codes, _ = cell_codes(rows)
    assert all(groups[one] == groups[other] for one, other in pairs_by_definition(codes, 12))


@few_examples
@given(tables())
def test_rows_of_a_group_have_one_level(rows):
    rows, _ = merge_duplicates(rows, DuplicatesParams(12, 2))
    assert (rows[LABEL].groupby(group_rows(rows, 12)).nunique() == 1).all()


def test_no_group_straddles_a_split_and_large_groups_do_not_unbalance_it():
    rng = np.random.default_rng(0)
    levels = pd.Series(np.repeat(LEVELS, 200))
    groups = np.arange(len(levels)) // 200 * 1000 + rng.integers(0, 40, len(levels))
    split = split_rows(levels, groups, PARAMS)
    assert (pd.Series(split).groupby(groups).nunique() == 1).all()
    assert set(split) == set(SPLITS)


def test_every_level_is_split_in_the_shares_of_the_params():
    levels, split = split_of(dict.fromkeys(LEVELS, 200))
    counts = pd.crosstab(levels, split)
    assert (counts["test"] == 30).all()
    assert (counts["validation"] == 30).all()
    assert (counts["train"] == 140).all()


def test_the_same_seed_gives_the_same_split_and_another_another():
    counts = dict.fromkeys(LEVELS, 50)
    other_params = SplitParams(PARAMS.validation, PARAMS.test, PARAMS.min_shared_cells, PARAMS.seed + 1)
    assert (split_of(counts)[1] == split_of(counts)[1]).all()
    assert (split_of(counts)[1] != split_of(counts, other_params)[1]).any()


@pytest.mark.parametrize(("rows", "said"), [(2, "2 rows in 2 groups: too few"), (0, "0 rows")])
def test_a_level_with_too_few_rows_is_named(rows, said):
    with pytest.raises(TooFewRowsError, match=f"level 'Obesity_Type_III' has {said}"):
        split_of(dict.fromkeys(LEVELS, 50) | {"Obesity_Type_III": rows})


def test_a_level_in_one_large_group_cannot_be_split():
    levels = pd.Series(np.repeat(LEVELS, 20))
    groups = np.arange(len(levels))
    groups[:20] = 0
    with pytest.raises(TooFewRowsError, match="level 'Insufficient_Weight' has 20 rows in 1 groups"):
        split_rows(levels, groups, PARAMS)


def test_rows_of_one_level_only_are_refused():
    with pytest.raises(TooFewRowsError, match="all 30 rows are 'Normal_Weight'"):
        split_of({"Normal_Weight": 30})
