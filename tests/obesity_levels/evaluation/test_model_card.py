import json
from hashlib import sha256

import msgspec
import pytest
from tests.command import exit_status
from tests.conftest import ROOT
from tests.obesity_levels.manifests import manifest_of

from obesity_levels.evaluation.gate import check_gate
from obesity_levels.evaluation.model_card import model_card, results_table
from obesity_levels.model.classifier import Candidate, DataOrigin, Search

FILES = {name: f"metrics/{name}.json" for name in ("ingest", "clean", "featurize", "drift")} | {
    "evaluation": "metrics/evaluate.json"
}


@pytest.fixture
def measured():
    return {name: json.loads((ROOT / path).read_text()) for name, path in FILES.items()}


def card(measured, params, simulated=True):
    search = Search(5, {"n": 1}, [Candidate({"n": 1}, 0.9, 0.01), Candidate({"n": 2}, 0.8, 0.01)])
    manifest = manifest_of(b"", DataOrigin(simulated, "rows.csv", "d41d8c"), search)
    gate = check_gate(measured["evaluation"], measured["drift"], params.gate)
    return model_card(manifest, **measured, gate=gate)


def test_a_model_of_simulated_people_says_so_before_anything_else(measured, params):
    assert "simulated people: none of them exists" in card(measured, params).split("##")[0]
    assert "simulated" not in card(measured, params, simulated=False).split("##")[0]


def test_it_says_that_it_is_no_diagnosis_what_it_was_made_of_and_how_to_rebuild_it(measured, params):
    text = card(measured, params)
    for said in ("not a diagnosis", "`rows.csv`", "`d41d8c`", "`make verify`", f"`{sha256(b'').hexdigest()}`"):
        assert said in text


def test_it_has_the_results_each_level_each_slice_and_each_condition(measured, params):
    text = card(measured, params)
    assert results_table(measured["evaluation"]) in text
    for level, found in measured["evaluation"]["test"]["per_level"].items():
        assert any(level in line and f"{found['recall']:.3f}" in line for line in text.splitlines())
    for title in ("| completeness | incomplete", "| recall of the worst level", "| no drift", "| unit_error 1.0"):
        assert title in text


def test_a_sample_is_said_to_be_one(measured, params):
    assert "| rows in the sample of it |" not in card(measured, params)
    measured["ingest"] |= {"rows": 1000, "sampled_from": 5000}
    assert "| rows in the source | 5000 |\n| rows in the sample of it | 1000 |\n" in card(measured, params)


def test_a_column_that_has_lost_many_cells_is_named(measured, params):
    measured["clean"]["lost"] = {"Height": {"share": 0.06, "looks_like": "centimetres"}}
    assert "| lost of `Height`" in card(measured, params)
    assert "| 6.0% of the filled cells, which look like centimetres |" in card(measured, params)


def test_a_condition_that_is_not_met_stands_out(measured, params):
    strict = msgspec.structs.replace(params.gate.at_least, accuracy=1.0)
    text = card(measured, msgspec.structs.replace(params, gate=msgspec.structs.replace(params.gate, at_least=strict)))
    assert "It does **not** meet every condition" in text
    assert "**no**" in text


def test_the_committed_card_is_of_the_committed_metrics(measured):
    text = (ROOT / "metrics/model_card.md").read_text()
    assert results_table(measured["evaluation"]) in text
    assert measured["evaluation"]["model_version"] in text.splitlines()[0]


def test_where_nothing_was_measured_of_drift_it_says_so(measured, params):
    measured["drift"]["calibration"] = {"false_alarm_rate": {}, "power": {}}
    assert "Too few rows were held out" in card(measured, params)


def test_the_table_quotes_the_metrics_to_three_digits(measured):
    metrics = measured["evaluation"]
    table = results_table(metrics)
    assert f"{metrics['test']['accuracy']:.3f}" in table
    assert f"{metrics['cross_validation']['people']['accuracy']['mean']:.3f} ± " in table
    assert f"{metrics['test']['accuracy_interval']['low']:.3f} to " in table
    assert f"({metrics['test']['slices']['origin']['people']['support']} rows)" in table


def test_an_empty_slice_is_an_empty_cell(measured):
    metrics = measured["evaluation"]
    metrics["test"]["slices"]["origin"]["people"] = {"accuracy": None, "f1_weighted": None, "support": 0}
    metrics["cross_validation"]["people"]["accuracy"] = {"mean": None, "std": None}
    line = next(line for line in results_table(metrics).splitlines() if "people" in line)
    assert "(0 rows)" in line
    assert "±" not in line


def test_without_metrics_it_says_what_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_status("results") == 1
    assert "run `make repro`" in capsys.readouterr().err


def test_it_says_what_the_answers_contribute_and_what_would_change_the_level(measured, params):
    explanations = measured["evaluation"]["explanations"]
    text = card(measured, params)
    for answer, mean in explanations["mean_contribution"].items():
        assert f"| {answer} | {mean:.3f} |" in text
    assert f"weight alone in {explanations['changes']['shares']['weight']:.1%}" in text
    explanations["changes"]["median_kilograms"] = None  # of a model that does not look at weight
    assert "\n\n## Gate" in card(measured, params)
    assert " kg in the median" not in card(measured, params)
    measured["evaluation"]["explanations"] = None  # of a model without a background
    assert "What each answer contributes" not in card(measured, params)
