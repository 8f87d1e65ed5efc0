"""`obesity-levels predict … --to DIR/`: parts, what it goes on with, and processes."""

import json
import os
import platform
import pty
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.prediction import HEADER, ROW, content, file, many_files, predict, said_by, start
from tests.waiting import eventually

from obesity_levels.prediction import command, files
from obesity_levels.schema import LABEL


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(command, "PART_BYTES", 10_000)


def table(path: Path) -> pa.Table:
    """All rows, in the order of the parts."""
    return pq.read_table(path).replace_schema_metadata()


def test_the_parts_have_together_the_rows_of_one_file(project, tmp_path):
    assert predict("data/raw.csv", "--to", tmp_path / "one.parquet", "--keep", LABEL) == 0
    assert predict("data/raw.csv", "--to", f"{tmp_path}/parts/", "--keep", LABEL) == 0
    assert len(list(tmp_path.glob("parts/part-*.parquet"))) >= 3
    assert table(tmp_path / "parts") == table(tmp_path / "one.parquet")


def test_a_first_column_whose_name_begins_as_a_zip_archive_does_is_no_reason_to_read_rows_twice(project, raw, tmp_path):
    raw.insert(0, "PK", "1")
    raw.to_csv(tmp_path / "rows.csv", index=False)
    assert predict(tmp_path / "rows.csv", "--to", tmp_path / "parts") == 0
    assert len(table(tmp_path / "parts")) == len(raw)


def test_row_groups_of_a_parquet_file_are_parts(project, tmp_path):
    rows = pd.read_parquet("data/clean.parquet")
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=50)
    assert predict(tmp_path / "rows.parquet", "--to", tmp_path / "one.parquet") == 0
    assert predict(tmp_path / "rows.parquet", "--to", tmp_path / "parts") == 0
    assert len(list(tmp_path.glob("parts/part-*.parquet"))) >= 3
    assert table(tmp_path / "parts") == table(tmp_path / "one.parquet")


def test_the_account_is_beside_the_parts(project, tmp_path):
    assert predict("data/raw.csv", "--to", tmp_path / "parts", "--evaluate") == 0
    account = json.loads((tmp_path / "parts/_account.json").read_text())
    rows = table(tmp_path / "parts").to_pandas()
    assert account["rows"] == len(rows)
    assert account["predictions"] == rows["prediction"].value_counts().reindex(account["predictions"]).to_dict()
    assert set(account["run"]) == {"inputs", "model", "layout", "options", "package"}
    assert {"drift", "scores", "cells_set_missing"} <= set(account)


def test_a_run_goes_on_with_the_parts_that_are_missing(project, tmp_path):
    parts = tmp_path / "parts"
    assert predict("data/raw.csv", "--to", parts) == 0
    complete = content(parts)
    (parts / "part-000001.parquet").unlink()
    (parts / "_account.json").unlink()
    file(parts, "half", f".part-000001.parquet.{platform.node()}.99999999.tmp")
    kept = (parts / "part-000000.parquet").stat().st_mtime_ns
    assert predict("data/raw.csv", "--to", parts) == 0
    assert content(parts) == complete
    assert (parts / "part-000000.parquet").stat().st_mtime_ns == kept


def test_a_run_that_would_give_something_else_does_not_go_on(project, tmp_path, capsys):
    rows = file(tmp_path, f"{HEADER}\n{ROW}\n")
    assert predict(rows, "--to", tmp_path / "parts") == 0
    before = content(tmp_path / "parts")
    assert predict(rows, "--to", tmp_path / "parts", "--keep", "Age") == 1
    assert "other values of options.keep" in capsys.readouterr().err
    rows.write_text(f"{HEADER}\n{ROW}\n{ROW}\n")
    assert predict(rows, "--to", tmp_path / "parts") == 1
    assert "other values of inputs.0.sha256" in capsys.readouterr().err
    assert content(tmp_path / "parts") == before
    assert predict(rows, "--to", tmp_path / "parts", "--overwrite") == 0
    assert len(table(tmp_path / "parts")) == 2


