import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.obesity_levels.data.test_matching import pairs_by_definition
from tests.strategies import as_table, few_examples, tables

from obesity_levels.data.duplicates import merge_duplicates
from obesity_levels.data.matching import cell_codes, connected_groups
from obesity_levels.params import DuplicatesParams
from obesity_levels.schema import ANSWERS, COLUMNS, SCALES

PARAMS = DuplicatesParams(min_shared_cells=12, min_fractions=2)
GENERATED = {
    **{"Gender": "Male", "Age": 23.4, "Height": 1.812345, "Weight": 95.5, "family_history_with_overweight": "yes"},
    **{"FAVC": "yes", "FCVC": 2.3, "NCP": 3.0, "CAEC": "Sometimes", "SMOKE": "no", "CH2O": 1.7, "SCC": "no"},
    **{"FAF": 0.4, "TUE": 1.0, "CALC": "no", "MTRANS": "Walking", "NObeyesdad": "Overweight_Level_II"},
}
PERSON = GENERATED | {"Age": 23.0, "Height": 1.81, "Weight": 95.0, "FCVC": 2.0, "CH2O": 2.0, "FAF": 0.0}


def merged(*rows: dict) -> pd.DataFrame:
    return merge_duplicates(as_table(list(rows)), PARAMS)[0]


def blanked(row: dict, *names: str) -> dict:
    return row | dict.fromkeys(names)


def test_a_row_and_its_damaged_copy_become_one():
    rows, restored = merge_duplicates(
        as_table([blanked(GENERATED, "Height", "CALC"), blanked(GENERATED, "Weight")]), PARAMS
    )
    assert rows.to_dict("records") == [GENERATED]
    assert rows.index.tolist() == [2]
    assert {name: count for name, count in restored.items() if count} == {"Height": 1, "CALC": 1}


def test_rows_equal_in_all_cells_become_one_whatever_they_hold():
    few = blanked(PERSON, *ANSWERS[3:])
    assert len(merged(PERSON, PERSON)) == 1
    assert len(merged(few, few)) == 1


def test_people_who_answer_alike_but_for_a_gap_are_not_duplicates():
    """One odd number, the height, is no evidence: two people may well agree in whole numbers."""
    assert len(merged(PERSON, blanked(PERSON, "CALC"))) == 2


@pytest.mark.parametrize(("gaps", "remaining"), [(5, 1), (6, 2)])
def test_at_least_twelve_cells_must_be_shared(gaps, remaining):
    assert len(merged(GENERATED, blanked(GENERATED, *ANSWERS[6 : 6 + gaps]))) == remaining


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_that_contradict_one_another_in_any_cell_are_not_duplicates(name):
    other = {"Gender": "Female", "CAEC": "Always", "CALC": "Always", "MTRANS": "Bike", "NObeyesdad": "Normal_Weight"}
    yes_or_no = "no" if GENERATED[name] == "yes" else "yes"
    changed = GENERATED[name] + 0.1 if name in SCALES else other.get(name, yes_or_no)
    assert len(merged(GENERATED, GENERATED | {name: changed})) == 2


def test_a_row_that_is_like_two_that_contradict_one_another_is_merged_with_neither():
    one, other = GENERATED | {"CALC": "no"}, GENERATED | {"CALC": "Always"}
    assert len(merged(one, other, blanked(GENERATED, "CALC"))) == 3


def test_a_merged_row_may_be_the_copy_of_a_third():
    """Of the first and the third only eleven cells are shared; filled from the second, the first shares enough."""
    first = blanked(GENERATED, "Gender", "SMOKE", "SCC", "CALC")
    second = blanked(GENERATED, "MTRANS")
    third = blanked(GENERATED, "FAVC", "MTRANS")
    rows = merged(first, second, third)
    assert rows.to_dict("records") == [GENERATED]


@few_examples
@given(tables())
def test_what_remains_holds_no_duplicates_but_those_of_contradicting_rows(rows):
    remaining, _ = merge_duplicates(rows, PARAMS)
    assert not remaining.duplicated().any()
    codes, _ = cell_codes(remaining)
    fractions = (remaining[list(SCALES)] % 1 > 0).to_numpy()
    copies = [pair for pair in pairs_by_definition(codes, 12) if fractions[list(pair)].all(axis=0).sum() >= 2]
    sets = connected_groups(np.array(copies, dtype=int).reshape(-1, 2), len(remaining))
    contradicts = (remaining.groupby(sets).nunique() > 1).any(axis=1)
    assert contradicts[np.bincount(sets) > 1].all()


@few_examples
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, random):
    order = list(range(len(rows)))
    random.shuffle(order)
    one, _ = merge_duplicates(rows, PARAMS)
    other, _ = merge_duplicates(rows.iloc[order], PARAMS)
    assert sorted(map(repr, one.to_numpy().tolist())) == sorted(map(repr, other.to_numpy().tolist()))


@few_examples
@given(tables())
def test_a_restored_cell_comes_from_a_row_that_agrees_with_what_was_there(rows):
    remaining, restored = merge_duplicates(rows, PARAMS)
    filled = remaining.notna() & rows.loc[remaining.index].isna()
    assert filled.sum().to_dict() == restored
    for line in remaining.index[filled.any(axis=1)]:
        agreeing = rows[((rows == remaining.loc[line]) | rows.isna()).all(axis=1)]
        assert agreeing.loc[:, filled.loc[line]].notna().any().all()
