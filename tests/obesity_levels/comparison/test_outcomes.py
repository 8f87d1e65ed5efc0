"""OUTCOMES.csv: what is read, what is refused, and which outcomes count."""

import pandas as pd
import pytest

from obesity_levels.comparison.outcomes import by_period, first_of_each_unit, read_outcomes
from obesity_levels.errors import SourceError

MARK = "sekret-4711"
ROW = {
    "unit": "u1",
    "model_version": "a",
    "prediction": "Normal_Weight",
    "truth": "Normal_Weight",
    "time": "2026-11-02T08:00:00Z",
}


@pytest.fixture
def read(tmp_path):
    def read(*rows: dict[str, str]) -> pd.DataFrame:
        pd.DataFrame([ROW | row for row in rows]).to_csv(tmp_path / "outcomes.csv", index=False)
        return read_outcomes(tmp_path / "outcomes.csv")

    return read


def test_an_outcome_is_right_wrong_or_not_known_yet(read):
    found = read({}, {"truth": "Obesity_Type_I"}, {"truth": ""})
    assert found["right"].tolist()[:2] == [1, 0]
    assert found["right"].isna().tolist() == [False, False, True]


def test_levels_are_read_in_any_spelling_that_clean_reads(read):
    assert read({"truth": " normal weight "})["right"].tolist() == [1]


def test_outcomes_are_sorted_by_time_whatever_their_time_zone(read):
    later, earlier = {"unit": "later"}, {"unit": "earlier", "time": "2026-11-02T08:30:00+01:00"}
    assert read(later, earlier)["unit"].tolist() == ["earlier", "later"]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("unit", "line 3: unit is empty"),
        ("model_version", "line 3: model_version is empty"),
        ("prediction", "line 3: prediction is not a level"),
        ("truth", "line 3: truth is not a level"),
        ("time", "line 3: time is not one of ISO 8601"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line_and_not_repeated(read, column, said):
    with pytest.raises(SourceError, match=said) as error:
        read({}, {column: "" if column in ("unit", "model_version") else MARK})
    assert MARK not in str(error.value)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_file_that_is_no_csv_with_these_columns_is_told_what_to_be_and_not_repeated(tmp_path, separator):
    rows = pd.DataFrame([ROW | {"unit": MARK}] * 2)
    rows.to_csv(tmp_path / "separated.csv", index=False, sep=separator)
    rows.to_csv(tmp_path / "headless.csv", index=False, header=False)
    rows.to_excel(tmp_path / "workbook.xlsx", index=False)
    (tmp_path / "empty.csv").touch()
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(
            SourceError, match="separated by commas, whose first line names unit, model_version,"
        ) as error:
            read_outcomes(file)
        assert MARK not in str(error.value)
        assert ROW["truth"] not in str(error.value)


def test_a_column_that_is_not_there_is_named(tmp_path):
    (tmp_path / "outcomes.csv").write_text("unit,prediction\nu1,Normal_Weight\n")
    with pytest.raises(SourceError, match="has no column model_version, truth, time"):
        read_outcomes(tmp_path / "outcomes.csv")


def test_of_a_unit_the_first_outcome_counts_and_in_each_period_again(read):
    rows = [
        {"time": "2026-11-09T08:00:00Z", "truth": "Obesity_Type_I"},
        {"time": "2026-11-03T08:00:00Z", "truth": "Obesity_Type_I"},
        {"time": "2026-11-02T08:00:00Z"},
        {"unit": "u2", "time": "2026-11-08T23:59:59Z"},
        {"unit": "u3", "truth": ""},
    ]
    found = read(*rows)
    assert first_of_each_unit(found).set_index("unit")["right"].to_dict() == pytest.approx(
        {"u1": 1, "u2": 1, "u3": float("nan")}, nan_ok=True
    )
    weeks = by_period(found, "week")
    assert [str(day) for day in weeks.index] == ["2026-11-02", "2026-11-09"]
    assert weeks["rows"].tolist() == [2, 1]
    assert weeks["right"].tolist() == [2, 0]
