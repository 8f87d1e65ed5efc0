"""The estimators of scikit-learn that `train.model` names, and their hyperparameters."""

from typing import Any

import msgspec
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from obesity_levels.model.augmentation import AugmentedClassifier
from obesity_levels.model.features import MISSING
from obesity_levels.params import TrainParams


def build_estimator(
    params: TrainParams, features: tuple[str, ...], model: str, chosen: dict[str, Any] | None = None
) -> AugmentedClassifier:
    """The classifier `model` with the hyperparameters `chosen` by a search (default: the first candidate)."""
    return AugmentedClassifier(base_estimator(params, model, chosen), features, params)


def candidates(params: TrainParams, model: str) -> list[dict[str, Any]]:
    """The hyperparameters that the search tries for `model`: every combination of the values in its lists."""
    return list(ParameterGrid(msgspec.structs.asdict(getattr(params.search, model))))


def base_estimator(params: TrainParams, model: str, chosen: dict[str, Any] | None = None) -> BaseEstimator:
    """The estimator of scikit-learn, without augmentation, with `chosen` (default: the first candidate)."""
    if chosen is None:
        chosen = candidates(params, model)[0]
    match model:
        case "random_forest":
            return RandomForestClassifier(random_state=params.seed, **chosen)
        case "hist_gradient_boosting":
            return HistGradientBoostingClassifier(random_state=params.seed, early_stopping=False, **chosen)
        case "logistic_regression":
            return make_pipeline(
                SimpleImputer(missing_values=MISSING, strategy="median", keep_empty_features=True),
                StandardScaler(),
                LogisticRegression(max_iter=2000, random_state=params.seed, **chosen),
            )
        case "voting":
            members = [(name, base_estimator(params, name)) for name in ("random_forest", "hist_gradient_boosting")]
            # skl2onnx exports a vote only with flatten_transform=False and weights as an array
            weights = np.array(chosen["weights"], dtype=float)
            return VotingClassifier(members, voting="soft", flatten_transform=False, weights=weights)
    raise ValueError(f"no such model: {model}")
