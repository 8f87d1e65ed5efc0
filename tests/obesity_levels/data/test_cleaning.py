import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.strategies import few_examples, tables

from obesity_levels.data.cells import CAUSES
from obesity_levels.data.cleaning import REASON, clean_rows
from obesity_levels.data.simulation import as_text, damaged, draw_people
from obesity_levels.errors import TooFewRowsError
from obesity_levels.params import load_params
from obesity_levels.schema import ANSWERS, CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES

# Most tables here are of very few rows: the share of a column that is lost is tested in test_losses.
CLEAN = msgspec.structs.replace(load_params(ROOT / "params.yaml").clean, max_lost_share=1)
ROW = "Female,21,1.62,64,yes,no,2,3,Sometimes,no,2,no,0,1,no,Walking,Normal_Weight"

NUMBERS = ["-1", "0", "1", "2.5", " 3.0 ", "1,5", "1_0", "0x1", "827", "٣", "inf", "1e999"]
CATEGORY_TEXTS = ["no", " YES ", "fEMALE", "public transportation", "Public__Transportation", "WALKING\t"]
OTHERS = ["", " ", "?", "null", "n/a", "NaN", "obesity type iii"]
cells = st.sampled_from(NUMBERS + CATEGORY_TEXTS + OTHERS) | st.text(max_size=5)
labels = st.sampled_from([*LEVELS, " oBESITY_tYPE_i ", "normal weight"]) | cells
different_rows = st.lists(st.tuples(*[cells] * 16, labels), min_size=1, max_size=8)
# of a table of which nothing is kept cleaning makes an error
kept_row = ("Female", *["?"] * 15, "normal weight")


@st.composite
def raw_tables(draw: st.DrawFn) -> pd.DataFrame:
    """Rows of any texts, some of them more than once, and one that is kept."""
    rows = draw(st.lists(st.sampled_from(draw(different_rows)), max_size=20))
    table = pd.DataFrame([*rows, kept_row], columns=list(COLUMNS), dtype="str")
    return table.set_index(pd.RangeIndex(2, len(table) + 2, name="line"))


def texts(rows: pd.DataFrame) -> pd.DataFrame:
    return as_text(rows).set_index(rows.index)


def one_row(line: int = 2, **changed: str) -> pd.DataFrame:
    row = dict(zip(COLUMNS, ROW.split(","), strict=True)) | changed
    return pd.DataFrame([row], index=pd.Index([line], name="line"), dtype="str")


def cleaned_cell(name: str, text: str):
    rows, _, account = clean_rows(one_row(**{name: text}), CLEAN)
    return rows[name].iloc[0], {cause for cause, count in account["cells"]["set_missing"][name].items() if count}


@few_examples
@given(raw_tables())
def test_the_account_adds_up_and_every_row_is_on_one_side(raw):
    kept, rejected, account = clean_rows(raw, CLEAN)
    rows = account["rows"]
    assert rows["read"] == len(raw) == rows["kept"] + sum(rows["rejected"].values()) + rows["merged"]
    assert rows["kept"] == len(kept)
    assert sum(rows["rejected"].values()) == len(rejected)
    assert not set(kept.index) & set(rejected.index)
    for name in COLUMNS:
        assert sum(account["cells"]["set_missing"][name].values()) + account["cells"]["normalised"][name] <= len(raw)


@few_examples
@given(raw_tables())
def test_what_is_kept_is_valid(raw):
    kept, _, _ = clean_rows(raw, CLEAN)
    assert kept[LABEL].isin(LEVELS).all()
    assert kept[list(ANSWERS)].notna().any(axis=1).all()
    for name, (low, high) in SCALES.items():
        assert kept[name].dropna().between(low, high).all()
    for name, categories in CATEGORIES.items():
        assert kept[name].dropna().isin(categories).all()


@few_examples
@given(tables())
def test_cleaning_is_idempotent(rows):
    once, _, _ = clean_rows(texts(rows), CLEAN)
    twice, rejected, account = clean_rows(texts(once), CLEAN)
    pd.testing.assert_frame_equal(twice, once)
    assert rejected.empty
    assert account["rows"]["merged"] == 0


@few_examples
@given(tables())
def test_a_valid_cell_is_never_changed(rows):
    kept, _, _ = clean_rows(texts(rows), CLEAN)
    before = rows.loc[kept.index]
    assert ((kept == before) | before.isna()).all(axis=None)


