"""Made-up outcomes of models in production."""

import numpy as np
import pandas as pd

from obesity_levels.schema import LEVELS


def outcomes(
    units: int, accuracy: dict[str, float], share: float = 0.5, known: float = 1.0, days: int = 28, seed: int = 0
):
    """A row for each unit, as OUTCOMES.csv has them: the last of the models has the `share`, and of each the truth is
    known with the probability `known`.
    """
    rng = np.random.default_rng(seed)
    versions = list(accuracy)
    of_last = rng.random(units) < share if len(versions) > 1 else np.zeros(units, bool)
    version = np.where(of_last, versions[-1], versions[0])
    level = rng.integers(len(LEVELS), size=units)
    right = rng.random(units) < np.where(of_last, accuracy[versions[-1]], accuracy[versions[0]])
    names = np.array(LEVELS)
    truth = np.where(rng.random(units) < known, names[np.where(right, level, (level + 1) % len(LEVELS))], "")
    times = pd.Timestamp("2026-11-02", tz="UTC") + pd.to_timedelta(np.arange(units) * (days * 86_400 / units), unit="s")
    return pd.DataFrame(
        {
            "unit": [f"u{at}" for at in range(units)],
            "model_version": version,
            "prediction": names[level],
            "truth": truth,
            "time": times.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
