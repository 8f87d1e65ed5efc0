import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.strategies import tables

from obesity_levels.data.cleaning import CAUSES, REASON, clean_rows
from obesity_levels.data.simulation import Population, as_text, damaged, draw_people, simulate
from obesity_levels.errors import TooFewRowsError
from obesity_levels.params import load_params, load_yaml
from obesity_levels.schema import ANSWERS, CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES

CLEAN = load_params(ROOT / "params.yaml").clean
POPULATION = load_yaml(ROOT / "data/population.yaml", Population)

cells = st.sampled_from(
    [
        "",
        " ",
        "?",
        "null",
        "n/a",
        "NaN",
        "inf",
        "1e999",
        "-1",
        "0",
        "1",
        "2.5",
        " 3.0 ",
        "1,5",
        "1_0",
        "0x1",
        "827",
        "٣",
        "no",
        " YES ",
        "fEMALE",
        "public transportation",
        "Public__Transportation",
        "WALKING\t",
        "obesity type iii",
    ]
) | st.text(max_size=5)
labels = st.sampled_from([*LEVELS, " oBESITY_tYPE_i ", "normal weight"]) | cells
different_rows = st.lists(st.tuples(*[cells] * 16, labels), min_size=1, max_size=6)
kept_row = ("Female", *["?"] * 15, "normal weight")
# some of them more than once, and one that is kept, because a table of which nothing is kept is an error
raw_tables = different_rows.flatmap(lambda rows: st.lists(st.sampled_from(rows), max_size=9)).map(
    lambda rows: pd.DataFrame([*rows, kept_row], columns=list(COLUMNS), dtype="str").set_index(
        pd.RangeIndex(2, len(rows) + 3, name="line")
    )
)


def texts(rows: pd.DataFrame) -> pd.DataFrame:
    return as_text(rows).set_index(rows.index)


def one_row(**changed: str) -> pd.DataFrame:
    row = dict(
        zip(
            COLUMNS,
            [
                "Female",
                "21",
                "1.62",
                "64",
                "yes",
                "no",
                "2",
                "3",
                "Sometimes",
                "no",
                "2",
                "no",
                "0",
                "1",
                "no",
                "Walking",
                "Normal_Weight",
            ],
            strict=True,
        )
    )
    return pd.DataFrame([row | changed], index=pd.Index([2], name="line"), dtype="str")


def cleaned_cell(name: str, text: str):
    rows, _, account = clean_rows(one_row(**{name: text}), CLEAN)
    return rows[name].iloc[0], {cause for cause, count in account["cells"]["set_missing"][name].items() if count}


@given(raw_tables)
def test_the_account_adds_up_and_every_row_is_on_one_side(raw):
    kept, rejected, account = clean_rows(raw, CLEAN)
    rows = account["rows"]
    assert rows["read"] == len(raw) == rows["kept"] + sum(rows["rejected"].values()) + rows["merged"]
    assert rows["kept"] == len(kept)
    assert sum(rows["rejected"].values()) == len(rejected)
    assert not set(kept.index) & set(rejected.index)
    for name in COLUMNS:
        assert sum(account["cells"]["set_missing"][name].values()) + account["cells"]["normalised"][name] <= len(raw)


@given(raw_tables)
def test_what_is_kept_is_valid(raw):
    kept, _, _ = clean_rows(raw, CLEAN)
    assert kept[LABEL].isin(LEVELS).all()
    assert kept[list(ANSWERS)].notna().any(axis=1).all()
    for name, (low, high) in SCALES.items():
        assert kept[name].dropna().between(low, high).all()
    for name, categories in CATEGORIES.items():
        assert kept[name].dropna().isin(categories).all()


@given(tables())
def test_cleaning_is_idempotent(rows):
    once, _, _ = clean_rows(texts(rows), CLEAN)
    twice, rejected, account = clean_rows(texts(once), CLEAN)
    pd.testing.assert_frame_equal(twice, once)
    assert rejected.empty
    assert account["rows"]["merged"] == 0


@given(tables())
def test_a_valid_cell_is_never_changed(rows):
    kept, _, _ = clean_rows(texts(rows), CLEAN)
    before = rows.loc[kept.index]
    for name in COLUMNS:
        valid = before[name].notna()
        assert (kept[name][valid] == before[name][valid]).all()


@given(st.integers(0, 2**32 - 1))
def test_damage_followed_by_cleaning_restores_or_blanks_and_never_falsifies_beyond_the_scale(seed):
    """A number may be falsified only where the damage itself lies on the scale: 0 times any integer, say."""
    rng = np.random.default_rng(seed)
    rows = draw_people(POPULATION, 60, rng)
    rows.index = pd.RangeIndex(2, 62, name="line")
    dirty = damaged(texts(rows), POPULATION.damage, rng)
    kept, rejected, _ = clean_rows(dirty, CLEAN)
    assert set(rejected.index) == set(
        rows.index[dirty[LABEL].str.strip().str.lower().isin(["", "?", *(m.lower() for m in CLEAN.missing_marks)])]
    )
    for name in COLUMNS:
        same = kept[name].isna() | (kept[name] == rows.loc[kept.index, name])
        if name in SCALES:
            as_found = pd.to_numeric(dirty.loc[kept.index, name], errors="coerce")
            same |= as_found.between(*SCALES[name]) & (as_found == kept[name])
        assert same.all()


