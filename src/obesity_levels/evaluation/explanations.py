"""What the answers contribute on the validation rows, how exact that is, and how often a change is found."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from obesity_levels.io import Rows
from obesity_levels.model.classifier import Classifier, Levels, Probabilities, most_probable
from obesity_levels.model.explanation import Contributions, Explainer, load_explainer, smallest_change
from obesity_levels.model.features import Answers, encode_table
from obesity_levels.params import ExplanationSampleParams
from obesity_levels.schema import ANSWERS, LEVELS, Level


def explanation_metrics(
    rows: Rows, probabilities: Probabilities, train: Rows, classifier: Classifier, params: ExplanationSampleParams
) -> dict[str, Any] | None:
    """The mean absolute contribution of each answer, its error, and what changes were found; None without a background.

    The error is the distance to the contributions against `params.background` real training rows, of `params.rows`
    rows, as a mean over rows and answers, and as the mean of the answer that is furthest off in each row.
    """
    explainer, basis = load_explainer(classifier), classifier.manifest.explanations
    if explainer is None or basis is None:
        return None
    answers, levels = encode_table(rows.answers), most_probable(probabilities)
    of_levels = probabilities[np.arange(len(levels)), levels].astype(float).tolist()

    def explained(by: Explainer, at: Sequence[int]) -> Contributions:
        return np.array([by.contributions(answers[row], levels[row], of_levels[row])[1] for row in tqdm(at, "explain")])

    rng = np.random.default_rng(params.seed)
    sample = rng.permutation(len(answers))[: params.rows].tolist()
    real = encode_table(train.answers)[rng.permutation(len(train.labels))[: params.background]]
    found = explained(explainer, range(len(answers)))
    off = np.abs(found[sample] - explained(Explainer(classifier, real, basis.seed), sample))
    return {
        "mean_contribution": dict(zip(ANSWERS, np.abs(found).mean(axis=0), strict=True)),
        "error": {
            "mean": off.mean(),
            "mean_of_largest": off.max(axis=1).mean(),
            "rows": len(sample),
            "background": len(real),
        },
        "changes": _changes(classifier, answers, levels),
    }


def contribution_table(mean_contribution: dict[str, float], importance: pd.DataFrame) -> pd.DataFrame:
    """The mean contribution of each answer beside its permutation importance, the largest contribution first.

    The body-mass index has an importance only: it contributes through height and weight.
    """
    table = pd.DataFrame(mean_contribution.items(), columns=["feature", "contribution"])
    return table.merge(importance[["feature", "importance"]], "outer").sort_values(
        ["contribution", "feature"], ascending=[False, True], ignore_index=True
    )


def _changes(classifier: Classifier, answers: Answers, levels: Levels) -> dict[str, Any]:
    """Of the rows that are not predicted as Normal_Weight: the share with a change, by kind, and the median weight."""
    others = np.flatnonzero(levels != LEVELS.index(Level.NORMAL_WEIGHT))
    found = [smallest_change(classifier, answers[row], levels[row]) for row in others]
    kinds = ["none" if change is None else " and ".join(_kind(name) for name in change.answers) for change in found]
    shares = pd.Series(kinds).value_counts(normalize=True)
    kilograms = [abs(float(change.answers["Weight"])) for change in found if change and "Weight" in change.answers]
    return {
        "rows": len(others),
        "shares": {kind: shares.get(kind, 0.0) for kind in ("habit", "weight", "weight and habit", "none")},
        "median_kilograms": float(np.median(kilograms)) if kilograms else None,
    }


def _kind(answer: str) -> str:
    return "weight" if answer == "Weight" else "habit"
