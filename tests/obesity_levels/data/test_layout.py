"""A layout says how a source is written; it changes what it names, and nothing else."""

import re

import pandas as pd
import pytest
from tests.conftest import ROOT

from obesity_levels.data.layout import UNCHANGED, Layout, apply_layout, load_layout
from obesity_levels.errors import ParamsError, SourceError
from obesity_levels.io import LINE

COMMITTED = (ROOT / "data/layout.yaml").read_text(encoding="utf-8")


def layout_of(tmp_path, **values: str) -> Layout:
    """The committed layout with other values of some keys, read from a file."""
    text = COMMITTED
    for key, value in values.items():
        assert f"\n{key}: " in text, key
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
    (tmp_path / "layout.yaml").write_text(text, encoding="utf-8")
    return load_layout(tmp_path / "layout.yaml")


def cells(tmp_path, layout: dict[str, str], **columns: list[str]) -> dict[str, list[str]]:
    """The cells of a table after the layout with these values."""
    table = pd.DataFrame(columns, dtype="str").rename_axis(LINE)
    applied = apply_layout(table, layout_of(tmp_path, **layout), tmp_path / "rows.csv")
    return {name: list(column) for name, column in applied.items()}


def test_the_committed_layout_changes_nothing():
    assert load_layout(ROOT / "data/layout.yaml") == UNCHANGED


@pytest.mark.parametrize(
    ("layout", "column", "before", "after"),
    [
        (
            {"units": "{Height: cm}"},
            "Height",
            ["162.5", " 171 ", "171 cm", "171cm", "?"],
            ["1.625", "1.71", "1.71", "1.71", "?"],
        ),
        ({"units": "{Height: ft}"}, "Height", ["5'11\"", "5 ft 11 in", "5.5"], ["1.8034", "1.8034", "1.6764"]),
        (
            {"units": "{Height: m}"},
            "Height",
            ["1.7 m", "170 Cms", "5'11''", "67 in.", "1.2.3 m"],
            ["1.7"] * 2 + ["1.8034", "1.7018", "1.2.3 m"],
        ),
        (
            {"units": "{Weight: kg}"},
            "Weight",
            ["100 lbs", "100", "64 Kilos", "64 x"],
            ["45.359237", "100", "64", "64 x"],
        ),
        ({"units": "{Weight: lb}"}, "Weight", ["100", "many", "nan"], ["45.359237", "many", "nan"]),
        ({"units": "{Weight: kg}"}, "Weight", ["64 kg", "64"], ["64", "64"]),
        ({"units": "{Age: months}"}, "Age", ["252"], ["21"]),
        ({"decimal_mark": '","'}, "Age", ["21,5", "1.62", "x,y"], ["21.5", "1.62", "x.y"]),
        ({"decimal_mark": '","', "thousands_mark": '"."', "units": "{Weight: g}"}, "Weight", ["64.000,5"], ["64.0005"]),
        (
            {"codes": "{SMOKE: {0: no, 1: yes}}"},
            "SMOKE",
            ["0", "1.0", " 1 ", "2", "yes"],
            ["no", "yes", "yes", "2", "yes"],
        ),
        ({"codes": "{SMOKE: {true: yes}}"}, "SMOKE", ["True", "TRUE", "False"], ["yes", "yes", "False"]),
        ({"codes": "{Gender: {Mujer: Female}}"}, "Gender", ["MUJER ", "Hombre"], ["Female", "Hombre"]),
        ({"codes": "{FCVC: {never: 1}}"}, "FCVC", ["Never", "2"], ["1", "2"]),
    ],
)
def test_a_layout_changes_the_cells_that_it_names(tmp_path, layout, column, before, after):
    assert cells(tmp_path, layout, **{column: before}) == {column: after}


def test_columns_are_renamed_and_ignored_and_others_stay(tmp_path):
    layout = {"columns": "{Edad: Age}", "ignore": "[Age]"}
    assert cells(tmp_path, layout, Edad=["21"], Age=["x"], other=["y"]) == {"Age": ["21"], "other": ["y"]}


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"columns": "{Edad: Age}"}, "has no column 'Edad', which its layout names: .* `obesity-levels layout "),
        ({"ignore": "[id]"}, "has no column 'id'"),
        ({"columns": "{Peso: Weight}"}, "two columns would be called 'Weight'"),
    ],
)
def test_a_layout_of_another_file_is_refused(tmp_path, layout, said):
    with pytest.raises(SourceError, match=said):
        cells(tmp_path, layout, Peso=["64"], Weight=["64"])


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"format": "ods"}, "format: Invalid enum value 'ods'"),
        ({"skip_lines": "0\nskip_line: 1"}, "no such key: did you mean 'skip_lines'"),
        ({"encoding": "utf-9"}, "Python knows no encoding 'utf-9'"),
        ({"encoding": "rot13"}, "Python knows no encoding 'rot13'"),
        ({"skip_lines": "9" * 20}, "skip_lines: Expected `int` <= 1000000"),
        ({"columns": '{Edad: "?Age"}'}, "columns: '.Age' is not one of"),
        ({"units": '{"?": cm}'}, "units: '.' is not one of Height"),
        ({"codes": '{SMOKE: {1: no, "1": yes}}'}, "codes.SMOKE: one code, in two spellings"),
        ({"units": "{Height: '?' }"}, r"line \d+: units"),
        ({"delimiter": '";;"'}, "delimiter: "),
        ({"decimal_mark": '","', "thousands_mark": '","'}, "decimal_mark and thousands_mark must differ"),
        ({"columns": "{Edad: age}"}, "columns: 'age' is not one of Gender, Age"),
        ({"columns": "{Edad: Age, Años: Age}"}, "columns: two columns would become 'Age'"),
        ({"columns": "{Edad: Age}", "ignore": "[Edad]"}, "'Edad' is in columns and in ignore"),
        ({"codes": "{Smoker: {0: no}}"}, "codes: 'Smoker' is not one of"),
        ({"codes": "{SMOKE: {0: never}}"}, "codes.SMOKE: 0 must become one of no, yes, not 'never'"),
        ({"codes": "{NObeyesdad: {0: Obese}}"}, "codes.NObeyesdad: 0 must become one of Insufficient_Weight"),
        ({"codes": "{FCVC: {never: 0}}"}, "codes.FCVC: 'never' must become a number from 1 to 3, not 0"),
        ({"units": "{CH2O: l}"}, "units: 'CH2O' is not one of Height, Weight, Age"),
        ({"units": "{Height: yd}"}, "units: Height is in one of m, cm, mm, in, ft, not in 'yd'"),
        ({"columns": '{"?SMOKE": SMOKE}'}, r'replace each "\?".*\n  line \d+: columns: {"\?SMOKE": SMOKE}'),
        ({"codes": '{SMOKE: {0: "?"}}'}, r'line \d+: codes: {SMOKE: {0: "\?"}}'),
        ({"units": '{Height: "?"}'}, r'line \d+: units: {Height: "\?"}'),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key_or_line(tmp_path, layout, said):
    with pytest.raises(ParamsError, match=re.compile(rf"layout\.yaml: .*{said}", re.DOTALL)):
        layout_of(tmp_path, **layout)
