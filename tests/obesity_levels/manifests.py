"""Manifests of models that are not about what a manifest says."""

import hashlib

from obesity_levels.model.classifier import FORMAT, DataOrigin, Manifest, Search
from obesity_levels.model.features import MISSING
from obesity_levels.schema import LEVELS, PROFILES


def manifest_of(onnx: bytes, data: DataOrigin | None = None, search: Search | None = None) -> Manifest:
    return Manifest(
        format=FORMAT,
        model="random_forest",
        sha256=hashlib.sha256(onnx).hexdigest(),
        profile="full",
        features=list(PROFILES["full"]),
        missing=MISSING,
        levels=list(LEVELS),
        data=data or DataOrigin(True, "population.yaml", ""),
        rows={},
        params={},
        search=search or Search(5, {}, []),
        libraries={"onnx": "1.0"},
    )
