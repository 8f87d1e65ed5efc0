"""params.yaml as typed structs: an unknown key, a wrong type or a value out of range is an error that names the key."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from obesity_levels.errors import ParamsError, check_merged, invalid_field
from obesity_levels.paths import PARAMS_YAML
from obesity_levels.schema import COLUMNS, HABITS, LEVELS, PROFILES, SCALES, Level

RENAMED = {
    "clean.markers": "clean.missing_marks",
    "clean.copies": "clean.duplicates",
    "clean.duplicates.min_odd_numbers": "clean.duplicates.min_fractions",
    "train.masking": "train.augmentation",
    "train.augmentation.cells": "train.augmentation.masked_cells",
    "train.augmentation.height_or_weight": "train.augmentation.without_height_or_weight",
    "drift.detect.causes.least_ratio": "drift.detect.causes.min_ratio",
    "drift.detect.causes.spread_within": "drift.detect.causes.max_spread_ratio",
    "drift.detect.causes.alike": "drift.detect.causes.max_ks",
    "drift.detect.causes.margin": "drift.detect.causes.height_margin",
}
"""Keys that had another name -> their name now."""

Struct = TypeVar("Struct", bound=msgspec.Struct)

Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
OpenShare = Annotated[float, Meta(gt=0, lt=1)]
# JSON knows no infinity, and no estimator takes it
LARGEST = 1e9
Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
Grid = Meta(min_length=1)


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """Every key is required and no other is allowed: a misspelled key is always an error."""

    def check_rising(self, *names: str) -> None:
        """Raise ValueError if one of these lists does not rise."""
        for name in names:
            if sorted(set(getattr(self, name))) != getattr(self, name):
                raise ValueError(f"{name} must rise from number to number")


class IngestParams(Section):
    source: Annotated[str, Meta(min_length=1)]
    layout: Annotated[str, Meta(min_length=1)]
    rows: Annotated[int, Meta(ge=1, le=100_000_000)]
    sample: Count | None
    seed: Seed


class DuplicatesParams(Section):
    min_shared_cells: Annotated[int, Meta(ge=1, le=len(COLUMNS))]
    min_fractions: Annotated[int, Meta(ge=0, le=len(COLUMNS))]


class CleanParams(Section):
    missing_marks: list[str]
    reported_lost_share: Share
    max_lost_share: Share
    duplicates: DuplicatesParams


class SplitParams(Section):
    validation: OpenShare
    test: OpenShare
    min_shared_cells: Annotated[int, Meta(ge=1, le=len(COLUMNS))]
    seed: Seed

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must be less than 1, or no row is left to train on")


Profile = Literal["full", "no_weight", "habits"]


class FeaturizeParams(Section):
    profile: Profile
    split: SplitParams


class AugmentationParams(Section):
    copies: Annotated[int, Meta(ge=0, le=100)]
    masked_cells: Share
    without_height_or_weight: Share


class RandomForestSpace(Section):
    n_estimators: Annotated[list[Count], Grid]
    criterion: Annotated[list[Literal["gini", "entropy"]], Grid]
    # no more than the poorest profile has
    max_features: Annotated[list[Annotated[int, Meta(ge=1, le=min(map(len, PROFILES.values())))]], Grid]
    max_samples: Annotated[list[Annotated[float, Meta(gt=0, le=1)]], Grid]
    min_samples_leaf: Annotated[list[Count], Grid]


class HistGradientBoostingSpace(Section):
    max_iter: Annotated[list[Count], Grid]
    learning_rate: Annotated[list[Positive], Grid]
    max_leaf_nodes: Annotated[list[Annotated[int, Meta(ge=2)]], Grid]
    l2_regularization: Annotated[list[Annotated[float, Meta(ge=0, le=LARGEST)]], Grid]


class LogisticRegressionSpace(Section):
    C: Annotated[list[Positive], Grid]


class VotingSpace(Section):
    """Weights of random_forest and hist_gradient_boosting, each with the first candidate of its own space."""

    weights: Annotated[list[Annotated[list[Positive], Meta(min_length=2, max_length=2)]], Grid]


class SearchParams(Section):
    folds: Annotated[int, Meta(ge=2)]
    random_forest: RandomForestSpace
    hist_gradient_boosting: HistGradientBoostingSpace
    logistic_regression: LogisticRegressionSpace
    voting: VotingSpace


ModelName = Literal["random_forest", "hist_gradient_boosting", "logistic_regression", "voting"]


class CalibrationParams(Section):
    method: Literal["power", "none"]
    offset: Annotated[float, Meta(ge=0, le=1)]


class PredictionSetsParams(Section):
    coverage: Annotated[list[Annotated[float, Meta(ge=0.5, lt=1)]], Grid]

    def __post_init__(self) -> None:
        self.check_rising("coverage")


class ExplanationsParams(Section):
    # with fewer rows than this most levels would have none
    background: Annotated[int, Meta(ge=20, le=1000)]
    min_rows: Annotated[int, Meta(ge=20)]
    seed: Seed
    healthy: dict[str, Literal["increase", "decrease"]]

    def __post_init__(self) -> None:
        if others := set(self.healthy) - set(HABITS):
            raise ValueError(f"healthy: {', '.join(sorted(others))} is not a habit: expected {', '.join(HABITS)}")


class AutoParams(Section):
    models: Annotated[list[ModelName], Grid]


class TrainParams(Section):
    model: Literal["auto"] | ModelName
    auto: AutoParams
    calibration: CalibrationParams
    prediction_sets: PredictionSetsParams
    explanations: ExplanationsParams
    seed: Seed
    people_weight: Positive
    augmentation: AugmentationParams
    search: SearchParams

    @property
    def models(self) -> list[ModelName]:
        """The models to compare: the one that is named, or those of `auto`."""
        return self.auto.models if self.model == "auto" else [self.model]


class BootstrapParams(Section):
    resamples: Annotated[int, Meta(ge=100)]
    seed: Seed


class CrossValidationParams(Section):
    folds: Annotated[int, Meta(ge=2)]
    repeats: Count


class CalibrationBinsParams(Section):
    bins: Annotated[int, Meta(ge=2)]


class ImportanceParams(Section):
    repeats: Count
    seed: Seed


class ExplanationSampleParams(Section):
    rows: Count
    background: Count
    seed: Seed


class LearningCurveParams(Section):
    shares: Annotated[list[Annotated[float, Meta(gt=0, le=1)]], Grid]
    seed: Seed


class EvaluateParams(Section):
    bootstrap: BootstrapParams
    calibration: CalibrationBinsParams
    age_bands: Annotated[list[float], Meta(min_length=1)]
    bmi_rule: Annotated[list[float], Meta(min_length=len(LEVELS) - 1, max_length=len(LEVELS) - 1)]
    cross_validation: CrossValidationParams
    importance: ImportanceParams
    explanations: ExplanationSampleParams
    learning_curve: LearningCurveParams

    def __post_init__(self) -> None:
        self.check_rising("age_bands", "bmi_rule")


class SeverityParams(Section):
    medium: OpenShare
    high: OpenShare
    critical: OpenShare

    def __post_init__(self) -> None:
        if not self.medium < self.high < self.critical:
            raise ValueError("medium, high and critical must rise")


class CausesParams(Section):
    min_ratio: Annotated[float, Meta(gt=1, le=10)]
    max_spread_ratio: Annotated[float, Meta(gt=1, le=10)]
    max_ks: OpenShare
    height_margin: Annotated[float, Meta(ge=0, le=LARGEST)]


class DetectParams(Section):
    min_rows: Annotated[int, Meta(ge=10)]
    min_window_rows: Annotated[int, Meta(ge=10)]
    alpha: OpenShare
    ks: OpenShare
    psi: Positive
    missing_rate: OpenShare
    unseen_share: OpenShare
    accuracy_drop: OpenShare
    f1_drop: OpenShare
    severity: SeverityParams
    causes: CausesParams
    sparse_below: Annotated[float, Meta(ge=0, le=LARGEST)]
    permutations: Annotated[int, Meta(ge=99, le=1_000_000)]
    seed: Seed


class CalibrateParams(Section):
    sizes: Annotated[list[Annotated[int, Meta(ge=10)]], Grid]
    draws: Annotated[int, Meta(ge=100)]
    power_draws: Annotated[int, Meta(ge=10)]
    window_sizes: Annotated[list[Annotated[int, Meta(ge=10)]], Grid]
    threshold_draws: Annotated[int, Meta(ge=1000, le=10_000_000)]
    seed: Seed

    def __post_init__(self) -> None:
        self.check_rising("sizes", "window_sizes")


class ScenariosParams(Section):
    intensities: Annotated[list[Annotated[float, Meta(gt=0, le=1)]], Grid]
    imbalance_level: Level
    noise_share: Share
    swap_share: Share
    unit_error: dict[str, Positive]
    unit_error_lb_in: dict[str, Positive]

    def __post_init__(self) -> None:
        for name in ("unit_error", "unit_error_lb_in"):
            if unknown := set(getattr(self, name)) - set(SCALES):
                raise ValueError(f"{name}: {', '.join(sorted(unknown))} is not a number of the questionnaire")


class DriftParams(Section):
    bins: Annotated[int, Meta(ge=2, le=100)]
    detect: DetectParams
    calibrate: CalibrateParams
    scenarios: ScenariosParams


class LeastParams(Section):
    accuracy: Share
    f1_weighted: Share
    worst_level_recall: Share


class MostParams(Section):
    expected_calibration_error: Share
    drift_false_alarm_rate: Share


class GateParams(Section):
    at_least: LeastParams
    at_most: MostParams
    coverage_significance: OpenShare


class Params(Section):
    ingest: IngestParams
    clean: CleanParams
    featurize: FeaturizeParams
    train: TrainParams
    evaluate: EvaluateParams
    drift: DriftParams
    gate: GateParams


def load_params(path: Path = PARAMS_YAML) -> Params:
    """Read and check all of `path`. Raises ParamsError, which names the file and the key."""
    return load_yaml(path, Params)


def load_yaml(path: Path, kind: type[Struct]) -> Struct:
    """Read `path` into `kind`. Raises ParamsError if it does not fit.

    The error names the file, the key and what is wrong with it; for an unknown key, the most similar known one.
    """
    content = read_yaml(path)
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        key, fault, name, reason = invalid_field(error)
        if fault == "unknown":
            key = f"{key}.{name}" if key else name
            known = list(_known_keys(kind))
            near = difflib.get_close_matches(key, known, n=1) or difflib.get_close_matches(name, known, n=1)
            reason = "no such key" + (f": did you mean '{near[0]}'?" if near else ": remove it")
            reason = f"it is called '{RENAMED[key]}' now" if key in RENAMED else reason
        raise ParamsError(f"{path}: {key}: {reason}" if key else f"{path}: {reason}") from error


def read_yaml(path: Path) -> Any:
    """The content of `path`. Raises ParamsError, which names the file, or ConflictError.

    The parser is the one of DVC (YAML 1.2, ruamel.yaml), so a stage and DVC read every value alike.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path} does not exist: run from the project's root, or give a path that exists") from error
    except OSError as error:
        raise ParamsError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except (YAMLError, ValueError, RecursionError) as error:
        check_merged(path)
        raise ParamsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _known_keys(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        yield prefix + field.name
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _known_keys(field.type, f"{prefix}{field.name}.")
