"""Estimators, the search among them, and their export to ONNX."""

from __future__ import annotations

import copy
from typing import Any, Self

import joblib
import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from obesity_levels.errors import TooFewRowsError
from obesity_levels.features import BMI, MISSING, Matrix, in_whole_numbers
from obesity_levels.params import MaskingParams, SearchParams, TrainParams
from obesity_levels.schema import LEVELS, WHOLE_FOR_PEOPLE
from obesity_levels.scoring import Candidate, Search

Labels = npt.NDArray[np.int64]
Groups = npt.NDArray[np.int64]

# Stated, so that a newer skl2onnx does not change the artifact's bytes by itself.
_OPSET = 21
_OUTPUT = "probabilities"

# Where the estimator is a pipeline, the step that a model's hyperparameters belong to.
_STEP = {"logistic_regression": "logisticregression__"}


class MaskedCopies(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A classifier that is fitted on the rows and on copies of them with cells masked at random.

    Missing cells are rare, so learners treat them badly; among the copies they are not. `fit` sees the training rows
    alone, so in cross-validation a copy is never on the other side of its original.

    `params.masking.copies` copies of each row; in each `cells` of the cells are masked, and in `height_or_weight` of
    the copies the height or the weight, half each. Where one of them is masked so is the BMI. A row that people
    answered (all whole numbers) counts `params.people_weight` times. `features` names the columns of the input matrix.
    """

    def __init__(self, estimator: BaseEstimator, features: tuple[str, ...], params: TrainParams) -> None:
        self.estimator = estimator
        self.features = features
        self.params = params

    def fit(self, X: Matrix, y: Labels) -> Self:
        masking = self.params.masking
        copies = np.tile(X, (masking.copies, 1))
        mask_cells(copies, self.features, masking, np.random.default_rng(self.params.seed))
        people = in_whole_numbers(X[:, [self.features.index(name) for name in WHOLE_FOR_PEOPLE]])
        weights = np.where(people, self.params.people_weight, 1.0)
        times = masking.copies + 1
        self.estimator_ = clone(self.estimator)
        weight_name = _STEP.get(self.params.model, "") + "sample_weight"
        self.estimator_.fit(np.concatenate([X, copies]), np.tile(y, times), **{weight_name: np.tile(weights, times)})
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Matrix) -> Labels:
        return self.estimator_.predict(X)

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        return self.estimator_.predict_proba(X)


def mask_cells(matrix: Matrix, features: tuple[str, ...], masking: MaskingParams, rng: np.random.Generator) -> None:
    """Mask cells of `matrix`, shape (rows, features), in place and at random, as `masking` says."""
    answers = [at for at, name in enumerate(features) if name != BMI]
    masked = np.zeros(matrix.shape, dtype=bool)
    masked[:, answers] = rng.random((len(matrix), len(answers))) < masking.cells
    drawn = rng.random(len(matrix))
    for name, low in (("Height", 0.0), ("Weight", masking.height_or_weight / 2)):
        if name in features:
            masked[:, features.index(name)] |= (low <= drawn) & (drawn < low + masking.height_or_weight / 2)
    if BMI in features:
        masked[:, features.index(BMI)] = masked[:, features.index("Height")] | masked[:, features.index("Weight")]
    matrix[masked] = MISSING


def build_estimator(
    params: TrainParams, features: tuple[str, ...], chosen: dict[str, Any] | None = None
) -> MaskedCopies:
    """The classifier of `params.model` with the hyperparameters `chosen` by a search (default: the first candidate)."""
    if chosen is None:
        chosen = {name: values[0] for name, values in _space(params.search, params.model).items()}
    estimator = _base_estimator(params.model, params.search, params.seed)
    step = _STEP.get(params.model, "")
    estimator.set_params(**{step + name: value for name, value in chosen.items()})
    return MaskedCopies(estimator, features, params)


def _space(params: SearchParams, model: str) -> dict[str, list[Any]]:
    return msgspec.structs.asdict(getattr(params, model))


def search(
    matrix: Matrix, labels: Labels, groups: Groups, features: tuple[str, ...], params: TrainParams
) -> tuple[MaskedCopies, Search]:
    """Score every candidate of `params.model` by weighted F1 in grouped, stratified cross-validation; refit the best.

    `matrix` is (rows, features); `labels` are indices in LEVELS; rows of a group stay in one fold. Prints its progress.
    Raises TooFewRowsError if a level has fewer groups than there are folds.
    """
    folds = params.search.folds
    check_folds(labels, groups, folds, "train.search.folds")
    prefix = "estimator__" + _STEP.get(params.model, "")
    grid = GridSearchCV(
        build_estimator(params, features),
        {prefix + name: values for name, values in _space(params.search, params.model).items()},
        scoring="f1_weighted",
        cv=StratifiedGroupKFold(folds, shuffle=True, random_state=params.seed),
        n_jobs=-1,
        verbose=3,
        error_score="raise",
    )
    # Threads, because trees are grown without the interpreter's lock, and processes would each import everything anew.
    with joblib.parallel_backend("threading"):
        grid.fit(matrix, labels, groups=groups)
    results = grid.cv_results_
    candidates = [
        Candidate(_without(prefix, candidate), round(float(mean), 6), round(float(std), 6))
        for candidate, mean, std in zip(
            results["params"], results["mean_test_score"], results["std_test_score"], strict=True
        )
    ]
    return grid.best_estimator_, Search(folds, _without(prefix, grid.best_params_), candidates)


def check_folds(labels: Labels, groups: Groups, folds: int, key: str) -> None:
    """Raise TooFewRowsError, naming the level and the params' `key`, if a level has fewer groups than `folds`."""
    for level, name in enumerate(LEVELS):
        found = len(np.unique(groups[labels == level]))
        if found < folds:
            raise TooFewRowsError(
                f"level '{name}' has {found} groups of rows, fewer than {key} ({folds}):"
                " give more rows of this level, or fewer folds"
            )


def export_onnx(fitted: MaskedCopies) -> bytes:
    """`fitted` as an ONNX model: one input, float32 (rows, features); one output, the probabilities (rows, 7).

    The same estimator gives the same bytes.
    """
    estimator = fitted.estimator_
    if isinstance(estimator, VotingClassifier):
        # skl2onnx takes the weights as an array only
        estimator = copy.copy(estimator)
        estimator.weights = np.asarray(estimator.weights, dtype=float)
    model = skl2onnx.convert_sklearn(
        estimator,
        name="obesity-levels",
        initial_types=[("features", FloatTensorType([None, len(fitted.features)]))],
        options={id(estimator): {"zipmap": False}},
        target_opset=_OPSET,
    )
    kept = [output for output in model.graph.output if output.name == _OUTPUT]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    used = {name for node in model.graph.node for name in node.input}
    for node in model.graph.node:
        if node.op_type == "TreeEnsembleClassifier" and node.output[0] not in used:
            _only_sum(node)
    if len(model.graph.node) > 1 or _highest_sum(model.graph.node[0]) > 1:
        _clip_output(model.graph)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _only_sum(trees: onnx.NodeProto) -> None:
    """Make of a classifier of trees the regressor with the same sums, which looks for no label.

    A leaf then names only the levels that it speaks for, most of them one: adding the zeros of the others took a fifth
    of the time, and half of the file.
    """
    trees.op_type = "TreeEnsembleRegressor"
    del trees.output[0]
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    weights = np.array(attributes["class_weights"].floats, dtype=np.float32)
    kept = np.flatnonzero(weights)
    for part in ("ids", "nodeids", "treeids"):
        attributes[f"class_{part}"].ints[:] = np.array(attributes[f"class_{part}"].ints)[kept]
    attributes["class_weights"].floats[:] = weights[kept]
    for part in ("ids", "nodeids", "treeids", "weights"):
        attributes[f"class_{part}"].name = f"target_{part}"
    trees.attribute.remove(attributes["classlabels_int64s"])
    trees.attribute.append(onnx.helper.make_attribute("n_targets", len(LEVELS)))


def _highest_sum(trees: onnx.NodeProto) -> np.float32:
    """The largest sum of a forest: rounding is monotone, so none is above that of each tree's largest weight.

    Added as ONNX Runtime does it on one thread: a tree after the other, in float32.
    """
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    of_tree = np.array(attributes["target_treeids"].ints)
    weights = np.array(attributes["target_weights"].floats, dtype=np.float32)
    largest = np.zeros(of_tree.max() + 1, dtype=np.float32)
    np.maximum.at(largest, of_tree, weights)
    return np.cumsum(largest)[-1]


def _clip_output(graph: onnx.GraphProto) -> None:
    """Let no probability be above 1: a forest's are sums in float32, some of them a last bit too large."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["sums" if name == _OUTPUT else name for name in names]
    for name, limit in (("lowest", 0.0), ("highest", 1.0)):
        graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [limit]))
    graph.node.append(onnx.helper.make_node("Clip", ["sums", "lowest", "highest"], [_OUTPUT], name="Clip"))


def _without(prefix: str, params: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in sorted(params.items())}


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
                first = {key: values[0] for key, values in _space(space, name).items()}
                members.append((name, _base_estimator(name, space, seed).set_params(**first)))
            # skl2onnx exports a vote only with flatten_transform=False
            return VotingClassifier(members, voting="soft", flatten_transform=False)
    raise ValueError(f"no such model: {model}")
