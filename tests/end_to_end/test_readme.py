"""The README and the other pages are tested: their figures are the committed ones, and their commands are run."""

import json
import re
import shlex
from pathlib import Path

import msgspec
import pytest
from service.settings import Settings
from tests.command import exit_status
from tests.conftest import ROOT

from obesity_levels.evaluation.model_card import results_table
from obesity_levels.params import read_yaml

README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}

RUN_ELSEWHERE = read_yaml(Path(__file__).with_name("commands_run_elsewhere.yaml"))
RESULTS = results_table(json.loads((ROOT / "metrics/evaluate.json").read_text()))
REAL_FILE = "obesity_estimation_modified.csv"


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    lines = (line.split("  #")[0].strip() for line in joined.splitlines())
    return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


# .ci/tutorial runs the tutorial's, because each needs those before it.
ALL = sorted({command for name, page in PAGES.items() if name != "tutorial.md" for command in commands(page)})
ELSEWHERE = {command for commands in RUN_ELSEWHERE.values() for command in commands}


def test_the_table_of_the_default_source_is_that_of_the_committed_metrics():
    assert RESULTS in PAGES["results.md"]


def test_the_figures_of_the_readme_are_those_of_the_committed_metrics():
    by_row = {label: cells for label, *cells in rows_of(RESULTS)}
    default = {label: cells[-1] for label, *cells in rows_of(README) if label.startswith("accuracy")}
    accuracy, interval = by_row["accuracy"], by_row["accuracy, 95 % interval"]
    assert default == {
        "accuracy, cross-validation": accuracy[2],
        "accuracy, cross-validation, people": by_row["accuracy, people"][2],
        "accuracy, test rows (95 % interval)": f"{accuracy[0]} ({interval[0]})",
        "accuracy, test rows, the BMI rule": by_row["accuracy, baseline bmi_rule"][0],
    }


@pytest.mark.parametrize("command", [c for c in ALL if c not in ELSEWHERE and REAL_FILE not in c])
def test_a_command_of_the_documentation_runs(clone, monkeypatch, command):
    clone.enter(monkeypatch)
    if command.startswith("obesity-levels "):  # in this process, which has imported what it needs
        status = exit_status(*shlex.split(command)[1:])
    else:
        status = clone.run("bash", "-c", command, check=False).returncode
    # drift that is looked for and found is no failure
    assert status == (3 if "--drift-type" in command else 0)


def test_the_false_alarm_rates_of_the_documentation_are_those_of_the_committed_metrics():
    calibration = json.loads((ROOT / "metrics/drift.json").read_text())["calibration"]
    kinds = ("false_alarm_rate", "false_alarm_rate_unlabelled", "false_alarm_rate_counts")
    for size in ("50", "100", "200", "300"):
        cells = [size]
        for kind in kinds:
            low, high = calibration[kind][size]["interval"]
            cells.append(f"{calibration[kind][size]['rate']:.1%} ({low:.1%} to {high:.1%})".replace("%", " %", 1))
        row = f"| {' | '.join(cells)} |".replace("% to", " to").replace("%)", ")")
        assert row in PAGES["drift.md"]


def test_the_example_of_drift_is_what_the_command_prints_on_the_committed_model():
    """Recomputed from what is committed: the scenario's scores, its recommendation."""
    found = json.loads((ROOT / "metrics/drift.json").read_text())
    scenario = found["scenarios"]["unit_error"]["1.0"]
    assert (
        f"accuracy {scenario['accuracy']['after']:.3f}, expected {scenario['accuracy']['before']:.3f}"
        in PAGES["drift.md"]
    )
    assert scenario["recommendation"] in PAGES["drift.md"]
    assert f"612 rows, 612 of them labelled; model {found['model_version']}" in PAGES["drift.md"]


def test_the_settings_of_the_documentation_are_those_of_the_service():
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\|", PAGES["service.md"], re.MULTILINE))
    assert table == {
        name.upper(): f"{value:g}" if isinstance(value, float) else str("" if value is None else value)
        for name, value in msgspec.structs.asdict(Settings()).items()
    }


def test_every_command_that_is_run_elsewhere_is_on_a_page():
    assert sorted(ELSEWHERE - set(ALL)) == []
