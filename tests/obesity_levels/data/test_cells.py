import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.strategies import few_examples

from obesity_levels.data.cells import read_cells
from obesity_levels.data.layout import UNCHANGED
from obesity_levels.data.source import read_blocks
from obesity_levels.schema import SCALES

MARKS = ["?", "99", "-1.0", "1e999", "nan"]
NUMBERS = (
    st.sampled_from([99, -1, 1.62, 70, 162, 0])
    | st.floats(-10, 500)
    | st.sampled_from([np.inf, -np.inf])
    | st.integers(0, 100)
)


@given(st.text(alphabet="0019.+-eE \u0661x", max_size=6))
def test_a_number_is_what_python_reads_as_one_with_digits_and_no_padding(text):
    raw = pd.DataFrame({"Age": [text]}, dtype="str")
    found = read_cells(raw, [])["Age"].found
    try:
        expected = float(text) if text.isascii() else np.nan
    except ValueError:
        expected = np.nan
    assert np.array_equal(found, [expected], equal_nan=True)


@few_examples
@given(st.lists(st.tuples(*[NUMBERS | st.none() for _ in SCALES]), min_size=1, max_size=20), st.booleans())
def test_numbers_of_a_parquet_file_are_read_as_their_texts_are(tmp_path_factory, rows, whole):
    path = tmp_path_factory.mktemp("parquet") / "rows.parquet"
    table = pd.DataFrame(rows, columns=list(SCALES), dtype="float64")
    table = table.replace([np.inf, -np.inf], 0).round() if whole else table
    # pandas' own nullable integers, and plain ones where no cell is missing
    table = table.convert_dtypes(dtype_backend="numpy_nullable") if whole else table
    table.to_parquet(path)
    layout = replace(UNCHANGED, format="parquet")
    numbers, texts = (
        read_cells(pd.concat(read_blocks(path, list(SCALES), layout, numbers=kept)), MARKS) for kept in (SCALES, ())
    )
    for name in SCALES:
        assert np.array_equal(numbers[name].codes, texts[name].codes, equal_nan=True)
        assert np.array_equal(numbers[name].cause, texts[name].cause)
        assert np.array_equal(numbers[name].found, texts[name].found, equal_nan=True)
        assert numbers[name].counts().tolist() == texts[name].counts().tolist()
