"""`obesity-levels compare`, with real models: what it prints and its exit status."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tests.command import exit_status
from tests.conftest import ROOT
from tests.obesity_levels.comparison.outcomes import outcomes

from obesity_levels.io import read_json
from obesity_levels.model.classifier import load_manifest

BEFORE = str(ROOT / "tests/service/model_of_before")
ROWS = "data/features/test.parquet"
MARK = "sekret-4711"


@pytest.fixture
def project(small_clone, monkeypatch):
    monkeypatch.chdir(small_clone.path)
    return small_clone.path


@pytest.fixture
def compare(project, capsys):
    """The command in the folder of a clone: what it prints, with this exit status."""

    def run(*arguments: object, status: int = 0) -> str:
        capsys.readouterr()
        found = exit_status("compare", *map(str, arguments))
        said = capsys.readouterr()
        assert found == status, said
        return said.out + said.err

    return run


@pytest.fixture
def version(project) -> str:
    return load_manifest(project / "models/manifest.json").version


def cells(said: str, name: str) -> list[str]:
    (row,) = (line for line in said.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_model_and_itself_are_right_on_the_same_rows(compare):
    said = compare("paired", "models", "models", ROWS, status=4)
    assert "both models are right on the same rows" in said
    assert cells(said, "all")[4:8] == ["0", "0", "+0.00 points", cells(said, "all")[7]]


def test_two_models_are_compared_by_level_and_slice_and_the_other_way_round(compare, project):
    one = compare("paired", BEFORE, "models", "data/raw.csv", status=0)
    other = compare("paired", "models", BEFORE, "data/raw.csv", status=3)
    assert "verdict: the challenger is better" in one
    assert "verdict: the challenger is worse" in other
    assert re.search("^the challenger is better on: .*sex Male", one, re.MULTILINE)
    assert re.search("^the challenger is worse on: .*sex Male", other, re.MULTILINE)
    assert "worse on" not in one
    assert cells(one, "all")[4:6] == cells(other, "all")[5:3:-1]
    levels = sum(int(cells(one, level)[1]) for level in pd.read_parquet(project / ROWS)["NObeyesdad"].unique())
    assert (
        levels
        == int(cells(one, "all")[1])
        == int(cells(one, "sex Female")[1]) + int(cells(one, "sex Male")[1]) + int(cells(one, "sex missing")[1])
    )


def test_it_is_said_that_the_verdict_is_by_p_and_not_by_the_interval(compare):
    said = compare("paired", BEFORE, "models", ROWS, "--alpha", "0.001", status=0)
    assert "| 99.9% interval " in said
    assert "the verdict is by p, which is exact" in said


def test_the_accuracy_is_that_of_predict_on_the_same_rows(compare, tmp_path, capsys):
    exit_status("predict", ROWS, "--to", str(tmp_path / "out.csv"), "--evaluate")
    accuracy = float(re.search(r"accuracy +\| ([\d.]+)", capsys.readouterr().out)[1])
    said = compare("paired", "models", "models", ROWS, status=4)
    assert float(cells(said, "all")[2].rstrip("%")) / 100 == pytest.approx(accuracy, abs=0.0006)


def test_rows_without_a_label_are_left_out_and_counted(compare, project, tmp_path):
    raw = pd.read_csv(project / "data/raw.csv", dtype=str)
    raw.loc[:9, "NObeyesdad"] = None
    raw.to_csv(tmp_path / "rows.csv", index=False)
    missing = raw["NObeyesdad"].isna().sum()
    said = compare("paired", "models", "models", tmp_path / "rows.csv", status=4)
    left_out = int(re.search(r"(\d+) rows without a label", said)[1])
    assert left_out >= missing >= 10
    assert int(cells(said, "all")[1]) == len(raw) - left_out


def test_a_row_counts_if_both_models_see_an_answer(compare, project, tmp_path):
    """One model takes 21 for a mark of a missing answer, and so sees none in a row that has nothing else."""
    shutil.copytree(project / "models", tmp_path / "model")
    manifest = tmp_path / "model/manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"missing_marks": [*content["missing_marks"], "21"]}))
    raw = pd.read_csv(project / "data/raw.csv", dtype=str).dropna(subset="NObeyesdad").head(50)
    raw.iloc[0, raw.columns != "NObeyesdad"] = None
    raw.loc[raw.index[0], "Age"] = "21"
    raw.to_csv(tmp_path / "rows.csv", index=False)
    for models in (("models", tmp_path / "model"), (tmp_path / "model", "models")):
        assert "1 rows without a label" in compare("paired", *models, tmp_path / "rows.csv", status=4)


def test_rows_are_read_by_the_layout_that_is_named(compare, project, tmp_path):
    layout = (project / "data/layout.yaml").read_text()
    (tmp_path / "layout.yaml").write_text(layout.replace('delimiter: ","', 'delimiter: ";"'))
    raw = pd.read_csv(project / "data/raw.csv", dtype=str)
    raw.to_csv(tmp_path / "rows.csv", index=False, sep=";")
    said = compare("paired", "models", "models", tmp_path / "rows.csv", "--layout", tmp_path / "layout.yaml", status=4)
    as_they_were = compare("paired", "models", "models", "data/raw.csv", status=4)
    assert cells(said, "all") == cells(as_they_were, "all")


def test_a_model_that_was_made_from_the_rows_is_said_to_know_them(compare, project, tmp_path):
    shutil.copytree(project / "models", tmp_path / "model")
    rows = tmp_path / "rows.csv"
    shutil.copy(project / "data/raw.csv", rows)
    manifest = tmp_path / "model/manifest.json"
    before = load_manifest(manifest).data.md5
    manifest.write_text(manifest.read_text().replace(before, hashlib.md5(rows.read_bytes()).hexdigest()))
    assert "was made from this file" in compare("paired", "models", tmp_path / "model", rows, status=4)


def test_a_model_that_is_not_there_is_named(compare):
    assert "no/model/manifest.json cannot be read" in compare("paired", "models", "no/model", ROWS, status=1)


@pytest.fixture
def write(tmp_path):
    def write(table: pd.DataFrame) -> Path:
        table.to_csv(tmp_path / "outcomes.csv", index=False)
        return tmp_path / "outcomes.csv"

    return write


def test_a_better_challenger_is_found_and_a_worse_one_is_an_alarm(compare, version, write):
    said = compare("split", write(outcomes(8_000, {version: 0.90, "challenger": 0.95})), "--planned", "9000")
    assert "closest at 9,000 units" in said
    assert "verdict: the challenger is better" in said
    assert "at most 5%, however often you look" in said
    worse = compare("split", write(outcomes(8_000, {version: 0.95, "challenger": 0.90})), status=3)
    assert "verdict: the challenger is worse" in worse


def test_one_look_finds_what_every_look_cannot_tell(compare, version, write):
    file = write(outcomes(6_000, {version: 0.96, "challenger": 0.974}, seed=1))
    usual, later = compare("split", file, status=4), compare("split", file, "--planned", "100000", status=4)
    assert "verdict: too few rows to tell" in usual
    always = [re.search(r"(\S+ to \S+) for any number", said)[1] for said in (usual, later)]
    assert always[0] != always[1]
    assert "5%, if this is the only look" in compare("split", file, "--once")


def test_an_uneven_split_is_an_error(compare, version, write):
    said = compare("split", write(outcomes(5_000, {version: 0.95, "challenger": 0.95}, share=0.1)), status=1)
    assert "and not 50.0%" in said
    compare("split", write(outcomes(5_000, {version: 0.95, "challenger": 0.95}, share=0.1)), "--share", "0.1", status=4)


def test_outcomes_of_another_model_are_an_error_that_names_them(compare, version, write):
    said = compare("split", write(outcomes(500, {"0123456789ab": 0.95, "ba9876543210": 0.95})), status=1)
    assert "has 2 values in model_version (0123456789ab, ba9876543210)" in said
    assert f"one of them the champion's, which is {version} here" in said


def test_units_in_the_place_of_versions_are_not_repeated(compare, version, write):
    table = outcomes(100, {version: 0.95})
    table["model_version"] = MARK + table["unit"] + "\n"
    said = compare("split", write(table), status=1)
    assert "has 100 values in model_version: it must have one or two" in said
    assert MARK not in said


def test_two_arms_need_no_metrics_of_the_champion(compare, project, version, write):
    file = write(outcomes(2_000, {version: 0.95, "challenger": 0.95}))
    (project / "other/models").mkdir(parents=True)
    shutil.copy(project / "models/manifest.json", project / "other/models")
    (project / "other/metrics").mkdir()
    (project / "other/metrics/evaluate.json").write_text('{"model_version": "another", "test": {}}')
    compare("split", file, "--model", project / "other/models", status=4)
    compare("split", write(outcomes(200, {version: 0.95})), "--model", project / "other/models", status=1)


def test_one_model_is_judged_by_week_beside_its_card(compare, version, write):
    file = write(outcomes(2_000, {version: 1.0}))
    said = compare("split", file)
    assert "verdict: the accuracy holds" in said
    assert [line.split("|")[1].strip() for line in said.splitlines() if line.startswith("| 2026")] == [
        "2026-11-02",
        "2026-11-09",
        "2026-11-16",
        "2026-11-23",
    ]
    assert [line[:12] for line in compare("split", file, "--by", "month").splitlines() if "2026" in line] == [
        "| 2026-11-01"
    ]
    table = pd.read_csv(file)
    last = table.index >= 1_500
    table.loc[last, "truth"] = table.loc[last, "prediction"].replace(
        {"Normal_Weight": "Obesity_Type_I", "Obesity_Type_I": "Normal_Weight"}
    )
    said = compare("split", write(table), status=3)
    assert "verdict: the accuracy has dropped in 1 of 4 weeks" in said


def test_a_loss_that_is_sure_and_small_is_said_to_be_no_drop_and_a_rate_is_not_rounded_to_none(
    compare, project, version, write
):
    accuracy = read_json(project / "metrics/evaluate.json")["test"]["accuracy"]
    said = compare("split", write(outcomes(20_000, {version: 0.96 * accuracy})))
    assert "a week has dropped if it lost at least 5% of the card's accuracy, with p below 0.05" in said
    assert "false-alarm rate: at most 0.1% for all weeks" in said


def test_no_unit_is_printed(compare, version, write):
    table = outcomes(500, {version: 0.95, "challenger": 0.95})
    table["unit"] += MARK
    table.loc[0, "unit"] = table.loc[1, "unit"]
    table.loc[:1, "model_version"] = [version, "challenger"]
    assert MARK not in compare("split", write(table), status=1)


def test_sizes_are_printed_with_the_command_that_they_are_for(compare):
    said = compare("size", "--from", "0.97", "--lift", "0.01")
    assert re.search(r"\| +783 \|", said)
    assert "compare split --planned 14639" in said
    uneven = compare("size", "--from", "0.97", "--lift", "0.01", "--share", "0.1")
    assert int(re.search(r"--planned (\d+)", uneven)[1]) > 2 * 14639
    known = compare("size", "--from", "0.9616", "--lift", "0.0051", "--discordant", "0.0195")
    assert re.search(r"\| +5,883 \|", known)


@pytest.mark.parametrize(
    "options",
    [
        ("--lift", "0.03"),
        ("--lift", "1e-200"),
        ("--discordant", "0.005"),
        ("--discordant", "0.051"),
        ("--from", "0.3", "--discordant", "0.7"),
        ("--power", "0.01"),
        *((name, "nan") for name in ("--from", "--lift", "--discordant", "--share", "--power", "--alpha")),
        ("--alpha", "0.999"),
    ],
)
def test_a_size_that_cannot_be_is_wrong_usage(compare, options):
    compare("size", "--from", "0.97", "--lift", "0.01", *options, status=2)


def test_the_accepted_rate_is_printed_as_it_was_given(compare, version, write):
    assert "in at most 0.5%." in compare("size", "--from", "0.97", "--lift", "0.01", "--alpha", "0.005")
    file = write(outcomes(2_000, {version: 0.95, "challenger": 0.95}))
    assert "at most 0.5%, however" in compare("split", file, "--alpha", "0.005", status=4)
    assert "at most 0.5% of the verdict" in compare("paired", "models", "models", ROWS, "--alpha", "0.005", status=4)
