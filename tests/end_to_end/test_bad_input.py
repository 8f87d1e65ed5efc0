"""Bad input, met as a user meets it: `dvc repro` says what is wrong, and the command that it names undoes it all."""

import re

import pytest

from obesity_levels.errors import RESTORE
from obesity_levels.schema import COLUMNS

HEADER = ",".join(COLUMNS)
ROW = "Female,21.0,1.62,64.0,yes,no,2.0,3.0,Sometimes,no,2.0,no,0.0,1.0,no,Public_Transportation,Normal_Weight"
RESTORED_BY = re.compile(r"To restore the last commit: (.*)")


def fails_clearly_and_is_undone(clone, *said: str) -> None:
    before = clone.made()
    run = clone.run("dvc", "repro", check=False)
    output = run.stdout + run.stderr
    assert run.returncode != 0, output
    assert "Traceback" not in output
    for words in said:
        assert words in output
    (command,) = RESTORED_BY.findall(output)
    clone.run("sh", "-c", command)
    assert clone.run("git", "status", "--porcelain", "--untracked-files=no").stdout == ""
    assert clone.made() == before
    assert "up to date" in clone.run("dvc", "status").stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (f"{HEADER}\n", "has a header but no rows"),
        (f"{HEADER.replace('FCVC,', '')}\n{ROW}\n", "has no column 'FCVC'"),
        ("<!DOCTYPE html>\n<html></html>", "is an HTML or XML page"),
        (b"PK\x03\x04\0\0", "is not text"),
        (f"{HEADER}\n{ROW}\n".replace(",", ";"), "separated by semicolons"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), "is UTF-16"),
        (f"{HEADER}\n{ROW}\n{ROW},1\n", "line 3: too many cells"),
        (f"{HEADER}\n{ROW.replace('Normal_Weight', '?')}\n", "none of the 1 rows has both a readable label"),
        (f"{HEADER}\n" + "".join(f"{ROW.replace('64.0', str(w))}\n" for w in range(40, 90)), "all 50 rows are"),
    ],
    ids=[
        "empty",
        "header only",
        "missing column",
        "HTML",
        "binary",
        "delimiter",
        "UTF-16",
        "too many cells",
        "no label",
        "one level",
    ],
)
def test_a_bad_csv_file(clone, content, said):
    clone.write("source.csv", content)
    clone.edit("params.yaml", {"source: .*": "source: source.csv"})
    fails_clearly_and_is_undone(clone, "source.csv" if "rows" not in said.split()[:4] else "rows", said)


def test_a_source_that_was_taken_away_is_named_by_dvc_and_what_it_removed_is_brought_back(clone):
    """The params did not change, so DVC itself is the first to look; it removes what ingest wrote before it does."""
    rows = (clone.path / "data/raw.csv").read_bytes()
    (clone.path / "data/population.yaml").unlink()
    run = clone.run("dvc", "repro", check=False)
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    assert "data/population.yaml" in run.stderr
    clone.run("sh", "-c", RESTORE)
    assert (clone.path / "data/raw.csv").read_bytes() == rows


def test_a_source_that_is_not_there(clone):
    clone.edit("params.yaml", {"source: .*": "source: nowhere.csv"})
    fails_clearly_and_is_undone(clone, "nowhere.csv does not exist: give the path of a CSV or YAML file")


def test_a_directory_as_source(clone):
    clone.edit("params.yaml", {"source: .*": "source: stages"})
    fails_clearly_and_is_undone(clone, "stages is a directory")


def test_a_level_with_too_few_rows(clone):
    lines = (clone.path / "data/raw.csv").read_text().splitlines(keepends=True)
    clone.write("source.csv", "".join(line for line in lines if "insufficient" not in line.lower()))
    clone.edit("params.yaml", {"source: .*": "source: source.csv"})
    fails_clearly_and_is_undone(clone, "level 'Insufficient_Weight' has 0 rows", "give more rows of this level")


def test_a_level_with_fewer_groups_than_folds(clone):
    clone.edit("params.yaml", {"  folds: 2": "  folds: 50"})
    fails_clearly_and_is_undone(clone, "fewer than train.search.folds (50)")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  model: .*",
            "  modell: random_forest",
            "params.yaml: train.modell: no such key: did you mean 'train.model'?",
        ),
        ("  model: .*", "  model: oracle", "params.yaml: train.model: Invalid enum value 'oracle'"),
        ("ingest:", "extra: 1\ningest:", "params.yaml: extra: no such key"),
        ("  rows: .*", "  rows: many", "params.yaml: ingest.rows: Expected `int`, got `str`"),
        ("    test: 0.15", "    test: 2", "params.yaml: featurize.split.test: Expected `float` < 1"),
    ],
)
def test_a_wrong_key_type_or_value_in_the_params(clone, old, new, said):
    clone.edit("params.yaml", {old: new})
    fails_clearly_and_is_undone(clone, said)


def test_a_byte_order_mark_and_crlf_are_read(clone):
    rows = (clone.path / "data/raw.csv").read_text()
    clone.write("source.csv", ("\ufeff" + rows.replace("\n", "\r\n")).encode())
    clone.edit("params.yaml", {"source: .*": "source: source.csv"})
    clone.run("dvc", "repro", "clean")
    account = clone.run("git", "diff", "--stat", "metrics/clean.json").stdout
    assert account == ""
