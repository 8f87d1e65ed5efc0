import numpy as np
import pytest

from obesity_levels import io
from obesity_levels.data.simulation import simulate
from obesity_levels.data.source import read_raw
from obesity_levels.errors import SourceError
from obesity_levels.model.features import encode_table, input_matrix
from obesity_levels.schema import COLUMNS


@pytest.mark.parametrize(("names", "said"), [("", ""), ("A", "A"), ("AB", "A and B"), ("ABC", "A, B and C")])
def test_names_are_enumerated(names, said):
    assert io.join_names([*names]) == said


def test_a_split_that_is_not_there_names_the_commands_that_bring_it(tmp_path):
    with pytest.raises(SourceError, match="train.parquet cannot be read: run `dvc repro`, or `dvc pull`"):
        io.read_split(tmp_path, "train")


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    (tmp_path / "test.parquet").write_text("nothing")
    with pytest.raises(SourceError, match="test.parquet cannot be read"):
        io.read_split(tmp_path, "test")


@pytest.mark.parametrize(
    "change", [lambda rows: rows.assign(NObeyesdad="foo"), lambda rows: rows.drop(columns="group")]
)
def test_a_split_that_was_altered_is_refused(people, tmp_path, change):
    rows = people.rename_axis("line")
    io.write_split(tmp_path, "test", rows, np.zeros(len(rows)), input_matrix(encode_table(rows), "full"), "full")
    assert len(io.read_split(tmp_path, "test").labels) == len(people)
    io.write_parquet(change(io.read_parquet(tmp_path / "test.parquet")), tmp_path / "test.parquet")
    with pytest.raises(SourceError, match="is not a split of this project"):
        io.read_split(tmp_path, "test")


def test_a_simulated_table_is_read_back_as_it_was_written(population, tmp_path):
    table = simulate(population, 50, seed=1)
    io.write_raw_csv(table, tmp_path / "raw.csv")
    read = read_raw(tmp_path / "raw.csv")
    assert read.to_numpy().tolist() == table.to_numpy().tolist()
    assert list(read.columns)[:17] == list(COLUMNS)


def test_json_holds_plain_rounded_numbers_and_ends_with_a_newline(tmp_path):
    content = {"a": np.float32(0.1), "b": [np.int64(3), 1 / 3], "c": None, "d": True, "e": -1e-9, "f": "x"}
    io.write_json(content, tmp_path / "deep/file.json")
    text = (tmp_path / "deep/file.json").read_text()
    assert text.endswith("}\n")
    assert "-0.0" not in text
    assert io.read_json(tmp_path / "deep/file.json") == {
        **{"a": 0.1, "b": [3, 0.333333], "c": None, "d": True, "e": 0.0, "f": "x"}
    }


def test_a_number_that_json_does_not_know_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        io.write_json({"a": float("nan")}, tmp_path / "file.json")
