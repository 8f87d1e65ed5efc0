import json
import subprocess
import sys

from tests.conftest import ROOT

from obesity_levels.__main__ import results_table


def test_the_table_quotes_the_metrics_to_three_digits():
    metrics = json.loads((ROOT / "metrics/evaluate.json").read_text())
    table = results_table(metrics)
    assert f"{metrics['test']['accuracy']:.3f}" in table
    assert f"{metrics['cross_validation']['people']['accuracy']['mean']:.3f} ± " in table
    assert f"{metrics['test']['accuracy_interval']['low']:.3f} to " in table
    assert f"({metrics['test']['slices']['origin']['people']['support']} rows)" in table


def test_an_empty_slice_is_an_empty_cell():
    metrics = json.loads((ROOT / "metrics/evaluate.json").read_text())
    metrics["test"]["slices"]["origin"]["people"] = {"accuracy": None, "f1_weighted": None, "support": 0}
    metrics["cross_validation"]["people"]["accuracy"] = {"mean": None, "std": None}
    line = next(line for line in results_table(metrics).splitlines() if "people" in line)
    assert "(0 rows)" in line
    assert "±" not in line


def test_without_metrics_it_says_what_to_run(tmp_path):
    run = subprocess.run([sys.executable, "-m", "obesity_levels"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert "run `make repro`" in run.stderr
    assert "Traceback" not in run.stderr
