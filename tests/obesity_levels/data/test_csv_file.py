import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import few_examples

from obesity_levels.data.csv_file import WHOLE, csv_blocks, csv_parts
from obesity_levels.data.layout import UNCHANGED
from obesity_levels.errors import SourceError

LETTERS = ["a", "1.5", "é", " ", '"', '""', ",", "\n", "\r\n", "\r", "\0", "\ufeff", "\u2028", "\x0c", "[", "{"]
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n"])


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


CELLS = st.lists(st.sampled_from(LETTERS[:4]), max_size=4).map("".join)
CELLS |= st.lists(st.sampled_from(LETTERS), max_size=4).map("".join).map(quoted)
CELLS |= st.lists(st.sampled_from(LETTERS), max_size=4).map("".join)
ROWS = st.lists(CELLS, min_size=3, max_size=3) | st.lists(CELLS, min_size=1, max_size=4)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """CSV files of three columns, most of them readable; now and then a byte that is not UTF-8."""
    rows = draw(st.lists(ROWS, max_size=12))
    text = "x,y,z" + draw(ENDS) + "".join(",".join(row) + draw(ENDS) for row in rows)
    wrong = draw(st.sampled_from([b"", b"", b"", b"\xff"]))
    return text.encode() + wrong


def read(path, size: int, part_size: int | None = None) -> list | str:
    """The rows with their lines, or the error."""
    parts = csv_parts(path, UNCHANGED, part_size) if part_size else [WHOLE]
    try:
        blocks = [block for part in parts for block in csv_blocks(path, UNCHANGED, size, part)]
        return [(line, *row) for block in blocks for line, *row in block.itertuples()]
    except SourceError as error:
        return str(error)


@few_examples
@given(files(), st.integers(1, 60))
def test_blocks_of_any_size_have_the_same_rows_or_an_error(tmp_path_factory, content, size):
    """Of several errors a small block meets another one first."""
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(content)
    found, expected = read(path, size), read(path, 1_000_000)
    assert found == expected or (isinstance(found, str) and isinstance(expected, str))


@few_examples
@given(files(), st.integers(1, 60))
def test_parts_of_any_size_have_together_the_same_rows_or_an_error(tmp_path_factory, content, size):
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(content)
    found, expected = read(path, 1_000_000, part_size=size), read(path, 1_000_000)
    assert found == expected or (isinstance(found, str) and isinstance(expected, str))


def test_a_large_file_has_many_parts(tmp_path):
    path = tmp_path / "rows.csv"
    for cell in ("1", '"a\nb"'):
        path.write_text("x,y,z\n" + f"{cell},2,3\n" * 100)
        assert len(csv_parts(path, UNCHANGED, 50)) >= 10


@few_examples
@given(files())
def test_the_rows_are_those_of_the_csv_module(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_bytes(content)
    found = read(path, 16)
    if isinstance(found, list):
        expected = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
        assert [list(row) for _, *row in found] == [row for row in expected[1:] if row]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("a,b\n", "line 4: too few cells, 2 where the header has 3"),
        ("a,b,c,d\n", "line 4: too many cells, 4 where the header has 3"),
        ('"a"b,c,d\n', "line 4: not readable as CSV"),
        ("a,\0,c\n", "a NUL byte in line 4"),
        ("a,\udcff,c\n", "line 4: not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("size", [8, 1_000_000])
def test_an_error_names_the_line_and_no_cell(tmp_path, after, said, size):
    path = tmp_path / "rows.csv"
    path.write_bytes(("x,y,z\nsecret,2,3\n4,5,6\n" + after).encode(errors="surrogateescape"))
    assert said in read(path, size)
    assert "secret" not in read(path, size)


def test_a_cell_may_be_larger_than_a_block(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f'x,y,z\n1,{"2" * 1000},3\n4,"{"5" * 1000}",6\n')
    assert read(path, 16) == [(2, "1", "2" * 1000, "3"), (3, "4", "5" * 1000, "6")]
