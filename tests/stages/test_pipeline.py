import json

import numpy as np
import pytest

from obesity_levels.errors import SourceError
from obesity_levels.raw import read_raw
from obesity_levels.schema import COLUMNS
from obesity_levels.simulation import simulate
from pipeline import RESTORE, read_json, rounded, run, write_csv, write_json


def test_an_error_that_a_person_can_act_on_is_said_without_a_traceback_and_ends_with_1(capsys):
    def main() -> None:
        raise SourceError("data/foo.csv does not exist: give another")

    with pytest.raises(SystemExit) as stopped:
        run(main)
    said = capsys.readouterr().err
    assert stopped.value.code == 1
    assert said.splitlines()[0] == "error: data/foo.csv does not exist: give another"
    assert RESTORE in said


def test_a_bug_of_ours_is_not_hidden():
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main)


def test_a_simulated_table_is_read_back_as_it_was_written(population, tmp_path):
    table = simulate(population, 50, seed=1)
    write_csv(table, tmp_path / "raw.csv")
    read = read_raw(tmp_path / "raw.csv")
    assert read.to_numpy().tolist() == table.to_numpy().tolist()
    assert list(read.columns)[:17] == list(COLUMNS)


def test_json_holds_plain_rounded_numbers_and_ends_with_a_newline(tmp_path):
    content = {"a": np.float32(0.1), "b": [np.int64(3), 1 / 3], "c": None, "d": True, "e": -1e-9, "f": "x"}
    write_json(content, tmp_path / "deep/file.json")
    assert (tmp_path / "deep/file.json").read_text().endswith("}\n")
    assert read_json(tmp_path / "deep/file.json") == {
        **{"a": 0.1, "b": [3, 0.333333], "c": None, "d": True, "e": 0.0, "f": "x"}
    }


def test_a_number_that_json_does_not_know_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": float("nan")}, tmp_path / "file.json")


def test_rounding_leaves_no_negative_zero():
    assert json.dumps(rounded([-0.0, -1e-12])) == "[0.0, 0.0]"
