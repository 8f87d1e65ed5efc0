"""Which conditions of params.yaml hold, and the model card. A condition that fails is a result, not an error."""

import msgspec

from obesity_levels import paths
from obesity_levels.errors import run_stage
from obesity_levels.evaluation.gate import check_gate
from obesity_levels.evaluation.model_card import model_card
from obesity_levels.io import read_json, write_json
from obesity_levels.model.classifier import load_manifest
from obesity_levels.params import load_params


def main() -> None:
    params = load_params()
    evaluation, drift = read_json(paths.EVALUATE_METRICS), read_json(paths.DRIFT_METRICS)
    gate = check_gate(evaluation, drift, params.gate)
    write_json(msgspec.to_builtins(gate), paths.GATE_METRICS)
    card = model_card(
        load_manifest(paths.MODELS / paths.MANIFEST),
        ingest=read_json(paths.INGEST_METRICS),
        clean=read_json(paths.CLEAN_METRICS),
        featurize=read_json(paths.FEATURIZE_METRICS),
        evaluation=evaluation,
        drift=drift,
        gate=gate,
    )
    paths.MODEL_CARD.write_text(card, encoding="utf-8")
    for name, condition in gate.conditions.items():
        print(f"{'holds' if condition.holds else 'FAILS'}  {name}: {condition}")


if __name__ == "__main__":
    run_stage(main)
