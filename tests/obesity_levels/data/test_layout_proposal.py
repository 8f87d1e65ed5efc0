"""Files as people keep them: what is proposed for a file gives back the rows that were written to it, or asks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.command import exit_status
from tests.conftest import ROOT
from tests.strategies import few_examples

from obesity_levels.data.cells import read_cells
from obesity_levels.data.layout import UNCHANGED, load_layout
from obesity_levels.data.layout_proposal import Proposal, propose_layout
from obesity_levels.data.simulation import Population, as_text, draw_people
from obesity_levels.data.source import read_raw
from obesity_levels.errors import ParamsError, SourceError
from obesity_levels.params import load_params, load_yaml
from obesity_levels.schema import ANSWERS, CATEGORIES, LABEL, LEVELS, SCALES

PARAMS = load_params(ROOT / "params.yaml")
POPULATION = load_yaml(ROOT / "data/population.yaml", Population)
CHOICES = CATEGORIES | {LABEL: LEVELS}
YES_NO = [name for name, values in CATEGORIES.items() if values == ("no", "yes")]

SPANISH = {
    **{"Gender": "Género", "Age": "Edad", "Height": "Estatura", "Weight": "Peso", "FAVC": "Alimentos hipercalóricos"},
    **{"family_history_with_overweight": "Antecedentes familiares de sobrepeso", "FCVC": "Consumo de verduras"},
    **{"NCP": "Comidas principales", "CAEC": "Come entre comidas", "SMOKE": "Fuma", "CH2O": "Consumo de agua"},
    **{"SCC": "Control de calorías", "FAF": "Actividad física", "TUE": "Uso de tecnología", "CALC": "Alcohol"},
    **{"MTRANS": "Transporte", LABEL: "Resultado"},
}
QUESTIONS = {
    **{"Gender": "What is your gender?", "Age": "What is your age?", "Height": "What is your height?"},
    **{"family_history_with_overweight": "Has a family member suffered or suffers from overweight?"},
    **{"Weight": "What is your weight?", "FAVC": "Do you eat high caloric food frequently?"},
    **{"FCVC": "Do you usually eat vegetables in your meals?", "NCP": "How many main meals do you have daily?"},
    **{"CAEC": "Do you eat any food between meals?", "SMOKE": "Do you smoke?"},
    **{"CH2O": "How much water do you drink daily?", "SCC": "Do you monitor the calories you eat daily?"},
    **{"FAF": "How often do you have physical activity?", "CALC": "How often do you drink alcohol?"},
    **{"TUE": "How much time do you use technological devices such as cell phone, television and others?"},
    **{"MTRANS": "Which transportation do you usually use?", LABEL: "BMI"},
}
WORDS = {
    **{"Female": "Mujer", "Male": "Hombre", "yes": "Sí", "no": "No", "Sometimes": "A veces", "Always": "Siempre"},
    **{"Frequently": "Frecuentemente", "Automobile": "Automóvil", "Motorbike": "Moto", "Bike": "Bicicleta"},
    **{"Public_Transportation": "Transporte público", "Walking": "Caminando", "Normal_Weight": "Peso normal"},
    **{"Insufficient_Weight": "Peso insuficiente", "Obesity_Type_I": "Obesidad tipo I"},
    **{"Overweight_Level_I": "Sobrepeso nivel I", "Overweight_Level_II": "Sobrepeso nivel II"},
    **{"Obesity_Type_II": "Obesidad tipo II", "Obesity_Type_III": "Obesidad tipo III"},
}


@dataclass
class Written:
    """A table of texts, and how it is written to a file."""

    table: pd.DataFrame
    kind: str = "csv"
    options: dict[str, Any] = field(default_factory=lambda: {"index": False})

    def to(self, folder: Path) -> Path:
        path = folder / f"rows.{self.kind}"
        if self.kind == "csv":
            self.table.to_csv(path, errors="replace", **self.options)
        elif self.kind == "xlsx":
            self.table.to_excel(path, index=self.options["index"])
        else:
            self.table.to_parquet(path)
        return path


def people(rows: int, seed: int = 1) -> pd.DataFrame:
    return as_text(draw_people(POPULATION, rows, np.random.default_rng(seed)))


def column(written: Written, ours: str) -> str:
    """The name of one of our columns in a table that may have been renamed."""
    return next(name for name in (ours, SPANISH[ours], QUESTIONS[ours]) if name in written.table)


def change(written: Written, names: list[str], of: Callable[[str, pd.Series], pd.Series]) -> None:
    for name in names:
        theirs = column(written, name)
        written.table[theirs] = of(name, written.table[theirs])


def renamed(names: dict[str, str]) -> Callable[[Written], None]:
    def make(written: Written) -> None:
        written.table = written.table.rename(columns=names)

    return make


def in_words(written: Written) -> None:
    written.table = written.table.replace(WORDS)


def coded(names: list[str], order: Callable[[list[str]], list[str]], first: int = 0) -> Callable[[Written], None]:
    def codes(name: str, cells: pd.Series) -> pd.Series:
        used = order(
            [category for category in CHOICES[name] if category in set(cells) or WORDS[category] in set(cells)]
        )
        numbers = {word: str(at) for at, category in enumerate(used, first) for word in (category, WORDS[category])}
        return cells.map(lambda text: numbers.get(text, text))

    return lambda written: change(written, names, codes)


def in_unit(name: str, per_unit: str, beside: str = "") -> Callable[[Written], None]:
    def make(written: Written) -> None:
        change(
            written, [name], lambda _, cells: cells.map(lambda text: f"{Decimal(text) / Decimal(per_unit):f}{beside}")
        )

    return make


def with_commas(written: Written) -> None:
    change(written, list(SCALES), lambda _, cells: cells.str.replace(".", ","))


def as_csv(**options: Any) -> Callable[[Written], None]:
    return lambda written: written.options.update(options)


def as_kind(kind: str) -> Callable[[Written], None]:
    return lambda written: setattr(written, "kind", kind)


MAKERS: dict[str, Callable[[Written], None]] = {
    "Spanish names": renamed(SPANISH),
    "questions for names": renamed(QUESTIONS),
    "Spanish words": in_words,
    "codes in the order of the questionnaire": coded(list(CHOICES), list),
    "codes in the order of the alphabet": coded(list(CHOICES), sorted),
    "codes in the order of the alphabet, from 1": coded(["CAEC", "CALC", "MTRANS", LABEL], sorted, 1),
    "levels as codes": coded([LABEL], list),
    "0 and 1": coded(YES_NO, list),
    "F and M": lambda written: change(written, ["Gender"], lambda _, cells: cells.str[0]),
    "centimetres": in_unit("Height", "0.01"),
    "inches": in_unit("Height", "0.0254"),
    "pounds": in_unit("Weight", "0.45359237"),
    "months": in_unit("Age", str(1 / Decimal(12))),
    "decimal commas": with_commas,
    "decimal commas in some rows": lambda written: change(
        written, list(SCALES), lambda _, cells: cells.where(np.arange(len(cells)) % 9 > 0, cells.str.replace(".", ","))
    ),
    "semicolons": as_csv(sep=";"),
    "tabs": as_csv(sep="\t"),
    "numbers of the rows": as_csv(index=True),
    "UTF-16": as_csv(encoding="utf-16"),
    "UTF-16 without a mark": as_csv(encoding="utf-16-le"),
    "byte-order mark": as_csv(encoding="utf-8-sig"),
    "Windows": as_csv(encoding="cp1252", lineterminator="\r\n"),
    "all quoted": as_csv(quoting=1),
    "Excel": as_kind("xlsx"),
    "Parquet": as_kind("parquet"),
    "a column in Chinese": lambda written: written.table.insert(3, "备注", "未填写"),
    "GBK": as_csv(encoding="gbk"),
}


def proposed(written: Written, folder: Path) -> tuple[Proposal, Path]:
    path = written.to(folder)
    return propose_layout(path, PARAMS, POPULATION), path


def answers(raw: pd.DataFrame) -> pd.DataFrame:
    cells = read_cells(raw, PARAMS.clean.missing_marks)
    return pd.DataFrame({name: cells[name].values for name in (*ANSWERS, LABEL)}).reset_index(drop=True)


def rows_by(proposal: Proposal, path: Path) -> pd.DataFrame:
    """The rows as the written layout gives them: it is written and read again, as a person's is."""
    layout = path.with_name("layout.yaml")
    layout.write_text(str(proposal), encoding="utf-8")
    return answers(read_raw(path, layout=load_layout(layout)))


