"""The training split to models/classifier.onnx, and the manifest that describes it."""

import hashlib
from importlib.metadata import version

import msgspec

from obesity_levels.errors import run_stage
from obesity_levels.io import read_json, read_split, write_json
from obesity_levels.model.calibration import calibrated, fit_calibration
from obesity_levels.model.classifier import FORMAT, DataOrigin, Manifest
from obesity_levels.model.explanation import ExplanationBasis, make_background
from obesity_levels.model.features import MISSING, encode_table
from obesity_levels.model.onnx_export import export_onnx
from obesity_levels.model.prediction_sets import fit_thresholds, has_bmi
from obesity_levels.model.search import search
from obesity_levels.params import load_params
from obesity_levels.paths import CLASSIFIER, FEATURES, FEATURIZE_METRICS, INGEST_METRICS, MANIFEST, MODELS
from obesity_levels.schema import LEVELS, PROFILES


def main() -> None:
    params = load_params()
    features = PROFILES[params.featurize.profile]
    train = read_split(FEATURES, "train")
    searched = search(train.matrix, train.labels, train.groups, features, params.train)
    calibration = fit_calibration(searched.out_of_fold, train.labels, params.train.calibration)
    probabilities = calibrated(searched.out_of_fold, calibration.offset, calibration.exponent)
    bmi_known = has_bmi(train.matrix, list(features))
    sets = {
        f"{coverage:g}": fit_thresholds(probabilities, train.labels, bmi_known, coverage)
        for coverage in params.train.prediction_sets.coverage
    }
    onnx = export_onnx(searched.fitted, calibration)
    explanations = params.train.explanations
    background = make_background(
        encode_table(train.answers), train.labels, explanations.background, explanations.min_rows
    )

    source = read_json(INGEST_METRICS)
    manifest = Manifest(
        format=FORMAT,
        model=searched.model,
        sha256=hashlib.sha256(onnx).hexdigest(),
        profile=params.featurize.profile,
        features=list(features),
        missing=MISSING,
        levels=list(LEVELS),
        data=DataOrigin(source["simulated"], source["source"], source["md5"]),
        rows=read_json(FEATURIZE_METRICS)["rows"],
        params=msgspec.to_builtins(params.train),
        search=searched.search,
        libraries={name: version(name) for name in ("scikit-learn", "skl2onnx", "onnx")},
        missing_marks=params.clean.missing_marks,
        calibration=calibration,
        prediction_sets=sets,
        explanations=ExplanationBasis(background, explanations.seed, explanations.healthy),
    )
    MODELS.mkdir(exist_ok=True)
    (MODELS / CLASSIFIER).write_bytes(onnx)
    write_json(msgspec.to_builtins(manifest), MODELS / MANIFEST)
    print(f"trained {searched.model} with {searched.search.chosen} ({len(onnx) / 1e6:.1f} MB)")


if __name__ == "__main__":
    run_stage(main)
