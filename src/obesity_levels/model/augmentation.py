"""Augmentation: copies of the training rows, with cells masked at random, are added to the training rows."""

from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline

from obesity_levels.model.features import MISSING, Matrix, is_whole
from obesity_levels.params import AugmentationParams, TrainParams
from obesity_levels.schema import BMI, WHOLE_FOR_PEOPLE

Labels = npt.NDArray[np.int64]
"""Levels as indices in LEVELS, shape (rows,)."""


class AugmentedClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A classifier that is fitted on the rows and on copies of them with cells masked at random.

    Missing cells are rare, so learners treat them badly; in the copies they are frequent. `fit` makes the copies, of
    training rows only, so in cross-validation no copy is in another fold than its original.

    `params.augmentation` says how many copies of each row are made and which cells are masked; where height or weight
    is masked, so is the BMI. A row that people answered (all whole numbers) has the weight `params.people_weight`.
    `features` are the names of the columns of the input matrix. Where `estimator` is a pipeline, its last step is
    fitted with the weights.
    """

    def __init__(self, estimator: BaseEstimator, features: tuple[str, ...], params: TrainParams) -> None:
        self.estimator = estimator
        self.features = features
        self.params = params

    def fit(self, X: Matrix, y: Labels) -> Self:
        augmentation = self.params.augmentation
        copies = np.tile(X, (augmentation.copies, 1))
        mask_cells(copies, self.features, augmentation, np.random.default_rng(self.params.seed))
        people = is_whole(X[:, [self.features.index(name) for name in WHOLE_FOR_PEOPLE]])
        weights = np.tile(np.where(people, self.params.people_weight, 1.0), augmentation.copies + 1)
        step = f"{self.estimator.steps[-1][0]}__" if isinstance(self.estimator, Pipeline) else ""
        self.estimator_ = clone(self.estimator)
        self.estimator_.fit(
            np.concatenate([X, copies]), np.tile(y, augmentation.copies + 1), **{f"{step}sample_weight": weights}
        )
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Matrix) -> Labels:
        return self.estimator_.predict(X)

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        return self.estimator_.predict_proba(X)


def mask_cells(matrix: Matrix, features: tuple[str, ...], params: AugmentationParams, rng: np.random.Generator) -> None:
    """Mask cells of `matrix`, shape (rows, features), in place and at random, as `params` say."""
    answers = [at for at, name in enumerate(features) if name != BMI]
    masked = np.zeros(matrix.shape, dtype=bool)
    masked[:, answers] = rng.random((len(matrix), len(answers))) < params.masked_cells
    drawn = rng.random(len(matrix))
    for name, low in (("Height", 0.0), ("Weight", params.without_height_or_weight / 2)):
        if name in features:
            masked[:, features.index(name)] |= (low <= drawn) & (drawn < low + params.without_height_or_weight / 2)
    if BMI in features:
        masked[:, features.index(BMI)] = masked[:, features.index("Height")] | masked[:, features.index("Weight")]
    matrix[masked] = MISSING
