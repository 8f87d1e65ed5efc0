"""Columns that cleaning would lose: refused, or reported, and never in silence."""

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.serving import PATIENT
from tests.strategies import few_examples

from obesity_levels.data.cells import losses_of, read_cells
from obesity_levels.data.cleaning import clean_rows
from obesity_levels.data.simulation import as_text, draw_people
from obesity_levels.errors import SourceError
from obesity_levels.params import load_params
from obesity_levels.schema import CATEGORIES, LABEL, LEVELS

CLEAN = load_params(ROOT / "params.yaml").clean


@pytest.fixture
def texts(population) -> pd.DataFrame:
    """100 people, as a CSV file writes them."""
    table = as_text(draw_people(population, 100, np.random.default_rng(3)))
    return table.set_index(pd.RangeIndex(2, 102, name="line"))


def losses(raw: pd.DataFrame) -> dict:
    found = losses_of(raw, read_cells(raw, CLEAN.missing_marks), CLEAN.reported_lost_share)
    return {loss.column: loss for loss in found}


def coded(column: pd.Series, categories: tuple[str, ...]) -> pd.Series:
    return column.map(lambda text: str(categories.index(text)))


def scaled(column: pd.Series, factor: float) -> pd.Series:
    return (column.astype(float) * factor).round(1).astype(str)


WRITTEN = {
    "codes 0/1 for no/yes": ("FAVC", lambda column: coded(column, CATEGORIES["FAVC"])),
    "codes 0/1/2/3/4/5/6 for the levels": (LABEL, lambda column: coded(column, LEVELS)),
    "other words for yes and no": ("SMOKE", lambda column: column.map({"no": "false", "yes": "true"})),
    "centimetres": ("Height", lambda column: scaled(column, 100)),
    "inches": ("Height", lambda column: scaled(column, 39.37)),
    "feet": ("Height", lambda column: scaled(column, 3.28)),
    "pounds": ("Weight", lambda column: scaled(column.where(column.astype(float) > 137, "140"), 2.2046)),
    "months": ("Age", lambda column: scaled(column, 12)),
    "numbers with a decimal comma": ("Height", lambda column: column.str.replace(".", ",")),
    "numbers whose decimal point was lost": ("Weight", lambda column: "64.123.456"),
    "numbers with their unit": ("Weight", lambda column: column + " kg"),
    "dates, which spreadsheets make of numbers": ("FCVC", lambda column: "2-Mar"),
}


@pytest.mark.parametrize("looks_like", WRITTEN)
def test_a_column_that_is_written_in_another_way_is_refused_with_what_it_looks_like(texts, looks_like):
    name, change = WRITTEN[looks_like]
    raw = texts.assign(**{name: change(texts[name])})
    with pytest.raises(SourceError, match=rf"clean\.max_lost_share\) in {name}:\n") as error:
        clean_rows(raw, CLEAN)
    assert looks_like in str(error.value).splitlines()[1]
    assert repr(raw[name].mode()[0])[:20] in str(error.value)


def test_every_column_that_is_lost_is_named_with_its_share(texts):
    raw = texts.assign(SMOKE="0", CALC=texts["CALC"].where(texts.index % 4 > 0, "7"))
    with pytest.raises(SourceError) as error:
        clean_rows(raw, CLEAN)
    _, smoke, calc, way_out = str(error.value).splitlines()
    assert smoke.strip().startswith("SMOKE: 100 of 100 filled cells (100%) are not one of no, yes: '0' (100)")
    assert calc.strip().startswith("CALC: 25 of 100 filled cells (25%)")
    assert "`obesity-levels layout FILE --output layout.yaml`" in way_out


def test_pounds_are_on_the_scale_of_kilograms_and_refused_by_the_people_of_normal_weight(population):
    raw = as_text(draw_people(population, 400, np.random.default_rng(3))).rename_axis("line")
    raw["Weight"] = (raw["Weight"].astype(float) * 2.2046).where(lambda pounds: pounds < 300).astype("str")
    with pytest.raises(SourceError, match=r"labelled Normal_Weight have a median body-mass index of \d+ .* pounds"):
        clean_rows(raw, CLEAN)


def test_a_small_part_of_a_column_is_reported_and_the_rest_is_kept(texts):
    raw = texts.assign(FAF=texts["FAF"].where(texts.index % 10 > 0, "often"))
    kept, _, account = clean_rows(raw, CLEAN)
    assert account["lost"] == {"FAF": {"share": 0.1, "looks_like": None}}
    assert len(kept) == len(clean_rows(texts, CLEAN)[0])


@few_examples
@given(st.integers(0, 100))
def test_of_a_column_as_many_cells_may_be_lost_as_the_params_allow(lost):
    row = {name: str(answer) for name, answer in PATIENT.items()} | {LABEL: "Normal_Weight", "CH2O": ""}
    raw = pd.DataFrame([row | {"FCVC": "9" if at < lost else "2"} for at in range(100)], dtype="str")
    found = losses(raw)
    assert set(found) == ({"FCVC"} if lost >= 5 else set())
    allowed = msgspec.structs.replace(CLEAN, max_lost_share=lost / 100)
    clean_rows(raw, allowed)
    if lost:
        with pytest.raises(SourceError):
            clean_rows(raw, msgspec.structs.replace(allowed, reported_lost_share=0, max_lost_share=lost / 100 - 1e-9))


@pytest.mark.parametrize("mark", ["NA", "None", "nan", "#N/A", "-", ".", "NULL", "<NA>", " n/a ", "#NULL!", "?"])
def test_what_r_pandas_spss_and_spreadsheets_write_for_a_missing_answer_is_no_loss(texts, mark):
    raw = texts.assign(CALC=mark, Height=mark)
    assert losses(raw) == {}
    kept, _, account = clean_rows(raw, CLEAN)
    assert kept[["CALC", "Height"]].isna().all(axis=None)
    assert account["cells"]["set_missing"]["CALC"]["marker"] == 100


def test_a_text_of_any_length_is_shown_cut(texts):
    (loss,) = losses(texts.assign(CALC="x" * 10_000)).values()
    assert len(str(loss)) < 200
