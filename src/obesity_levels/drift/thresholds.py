"""The reference of drift detection: histograms of the training rows, with thresholds that know the size of a batch."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from obesity_levels.drift import histograms
from obesity_levels.drift.histograms import LEVEL, Column, Counts, Reference, Thresholds
from obesity_levels.errors import TooFewRowsError
from obesity_levels.model.classifier import Manifest
from obesity_levels.model.features import MISSING, Matrix
from obesity_levels.params import DriftParams
from obesity_levels.schema import CATEGORIES, LEVELS


def build_reference(
    train: Matrix, levels: npt.NDArray[np.integer], manifest: Manifest, params: DriftParams
) -> Reference:
    """Histograms of the input matrix of the training rows, with thresholds; false-alarm rates are not measured yet.

    `levels` are predicted for rows that the model was not trained on: a forest is overconfident on its training rows.
    """
    calibrate, detect = params.calibrate, params.detect
    sizes, draws, seed = calibrate.window_sizes, calibrate.threshold_draws, calibrate.seed
    alpha = detect.alpha / (2 * (len(manifest.features) + 1))
    columns = []
    for name, values in [*zip(manifest.features, train.T, strict=True), (LEVEL, levels)]:
        present = values[values != MISSING]
        if not len(present):
            raise TooFewRowsError(f"no training row has '{name}': there is nothing to compare with")
        categories = LEVELS if name == LEVEL else CATEGORIES.get(name)
        edges = histograms.quantile_edges(present, params.bins) if categories is None else None
        bounds = edges or range(1, len(categories or ()))
        counts, _ = np.histogram(present, [-np.inf, *bounds, np.inf])
        missing = len(values) - len(present)
        columns.append(
            Column(
                name=name,
                edges=edges,
                categories=None if categories is None else list(categories),
                counts=counts.tolist(),
                missing=missing,
                psi_critical=psi_thresholds(counts, sizes, alpha, draws, seed),
                missing_critical=missing_thresholds(missing, len(values), sizes, alpha),
            )
        )
    return Reference(
        format=histograms.FORMAT,
        model_version=manifest.version,
        columns=columns,
        sizes=sizes,
        thresholds=Thresholds(detect.min_window_rows, detect.psi, detect.missing_rate),
        params=msgspec.to_builtins(params),
        false_alarm_rate={},
        estimate=None,
    )


def psi_thresholds(counts: Counts, sizes: Sequence[int], alpha: float, draws: int, seed: int) -> list[float]:
    """For each of `sizes`, the PSI that a batch without drift exceeds with probability `alpha`.

    Simulated: shares are drawn from their posterior given the reference's `counts` under Jeffreys' prior, so the
    uncertainty of the reference is included (Gelman et al., Bayesian Data Analysis (2013), 3.4 and 6.3).
    """
    # A generator of its own: the thresholds of a column do not depend on the columns before it.
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(counts + 0.5, size=draws)
    return [
        round(
            float(np.quantile(histograms.population_stability_index(counts, rng.multinomial(size, shares)), 1 - alpha)),
            6,
        )
        for size in sizes
    ]


def missing_thresholds(missing: int, rows: int, sizes: Sequence[int], alpha: float) -> list[float]:
    """The same for the share of missing rows, of which the reference has `missing` among `rows` (beta-binomial)."""
    most = [stats.betabinom.ppf(1 - alpha, size, missing + 0.5, rows - missing + 0.5) for size in sizes]
    # half a row more, so that rounding does not turn a share that is just allowed into an alarm
    return [round((float(count) + 0.5) / size, 6) for count, size in zip(most, sizes, strict=True)]
