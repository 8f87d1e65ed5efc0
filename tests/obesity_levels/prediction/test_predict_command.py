"""`obesity-levels predict`: in the folder of a clone, in this process."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn import metrics
from tests.prediction import HEADER, ROW, file, predict

from obesity_levels.data.cells import read_cells
from obesity_levels.model.classifier import load_classifier
from obesity_levels.prediction import files
from obesity_levels.schema import LABEL, LEVELS

MARK = "sekret-4711"


def test_the_rows_of_a_csv_file_are_predicted_to_parquet(project, tmp_path, capsys):
    assert predict("data/raw.csv", "--to", tmp_path / "out.parquet", "--keep", LABEL) == 0
    raw, found = pd.read_csv("data/raw.csv", dtype=str), pq.read_table(tmp_path / "out.parquet")
    assert found.num_rows == len(raw)
    assert found[LABEL].to_pylist() == raw[LABEL].fillna("").tolist()
    version = load_classifier(Path("models")).manifest.version
    assert found.schema.metadata[b"model_version"] == version.encode()
    said = capsys.readouterr().out
    assert f"rows: {len(raw):,}" in said
    assert "drift: " in said


def test_csv_has_the_same_predictions_and_sets_as_texts(project, tmp_path):
    for name in ("out.csv", "out.parquet"):
        assert predict("data/raw.csv", "--to", tmp_path / name) == 0
    table = pq.read_table(tmp_path / "out.parquet").to_pandas()
    table["prediction_set"] = table["prediction_set"].map(" ".join, na_action="ignore")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), table, check_dtype=False)


def test_folders_and_patterns_are_read_in_the_order_of_their_names(project, tmp_path):
    raw = pd.read_csv("data/raw.csv", dtype=str).fillna("")
    (tmp_path / "in").mkdir()
    raw[:50].to_csv(tmp_path / "in/a.csv", index=False)
    raw[50:90].to_csv(tmp_path / "in/b.csv", index=False)
    for name, given in (("one.csv", tmp_path / "in"), ("two.csv", tmp_path / "in/*.csv")):
        assert predict(given, "--to", tmp_path / name, "--keep", "Age") == 0
        assert pd.read_csv(tmp_path / name, dtype=str)["Age"].fillna("").tolist() == raw["Age"][:90].tolist()


def test_a_parquet_file_with_types_has_the_same_predictions_as_its_texts(project, tmp_path):
    raw = pd.read_parquet("data/clean.parquet")
    raw.to_parquet(tmp_path / "typed.parquet")
    raw.to_csv(tmp_path / "texts.csv", index=False)
    assert predict(tmp_path / "texts.csv", "--to", tmp_path / "one.parquet") == 0
    assert predict(tmp_path / "typed.parquet", "--to", tmp_path / "two.parquet") == 0
    assert pq.read_table(tmp_path / "one.parquet").equals(pq.read_table(tmp_path / "two.parquet"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{HEADER}\n{ROW}\n{MARK},1\n", "line 3: too few cells"),
        (f"{HEADER}\n{ROW}\n{ROW},{MARK}\n", "line 3: too many cells"),
        (f"{HEADER}\n{ROW}\n\0{ROW}\n", "NUL byte in line 3"),
        (f'{HEADER}\n{ROW}\n"{MARK}"x{ROW}\n', "line 3: not readable as CSV"),
        (f"{HEADER}\n", "has a header but no rows"),
        (f"Age,{HEADER}\n30,{ROW}\n", "more than one column 'Age'"),
        (f"{ROW.replace('no', MARK)}\n" * 2, "the first line looks like a row"),
        (f"{HEADER.replace('Age', 'Years')}\n{ROW}\n", "has no column 'Age'"),
    ],
    ids=["short row", "long row", "NUL", "stray quote", "header only", "doubled column", "no header", "missing column"],
)
def test_a_file_that_cannot_be_read_is_an_error_that_shows_no_cell_and_leaves_nothing(
    project, tmp_path, capsys, content, said
):
    out = tmp_path / "out.parquet"
    status = predict(file(tmp_path, content), "--to", out)
    error = capsys.readouterr().err
    assert status == 1
    assert said in error
    assert "rows.csv" in error
    assert MARK not in error
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_columns_to_keep_of_a_parquet_file_keep_every_digit(project, tmp_path):
    rows = pd.read_parquet("data/clean.parquet").assign(id=9007199254740993)
    rows["null"] = pd.array([None, 9007199254740993] * (len(rows) // 2) + [1] * (len(rows) % 2), dtype="Int64")
    rows.to_parquet(tmp_path / "rows.parquet")
    keep = ["--keep", "id", "--keep", "null", "--keep", "Age"]
    assert predict(tmp_path / "rows.parquet", "--to", tmp_path / "out.parquet", *keep) == 0
    found = pq.read_table(tmp_path / "out.parquet")
    assert set(found["id"].to_pylist()) == {"9007199254740993"}
    assert found["null"].to_pylist()[:4] == ["", "9007199254740993"] * 2
    assert found["Age"].to_pylist() == rows["Age"].map(str).replace("nan", "").tolist()


def test_a_question_that_nobody_answered_may_be_a_column_of_numbers(project, tmp_path):
    pd.read_parquet("data/clean.parquet").assign(SMOKE=float("nan"), FAVC=1).to_parquet(tmp_path / "rows.parquet")
    assert predict(tmp_path / "rows.parquet", "--to", tmp_path / "out.parquet") == 1  # FAVC is lost
    pd.read_parquet("data/clean.parquet").assign(SMOKE=float("nan")).to_parquet(tmp_path / "rows.parquet")
    assert predict(tmp_path / "rows.parquet", "--to", tmp_path / "out.parquet") == 0


def test_names_in_capitals_are_read_too(project, tmp_path, raw, capsys):
    (tmp_path / "in").mkdir()
    raw[:50].to_csv(tmp_path / "in/A.CSV", index=False)
    raw[50:90].to_csv(tmp_path / "in/b.csv", index=False)
    assert predict(tmp_path / "in", "--to", tmp_path / "out.csv") == 0
    assert "rows: 90" in capsys.readouterr().out


def test_without_labels_it_is_said_that_there_are_no_scores(project, tmp_path, raw, capsys):
    raw.assign(**{LABEL: ""}).to_csv(tmp_path / "rows.csv", index=False)
    assert predict(tmp_path / "rows.csv", "--to", tmp_path / "out.csv", "--evaluate") == 0
    assert "no row has a label that can be read" in capsys.readouterr().out


def test_a_cell_of_any_length_is_read(project, tmp_path):
    rows = file(tmp_path, f"{HEADER}\n{ROW.replace('yes', 'y' * 200_000)}\n{ROW}\n")
    assert predict(rows, "--to", tmp_path / "out.csv") == 0


def test_padded_headers_are_read(project, tmp_path):
    padded = file(tmp_path, f"{HEADER.replace(',', ' , ')}\n{ROW}\n")
    assert predict(padded, "--to", tmp_path / "out.csv") == 0


def test_a_column_whose_answers_are_lost_is_refused_as_by_clean(project, tmp_path, capsys):
    lost = file(tmp_path, f"{HEADER}\n" + f"{ROW.replace('1.62', '162')}\n" * 20)
    assert predict(lost, "--to", tmp_path / "out.csv") == 1
    assert "Height" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_what_exists_is_replaced_only_if_asked(project, tmp_path):
    out = file(tmp_path, "mine", "out.csv")
    rows = file(tmp_path, f"{HEADER}\n{ROW}\n")
    assert predict(rows, "--to", out) == 2
    assert out.read_text() == "mine"
    assert predict(rows, "--to", out, "--overwrite") == 0
    assert out.read_text() != "mine"


def test_a_file_is_never_replaced_by_its_predictions(project, tmp_path):
    rows = file(tmp_path, f"{HEADER}\n{ROW}\n")
    assert predict(rows, "--to", rows, "--overwrite") == 2


def test_a_disk_that_is_full_is_an_error_and_leaves_nothing(project, tmp_path):
    """A file may have 4 kB, as if the rest of the disk were full."""
    run = subprocess.run(
        [sys.executable, "-m", "obesity_levels", "predict", "data/raw.csv", "--to", tmp_path / "out.csv"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert run.returncode == 1
    assert run.stderr.startswith(f"error: {tmp_path}/out.csv cannot be written: ")
    assert not list(tmp_path.iterdir())


def test_sigterm_ends_it_and_leaves_nothing(project, tmp_path, monkeypatch):
    real = files.predicted_blocks

    def killed(*arguments):
        yield from real(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(files, "predicted_blocks", killed)
    assert predict("data/raw.csv", "--to", tmp_path / "out.csv") == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_a_name_without_files_is_an_error(project, tmp_path, capsys):
    assert predict(tmp_path / "none-*.csv", "--to", tmp_path / "out.csv") == 1
    assert "none-*.csv: no such file" in capsys.readouterr().err


def test_levels_of_all_rows_are_counted(project, tmp_path, capsys):
    assert predict("data/raw.csv", "--to", tmp_path / "out.parquet") == 0
    counts = pq.read_table(tmp_path / "out.parquet").to_pandas()["prediction"].value_counts()
    said = capsys.readouterr().out
    for level in LEVELS:
        assert any(level in line and f"{counts.get(level, 0):,} |" in line for line in said.splitlines())


def test_scores_are_those_of_the_rows_with_a_label(project, tmp_path, raw, capsys):
    raw.loc[:9, LABEL] = ""
    raw.to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "out.parquet"
    assert predict(tmp_path / "rows.csv", "--to", out, "--evaluate", "--keep", LABEL) == 0
    said = capsys.readouterr().out
    rows = pq.read_table(out).to_pandas()
    rows[LABEL] = read_cells(rows, [])[LABEL].values
    rows = rows[rows[LABEL].notna() & rows["prediction"].notna()]
    covered = [level in levels for level, levels in zip(rows[LABEL], rows["prediction_set"], strict=True)]
    expected = {
        "accuracy": metrics.accuracy_score(rows[LABEL], rows["prediction"]),
        "f1 weighted": metrics.f1_score(rows[LABEL], rows["prediction"], average="weighted"),
        "prediction set coverage": sum(covered) / len(rows),
        "recall of Normal Weight": (rows["prediction"][rows[LABEL] == "Normal_Weight"] == "Normal_Weight").mean(),
    }
    assert f"of {len(rows):,} rows with a label" in said
    for name, score in expected.items():
        assert any(name in line and f"{score:.4f}" in line for line in said.splitlines()), name


def test_labels_are_not_asked_for_otherwise(project, tmp_path, raw):
    raw.drop(columns=LABEL).to_csv(tmp_path / "rows.csv", index=False)
    assert predict(tmp_path / "rows.csv", "--to", tmp_path / "out.csv") == 0
    assert predict(tmp_path / "rows.csv", "--to", tmp_path / "other.csv", "--evaluate") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--to", "x.json"],
        ["--to", ""],
        ["--to", "s3://bucket/x.parquet"],
        ["--to", "x.csv", "--jobs", "2"],
        ["--to", "x/", "--jobs", "2", "--scheduler", "tcp://x:1"],
        ["--to", "x.csv", "--keep", "Age", "--keep", "Age"],
        ["--to", "x.csv", "--keep", "prediction"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(project, options):
    assert predict("data/raw.csv", *options) == 2
