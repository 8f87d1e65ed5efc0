import dataclasses
import json

import msgspec
import numpy as np
import pytest
from tests.conftest import ROOT
from tests.obesity_levels.drift.conftest import with_column

from obesity_levels.drift.batch import Batch
from obesity_levels.drift.calibration import simulated
from obesity_levels.drift.causes import constant_ratio, find_causes
from obesity_levels.drift.histograms import LEVEL
from obesity_levels.drift.report import Report, distributions, report_table, severity
from obesity_levels.io import NO_LABEL
from obesity_levels.schema import LEVELS

SCHEMA = ROOT / "docs/drift_report.schema.json"


@pytest.fixture
def report_on(world, drift_params):
    def reported(name: str, intensity: float) -> Report:
        return world.report(simulated(name, intensity, world.held_out.batch, world.train, drift_params))

    return reported


@pytest.mark.parametrize(
    ("name", "intensity", "causes"),
    [
        ("feature_shift", 0.5, ["population_shift"]),
        ("missing_values", 0.5, ["broken_field"]),
        ("combined", 0.5, ["broken_field", "population_shift"]),
        ("label_imbalance", 0.5, ["population_shift"]),
        ("noise", 1.0, ["concept_drift"]),
        ("category_swap", 1.0, ["population_shift"]),
        ("unit_error", 1.0, ["unit_error"]),
        ("unit_error_lb_in", 1.0, ["unit_error"]),
    ],
)
def test_causes_are_told_from_one_another(report_on, name, intensity, causes):
    report = report_on(name, intensity)
    assert report.verdict == "drift"
    assert [cause.cause for cause in report.causes] == causes


def test_a_unit_error_names_the_columns_and_the_units(report_on):
    said = report_on("unit_error_lb_in", 1.0).recommendation
    assert "Height is 39.4 times the value in training" in said
    assert "inches, not metres" in said
    assert "pounds, not kilograms" in said
    assert "do not train on these rows" in said


def test_a_broken_field_is_named_with_its_missing_rates(world, fresh):
    said = world.report(with_column(fresh, "CH2O", lambda _: np.nan, rows=100)).recommendation
    assert "broken field" in said
    assert "CH2O in 50% of the rows, against 0%" in said


def with_unknown_answers(batch: Batch, text: str) -> Batch:
    return with_column(batch, "MTRANS", lambda _: -1, rows=20, unseen={"MTRANS": {text: 20}})


def test_an_unknown_answer_is_shown(world, fresh):
    report = world.report(with_unknown_answers(fresh, "Scooter"))
    assert [cause.cause for cause in report.causes] == ["unseen_categories"]
    assert "MTRANS: 'Scooter'" in report.recommendation


def test_of_a_batch_without_drift_nothing_is_recommended(world, fresh):
    report = world.report(fresh)
    assert (report.verdict, report.severity, report.causes) == ("no drift", None, [])
    assert report.recommendation == "Nothing to do."


def test_too_few_rows_are_said_to_be_too_few(world, fresh):
    report = world.report(fresh.take(np.arange(49)))
    assert report.verdict == "too few rows to tell"
    assert report.severity is None
    assert report.false_alarm_rate is None
    assert "at least 50 rows" in report.recommendation
    assert not any(column.alarm or column.reasons for column in report.columns)
    assert not report.performance.estimated_accuracy.alarm


SEVERITIES = {"low": [-0.1, 0.049], "medium": [0.05], "high": [0.1, 0.199], "critical": [0.2, 1]}


@pytest.mark.parametrize(("expected", "lost"), [(name, lost) for name, of in SEVERITIES.items() for lost in of])
def test_the_severity_is_by_the_accuracy_that_is_lost(drift_params, expected, lost):
    assert severity(lost, drift_params.detect.severity) == expected


@pytest.fixture
def ratio_of(world, drift_params):
    """The constant ratio that is found in a column of a batch after a change of it."""

    def found(batch, change, name="Weight"):
        return constant_ratio(name, with_column(batch, name, change), world.train, drift_params.detect.causes)

    return found


@pytest.mark.parametrize("ratio", [0.5, 0.85, 1.15, 1.6])
def test_a_constant_ratio_is_found(world, ratio_of, ratio):
    found = ratio_of(world.held_out.batch, lambda weights: weights * ratio)
    assert found == pytest.approx(ratio, rel=0.06)  # the medians of two samples of 600 and 1,500 differ so much


