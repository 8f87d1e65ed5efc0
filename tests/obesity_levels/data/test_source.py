import pytest

from obesity_levels.data.source import extra_columns, read_raw
from obesity_levels.errors import SourceError
from obesity_levels.schema import COLUMNS, LEVELS

HEADER = ",".join(COLUMNS)
ROW = "Female,21.0,1.62,64.0,yes,no,2.0,3.0,Sometimes,no,2.0,no,0.0,1.0,no,Public_Transportation,Normal_Weight"

LEVEL_ROWS = "".join(ROW.replace("Normal_Weight", level) + "\n" for level in LEVELS)


def written(tmp_path, content: str | bytes):
    path = tmp_path / "source.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_cell_is_read_as_the_text_that_it_is(tmp_path):
    row = ROW.replace("21.0", " 021.00 ").replace("64.0", "").replace("Normal_Weight", "nan")
    table = read_raw(written(tmp_path, f"{HEADER}\n{row}\n"))
    assert table.loc[2].tolist() == row.split(",")


def test_columns_may_come_in_any_order_and_with_others(tmp_path):
    table = read_raw(written(tmp_path, f"id,{','.join(reversed(COLUMNS))}\n7,{','.join(reversed(ROW.split(',')))}\n"))
    assert table.loc[2, list(COLUMNS)].tolist() == ROW.split(",")
    assert extra_columns(list(table.columns)) == ["id"]


def test_columns_without_a_name_are_called_by_their_place(tmp_path):
    table = read_raw(written(tmp_path, f",{HEADER},,\n7,{ROW},,\n"))
    assert table.loc[2, list(COLUMNS)].tolist() == ROW.split(",")
    assert extra_columns(list(table.columns)) == ["(column 1)", "(column 19)", "(column 20)"]


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\r\n{ROW}\r\n{ROW}\r\n".encode(),
        f"{HEADER}\r{ROW}\r{ROW}\r".encode(),
        f"{HEADER}\n{ROW}\n{ROW}".encode(),
        f"\n{HEADER}\n\n{ROW}\n\n{ROW}\n\n".encode(),
        f'{HEADER}\n"{ROW.replace(",", chr(34) + "," + chr(34))}"\n{ROW}\n'.encode(),
    ],
    ids=["byte-order mark and CRLF", "CR", "no newline at the end", "empty lines", "quotes"],
)
def test_byte_order_marks_line_ends_empty_lines_and_quotes_are_read(tmp_path, content):
    table = read_raw(written(tmp_path, content))
    assert list(table.columns) == list(COLUMNS)
    assert [",".join(row) for row in table.to_numpy()] == [ROW, ROW]


def test_a_row_is_numbered_by_the_line_on_which_it_begins(tmp_path):
    over_two_lines = ROW.replace("Female", '"Fe\nmale"')
    table = read_raw(written(tmp_path, f"{HEADER}\n\n{over_two_lines}\n{ROW}\n"))
    assert table.index.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("  \n\n", "is empty"),
        (f"{HEADER}\n", "has a header but no rows"),
        (f"{HEADER}\n\n\n", "has a header but no rows"),
        (
            f"{HEADER.replace('FCVC,', '')}\n{ROW.replace('2.0,', '', 1)}\n",
            r"has no column 'FCVC' \(found 16 of 17\).* `obesity-levels layout ",
        ),
        (
            f"{HEADER.replace('FCVC,NCP', 'fcvc,')}\n{ROW}\n",
            r"has no columns 'FCVC', 'NCP' \(found 15 of 17\); 'fcvc' may be 'FCVC'",
        ),
        (
            f"{HEADER.replace('NObeyesdad', 'Obesity')}\n{LEVEL_ROWS}",
            "no column 'NObeyesdad' .*; 'Obesity' holds the seven levels",
        ),
        (
            f"{HEADER.replace('Gender', 'Gender_Male,Gender_Female')}\n1,0{ROW[6:]}\n",
            "'Gender_Female'.*: join them first",
        ),
        (f"{HEADER},Age\n{ROW},1\n", "more than one column 'Age'"),
        ("<!DOCTYPE html>\n<html><body>404</body></html>", "is an HTML or XML page"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not text"),
        (b"PK\x03\x04\x14\x00", "is a ZIP archive, .* run `unzip "),
        (b"\x1f\x8b\x08\x00", "is compressed by gzip, not CSV: run `gunzip "),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"is an old Excel workbook \(.xls\), not CSV: save it as .xlsx"),
        ("% made by Weka\n@relation obesity\n", "is an ARFF file of Weka, not CSV: run `python -c "),
        ('[{"Age": 21}]', "is JSON, not CSV: run `python -c "),
        (b"PAR1\x15\x04", "is a Parquet file, and its layout says format: csv"),
        (bytes(range(128, 256)), "line 1: not UTF-8 text"),
        (f"{HEADER}\n{ROW}\n".encode() + b"\xe9", "line 3: not UTF-8 text"),
        (f"{HEADER}\n{ROW}\n".replace(",", ";"), "separated by semicolons"),
        (f"{HEADER}\n{ROW}\n".replace(",", "\t"), "separated by tabs"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), "is UTF-16"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16-le"), "is not text"),
        (f"{HEADER}\n{ROW}\n{ROW},1\n", "line 3: too many cells, 18 where the header has 17"),
        (f"{HEADER}\n{ROW}\nFemale,21\n", "line 3: too few cells, 2 where the header has 17"),
        (f'{HEADER}\n"{ROW}\n', "not readable as CSV"),
        # named by the line on which its row begins
        (f'{HEADER}\n{ROW}\n"{ROW}\n{ROW}\n{ROW}\n', "line 3: not readable as CSV"),
        ("a" * 200_000, "not readable as CSV"),
    ],
)
def test_what_is_not_a_table_of_survey_rows_is_refused_by_name(tmp_path, content, said):
    path = written(tmp_path, content)
    with pytest.raises(SourceError, match=said) as error:
        read_raw(path)
    assert str(path) in str(error.value)


def test_a_column_may_be_called_as_the_line_numbers_are(tmp_path):
    table = read_raw(written(tmp_path, f"{HEADER},line\n{ROW},x\n"))
    assert table.index.tolist() == [2]
    assert extra_columns(list(table.columns)) == ["line"]


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match="nowhere.csv does not exist"):
        read_raw(tmp_path / "nowhere.csv")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(SourceError, match="is a directory"):
        read_raw(tmp_path)
