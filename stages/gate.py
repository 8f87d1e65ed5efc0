"""Which conditions of params.yaml the model meets, and the model card. That one is not met is a result, no failure."""

import msgspec

from obesity_levels.gate import check_gate
from obesity_levels.model_card import model_card
from obesity_levels.params import load_params
from obesity_levels.scoring import MANIFEST, load_manifest
from pipeline import (
    CLEAN_METRICS,
    DRIFT_METRICS,
    EVALUATE_METRICS,
    FEATURIZE_METRICS,
    GATE_METRICS,
    INGEST_METRICS,
    MODEL_CARD,
    MODELS,
    read_json,
    run,
    write_json,
)


def main() -> None:
    params = load_params()
    evaluation, drift = read_json(EVALUATE_METRICS), read_json(DRIFT_METRICS)
    gate = check_gate(evaluation, drift, params.gate)
    write_json(msgspec.to_builtins(gate), GATE_METRICS)
    card = model_card(
        load_manifest(MODELS / MANIFEST),
        ingest=read_json(INGEST_METRICS),
        clean=read_json(CLEAN_METRICS),
        featurize=read_json(FEATURIZE_METRICS),
        evaluation=evaluation,
        drift=drift,
        gate=gate,
    )
    MODEL_CARD.write_text(card, encoding="utf-8")
    for name, condition in gate.conditions.items():
        print(f"{'holds' if condition.holds else 'FAILS'}  {name}: {condition}")


if __name__ == "__main__":
    run(main)