@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_proposed_gives_back_the_rows_that_were_written(tmp_path, maker):
    written = Written(people(600))
    MAKERS[maker](written)
    proposal, path = proposed(written, tmp_path)
    pd.testing.assert_frame_equal(rows_by(proposal, path), answers(people(600)), check_exact=True)


@few_examples
@given(pair=st.sets(st.sampled_from(list(MAKERS)), min_size=2, max_size=2), seed=st.integers(0, 1000))
def test_two_changes_in_one_file_are_undone_or_asked_about(tmp_path_factory, pair, seed):
    written = Written(people(300, seed))
    for maker in sorted(pair, key=list(MAKERS).index):
        MAKERS[maker](written)
    proposal, path = proposed(written, tmp_path_factory.mktemp("pair"))
    if not proposal.layout.open_entries():
        pd.testing.assert_frame_equal(rows_by(proposal, path), answers(people(300, seed)), check_exact=True)


def test_ucis_own_file_needs_no_change(tmp_path):
    proposal, _ = proposed(Written(people(100)), tmp_path)
    assert proposal.layout == UNCHANGED


def test_codes_that_nothing_proves_are_asked_about_and_the_layout_is_refused_until_they_are_filled_in(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    written = Written(people(600))
    coded(["CAEC"], sorted)(written)
    written.table["CAEC"] = written.table["CAEC"].sample(frac=1, random_state=1).to_numpy()
    path, layout = written.to(tmp_path), tmp_path / "layout.yaml"
    assert exit_status("layout", str(path), "--output", str(layout)) == 3
    assert '4 lines with a "?"' in capsys.readouterr().out
    assert "neither is proven" in layout.read_text()
    with pytest.raises(ParamsError, match=r'replace each "\?" .*\n  line \d+: "0": "\?"'):
        load_layout(layout)


def test_a_proposal_without_a_question_has_exit_status_0_and_names_the_experiment(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    path, layout = Written(people(100)).to(tmp_path), tmp_path / "layout.yaml"
    assert exit_status("layout", str(path), "--output", str(layout)) == 0
    assert f"-S ingest.source={path} -S ingest.layout={layout}" in capsys.readouterr().out


@few_examples
@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.just("\x85\u2028\x7f\ufeff\uffff") | st.just("x" * 10_000)
)
def test_any_name_is_read_back_as_it_was_written(tmp_path_factory, name):
    layout = tmp_path_factory.mktemp("layout") / "layout.yaml"
    written = replace(UNCHANGED, columns={name: "Age"}, codes={"SMOKE": {name: "no"}}, sheet=name)
    notes = {(): "", ("columns", name): name, ("codes", "SMOKE"): name, ("codes", "SMOKE", name): name}
    layout.write_text(str(Proposal(written, notes)), encoding="utf-8")
    assert load_layout(layout) == written


def test_the_layout_is_never_written_over_the_file_and_paths_are_quoted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    path, layout = Written(people(100)).to(tmp_path), tmp_path / "a layout.yaml"
    before = path.read_bytes()
    assert exit_status("layout", str(path), "--output", str(path)) == 2
    assert path.read_bytes() == before
    assert exit_status("layout", str(path), "--output", str(layout)) == 0
    assert f"-S 'ingest.layout={layout}'" in capsys.readouterr().out


PORTUGUESE = {
    **{"Gender": "Gênero", "Age": "Idade", "NCP": "Refeições principais", "FAF": "Atividade física"},
    **{"CALC": "Consumo de álcool", "CAEC": "Come entre refeições", LABEL: "Nível de obesidade"},
}
IN_PORTUGUESE = {
    **{"Female": "Feminino", "Male": "Masculino", "yes": "Sim", "no": "Não", "Sometimes": "Às vezes"},
    **{"Frequently": "Frequentemente", "Always": "Sempre", "Automobile": "Automóvel", "Walking": "A pé"},
    **{"Obesity_Type_I": "Obesidade tipo I", "Obesity_Type_II": "Class II Obesity", "Normal_Weight": "NormalWeight"},
}


def test_names_in_portuguese_and_short_ones_are_known(tmp_path):
    names = {
        "TUE": "tech_usage",
        "FAVC": "HighCalFood",
        "FCVC": "Eats_Veggies",
        "family_history_with_overweight": "FamHist",
    }
    written = Written(people(300).rename(columns=PORTUGUESE | names).replace(IN_PORTUGUESE))
    proposal, path = proposed(written, tmp_path)
    pd.testing.assert_frame_equal(rows_by(proposal, path), answers(people(300)))


LEFT = {
    "numbers whose decimal point was lost": ("Height", lambda cells: cells.str.replace("1.", "1.805.") + "12"),
    "nothing looks like it": ("SCC", None),
    "one column for each category: MTRANS_Automobile": ("MTRANS", pd.get_dummies),
    "which look like dates": ("Weight", lambda cells: "22-Mar"),
    "feet with decimals, or feet and inches": ("Height", lambda cells: feet_and_inches(cells, ".")),
    "the others may be in either": ("Weight", lambda cells: some(cells, lambda cells: pounds(cells) + " lb")),
}


@pytest.mark.parametrize(
    ("name", "per_unit", "beside"),
    [("Height", "1", " metros"), ("Height", "0.01", "Cms"), ("Weight", "1", "kgs"), ("Weight", "0.45359237", " Lbs")],
)
def test_a_unit_beside_the_numbers_is_read_in_any_spelling(tmp_path, name, per_unit, beside):
    written = Written(people(100), options={"index": False, "sep": ";"})
    in_unit(name, per_unit, beside)(written)
    with_commas(written)
    proposal, path = proposed(written, tmp_path)
    pd.testing.assert_frame_equal(rows_by(proposal, path), answers(people(100)))


def feet_and_inches(metres: pd.Series, between: str) -> pd.Series:
    inches = (metres.astype(float) / 0.0254).round().astype(int)
    return (inches // 12).astype(str) + between + (inches % 12).astype(str)


def test_feet_and_inches_are_read_by_the_marks_between_them(tmp_path):
    table = people(100)
    proposal, path = proposed(Written(table.assign(Height=feet_and_inches(table["Height"], "' ") + '"')), tmp_path)
    assert np.allclose(rows_by(proposal, path)["Height"], table["Height"].astype(float), atol=0.0128)


def some(cells: pd.Series, others: Callable[[pd.Series], pd.Series]) -> pd.Series:
    return cells.where(np.arange(len(cells)) % 5 > 0, others(cells))


def pounds(cells: pd.Series) -> pd.Series:
    return (cells.astype(float) / 0.45359237).astype(str)


def test_some_weights_in_pounds_are_warned_about_by_the_labels(tmp_path):
    table = people(300)
    proposal, _ = proposed(Written(table.assign(Weight=some(table["Weight"], pounds))), tmp_path)
    assert "warning: " in proposal.notes[()]
    assert "3 levels or more from their label: perhaps some weights are in another unit" in proposal.notes[()]


def test_the_alphabet_is_told_from_ucis_own_order_of_transports_by_the_codes_of_other_questions_or_asked_about(
    tmp_path,
):
    alone, beside = Written(people(600)), Written(people(600))
    coded(["MTRANS"], sorted)(alone)
    coded(["MTRANS", "CAEC"], sorted)(beside)
    assert set(proposed(alone, tmp_path)[0].layout.codes["MTRANS"].values()) == {"?"}
    pd.testing.assert_frame_equal(rows_by(*proposed(beside, tmp_path)), answers(people(600)))


@pytest.mark.parametrize(
    ("name", "made", "reason"),
    [
        ("FCVC", lambda cells: cells.str[0].replace({"1": "0", "2": "1", "3": "2"}), "not begin where the scale does"),
        ("TUE", lambda cells: cells.str[0].replace({"2": "3", "1": "2", "0": "1"}), "not begin where the scale does"),
        ("CALC", lambda cells: cells.replace({"no": "None"}), "'None' is a mark of a missing answer, and may be one"),
    ],
)
def test_cells_that_could_be_read_as_something_else_are_asked_about(tmp_path, name, made, reason):
    table = people(200)
    proposal, _ = proposed(Written(table.assign(**{name: made(table[name])})), tmp_path)
    assert set(proposal.layout.codes) == {name}
    assert "?" in proposal.layout.codes[name].values()
    assert reason in proposal.notes["codes", name]


def test_a_zero_beside_words_is_no_and_a_letter_among_marks_is_no_word(tmp_path):
    table = people(600)
    table.loc[table["CALC"] == "Always", "CALC"] = "Frequently"
    expected = answers(table)
    written = table.replace(
        {"CALC": {"no": "0"}, "SMOKE": {"no": "n", "yes": "y"}, LABEL: {"Normal_Weight": "0rmal_Weight"}}
    )
    written.loc[::50, "SMOKE"] = "\\N"
    expected.loc[::50, "SMOKE"] = np.nan
    proposal, path = proposed(Written(written), tmp_path)
    pd.testing.assert_frame_equal(rows_by(proposal, path), expected)


@pytest.mark.parametrize("reason", LEFT)
def test_what_no_layout_can_give_back_is_asked_about_with_the_reason(tmp_path, reason):
    name, made = LEFT[reason]
    table = people(200)
    if made is pd.get_dummies:
        table = pd.get_dummies(table, columns=[name])
    else:
        table = table.assign(**{name: made(table[name])}) if made else table.drop(columns=name)
    proposal, _ = proposed(Written(table), tmp_path)
    (line,) = [line for line in str(proposal).splitlines() if '"?' in line and not line.startswith("#")]
    assert name in line
    assert reason in line


def test_an_answer_that_nobody_gave_needs_no_change(tmp_path):
    proposal, _ = proposed(Written(people(100).assign(FCVC="", SMOKE="NA")), tmp_path)
    assert proposal.layout == UNCHANGED


def test_columns_that_are_no_answers_are_ignored_with_the_reason(tmp_path):
    table = people(100).assign(**{"": ""})
    proposal, _ = proposed(Written(table, options={"index": True}), tmp_path)
    assert {name: proposal.notes["ignore", name] for name in proposal.layout.ignore} == {
        "(column 1)": "numbers of the rows, from 0",
        "(column 19)": "empty",
    }


def test_a_title_above_the_header_and_other_sheets_are_passed_over(tmp_path):
    with pd.ExcelWriter(tmp_path / "rows.xlsx") as book:
        pd.DataFrame({"Survey": ["of 2019"]}).to_excel(book, sheet_name="About", index=False)
        people(100).to_excel(book, sheet_name="Rows", index=False, startrow=2)
    proposal = propose_layout(tmp_path / "rows.xlsx", PARAMS, POPULATION)
    assert (proposal.layout.sheet, proposal.layout.skip_lines) == ("Rows", 2)
    pd.testing.assert_frame_equal(rows_by(proposal, tmp_path / "rows.xlsx"), answers(people(100)))


def test_the_example_of_the_page_on_layouts_is_what_is_proposed(tmp_path):
    written = Written(people(2000), options={"index": True, "sep": ";", "encoding": "cp1252"})
    renamed({"Gender": "Género", "Age": "Edad", LABEL: "Resultado"})(written)
    coded(["SMOKE", "CAEC"], list)(written)
    written.table["CAEC"] = written.table["CAEC"].sample(frac=1, random_state=1).to_numpy()
    in_unit("Height", "0.01")(written)
    with_commas(written)
    proposal, _ = proposed(written, tmp_path)
    assert f"```yaml\n{proposal}```\n" in (ROOT / "docs/layout.md").read_text(encoding="utf-8")


REFUSED: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "no header": (lambda text: text.partition("\n")[2], "has no names of columns: add a line with them"),
    "a header of numbers": (
        lambda text: ",".join(map(str, range(17))) + text[text.index("\n") :],
        "has no names of columns",
    ),
    "R's write.table": (
        lambda text: text.replace("\n", "\nr,"),
        r"line 1: the header has 17 cells, and most rows have 18: .*write\.csv",
    ),
    "a NUL byte": (lambda text: text.replace("Male", "Ma\0le", 1), r"is not text in utf-8 \(a NUL byte in line \d+\)"),
    "an image": (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "a NUL byte in line 3"),
    "SQLite": (lambda _: b"SQLite format 3\0" + bytes(100), "is an SQLite database, not CSV: run `sqlite3 -csv"),
    "a PDF document": (lambda _: "%PDF-1.4\n", "is a PDF document"),
    "JSON in lines": (lambda _: '{"Age": 1}\n{"Age": 2}\n', r"is JSON in lines, not CSV: run .*lines=True"),
    "ARFF": (lambda text: f"% 17 columns\n\n@RELATION rows\n{text}", "is an ARFF file of Weka"),
    "a damaged workbook": (lambda _: b"PK\x03\x04" + bytes(100), "is a ZIP archive, or a damaged .*: save a workbook"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_no_table_is_refused_with_what_to_do(tmp_path, kind):
    make, said = REFUSED[kind]
    made = make(people(50).to_csv(index=False))
    (tmp_path / "rows.csv").write_bytes(made if isinstance(made, bytes) else made.encode())
    with pytest.raises(SourceError, match=said):
        propose_layout(tmp_path / "rows.csv", PARAMS, POPULATION)


READ: dict[str, Callable[[str], bytes]] = {
    "a comment that begins as in ARFF": lambda text: f"% of 2019\n{text}".encode(),
    "spaces between cells": lambda text: text.replace(",", " ").encode(),
    "UTF-32": lambda text: text.encode("utf-32"),
    "a header in Chinese, above answers that name questions": lambda text: text.replace("Gender", "性别").encode("gbk"),
    "a line separator in a name": lambda text: text.replace("Gender", "Gender\u2028of\x0cperson", 1).encode(),
}


@pytest.mark.parametrize("kind", READ)
def test_a_table_is_found_in_the_text(tmp_path, kind):
    (tmp_path / "rows.csv").write_bytes(READ[kind](people(100).to_csv(index=False)))
    proposal = propose_layout(tmp_path / "rows.csv", PARAMS, POPULATION)
    pd.testing.assert_frame_equal(rows_by(proposal, tmp_path / "rows.csv"), answers(people(100)))


def test_the_sheet_with_the_rows_is_taken_not_a_summary_of_them(tmp_path):
    with pd.ExcelWriter(tmp_path / "rows.xlsx") as book:
        people(100).describe().to_excel(book, sheet_name="Summary")
        people(100).to_excel(book, sheet_name="Rows", index=False)
    assert propose_layout(tmp_path / "rows.xlsx", PARAMS, POPULATION).layout.sheet == "Rows"


def test_a_workbook_that_is_damaged_inside_is_refused_with_what_to_do(tmp_path):
    whole = Written(people(5), kind="xlsx").to(tmp_path)
    with ZipFile(whole) as book, ZipFile(tmp_path / "damaged.xlsx", "w") as damaged:
        for name in book.namelist():
            damaged.writestr(name, b"<" if "sheet1" in name else book.read(name))
    with pytest.raises(SourceError, match=r"an Excel workbook that cannot be read .*: open it and save"):
        propose_layout(tmp_path / "damaged.xlsx", PARAMS, POPULATION)


def test_parquet_of_another_program_is_read_with_its_index_and_any_types(tmp_path):
    table = people(100).assign(lists=[[1, 2]] * 100, arrays=[np.array([1.5, np.nan])] * 100).set_index("Gender")
    table.to_parquet(tmp_path / "rows.parquet")
    proposal = propose_layout(tmp_path / "rows.parquet", PARAMS, POPULATION)
    pd.testing.assert_frame_equal(rows_by(proposal, tmp_path / "rows.parquet"), answers(people(100)))


def test_a_renamed_column_of_unreadable_numbers_is_asked_about_by_its_name(tmp_path):
    table = people(100).rename(columns={"CH2O": "ch2o"})
    table["ch2o"] = [f"1.805.{number}" for number in range(100, 200)]
    proposal, _ = proposed(Written(table), tmp_path)
    assert proposal.layout.columns == {"ch2o": "?"}
    assert "decimal point was lost" in str(proposal)
