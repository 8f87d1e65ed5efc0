"""The README is tested: its table is the committed one, and each of its commands is one that is run."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from service.settings import Settings
from tests.conftest import ROOT
from tests.serving import free_port

from obesity_levels.evaluation.model_card import results_table

README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}

# Run by .ci/run or .ci/tutorial, which make an environment of their own; or not runnable here, and why.
RUN_ELSEWHERE = {
    "make repro": ".ci/tutorial",
    "make test": ".ci/run",
    "make test COVERAGE=1": ".ci/run",
    "make verify": ".ci/run",
    "make drift-test-all": "test_drift simulates; its parts are those of make drift-test",
    "make drift-test DRIFT_TYPE=unit_error": "the same; needs .venv",
    "make lint": ".ci/run",
    "make docs": ".ci/run",
    "make serve": "test_the_service_is_started_and_asked_as_the_readme_says",
    "curl -X POST http://localhost:8000/predict"
    " -H 'Content-Type: application/json' -d @sample_request.json": "the same",
    "git clone <this repository> && cd obesity-levels": ".ci/tutorial",
    "dvc import-url https://archive.ics.uci.edu/static/public/544/data.csv data/uci.csv": (
        "test_dvc_commands does it from a server of its own"
    ),
    "dvc exp run -S ingest.source=data/uci.csv": "the same",
    "dvc metrics diff": "test_dvc_commands, after an experiment",
    "dvc plots diff": "the same",
    "dvc exp run -S train.model=logistic_regression": "test_dvc_commands",
    "dvc remote add --local --default storage /path/to/storage": "test_remotes, with a folder that is there",
    "dvc push": "the same",
    "dvc pull": "the same",
    "dvc remote modify --local gdrive gdrive_service_account_json_file_path /path/to/key.json": "needs an account",
    "dvc push -r gdrive": "the same; without an account in test_remotes",
    "dvc exp run --temp --name deeper -S train.seed=2": "test_dvc_commands",
    'dvc exp run --queue -S "train.model=random_forest,voting"': "the same, another grid",
    "dvc exp run --run-all": "the same",
    "dvc exp apply deeper": "the same",
    "dvc exp remove deeper": "the same",
    'git tag -a "obesity-levels@v1.0.0" -m "Champion"': "test_remotes",
    'git push origin "obesity-levels@v1.0.0"': "the same",
    "dvc artifacts get <repository> obesity-levels --rev v1.0.0"
    " --remote storage --remote-config url=/path/to/storage": "test_remotes, from a repository and a folder",
    "make publish": "test_publishing",
    "make publish EXP=deeper": "the same",
    "make promote": "the same",
    "make fetch-champion": "the same",
    "make mlflow-ui": "the same",
    "mlflow models serve -m models:/obesity-levels@champion --env-manager local --port 5001": "test_publishing",
    "MODEL_DIR=champion make serve": "the same, with the service's own command",
    "make docker-build": "needs an engine: .ci/container, with podman",
    "make docker-run": "the same",
    "make docker-logs": "the same",
    "make docker-stop": "the same",
    'docker run --rm --publish 127.0.0.1:8000:8000 --volume "$PWD/champion:/model:ro"'
    " --env MODEL_DIR=/model obesity-classifier": ".ci/container, with buildah",
    "docker compose up --build --detach": "needs an engine and images; test_compose, and its parts by hand",
    "MODEL_DIR=champion SHADOW_MODEL_DIR=models make serve": "test_shadow, with the service's own command",
    "make load-test": "test_load, for 5 s",
    "make retrain SOURCE=new.csv": "test_retraining runs its command",
}
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


@pytest.mark.parametrize("command", [c for c in ALL if c not in RUN_ELSEWHERE and REAL_FILE not in c])
def test_a_command_of_the_documentation_runs(clone, command):
    run = clone.run("bash", "-c", command, check=False)
    # drift that is looked for and found is no failure
    assert run.returncode == (3 if "--drift-type" in command else 0), run.stdout + run.stderr


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


def test_the_service_is_started_and_asked_as_the_readme_says(clone):
    """On another port, and without the environment of its own that `make serve` would install here."""
    (curl,) = (command for command in ALL if command.startswith("curl "))
    port = free_port()
    here = Path(sys.executable).parent.parent
    process = subprocess.Popen(
        ["make", f"--old-file={here}/ready", f"SERVICE_VENV={here}", "serve"],
        cwd=clone.path,
        env=clone.environment | {"PORT": str(port)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        asked = curl.replace("curl ", "curl --silent --retry 60 --retry-delay 1 --retry-connrefused ", 1)
        answer = clone.run("bash", "-c", asked.replace(":8000", f":{port}")).stdout
        assert len(json.loads(answer)["predictions"]) == 2
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_the_settings_of_the_documentation_are_those_of_the_service():
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\|", PAGES["service.md"], re.MULTILINE))
    assert table == {
        name.upper(): f"{value:g}" if isinstance(value, float) else str("" if value is None else value)
        for name, value in msgspec.structs.asdict(Settings()).items()
    }


def test_no_command_is_excused_that_no_page_has():
    assert sorted(RUN_ELSEWHERE.keys() - set(ALL)) == []


def test_the_two_commands_of_a_newcomer_come_first():
    assert commands(README)[1:3] == ["make repro", "make test"]
