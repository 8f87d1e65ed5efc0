"""The estimators of scikit-learn that `train.model` names, and their hyperparameters."""

from typing import Any

import msgspec
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from obesity_levels.model.augmentation import AugmentedClassifier
from obesity_levels.model.features import MISSING
from obesity_levels.params import SearchParams, TrainParams


def build_estimator(
    params: TrainParams, features: tuple[str, ...], chosen: dict[str, Any] | None = None
) -> AugmentedClassifier:
    """The classifier of `params.model` with the hyperparameters `chosen` by a search (default: the first candidate)."""
    if chosen is None:
        chosen = _first_candidate(params.search, params.model)
    estimator = _base_estimator(params.model, params.search, params.seed)
    prefix = hyperparameter_prefix(params.model)
    estimator.set_params(**{prefix + name: value for name, value in chosen.items()})
    return AugmentedClassifier(estimator, features, params, prefix)


def hyperparameter_prefix(model: str) -> str:
    """The step that the hyperparameters of `model` belong to, as `set_params` names it: "" unless it is a pipeline."""
    return "logisticregression__" if model == "logistic_regression" else ""


def search_space(params: SearchParams, model: str) -> dict[str, list[Any]]:
    """The hyperparameters of `model`, each with the values that the search tries."""
    return msgspec.structs.asdict(getattr(params, model))


def _first_candidate(params: SearchParams, model: str) -> dict[str, Any]:
    return {name: values[0] for name, values in search_space(params, model).items()}


def _base_estimator(model: str, space: SearchParams, seed: int) -> BaseEstimator:
    match model:
        case "random_forest":
            return RandomForestClassifier(random_state=seed)
        case "hist_gradient_boosting":
            return HistGradientBoostingClassifier(random_state=seed, early_stopping=False)
        case "logistic_regression":
            return make_pipeline(
                SimpleImputer(missing_values=MISSING, strategy="median", keep_empty_features=True),
                StandardScaler(),
                LogisticRegression(max_iter=2000, random_state=seed),
            )
        case "voting":
            members = []
            for name in ("random_forest", "hist_gradient_boosting"):
                first = _first_candidate(space, name)
                members.append((name, _base_estimator(name, space, seed).set_params(**first)))
            # skl2onnx exports a vote only with flatten_transform=False
            return VotingClassifier(members, voting="soft", flatten_transform=False)
    raise ValueError(f"no such model: {model}")
