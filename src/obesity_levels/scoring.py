"""The artifact: load it, verify it, predict with it. What the stages measure and what the service serves is this.

numpy, msgspec and ONNX Runtime only, because the service imports it.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from obesity_levels.errors import ArtifactError
from obesity_levels.features import MISSING, PROFILES, Matrix
from obesity_levels.schema import LEVELS

CLASSIFIER = "classifier.onnx"
MANIFEST = "manifest.json"
FORMAT = 1

Probabilities = npt.NDArray[np.float32]


class DataOrigin(msgspec.Struct, frozen=True):
    """Where the rows came from: whether they were simulated, the source's file name and its md5."""

    simulated: bool
    source: str
    md5: str


class Candidate(msgspec.Struct, frozen=True):
    """A candidate of the search, with its weighted F1 over the folds."""

    params: dict[str, Any]
    f1_weighted_mean: float
    f1_weighted_std: float


class Search(msgspec.Struct, frozen=True):
    """The search that chose the hyperparameters: its folds, what it chose, and every candidate with its score."""

    folds: int
    chosen: dict[str, Any]
    candidates: list[Candidate]


class Manifest(msgspec.Struct, frozen=True):
    """What `classifier.onnx` is and what made it. `format` rises when readers of the old cannot read the new."""

    format: int
    model: str
    sha256: str
    profile: str
    features: list[str]
    missing: float
    levels: list[str]
    data: DataOrigin
    rows: dict[str, int]
    params: dict[str, Any]
    search: Search
    libraries: dict[str, str]

    @property
    def version(self) -> str:
        """The first 12 digits of the classifier's sha256: the same bytes have the same version everywhere."""
        return self.sha256[:12]


class Classifier:
    """A verified artifact. Load it with `load_classifier`."""

    def __init__(self, manifest: Manifest, onnx: bytes | Path) -> None:
        options = ort.SessionOptions()
        # One thread: fastest for few rows, and sums are added in one order.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Memory is kept and planned for models of many steps; this one has few, and one row is faster without.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # Errors only: on loading a vote it would warn that the labels, which nobody asks for, are not computed.
        options.log_severity_level = 3
        self.manifest = manifest
        try:
            # Bytes would be kept as long as the session; a file is not.
            source = onnx if isinstance(onnx, bytes) else str(onnx)
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises errors of several private classes
            raise ArtifactError(f"{CLASSIFIER} is not a model that ONNX Runtime can load: rebuild it") from error
        (columns,), (levels,) = (
            [part.shape[-1] for part in parts] for parts in (self._session.get_inputs(), self._session.get_outputs())
        )
        if columns != len(manifest.features) or levels not in (len(LEVELS), None):
            raise ArtifactError(f"{CLASSIFIER} has not the manifest's features and levels: rebuild it (dvc repro)")
        self._input = self._session.get_inputs()[0].name
        self._outputs = [self._session.get_outputs()[0].name]
        # A single row and its answer have their place: what `run` makes and throws away each time costs 10 µs.
        self._row = np.empty((1, columns), np.float32)
        self._answer = np.empty((1, len(LEVELS)), np.float32)
        self._binding = self._session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, self._input, self._row),
            (self._binding.bind_output, self._outputs[0], self._answer),
        ):
            bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._one_at_a_time = threading.Lock()
        # What InferenceSession.run_with_iobinding calls after checks of what never changes here.
        self._run_bound = self._session._sess.run_with_iobinding

    def probabilities(self, matrix: Matrix) -> Probabilities:
        """The probability of each level, shape (rows, 7), for an input matrix of the manifest's profile."""
        if len(matrix) != 1:
            return self._session.run(self._outputs, {self._input: matrix})[0]
        with self._one_at_a_time:
            self._row[:] = matrix
            self._run_bound(self._binding._iobinding, None)
            return self._answer.copy()


def most_probable(probabilities: Probabilities) -> npt.NDArray[np.int64]:
    """The index in LEVELS of the most probable level of each row; the less severe one where two are equal."""
    return probabilities.argmax(axis=1)


def load_classifier(directory: Path) -> Classifier:
    """Load `directory`/classifier.onnx if it is what `directory`/manifest.json says.

    No code is run on load. The file is read twice, to verify it and to load it: what replaces it between the two is not
    seen. Raises ArtifactError that names the file and what to do.
    """
    manifest = load_manifest(directory / MANIFEST)
    path = directory / CLASSIFIER
    if hashlib.sha256(_content(path)).hexdigest() != manifest.sha256:
        raise ArtifactError(
            f"{path} is truncated or altered: its sha256 is not the manifest's; restore it (dvc checkout)"
        )
    return Classifier(manifest, path)


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest. Raises ArtifactError that names the file and what to do."""
    try:
        manifest = msgspec.json.decode(_content(path), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not a manifest of this project ({error}); restore it (dvc checkout)") from error
    expected = {"format": FORMAT, "levels": list(LEVELS), "missing": MISSING}
    for key, value in expected.items():
        if getattr(manifest, key) != value:
            raise ArtifactError(f"{path}: '{key}' is not what this version of the code reads; rebuild it (dvc repro)")
    if tuple(manifest.features) != PROFILES.get(manifest.profile):
        raise ArtifactError(f"{path}: 'features' are not those of profile '{manifest.profile}'; rebuild it (dvc repro)")
    return manifest


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): run `dvc repro`, or `dvc pull`") from error