def test_a_constant_ratio_is_found_among_numbers_that_are_damaged_besides(world, ratio_of):
    """A file has some of them: digits too many, and a sign."""

    def damaged(weights):
        weights = weights * 1.1
        weights[:10] *= 100
        weights[10:15] *= -1
        return weights

    assert ratio_of(world.held_out.batch, damaged) == pytest.approx(1.1, rel=0.06)


@pytest.mark.parametrize("ratio", [2.204623, 0.157473, 1000])
def test_a_ratio_that_everybody_knows_is_found_as_such(fresh, ratio_of, ratio):
    assert ratio_of(fresh, lambda weights: weights * ratio) == ratio


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w + 20,
        lambda w: w + 40,
        lambda w: 1.8 * w - 0.8 * w.mean() + 20,
        lambda w: w * np.nan,
        lambda w: 0 * w + 80,
    ],
)
def test_what_is_no_constant_ratio_is_not_taken_for_one(world, ratio_of, change):
    assert ratio_of(world.held_out.batch, change) is None


@pytest.mark.parametrize("value", [5e-324, 1e-320, 1e308, np.inf, -3.0, 0.0])
def test_numbers_beyond_any_unit_are_no_ratio_and_no_warning(world, fresh, drift_params, value):
    numbers = np.full_like(fresh.numbers, value)
    numbers[::2, 0] = 1e300
    batch = dataclasses.replace(fresh, numbers=numbers)
    for name in ("Age", "Height", "Weight"):
        assert constant_ratio(name, batch, world.train, drift_params.detect.causes) is None
    assert world.report(batch).verdict == "drift"


@pytest.mark.parametrize(("name", "ratio"), [("Height", 39.370079), ("Height", 1000), ("Age", 12)])
def test_units_are_recognised_in_rounded_numbers(world, ratio_of, name, ratio):
    assert ratio_of(world.held_out.batch, lambda numbers: np.round(numbers * ratio), name) == ratio


def test_lost_accuracy_is_said_also_where_a_column_has_moved(world, fresh):
    labels = (fresh.labels + 3) % len(LEVELS)
    report = world.report(with_column(fresh, "TUE", lambda hours: hours + 0.6, labels=labels))
    assert "population_shift" in [cause.cause for cause in report.causes]
    assert "of the accuracy is lost: if the above does not explain it, check the labels too" in report.recommendation


def test_a_long_unknown_text_is_cut(world, fresh):
    assert len(world.report(with_unknown_answers(fresh, "x" * 100_000)).recommendation) < 500


def test_a_wrong_unit_of_age_does_not_explain_another_weight(world, fresh):
    in_months = with_column(fresh, "Age", lambda years: years * 12)
    batch = with_column(in_months, "Weight", lambda weights: weights + 40)
    causes = {cause.cause: cause.columns for cause in world.report(batch).causes}
    assert causes["unit_error"] == ["Age"]
    assert set(causes["population_shift"]) == {"Weight", "BMI"}


def test_another_mix_of_levels_is_told_from_other_answers(world, fresh):
    """Only the predicted levels differ: here because the model has changed its mind, not the people."""
    results = world.results(fresh)
    alarms = np.zeros_like(results.distribution_alarm)
    alarms[0, -1] = True
    causes = find_causes(world.detector, results._replace(distribution_alarm=alarms), fresh, world.train)
    assert [(cause.cause, cause.columns) for cause in causes] == [("label_shift", [LEVEL])]


def test_the_severity_says_whether_the_accuracy_was_measured(report_on, world, drift_params):
    assert report_on("unit_error", 1.0).severity_basis == "measured"
    batch = simulated("unit_error", 1.0, world.held_out.batch, world.train, drift_params)
    unlabelled = world.report(dataclasses.replace(batch, labels=np.full(len(batch), NO_LABEL)))
    assert unlabelled.severity_basis == "estimated"
    assert "(severity, estimated: " in report_table(unlabelled)


def test_the_report_has_the_schema_that_is_documented(world, fresh):
    """A change of the report is visible in review. To write the file anew: the command in docs/drift.md."""
    assert json.loads(SCHEMA.read_text()) == msgspec.json.schema(Report)


def test_the_table_has_every_column_and_the_verdict(world, report_on):
    report = report_on("unit_error", 1.0)
    table = report_table(report)
    for column in world.reference.columns:
        assert f"| {column.name} " in table
    assert f"verdict: drift (severity, measured: {report.severity})" in table


def test_the_shares_of_each_columns_cells_add_up_to_1(world):
    for table in distributions(world.reference, world.held_out.scored).values():
        assert table.sum().tolist() == pytest.approx([1, 1])
