"""Statistical tests of batches of rows against the reference, many batches at once, and the rule for alarms.

The p-values are scipy's, or a permutation test's where counts are sparse; the statistics are computed for all batches
together, because calibration tests thousands (tests/obesity_levels/drift holds them to scipy's).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from obesity_levels.drift.batch import NO_LABEL
from obesity_levels.drift.histograms import (
    LEVEL,
    Cells,
    Counts,
    Floats,
    Reference,
    chi_squared,
    critical,
    population_stability_index,
)
from obesity_levels.features import MISSING, Matrix
from obesity_levels.params import DetectParams
from obesity_levels.schema import LEVELS
from obesity_levels.scoring import Probabilities, most_probable

Bools = npt.NDArray[np.bool_]
_TINY = 1e-6
_ACCURACY, _F1, _ESTIMATE = range(3)
_PAIRS = len(LEVELS) ** 2 + 1
SCORES = ("accuracy", "f1_weighted", "estimated_accuracy")


class Confidence(NamedTuple):
    """Platt's calibration of a classifier's confidence: P(correct) = expit(intercept + slope * logit(confidence)).

    Platt, "Probabilistic outputs for support vector machines" (1999).
    """

    intercept: float
    slope: float

    def correct(self, probabilities: Probabilities) -> Floats:
        """The probability that the most probable level is the right one, shape (...), of `probabilities`, (..., 7)."""
        return special.expit(self.intercept + self.slope * log_odds(probabilities))


def log_odds(probabilities: Probabilities) -> Floats:
    """The logit of the highest of the `probabilities`, (..., 7), which is the confidence; shape (...)."""
    return special.logit(np.clip(probabilities.max(axis=-1).astype(float), _TINY, 1 - _TINY))


class Scored(NamedTuple):
    """Batches of equally many rows with the model's answers: shapes (batches, rows, …).

    `matrix` (…, columns) is the model's input, `levels` what it predicts, `labels` the truth or NO_LABEL, `correct` the
    estimated probability that the prediction is right. `unseen`, shape (batches, columns), counts the rows whose text
    is none of a column's categories.
    """

    matrix: Matrix
    levels: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    correct: Floats
    unseen: npt.NDArray[np.int64]

    def without_labels(self) -> Scored:
        """The same rows, as if nobody knew their labels."""
        return self._replace(labels=np.full_like(self.labels, NO_LABEL))


def scored(
    matrix: Matrix,
    labels: npt.NDArray[np.int64],
    probabilities: Probabilities,
    confidence: Confidence,
    batches: int = 1,
    unseen: npt.NDArray[np.int64] | None = None,
) -> Scored:
    """`batches` batches of equally many rows, one below the other in `matrix`, `labels` and `probabilities`."""
    if unseen is None:
        unseen = np.zeros((batches, matrix.shape[1]), dtype=np.int64)
    return Scored(
        matrix.reshape(batches, -1, matrix.shape[1]),
        most_probable(probabilities).reshape(batches, -1),
        labels.reshape(batches, -1),
        confidence.correct(probabilities).reshape(batches, -1),
        unseen,
    )


class Columns(NamedTuple):
    """Of each batch and column, shape (batches, columns), columns as the reference's, LEVEL last: effects and p-values.

    `ks` is NaN for categories; it and `psi` are NaN where every row lacks the column. A test that could not be made has
    a p of 1.
    """

    ks: Floats
    psi: Floats
    psi_critical: Floats
    missing_share: Floats
    unseen_share: Floats
    p_distribution: Floats
    p_missing: Floats
    p_unseen: Floats


class Results(NamedTuple):
    """What was found of each batch; p-values, those in `columns` too, are corrected over all tests of the batch.

    `scores`, the share of each that was `lost` against what was expected, and their p-values and alarms have the shape
    (batches, 3), by SCORES; accuracy and F1 are NaN where labels are too few. An alarm says that the effect was large,
    and not by chance; those of columns have the shape (batches, columns).
    """

    rows: int
    labelled: npt.NDArray[np.int64]
    columns: Columns
    distribution_alarm: Bools
    missing_alarm: Bools
    unseen_alarm: Bools
    scores: Floats
    lost: Floats
    p_scores: Floats
    score_alarm: Bools

    @property
    def column_alarm(self) -> Bools:
        """Which columns alarm, for whatever reason."""
        return self.distribution_alarm | self.missing_alarm | self.unseen_alarm

    @property
    def drift(self) -> Bools:
        """Which batches have drifted, if they have rows enough to tell."""
        return np.logical_or(self.column_alarm.any(axis=1), self.score_alarm.any(axis=1))


class Detector:
    """Tests batches against the reference rows.

    `train` is the input matrix of the rows that the model was trained on, shape (rows, columns). `held_out` are rows it
    was not trained on, with labels, as one batch: what their scores are is expected of others.
    """

    def __init__(self, reference: Reference, train: Matrix, held_out: Scored, params: DetectParams) -> None:
        self.reference = reference
        self.params = params
        self.cells = Cells(reference.columns)
        self.rows = len(train)
        self._counts = [np.array(column.counts) for column in reference.columns]
        self._sorted = {
            at: np.sort(train[train[:, at] != MISSING, at])
            for at, column in enumerate(reference.columns)
            if column.edges is not None
        }
        self._held_out = held_out
        self.expected = _scores(held_out)[0]
        self._chance: dict[int, Floats] = {}

    def test(self, batches: Scored) -> Results:
        """Test all `batches`."""
        return self.judge(batches, self.compare(batches))

    def count(self, batches: Scored) -> Counts:
        """The rows of each batch by cell, shape (batches, total)."""
        return np.stack([self.cells.count(*rows) for rows in zip(batches.matrix, batches.levels, strict=True)])

    def compare(self, batches: Scored) -> Columns:
        """The tests of the columns, which do not look at labels."""
        amount, rows = batches.levels.shape
        counts = self.count(batches)
        shape = (amount, len(self.reference.columns))
        found = Columns(
            ks=np.full(shape, np.nan),
            psi=np.full(shape, np.nan),
            psi_critical=np.full(shape, np.inf),
            missing_share=np.zeros(shape),
            unseen_share=np.zeros(shape),
            p_distribution=np.ones(shape),
            p_missing=np.ones(shape),
            p_unseen=np.ones(shape),
        )
        for at, column in enumerate(self.reference.columns):
            current, missing = self.cells.of_column(counts, at)
            present = rows - missing
            there = present > 0
            found.missing_share[:, at] = missing / rows
            found.p_missing[:, at] = _p_more(missing, rows, column.missing, column.missing + sum(column.counts))
            found.psi[there, at] = population_stability_index(self._counts[at], current[there])
            found.psi_critical[there, at] = _by_value(functools.partial(self._psi_critical, at), present[there])
            if at in self._sorted:
                values = batches.matrix[:, :, at]
                found.ks[:, at], found.p_distribution[:, at] = kolmogorov_smirnov(self._sorted[at], values)
                continue
            found.p_distribution[there, at] = self._homogeneous(at, current[there])
            if column.name == LEVEL:
                continue
            # categories of the schema that no reference row has, and texts that are none of the schema's
            never = current[:, self._counts[at] == 0].sum(axis=1) + batches.unseen[:, at]
            found.unseen_share[:, at] = never / rows
            found.p_unseen[:, at] = _p_more(never, rows, 0, self.rows)
        return found

    def judge(self, batches: Scored, columns: Columns) -> Results:
        """The tests of the scores, the correction for so many tests, and the alarms."""
        params = self.params
        amount, rows = batches.levels.shape
        scores, p_scores = _scores(batches), np.ones((amount, len(SCORES)))
        labelled = (batches.labels != NO_LABEL).sum(axis=1)
        # Labels where they are enough; else the estimate, which is not asked where the truth is known.
        judged = np.column_stack([labelled >= params.min_rows] * 2 + [labelled < params.min_rows])
        scores[~judged[:, _ACCURACY], :_ESTIMATE] = np.nan
        for score, count in ((_ACCURACY, labelled), (_F1, labelled), (_ESTIMATE, np.full(amount, rows))):
            for n in np.unique(count[judged[:, score]]):
                here = judged[:, score] & (count == n)
                p_scores[here, score] = self._p_no_better(score, int(n), scores[here, score])

        categories = [at for at, c in enumerate(self.reference.columns) if c.edges is None and c.name != LEVEL]
        families = [columns.p_distribution, columns.p_missing, columns.p_unseen[:, categories], p_scores]
        corrected = stats.false_discovery_control(np.concatenate(families, axis=1), axis=1)
        p_distribution, p_missing, p_categories, p_scores = np.split(
            corrected, np.cumsum([p.shape[1] for p in families])[:-1], axis=1
        )
        p_unseen = np.ones_like(p_missing)
        p_unseen[:, categories] = p_categories

        reference_missing = np.array([column.missing_share for column in self.reference.columns])
        least = np.array([params.accuracy_drop, params.f1_drop, params.accuracy_drop])
        with np.errstate(invalid="ignore"):
            large = (columns.ks >= params.ks) | (columns.psi > columns.psi_critical)
            lost = 1 - scores / self.expected
        return Results(
            rows=rows,
            labelled=labelled,
            columns=columns._replace(p_distribution=p_distribution, p_missing=p_missing, p_unseen=p_unseen),
            distribution_alarm=large & (p_distribution < params.alpha),
            missing_alarm=(columns.missing_share - reference_missing >= params.missing_rate)
            & (p_missing < params.alpha),
            unseen_alarm=(columns.unseen_share >= params.unseen_share) & (p_unseen < params.alpha),
            scores=scores,
            lost=lost,
            p_scores=p_scores,
            score_alarm=(lost >= least) & (p_scores < params.alpha) & judged,
        )

    def _psi_critical(self, at: int, rows: int) -> float:
        thresholds = self.reference.columns[at].psi_critical
        return max(self.params.psi, critical(self.reference.sizes, thresholds, rows))

    def _homogeneous(self, at: int, current: Counts) -> Floats:
        """p-values of the batches' counts and the reference's being of one distribution."""
        reference, params = self._counts[at], self.params
        statistic, freedom = chi_squared(reference, current)
        p = np.where(freedom > 0, stats.chi2.sf(statistic, np.maximum(freedom, 1)), 1.0)
        both = reference + current
        fewer = np.minimum(current.sum(axis=1, keepdims=True), reference.sum())
        expected = both * (fewer / both.sum(axis=1, keepdims=True))
        sparse = ((expected < params.sparse_below) & (both > 0)).any(axis=1) & (freedom > 0)
        for batch in np.flatnonzero(sparse):
            used = both[batch] > 0
            p[batch] = exact_p(
                tuple(reference[used].tolist()), tuple(current[batch][used].tolist()), params.permutations, params.seed
            )
        return p

    def _p_no_better(self, score: int, rows: int, found: Floats) -> Floats:
        """How likely `rows` held-out rows, drawn with replacement, score no better than was `found`."""
        if score == _ACCURACY:
            return stats.binom.cdf(np.round(found * rows), rows, self.expected[_ACCURACY])
        chance = self._by_chance(rows)[score]
        return (1 + np.searchsorted(chance, found + _TINY, side="right")) / (1 + len(chance))

    def _by_chance(self, rows: int) -> Floats:
        """Scores of `rows` held-out rows drawn with replacement, many times, each sorted; shape (3, draws)."""
        if rows not in self._chance:
            rng = np.random.default_rng(self.params.seed)
            # Drawn as counts of equal rows, so that a million rows take no longer than fifty.
            pairs, held_out = _pairs(self._held_out)[0], self._held_out.correct[0].round(3)
            shares = np.bincount(pairs, minlength=_PAIRS)[1:] / (pairs > 0).sum()
            scores = _accuracy_and_f1(rng.multinomial(rows, shares, size=self.params.permutations))
            values, counts = np.unique(held_out, return_counts=True)
            estimates = rng.multinomial(rows, counts / counts.sum(), size=self.params.permutations) @ values / rows
            self._chance[rows] = np.sort(np.column_stack([scores, estimates]), axis=0).T
        return self._chance[rows]


def kolmogorov_smirnov(reference: npt.NDArray[np.floating], values: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Two-sample statistic and asymptotic p-value of each row of `values`, shape (batches, rows), MISSING left out.

    `reference` is sorted and has no missing value. NaN and 1 where a row has no value, or the reference. Equal to
    `scipy.stats.ks_2samp(reference, values, method="asymp")`, for all batches in one go; where both have so few values
    that scipy has no p-value, it is 1.
    """
    present = values != MISSING
    count = present.sum(axis=1)
    if not len(reference):
        return np.full(len(values), np.nan), np.ones(len(values))
    # The reference's distribution at each value, and just below. Both rise with the value: sorting them is sorting it.
    place = np.arange(values.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = (
            np.sort(np.where(present, np.searchsorted(reference, values, side=side) / len(reference), np.inf), axis=1)
            for side in ("right", "left")
        )
        within = place < count[:, None]
        over = np.where(within, (place + 1) / count[:, None] - above, 0.0).max(axis=1)
        under = np.where(within, below - place / count[:, None], 0.0).max(axis=1)
    statistic = np.maximum(over, under)
    size = np.round(len(reference) * count / (len(reference) + count))
    p = np.ones(len(values))
    enough = size > 0
    p[enough] = np.clip(stats.kstwo.sf(statistic[enough], size[enough]), 0, 1)
    return np.where(count > 0, statistic, np.nan), p


@functools.lru_cache(maxsize=100_000)
def exact_p(reference: tuple[int, ...], current: tuple[int, ...], draws: int, seed: int) -> float:
    """p-value that two sparse histograms are of one distribution, given their sums.

    Two cells: Fisher's exact test. More: the share of `draws` random divisions of the rows whose chi-squared is as
    large, the found one counted (Phipson & Smyth, "Permutation p-values should never be zero", 2010). The same counts
    have the same p, whatever was tested before.
    """
    if len(reference) == 2:
        return float(stats.fisher_exact([reference, current]).pvalue)
    both = np.add(reference, current)
    random = np.random.default_rng(seed).multivariate_hypergeometric(both, sum(current), size=draws, method="marginals")
    # Chi-squared given the sums: up to a constant factor, this.
    expected = both * (sum(current) / both.sum())
    found = ((np.array(current) - expected) ** 2 / both).sum()
    as_large = (((random - expected) ** 2 / both).sum(axis=1) >= found * (1 - 1e-9)).sum()
    return float((1 + as_large) / (1 + draws))


def _p_more(hits: npt.NDArray[np.integer], rows: int, reference_hits: int, reference_rows: int) -> Floats:
    """One-sided Fisher test that so many `hits` of `rows` are no more than the reference has."""
    return _by_value(
        lambda k: float(stats.hypergeom.sf(k - 1, reference_rows + rows, reference_hits + k, rows)) if k else 1.0, hits
    )


def _by_value(function: Callable[[int], float], values: npt.NDArray[np.integer]) -> Floats:
    """`function` of each of `values`, asked once for equal ones."""
    different, inverse = np.unique(values, return_inverse=True)
    return np.array([function(int(value)) for value in different], dtype=float)[inverse]


def _scores(batches: Scored) -> Floats:
    """Accuracy and weighted F1 of the labelled rows (NaN: none), and the estimated accuracy of all; (batches, 3)."""
    amount = len(batches.levels)
    offsets = np.arange(amount)[:, None] * _PAIRS
    counts = np.bincount((_pairs(batches) + offsets).ravel(), minlength=amount * _PAIRS).reshape(amount, _PAIRS)
    return np.column_stack([_accuracy_and_f1(counts[:, 1:]), batches.correct.mean(axis=1)])


def _pairs(batches: Scored) -> npt.NDArray[np.int64]:
    """The cell of each row in a confusion matrix laid flat, counted from 1; 0 for a row without a label."""
    return np.where(batches.labels != NO_LABEL, batches.labels * len(LEVELS) + batches.levels + 1, 0)


def _accuracy_and_f1(confusion: npt.NDArray[np.integer]) -> Floats:
    """Accuracy and weighted F1, shape (batches, 2), of confusion matrices laid flat; NaN where one is empty."""
    confusion = confusion.reshape(len(confusion), len(LEVELS), len(LEVELS))
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    f1 = 2 * hits / np.maximum(actual + predicted, 1)
    count = actual.sum(axis=1)
    right = np.column_stack([hits.sum(axis=1), (f1 * actual).sum(axis=1)])
    return np.divide(right, count[:, None], out=np.full(right.shape, np.nan), where=count[:, None] > 0)