def test_damage_followed_by_cleaning_restores_or_blanks_and_never_falsifies_beyond_the_scale(population):
    """A number may be falsified only where the damage itself lies on the scale: 0 times any integer, say."""
    rows = draw_people(population, 5000, np.random.default_rng(1))
    rows.index = pd.RangeIndex(2, 5002, name="line")
    dirty = damaged(texts(rows), population.damage, np.random.default_rng(2))
    kept, rejected, _ = clean_rows(dirty, CLEAN)
    without_label = dirty[LABEL].str.strip().str.lower().isin(["", *(mark.lower() for mark in CLEAN.missing_marks)])
    assert set(rejected.index) == set(rows.index[without_label])
    assert (kept == rows.loc[kept.index]).to_numpy().mean() > 0.97, "most cells are restored, not blanked"
    same = kept.isna() | (kept == rows.loc[kept.index])
    for name, scale in SCALES.items():
        as_found = pd.to_numeric(dirty.loc[kept.index, name], errors="coerce")
        same[name] |= as_found.between(*scale) & (as_found == kept[name])
    assert same.all(axis=None)


@pytest.mark.parametrize(
    ("text", "number"),
    [("3.0", 3.0), (" 2.5 ", 2.5), ("+1", 1.0), ("25e-1", 2.5), (".2e1", 2.0), ("1.", 1.0), ("3", 3.0), ("\t2\n", 2.0)],
)
def test_numbers_are_read_in_every_usual_form(text, number):
    assert cleaned_cell("FCVC", text) == (number, set())


CAUSES_OF = {
    ("FCVC", "empty"): ["", "  "],
    ("FCVC", "marker"): [" n/A ", "?", "NAN"],
    ("FCVC", "unreadable"): ["two", "2,5", "1_0", "0x2", "inf", "--2", "²", "٢"],
    ("FCVC", "out_of_scale"): ["963", "0.999", "3.001", "-2", "1e999", "9" * 400],
    ("MTRANS", "empty"): [""],
    ("MTRANS", "marker"): ["null"],
    ("MTRANS", "unreadable"): ["bus", "3"],
}


@pytest.mark.parametrize(("name", "cause", "text"), [(*of, text) for of, texts in CAUSES_OF.items() for text in texts])
def test_an_answer_that_is_none_becomes_missing_and_its_cause_is_counted(name, cause, text):
    value, causes = cleaned_cell(name, text)
    assert pd.isna(value)
    assert causes == {cause}


@pytest.mark.parametrize(
    "text", ["Public_Transportation", " pUBLIC_tRANSPORTATION ", "public transportation", "PUBLIC  transportation"]
)
def test_a_category_is_read_in_any_case_padding_and_spacing(text):
    assert cleaned_cell("MTRANS", text) == ("Public_Transportation", set())


def test_cells_whose_text_was_mended_are_counted_and_others_are_not():
    first = one_row(Gender=" fEMALE ", Age=" 21 ", Height="1.620", FCVC=" 9 ")
    _, _, account = clean_rows(pd.concat([first, one_row(3, Gender="female")]), CLEAN)
    mended = {name: count for name, count in account["cells"]["normalised"].items() if count}
    assert mended == {"Gender": 2, "Age": 1}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({LABEL: "", "Gender": " mALE "}, "no_label"),
        ({LABEL: "error"}, "no_label"),
        ({LABEL: "Obese"}, "unreadable_label"),
        (dict.fromkeys(ANSWERS, " "), "nothing_answered"),
    ],
)
def test_a_row_without_a_readable_label_or_without_any_answer_is_rejected_as_it_was_found(changed, reason):
    raw = pd.concat([one_row(), one_row(3, **changed)]).assign(id=["a", "b"])
    kept, rejected, account = clean_rows(raw, CLEAN)
    assert kept.index.tolist() == [2]
    assert rejected.loc[3].to_dict() == {REASON: reason, **raw.loc[3]}
    assert account["rows"]["rejected"][reason] == 1


def test_a_file_in_which_no_row_has_a_label_is_an_error_that_names_the_levels():
    with pytest.raises(TooFewRowsError, match="none of the 1 rows has both a readable label.*Insufficient_Weight"):
        clean_rows(one_row(NObeyesdad="?"), CLEAN)


def test_other_columns_are_dropped_and_named():
    kept, _, account = clean_rows(one_row().assign(id="1", mixed_type_col="bad"), CLEAN)
    assert list(kept.columns) == list(COLUMNS)
    assert account["columns_dropped"] == ["id", "mixed_type_col"]


def test_missing_marks_are_those_of_the_params():
    no_marks = msgspec.structs.replace(CLEAN, missing_marks=[])
    _, _, account = clean_rows(pd.concat([one_row(Age="?"), one_row(3, Age="?")]), no_marks)
    assert account["cells"]["set_missing"]["Age"] == dict.fromkeys(CAUSES, 0) | {"unreadable": 2}
