"""The model that is served: verified before anything is answered, and what is said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple

from obesity_levels.drift.histograms import load_reference
from obesity_levels.errors import ArtifactError
from obesity_levels.model.artifact import Evaluation, check_lock, read_evaluation
from obesity_levels.model.classifier import Classifier, Probabilities, load_classifier, most_probable
from obesity_levels.model.explanation import Explainer, load_explainer, smallest_change
from obesity_levels.model.features import Matrix, encode_rows, input_matrix
from obesity_levels.model.prediction_sets import level_sets
from obesity_levels.paths import CLASSIFIER, DRIFT_REFERENCE
from obesity_levels.schema import ANSWERS, BMI, LEVELS, QUESTIONS, Level, Patient
from service.challenger import Challenger
from service.drift_monitor import DriftMonitor
from service.schemas import (
    Change,
    Contribution,
    Data,
    Explanation,
    Explanations,
    Feature,
    LevelProbabilities,
    ModelInfo,
    Predictions,
)
from service.settings import Settings

# Enough for contributions that add up within 1e-6.
_DIGITS = 9


@dataclass(frozen=True)
class Model:
    """A verified artifact, what was measured of it, and who watches it. Load it with `load_model`."""

    classifier: Classifier
    info: ModelInfo
    monitor: DriftMonitor | None = None
    challenger: Challenger | None = None
    explainer: Explainer | None = None
    """None for a model without explanations."""

    @property
    def version(self) -> str:
        """The version of the classifier."""
        return self.classifier.manifest.version

    @cached_property
    def coverages(self) -> list[str]:
        """The coverages for which there are prediction sets, rising, such as "0.95"; none for an older model."""
        return sorted(self.classifier.manifest.prediction_sets or (), key=float)

    def predict(self, patients: Sequence[Patient], coverage: str | None = None) -> Predictions:
        """The most probable level, the probability of each level and the prediction set, for the patients in order.

        `coverage` is one of `coverages`, by default the highest.
        """
        answers = encode_rows(map(astuple, patients))
        matrix = input_matrix(answers, self.classifier.manifest.profile)
        probabilities = self.classifier.probabilities(matrix)
        levels = most_probable(probabilities)
        if self.monitor is not None:
            self.monitor.observe(matrix, levels)
        if self.challenger is not None:
            self.challenger.observe(answers, levels)
        by_level = list(map(LevelProbabilities, *probabilities.T.tolist()))
        predictions = [LEVELS[level] for level in levels.tolist()]
        if not self.coverages:
            return Predictions(predictions, by_level, self.version)
        return Predictions(predictions, by_level, self.version, *self._sets(matrix, probabilities, coverage))

    def explain(self, patients: Sequence[Patient], coverage: str | None = None) -> Explanations:
        """Why the model gives its levels to the patients, and what would change them; `explainer` must be there.

        Drift does not count these rows, nor does a challenger receive them: they were predicted before.
        """
        explainer = self.explainer
        assert explainer is not None
        answers = encode_rows(map(astuple, patients))
        matrix = input_matrix(answers, self.classifier.manifest.profile)
        probabilities = self.classifier.probabilities(matrix)
        sets, promised = self._sets(matrix, probabilities, coverage)
        explanations = []
        levels = most_probable(probabilities).tolist()
        for row, of_levels, level, prediction_set in zip(answers, probabilities, levels, sets, strict=True):
            baseline, contributions = explainer.contributions(row, level, float(of_levels[level]))
            found = smallest_change(self.classifier, row, level)
            normal = LEVELS[level] == Level.NORMAL_WEIGHT
            explanations.append(
                Explanation(
                    Level(LEVELS[level]),
                    float(of_levels[level]),
                    round(baseline, _DIGITS),
                    [
                        Contribution(ANSWERS[at], round(float(contributions[at]), _DIGITS))
                        for at in np.argsort(-np.abs(contributions), kind="stable")
                    ],
                    prediction_set,
                    Change(Level(LEVELS[found.level]), found.answers) if found else None,
                    None if found else "already_normal_weight" if normal else "no_change_found",
                )
            )
        return Explanations(explanations, promised, self.version)

    def _sets(self, matrix: Matrix, probabilities: Probabilities, coverage: str | None) -> tuple[Any, float]:
        manifest, coverage = self.classifier.manifest, coverage or self.coverages[-1]
        thresholds = (manifest.prediction_sets or {})[coverage]
        return level_sets(probabilities, matrix, manifest.features, thresholds), float(coverage)


def load_model(settings: Settings) -> Model:
    """Load and verify the artifact in MODEL_DIR, and score one row with it.

    Where it is the `models/` of a checkout, its files, and the metrics beside them, must be those of dvc.lock. Raises
    ArtifactError, which names the file and says what to do.
    """
    directory = settings.model_dir
    check_lock(directory)
    classifier = load_classifier(directory)
    info = _info(classifier, read_evaluation(directory, classifier.manifest), settings.git_revision)
    reference_path = directory / DRIFT_REFERENCE  # not there if the pipeline was run up to the model only
    reference = load_reference(reference_path, classifier.manifest) if reference_path.exists() else None
    example = msgspec.convert({name: question.example for name, question in QUESTIONS.items()}, Patient)
    row = np.array(astuple(Model(classifier, info).predict([example]).probabilities[0]))
    if not (np.isfinite(row).all() and abs(row.sum() - 1) < 1e-3):
        raise ArtifactError(f"{directory / CLASSIFIER} does not answer with probabilities: rebuild it (dvc repro)")
    return Model(
        classifier,
        info,
        DriftMonitor(reference, settings.drift_window) if reference and settings.drift_window else None,
        Challenger(settings.shadow_model_dir, settings.shadow_share) if settings.shadow_model_dir else None,
        load_explainer(classifier),
    )


def _info(classifier: Classifier, evaluation: Evaluation | None, git_revision: str) -> ModelInfo:
    manifest = classifier.manifest
    return ModelInfo(
        name="obesity-levels",
        version=manifest.version,
        sha256=manifest.sha256,
        data=Data(manifest.data.simulated, manifest.data.source, manifest.data.md5, manifest.rows),
        model=manifest.model,
        profile=manifest.profile,
        levels=manifest.levels,
        features=[_feature(name) for name in manifest.features],
        params=manifest.params,
        chosen=manifest.search.chosen,
        test_metrics=evaluation.test if evaluation else None,
        libraries=manifest.libraries,
        git_revision=git_revision or None,
    )


def _feature(name: str) -> Feature:
    if name == BMI:
        return Feature(name, "Body-mass index, computed from Height and Weight", "kg/m²", None, None)
    question = QUESTIONS[name]
    return Feature(name, question.description, question.unit, question.scale, question.categories)
