import numpy as np
import pandas as pd
import pytest

from obesity_levels.errors import SourceError
from obesity_levels.features import answer_rows, input_matrix
from obesity_levels.tables import read_parquet, read_split, write_parquet, write_split


def test_a_table_keeps_its_line_numbers(tmp_path):
    table = pd.DataFrame({"Age": [1.0, 2.0]}, index=pd.Index([3, 7], name="line"))
    write_parquet(table, tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "table.parquet"), table)


def test_a_split_that_is_not_there_names_the_commands_that_bring_it(tmp_path):
    with pytest.raises(SourceError, match="train.parquet cannot be read: run `dvc repro`, or `dvc pull`"):
        read_split(tmp_path, "train")


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    (tmp_path / "test.parquet").write_text("nothing")
    with pytest.raises(SourceError, match="test.parquet cannot be read"):
        read_split(tmp_path, "test")


@pytest.mark.parametrize(
    "change", [lambda rows: rows.assign(NObeyesdad="foo"), lambda rows: rows.drop(columns="group")]
)
def test_a_split_that_was_altered_is_refused(people, tmp_path, change):
    rows = people.rename_axis("line")
    write_split(tmp_path, "test", rows, np.zeros(len(rows)), input_matrix(answer_rows(rows), "full"), "full")
    assert len(read_split(tmp_path, "test").labels) == len(people)
    write_parquet(change(read_parquet(tmp_path / "test.parquet")), tmp_path / "test.parquet")
    with pytest.raises(SourceError, match="is not a split of this project"):
        read_split(tmp_path, "test")