def test_of_heavily_damaged_rows_most_cells_come_back_as_they_were():
    """So that the test above cannot be passed by blanking everything."""
    rows = draw_people(POPULATION, 2000, np.random.default_rng(1))
    rows.index = pd.RangeIndex(2, 2002, name="line")
    dirty = damaged(texts(rows), POPULATION.damage, np.random.default_rng(2))
    kept, _, _ = clean_rows(dirty, CLEAN)
    assert (kept == rows.loc[kept.index]).to_numpy().mean() > 0.97


@pytest.mark.parametrize(
    ("text", "number"),
    [("3.0", 3.0), (" 2.5 ", 2.5), ("+1", 1.0), ("25e-1", 2.5), (".2e1", 2.0), ("1.", 1.0), ("3", 3.0), ("\t2\n", 2.0)],
)
def test_numbers_are_read_in_every_usual_form(text, number):
    assert cleaned_cell("FCVC", text) == (number, set())


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (" n/A ", "marker"),
        ("?", "marker"),
        ("NAN", "marker"),
        ("two", "unreadable"),
        ("2,5", "unreadable"),
        ("1_0", "unreadable"),
        ("0x2", "unreadable"),
        ("inf", "unreadable"),
        ("--2", "unreadable"),
        ("²", "unreadable"),
        ("٢", "unreadable"),
        ("963", "out_of_scale"),
        ("0.999", "out_of_scale"),
        ("3.001", "out_of_scale"),
        ("-2", "out_of_scale"),
        ("1e999", "out_of_scale"),
        ("9" * 400, "out_of_scale"),
    ],
)
def test_a_number_that_is_not_on_its_scale_becomes_missing_and_its_cause_is_counted(text, cause):
    value, causes = cleaned_cell("FCVC", text)
    assert np.isnan(value)
    assert causes == {cause}


@pytest.mark.parametrize(
    "text", ["Public_Transportation", " pUBLIC_tRANSPORTATION ", "public transportation", "PUBLIC  transportation"]
)
def test_a_category_is_read_in_any_case_padding_and_spacing(text):
    assert cleaned_cell("MTRANS", text) == ("Public_Transportation", set())


@pytest.mark.parametrize(
    ("text", "cause"), [("bus", "unreadable"), ("null", "marker"), ("", "empty"), ("3", "unreadable")]
)
def test_a_category_that_is_none_becomes_missing_and_its_cause_is_counted(text, cause):
    value, causes = cleaned_cell("MTRANS", text)
    assert pd.isna(value)
    assert causes == {cause}


def test_cells_whose_text_was_mended_are_counted_and_others_are_not():
    _, _, account = clean_rows(one_row(Gender=" fEMALE ", Age=" 21 ", Height="1.620", FCVC=" 9 "), CLEAN)
    mended = {name for name, count in account["cells"]["normalised"].items() if count}
    assert mended == {"Gender", "Age"}


@pytest.mark.parametrize(("label", "reason"), [("", "no_label"), ("error", "no_label"), ("Obese", "unreadable_label")])
def test_a_row_without_a_readable_label_is_rejected_as_it_was_found(label, reason):
    raw = pd.concat([one_row(), one_row(Gender=" mALE ", NObeyesdad=label).set_axis([3])]).rename_axis("line")
    kept, rejected, account = clean_rows(raw.assign(id=["a", "b"]), CLEAN)
    assert kept.index.tolist() == [2]
    assert rejected.loc[3, [REASON, "Gender", LABEL, "id"]].tolist() == [reason, " mALE ", label, "b"]
    assert account["rows"]["rejected"][reason] == 1


def test_a_row_with_a_label_and_nothing_else_is_rejected():
    blank = one_row(**dict.fromkeys(ANSWERS, "")).set_axis([3])
    kept, rejected, _ = clean_rows(pd.concat([one_row(), blank]).rename_axis("line"), CLEAN)
    assert kept.index.tolist() == [2]
    assert rejected[REASON].tolist() == ["nothing_answered"]


def test_a_file_in_which_no_row_has_a_label_is_an_error_that_names_the_levels():
    with pytest.raises(TooFewRowsError, match="none of the 1 rows has both a readable label.*Insufficient_Weight"):
        clean_rows(one_row(NObeyesdad="?"), CLEAN)


def test_other_columns_are_dropped_and_named():
    kept, _, account = clean_rows(one_row().assign(id="1", mixed_type_col="bad"), CLEAN)
    assert list(kept.columns) == list(COLUMNS)
    assert account["columns_dropped"] == ["id", "mixed_type_col"]


def test_missing_marks_are_those_of_the_params():
    no_marks = type(CLEAN)(missing_marks=[], duplicates=CLEAN.duplicates)
    _, _, account = clean_rows(one_row(Age="?"), no_marks)
    assert account["cells"]["set_missing"]["Age"] == dict.fromkeys(CAUSES, 0) | {"unreadable": 1}


def test_a_simulated_file_is_accounted_for_column_by_column():
    raw = simulate(POPULATION, 1000, seed=5)
    raw.index = pd.RangeIndex(2, 1002, name="line")
    _, _, account = clean_rows(raw, CLEAN)
    for name in SCALES:
        markers = raw[name].str.strip().str.upper().isin([m.upper() for m in CLEAN.missing_marks])
        assert account["cells"]["set_missing"][name]["empty"] == (raw[name].str.strip() == "").sum()
        assert account["cells"]["set_missing"][name]["marker"] == markers.sum()
        assert account["cells"]["set_missing"][name]["out_of_scale"] > 0
