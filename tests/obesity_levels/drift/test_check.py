"""Batches, dirty as they come, checked against the reference of a model that was really made.

Stranger batches are in test_detection, and files that are no batch in test_source.
"""

import json
import shutil

import pandas as pd
import pytest

from obesity_levels.data.simulation import simulate
from obesity_levels.drift.check import check_file
from obesity_levels.drift.report import report_table
from obesity_levels.errors import ArtifactError, SourceError
from obesity_levels.schema import LABEL


@pytest.fixture(scope="module")
def rows(population):
    """300 raw rows of the people that the model was trained on, damaged as real files are."""
    return simulate(population, 300, seed=77)


@pytest.fixture
def project(small_clone, monkeypatch):
    monkeypatch.chdir(small_clone.path)
    return small_clone.path


@pytest.fixture
def check(project, tmp_path):
    """The report on a batch, against the model in `models`."""

    def checked(batch: pd.DataFrame, models=project / "models"):
        batch.to_csv(tmp_path / "batch.csv", index=False)
        return check_file(tmp_path / "batch.csv", models).report

    return checked


def causes_of(report) -> list[tuple[str, list[str]]]:
    assert report.verdict == "drift"
    return [(cause.cause, cause.columns) for cause in report.causes]


def test_a_dirty_batch_without_drift_is_none(check, rows):
    report = check(rows)
    assert report.verdict == "no drift"
    assert report.rows == 300
    assert 270 <= report.labelled_rows < 300  # some have no label
    assert report.source.name == "batch.csv"


def test_a_batch_without_labels_gets_an_estimate_of_its_accuracy(check, rows):
    report = check(rows.drop(columns=LABEL))
    assert report.verdict == "no drift"
    assert report.labelled_rows == 0
    assert report.performance.accuracy is None
    assert 0.5 < report.performance.estimated_accuracy.value < 1


def test_a_column_that_is_broken_is_drift(check, rows):
    assert causes_of(check(rows.assign(CH2O="#REF!"))) == [("broken_field", ["CH2O"])]


def test_one_unknown_category_everywhere_is_drift_and_is_shown(check, rows):
    report = check(rows.assign(MTRANS="Scooter"))
    assert causes_of(report) == [("unseen_categories", ["MTRANS"])]
    (column,) = (column for column in report.columns if column.name == "MTRANS")
    assert column.unseen == {"Scooter": 300}


def test_labels_that_are_codes_are_said_to_be_and_the_verdict_is_that_of_the_answers(check, rows):
    report = check(rows.assign(**{LABEL: "6"}))
    assert (report.verdict, report.labelled_rows) == ("no drift", 0)
    (lost,) = report.columns_lost
    assert (lost.column, lost.filled, lost.lost) == (LABEL, 300, 300)
    assert "codes 6 for the levels" in str(lost)
    assert f"warning: {LABEL}: 300 of 300 filled cells (100%) are not a level: '6' (300)" in report_table(report)


def test_the_marks_of_missing_answers_are_those_that_the_model_was_made_with(check, rows, project, tmp_path):
    batch = rows.assign(CALC=rows["CALC"].where(rows.index % 25 > 0, "keine Angabe"))
    assert causes_of(check(batch)) == [("unseen_categories", ["CALC"])]
    models = shutil.copytree(project / "models", tmp_path / "models", copy_function=shutil.copyfile)
    manifest = json.loads((models / "manifest.json").read_text())
    manifest["missing_marks"].append("Keine Angabe")
    (models / "manifest.json").write_text(json.dumps(manifest))
    assert check(batch, models).verdict == "no drift"


def test_a_batch_that_is_written_as_its_layout_says_is_read_as_any_other(check, rows, project, tmp_path):
    plain = check(rows)
    rows.rename(columns={"Age": "Edad"}).to_csv(tmp_path / "batch.csv", index=False, sep=";")
    layout = (project / "data/layout.yaml").read_text().replace('delimiter: ","', 'delimiter: ";"')
    (tmp_path / "layout.yaml").write_text(layout.replace("columns: {}", "columns: {Edad: Age}"))
    again = check_file(tmp_path / "batch.csv", project / "models", tmp_path / "layout.yaml").report
    assert again.columns == plain.columns


def test_an_unknown_column_and_the_order_of_columns_and_rows_change_nothing(check, rows):
    plain = check(rows)
    mixed = check(rows.assign(comment="hello").sample(frac=1, random_state=1)[sorted([*rows.columns, "comment"])])
    assert mixed.columns == plain.columns
    assert mixed.verdict == plain.verdict
    assert set(mixed.columns_ignored) == {*plain.columns_ignored, "comment"}


def test_a_batch_without_a_column_of_an_answer_is_refused(check, rows):
    with pytest.raises(SourceError, match=r"has no column 'FCVC' \(found 15 of 16\)"):
        check(rows.drop(columns="FCVC"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"params": {"bins": 10}}, "params that this version of the code does not read"),
        ({"model_version": "0" * 12}, "belongs to another model than the one beside it"),
    ],
)
def test_a_reference_of_another_version_of_the_code_or_of_another_model_is_an_error(
    check, rows, project, tmp_path, changes, said
):
    models = shutil.copytree(project / "models", tmp_path / "models", copy_function=shutil.copyfile)
    path = models / "drift_reference.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ArtifactError, match=said):
        check(rows, models)


def test_rows_that_the_model_was_not_made_of_are_an_error(check, rows, project, tmp_path, monkeypatch):
    features = tmp_path / "data/features"
    shutil.copytree(project / "data/features", features, copy_function=shutil.copyfile)
    shutil.copy(features / "test.parquet", features / "train.parquet")
    for name in ("params.yaml", "data/layout.yaml"):
        shutil.copy(project / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="does not hold the rows that the model was made from"):
        check(rows)
