import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import as_table, few_examples, matrix_of, records

from obesity_levels.model.features import MISSING, encode_rows, encode_table, input_matrix
from obesity_levels.schema import ANSWERS, BMI, CATEGORIES, PROFILES

RECORD = {
    **{"Gender": "Male", "Age": 21.0, "Height": 1.6, "Weight": 64.0, "family_history_with_overweight": "yes"},
    **{"FAVC": "no", "FCVC": 2.0, "NCP": 3.0, "CAEC": "Frequently", "SMOKE": "no", "CH2O": 2.0, "SCC": "yes"},
    **{"FAF": 0.0, "TUE": 1.5, "CALC": "Always", "MTRANS": "Walking"},
}


def test_a_record_becomes_its_numbers_its_codes_and_the_body_mass_index():
    expected = [1, 21, 1.6, 64, 1, 0, 2, 3, 2, 0, 2, 1, 0, 1.5, 3, 4, 25]
    np.testing.assert_array_equal(matrix_of([RECORD]), np.array([expected], dtype=np.float32))


def test_the_columns_of_each_profile_are_those_that_it_may_know():
    assert set(PROFILES["full"]) - set(PROFILES["no_weight"]) == {"Weight", BMI}
    assert set(PROFILES["full"]) - set(PROFILES["habits"]) == {"Height", "Weight", BMI}


@pytest.mark.parametrize("profile", PROFILES)
@few_examples
@given(rows=st.lists(records(), max_size=20))
def test_a_missing_cell_is_coded_as_missing_and_no_other_is(profile, rows):
    matrix = matrix_of(rows, profile)
    assert matrix.dtype == np.float32
    for at, name in enumerate(PROFILES[profile]):
        parts = ("Height", "Weight") if name == BMI else (name,)
        missing = [any(row[part] is None for part in parts) for row in rows]
        assert (matrix[:, at] == MISSING).tolist() == missing
    assert np.isfinite(matrix).all()


@few_examples
@given(rows=st.lists(records(), min_size=1, max_size=20))
def test_a_table_and_records_give_the_same_matrix(rows):
    table = as_table([row | {"NObeyesdad": "Normal_Weight"} for row in rows])
    np.testing.assert_array_equal(input_matrix(encode_table(table), "full"), matrix_of(rows))


@few_examples
@given(rows=st.lists(records(), min_size=2, max_size=20))
def test_each_row_is_coded_by_itself(rows):
    together = matrix_of(rows)
    alone = np.concatenate([matrix_of([row]) for row in rows])
    np.testing.assert_array_equal(together, alone)


def test_an_unknown_category_is_an_error_and_not_a_missing_cell():
    table = as_table([RECORD | {"MTRANS": "Hovercraft", "NObeyesdad": "Normal_Weight"}])
    with pytest.raises(KeyError, match="MTRANS"):
        input_matrix(encode_table(table), "full")


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize(("answers", "error"), [(15, IndexError), (17, ValueError)])
def test_rows_with_answers_too_few_or_too_many_are_an_error(rows, answers, error):
    with pytest.raises(error):
        encode_rows([[None] * answers] * rows)


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_are_coded_by_their_order_in_the_schema(name):
    rows = [RECORD | {name: value} for value in CATEGORIES[name]]
    assert matrix_of(rows)[:, ANSWERS.index(name)].tolist() == list(range(len(rows)))


def test_the_modules_that_the_service_imports_need_no_pandas_scipy_or_scikit_learn():
    code = (
        "import sys, service.app, obesity_levels.drift.histograms\n"
        "print([name for name in ('pandas', 'scipy', 'sklearn', 'pyarrow', 'mlflow', 'dvc') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