def test_the_order_and_the_number_of_the_inputs_count(project, tmp_path, capsys):
    one = file(tmp_path, f"{HEADER}\n{ROW}\n", "1.csv")
    two = file(tmp_path, f"{HEADER}\n{ROW}\n{ROW}\n", "2.csv")
    for given in ([one, two], [two, one], [one, one], [one]):
        status = predict(*given, "--to", tmp_path / "parts")
        assert status == (0 if given == [one, two] else 1)
    assert "other values of inputs" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_files_that_it_did_not_write_are_left_alone(project, tmp_path, capsys, options):
    file(tmp_path, "mine", "notes.txt")
    assert predict("data/raw.csv", "--to", tmp_path, *options) == 1
    assert "notes.txt" in capsys.readouterr().err
    assert content(tmp_path) == {"notes.txt": b"mine"}


def test_predictions_of_unknown_origin_are_replaced_only_if_asked(project, tmp_path, capsys):
    file(tmp_path, "", "part-000000.parquet")
    assert predict("data/raw.csv", "--to", tmp_path) == 1
    assert "without _run.json" in capsys.readouterr().err
    assert predict("data/raw.csv", "--to", tmp_path, "--overwrite") == 0


def test_a_part_that_another_program_wrote_is_not_counted(project, tmp_path, capsys):
    assert predict("data/raw.csv", "--to", tmp_path) == 0
    pq.write_table(pa.table({"a": [1]}), tmp_path / "part-000001.parquet")
    assert predict("data/raw.csv", "--to", tmp_path) == 1
    assert "part-000001.parquet was not written by this run" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [b"", b"{", b"[]"])
def test_a_damaged_account_of_a_run_is_an_error(project, tmp_path, capsys, damage):
    assert predict("data/raw.csv", "--to", tmp_path) == 0
    (tmp_path / "_run.json").write_bytes(damage)
    assert predict("data/raw.csv", "--to", tmp_path) == 1
    assert "_run.json" in capsys.readouterr().err


def test_a_part_under_the_name_of_another_is_not_taken(project, tmp_path, capsys):
    assert predict("data/raw.csv", "--to", tmp_path) == 0
    (tmp_path / "part-000001.parquet").write_bytes((tmp_path / "part-000000.parquet").read_bytes())
    assert predict("data/raw.csv", "--to", tmp_path) == 1
    assert "part-000001.parquet was not written by this run" in capsys.readouterr().err


def test_a_model_that_changes_in_the_middle_of_a_run_ends_it(project, tmp_path, capsys, monkeypatch):
    models = shutil.copytree("models", tmp_path / "models")
    real = files.predict_part

    def changed(task, part, folder):
        account = real(task, part, folder)
        (models / "manifest.json").write_bytes((models / "manifest.json").read_bytes() + b"\n")
        return account

    monkeypatch.setattr(files, "predict_part", changed)
    assert predict("data/raw.csv", "--to", tmp_path / "parts", "--model", models) == 1
    assert "not the same model.manifest.json as when the run began" in capsys.readouterr().err
    assert len(list(tmp_path.glob("parts/part-*"))) == 1


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_parts_are_not_written_beside_their_own_input(project, raw, tmp_path, options):
    raw.to_parquet(tmp_path / "part-000000.parquet")
    before = content(tmp_path)
    assert predict(tmp_path, "--to", tmp_path, *options) == 2
    assert content(tmp_path) == before


