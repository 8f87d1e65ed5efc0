"""The model file and its manifest: load, verify, predict. The stages measure it and the service serves it.

numpy, msgspec and ONNX Runtime only, because the service imports it.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from obesity_levels.errors import ArtifactError
from obesity_levels.model.explanation import ExplanationBasis
from obesity_levels.model.features import MISSING, Matrix
from obesity_levels.model.prediction_sets import Thresholds
from obesity_levels.paths import CLASSIFIER, MANIFEST
from obesity_levels.schema import BMI, LEVELS, PROFILES

FORMAT = 1

# From so many rows on it is worth the time to sort them.
_MANY = 100
_HEIGHT, _ABOVE_HEIGHTS = PROFILES["full"].index("Height"), np.float32(4)  # heights are in m

Probabilities = npt.NDArray[np.float32]
"""The probability of each level, shape (rows, 7)."""
Levels = npt.NDArray[np.int64]
"""Indices in LEVELS, shape (rows,)."""


class DataOrigin(msgspec.Struct, frozen=True):
    """The origin of the rows: whether they were simulated, the file name of the source and its md5."""

    simulated: bool
    source: str
    md5: str


class Candidate(msgspec.Struct, frozen=True):
    """A candidate of the search: its weighted F1 over the folds, and how it compares with the most accurate one.

    `accuracy_difference` is its share of right rows less that of the most accurate candidate, on the same rows;
    `standard_error` that of the difference. None in a manifest of before they were in it.
    """

    params: dict[str, Any]
    f1_weighted_mean: float
    f1_weighted_std: float
    model: str | None = None
    accuracy_difference: float | None = None
    standard_error: float | None = None


class Search(msgspec.Struct, frozen=True):
    """The search: its folds, the hyperparameters of the chosen candidate, and every candidate with its scores."""

    folds: int
    chosen: dict[str, Any]
    candidates: list[Candidate]


class Calibration(msgspec.Struct, frozen=True):
    """How the file turns the model's scores into probabilities: (score + offset) ** exponent, divided by the sum.

    The log losses are of the search's out-of-fold predictions.
    """

    method: str
    offset: float
    exponent: float
    log_loss_before: float
    log_loss_after: float


class Manifest(msgspec.Struct, frozen=True):
    """Describes `classifier.onnx` and how it was made. `format` rises when older code cannot read a newer manifest."""

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
    missing_marks: list[str] | None = None
    """Texts that stood for a missing answer in the source; None in a manifest of before they were in it."""
    calibration: Calibration | None = None
    """None in a manifest of before probabilities were calibrated."""
    prediction_sets: dict[str, Thresholds] | None = None
    """Coverage, as a text such as "0.95" -> thresholds; None in a manifest of before there were any."""
    explanations: ExplanationBasis | None = None
    """None in a manifest of before predictions were explained."""

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
        # For models of many steps; this one has few, and one row is faster without (benchmarks/trees.py).
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # Errors only: when a vote is loaded it would warn that the labels, which nobody uses, are not computed.
        options.log_severity_level = 3
        self.manifest = manifest
        try:
            # Bytes would be kept as long as the session; a file is not.
            self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises errors of several private classes
            raise ArtifactError(
                f"{CLASSIFIER} is not a model that ONNX Runtime can load: rebuild it (dvc repro)"
            ) from error
        (features,), (probabilities,) = self._session.get_inputs(), self._session.get_outputs()
        if features.shape[-1] != len(manifest.features) or probabilities.shape[-1] not in (len(LEVELS), None):
            raise ArtifactError(
                f"{CLASSIFIER} does not have the manifest's features and levels: rebuild it (dvc repro)"
            )
        self._input, self._output = features.name, probabilities.name

    def probabilities(self, matrix: Matrix) -> Probabilities:
        """The probability of each level, shape (rows, 7), for an input matrix of the manifest's profile."""
        if not len(matrix):  # which ONNX Runtime refuses for a vote
            return np.empty((0, len(LEVELS)), np.float32)
        if len(matrix) < _MANY or self.manifest.features[-1] != BMI:
            return self._session.run([self._output], {self._input: matrix})[0]
        # Rows with about the same body-mass index, and of these with the same height, take about the same ways through
        # the trees, which are then in the processor's caches: 24 % less time for 1,000 rows, 34 % for 10,000, and the
        # same bits.
        order = (np.floor(matrix[:, -1]) * _ABOVE_HEIGHTS + matrix[:, _HEIGHT]).argsort()
        found = np.empty((len(matrix), len(LEVELS)), np.float32)
        found[order] = self._session.run([self._output], {self._input: matrix[order]})[0]
        return found


def most_probable(probabilities: Probabilities) -> Levels:
    """The index in LEVELS of the most probable level of each row; of equal ones the less severe."""
    return probabilities.argmax(axis=1)


def load_classifier(directory: Path) -> Classifier:
    """Load `directory`/classifier.onnx if its sha256 is that of `directory`/manifest.json.

    No code is run on load. The file is read twice, once to verify it and once to load it: a change between the two is
    not noticed. Raises ArtifactError, which names the file and says what to do.
    """
    manifest = load_manifest(directory / MANIFEST)
    path = directory / CLASSIFIER
    if hashlib.sha256(_content(path)).hexdigest() != manifest.sha256:
        raise ArtifactError(
            f"{path} is truncated or altered: its sha256 is not the manifest's; restore it (dvc checkout)"
        )
    return Classifier(manifest, path)


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest. Raises ArtifactError, which names the file and says what to do."""
    try:
        manifest = msgspec.json.decode(_content(path), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not a manifest of this project ({error}); restore it (dvc checkout)") from error
    features = list(PROFILES.get(manifest.profile, ()))
    expected = {"format": FORMAT, "levels": list(LEVELS), "missing": MISSING, "features": features}
    for key, value in expected.items():
        if getattr(manifest, key) != value:
            raise ArtifactError(f"{path}: this version of the code reads another '{key}'; rebuild it (dvc repro)")
    return manifest


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): run `dvc repro`, or `dvc pull`") from error
