"""`obesity-levels drift --html`: the page says what the report says."""

import json
import re

import msgspec
import pytest
from tests.command import exit_status

from obesity_levels.drift.check import Checked, check_simulation
from obesity_levels.paths import MODELS
from obesity_levels.reporting.drift_page import drift_page


@pytest.fixture(scope="module")
def checked(small_clone) -> Checked:
    with pytest.MonkeyPatch.context() as here:
        small_clone.enter(here)
        return check_simulation("unit_error", None, MODELS)


@pytest.fixture(scope="module")
def page(checked) -> str:
    return drift_page(checked, simulated=True)


def captions(page: str) -> list[str]:
    return re.findall(r"<caption>(.*?)</caption>", page)


def test_the_command_writes_the_page_beside_the_report(small_clone, tmp_path, monkeypatch, capsys):
    small_clone.enter(monkeypatch)
    assert exit_status("drift", "--drift-type", "unit_error", "--html", "--output", str(tmp_path)) == 3
    (report,) = tmp_path.glob("drift_report_*.json")
    written = report.with_suffix(".html")
    assert f"written: {written}\n" in capsys.readouterr().out
    assert json.loads(report.read_text())["recommendation"] in written.read_text(encoding="utf-8")


def test_the_distributions_that_alarm_come_first(checked, page):
    alarms = sum(column.alarm for column in checked.report.columns)
    assert alarms
    assert all(", alarm: " in caption for caption in captions(page)[:alarms])
    assert not any(", alarm: " in caption for caption in captions(page)[alarms:])


def test_every_column_has_its_distribution(checked, page):
    names = {caption.partition(",")[0] for caption in captions(page)}
    assert names == {column.name for column in checked.report.columns}


def test_the_verdict_has_its_false_alarm_rate(checked, page):
    assert f"The false-alarm rate is {checked.report.false_alarm_rate.rate:.1%}" in page


def test_it_says_that_the_model_was_made_of_simulated_people(page):
    assert "simulated people: none of them exists" in page.partition("<h1>")[0]


def test_it_does_not_say_so_of_a_model_that_was_not(checked):
    assert "none of them exists" not in drift_page(checked, simulated=False)


def test_it_asks_nothing_of_another_host(page):
    assert not re.search(r"://|url\(|@import|<script|src=|href=", page)


def test_the_name_of_a_file_is_text_and_no_markup(checked):
    source = msgspec.structs.replace(checked.report.source, name="<b>.csv")
    named = checked._replace(report=msgspec.structs.replace(checked.report, source=source))
    assert "&lt;b&gt;.csv" in drift_page(named, simulated=True)