def test_a_column_that_is_lost_in_all_parts_together_is_refused(project, tmp_path, capsys):
    good, lost = f"{ROW}\n" * 300, f"{ROW.replace('1.62', '162')}\n" * 100
    rows = file(tmp_path, f"{HEADER}\n{good}{lost}")
    assert predict(rows, "--to", tmp_path / "parts") == 0
    rows.write_text(f"{HEADER}\n{lost}{good}{lost * 4}")
    assert predict(rows, "--to", tmp_path / "parts", "--overwrite") == 1
    assert "Height: 500 of 800 filled cells" in capsys.readouterr().err
    assert not (tmp_path / "parts/_account.json").exists()


def test_two_processes_write_the_same_as_one(project, tmp_path):
    assert predict("data/raw.csv", "--to", tmp_path / "one") == 0
    assert predict("data/raw.csv", "--to", tmp_path / "two", "--jobs", "2") == 0
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_an_error_in_a_process_is_that_of_the_file(project, tmp_path, capsys):
    rows = file(tmp_path, f"{HEADER}\n{ROW}\n1,2\n")
    assert predict(rows, "--to", tmp_path / "parts", "--jobs", "2") == 1
    assert "rows.csv, line 3: too few cells" in capsys.readouterr().err


def test_on_a_terminal_there_is_a_bar_with_rows_a_second_and_else_nothing(project, raw, tmp_path):
    rows = many_files(tmp_path / "in", raw, files=2, times=1)
    command = [sys.executable, "-m", "obesity_levels.prediction", rows, "--to"]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 120))
    subprocess.run([*command, tmp_path / "a.csv"], check=True, stdout=subprocess.DEVNULL, stderr=theirs)
    assert b"rows/s" in os.read(ours, 100_000)
    other = subprocess.run([*command, tmp_path / "b.csv"], check=True, capture_output=True)
    assert other.stderr == b""
    os.close(ours)
    os.close(theirs)


def with_variable(value: str) -> list[int]:
    """The processes that have this value in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if value.encode() in path.read_bytes() and "zombie" not in (path.parent / "status").read_text():
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            pass
    return found


def test_a_killed_run_writes_no_more_and_goes_on_when_it_is_run_again(project, raw, tmp_path):
    rows = many_files(tmp_path / "in", raw, files=12, times=10)
    said_by(start(sys.executable, rows, "--to", tmp_path / "complete"))
    parts = tmp_path / "parts"
    run = start(sys.executable, rows, "--to", parts, "--jobs", "2", MARK_OF_TEST=str(tmp_path))
    eventually(lambda: list(parts.glob("part-*")), "a part is written")
    run.kill()
    said_by(run, -signal.SIGKILL)
    eventually(lambda: not with_variable(f"MARK_OF_TEST={tmp_path}"), "its processes end", seconds=10)
    assert not (parts / "_account.json").exists()
    said_by(start(sys.executable, rows, "--to", parts, "--jobs", "2"))
    assert content(parts) == content(tmp_path / "complete")


def test_sigterm_ends_all_processes_and_leaves_nothing_half_written(project, raw, tmp_path):
    rows = many_files(tmp_path / "in", raw, files=12, times=10)
    run = start(sys.executable, rows, "--to", tmp_path / "parts", "--jobs", "2")
    eventually(lambda: list(tmp_path.glob("parts/part-*")), "a part is written")
    run.terminate()
    said_by(run, 128 + signal.SIGTERM)
    assert all(name.startswith(("part-", "_run")) for name in content(tmp_path / "parts"))


def test_a_process_that_is_killed_is_an_error_that_says_what_to_do(project, raw, tmp_path):
    rows = many_files(tmp_path / "in", raw, files=12, times=10)
    run = start(sys.executable, rows, "--to", tmp_path / "parts", "--jobs", "2", MARK_OF_TEST=str(tmp_path))
    eventually(lambda: list(tmp_path.glob("parts/part-*")), "a part is written")
    children = [pid for pid in with_variable(f"MARK_OF_TEST={tmp_path}") if b"spawn_main" in cmdline(pid)]
    os.kill(children[0], signal.SIGKILL)
    assert "error: a process was killed" in said_by(run, 1)


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
