"""The training split to models/classifier.onnx and the manifest that says what it is."""

import hashlib
from importlib.metadata import version

import msgspec

from obesity_levels.features import MISSING, PROFILES
from obesity_levels.modeling import export_onnx, search
from obesity_levels.params import load_params
from obesity_levels.schema import LEVELS
from obesity_levels.scoring import CLASSIFIER, FORMAT, MANIFEST, DataOrigin, Manifest
from obesity_levels.tables import read_split
from pipeline import FEATURES, FEATURIZE_METRICS, INGEST_METRICS, MODELS, read_json, run, write_json


def main() -> None:
    params = load_params()
    features = PROFILES[params.featurize.profile]
    train_params = params.train.for_profile(params.featurize.profile)
    train = read_split(FEATURES, "train")
    fitted, searched = search(train.matrix, train.labels, train.groups, features, train_params)
    onnx = export_onnx(fitted)

    source = read_json(INGEST_METRICS)
    manifest = Manifest(
        format=FORMAT,
        model=train_params.model,
        sha256=hashlib.sha256(onnx).hexdigest(),
        profile=params.featurize.profile,
        features=list(features),
        missing=MISSING,
        levels=list(LEVELS),
        data=DataOrigin(source["simulated"], source["source"], source["md5"]),
        rows=read_json(FEATURIZE_METRICS)["rows"],
        params=msgspec.to_builtins(train_params),
        search=searched,
        libraries={name: version(name) for name in ("scikit-learn", "skl2onnx", "onnx")},
    )
    MODELS.mkdir(exist_ok=True)
    (MODELS / CLASSIFIER).write_bytes(onnx)
    write_json(msgspec.to_builtins(manifest), MODELS / MANIFEST)
    print(f"trained {train_params.model} with {searched.chosen} ({len(onnx) / 1e6:.1f} MB)")


if __name__ == "__main__":
    run(main)
