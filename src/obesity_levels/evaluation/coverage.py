"""How often the prediction sets hold the true level, and how large they are: overall and by slice."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from obesity_levels.evaluation.metrics import slice_masks
from obesity_levels.io import Rows
from obesity_levels.model.augmentation import Labels
from obesity_levels.model.classifier import Classifier, Probabilities
from obesity_levels.model.prediction_sets import Sets, has_bmi, prediction_sets
from obesity_levels.params import EvaluateParams
from obesity_levels.schema import LEVELS


def coverage_by_slice(
    rows: Rows, probabilities: Probabilities, classifier: Classifier, params: EvaluateParams
) -> dict[str, Any]:
    """For each coverage that the manifest promises: what was measured, of all rows and by slice and level."""
    manifest = classifier.manifest
    bmi_known = has_bmi(rows.matrix, manifest.features)
    masks = {
        "all": {"all": np.ones(len(rows.labels), dtype=bool)},
        **slice_masks(rows.answers, params.age_bands),
        "body_mass_index": {"known": bmi_known, "missing": ~bmi_known},
        "level": {level: rows.labels == at for at, level in enumerate(LEVELS)},
    }
    found: dict[str, Any] = {}
    for promised, thresholds in (manifest.prediction_sets or {}).items():
        sets = prediction_sets(probabilities, bmi_known, thresholds)
        found[promised] = {
            kind: {name: coverage(sets[mask], rows.labels[mask]) for name, mask in of_kind.items()}
            for kind, of_kind in masks.items()
        }
    return found


def coverage(sets: Sets, labels: Labels) -> dict[str, Any]:
    """The share of rows whose set holds the true level, with its exact 95 % interval (Clopper & Pearson 1934).

    Also the mean number of levels in a set and the share of sets with one level; None where there are no rows.
    """
    rows = len(labels)
    if not rows:
        return dict.fromkeys(("coverage", "interval", "size", "single")) | {"support": 0}
    covered = int(sets[np.arange(rows), labels].sum())
    interval = stats.binomtest(covered, rows).proportion_ci(0.95, method="exact")
    sizes = sets.sum(axis=1)
    return {
        "coverage": covered / rows,
        "interval": [float(interval.low), float(interval.high)],
        "size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
        "support": rows,
    }


def coverage_of_folds(sets: Sets, labels: Labels, bmi_known: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Coverage of all rows and of those without a body-mass index, and the mean size of the sets."""
    found, without = coverage(sets, labels), coverage(sets[~bmi_known], labels[~bmi_known])
    return {"coverage": found["coverage"], "coverage_without_bmi": without["coverage"], "size": found["size"]}


def coverage_table(found: dict[str, Any]) -> pd.DataFrame:
    """The slices that have rows, of one promised coverage, as a table for a plot."""
    rows = [
        {"slice": name if kind == name else f"{kind}: {name.replace('_', ' ')}", **one}
        for kind, of_kind in found.items()
        for name, one in of_kind.items()
        if one["support"]
    ]
    table = pd.DataFrame(rows)
    table[["low", "high"]] = table.pop("interval").tolist()
    return table
