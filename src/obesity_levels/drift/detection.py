"""Statistical tests of batches against the reference, and the rule for alarms.

p-values come from scipy, or from a permutation test where counts are sparse. The statistics are computed for all
batches at once, because calibration tests thousands; tests/obesity_levels/drift compares them with those of scipy.
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from obesity_levels.drift import histograms
from obesity_levels.drift.batch import Scored
from obesity_levels.drift.histograms import LEVEL, Cells, Counts, Floats, Reference
from obesity_levels.io import NO_LABEL
from obesity_levels.model.features import MISSING, Matrix
from obesity_levels.params import DetectParams
from obesity_levels.schema import LEVELS

Bools = npt.NDArray[np.bool_]

# The columns of scores.
_ACCURACY, _F1, _ESTIMATE = range(3)
_PAIRS = len(LEVELS) ** 2 + 1
_TINY = 1e-6


class Columns(NamedTuple):
    """Effects and p-values, shape (batches, columns): the columns of the reference, in its order, LEVEL last.

    `ks` is NaN for categories; it and `psi` are NaN where the column is missing in every row. A test that could not be
    made has a p-value of 1; `p_unseen` is NaN for a column that is not a question with categories.
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
    """The results for each batch. All p-values, also those in `columns`, are corrected over all tests of the batch.

    `scores`, the share of the expected score that is `lost`, their p-values and alarms have shape (batches, 3):
    accuracy, weighted F1, estimated accuracy. Accuracy and F1 are NaN where too few rows have labels. An alarm means
    that the effect is large and not due to chance; a batch of too few rows has none. Alarms of columns have shape
    (batches, columns).
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
        """Which columns alarm, for any reason."""
        return self.distribution_alarm | self.missing_alarm | self.unseen_alarm

    @property
    def drift(self) -> Bools:
        """Which batches have drifted."""
        return np.logical_or(self.column_alarm.any(axis=1), self.score_alarm.any(axis=1))


class Detector:
    """Tests batches against the reference rows.

    `train` is the input matrix of the rows that the model was trained on, shape (rows, columns). `held_out` are rows
    that it was not trained on, with labels, as one batch: their scores are expected of other batches.
    """

    def __init__(self, reference: Reference, train: Matrix, held_out: Scored, params: DetectParams) -> None:
        self.reference = reference
        self.params = params
        self.cells = Cells(reference.columns)
        self.rows = len(train)
        self._counts = [np.array(column.counts) for column in reference.columns]
        self._sorted = [np.sort(values[values != MISSING]) for values in train.T]
        self._held_out = held_out
        self.expected = _scores(held_out)[0]
        self._chance: dict[int, Floats] = {}

    def test(self, batches: Scored) -> Results:
        """Test all `batches`."""
        return self.judge(batches, self.compare(batches))

    def compare(self, batches: Scored) -> Columns:
        """Test the columns, without labels."""
        counts = self.cells.count(batches.matrix, batches.levels)
        columns = [self._compare(at, batches, *self.cells.of_column(counts, at)) for at in range(len(self._counts))]
        return Columns(*(np.stack(values, axis=1) for values in zip(*columns, strict=True)))

    def _compare(self, at: int, batches: Scored, current: Counts, missing: Counts) -> Columns:
        """Test one column; the results have the shape (batches,)."""
        column, rows, count = self.reference.columns[at], batches.levels.shape[1], len(missing)
        exists = missing < rows
        ks, psi, p = np.full(count, np.nan), np.full(count, np.nan), np.ones(count)
        psi[exists] = histograms.population_stability_index(self._counts[at], current[exists])
        critical = histograms.critical(self.reference.sizes, column.psi_critical, rows - missing)
        psi_critical = np.maximum(critical, self.params.psi)
        unseen, p_unseen = np.zeros_like(missing), np.full(count, np.nan)
        if column.edges is not None:
            ks, p = kolmogorov_smirnov(self._sorted[at], batches.matrix[:, :, at])
        else:
            p[exists] = self._homogeneous(at, current[exists])
            if column.name != LEVEL:  # categories that no reference row has, and texts that are no category
                unseen = current[:, self._counts[at] == 0].sum(axis=1) + batches.unseen[at]
                p_unseen = self._p_more(unseen, rows, 0)
        p_missing = self._p_more(missing, rows, column.missing)
        return Columns(ks, psi, psi_critical, missing / rows, unseen / rows, p, p_missing, p_unseen)

    def judge(self, batches: Scored, columns: Columns) -> Results:
        """Test the scores, correct all p-values for the number of tests, and decide on alarms."""
        params, width, rows = self.params, len(self._counts), batches.levels.shape[1]
        labelled = (batches.labels != NO_LABEL).sum(axis=1)
        enough = labelled >= params.min_rows
        # By labels where enough rows have one, else by the estimated accuracy.
        judged = np.column_stack([enough, enough, ~enough])
        scores = _scores(batches)
        scores[~enough, :_ESTIMATE] = np.nan
        p = np.hstack([columns.p_distribution, columns.p_missing, columns.p_unseen, np.ones_like(scores)])
        p_scores = p[:, 3 * width :]
        for n in np.unique(labelled[enough]):
            here = labelled == n
            right = np.round(scores[here, _ACCURACY] * n)
            p_scores[here, _ACCURACY] = stats.binom.cdf(right, n, self.expected[_ACCURACY])
            p_scores[here, _F1] = self._p_no_better(_F1, int(n), scores[here, _F1])
        p_scores[~enough, _ESTIMATE] = self._p_no_better(_ESTIMATE, rows, scores[~enough, _ESTIMATE])
        made = ~np.isnan(p[0])
        p[:, made] = stats.false_discovery_control(p[:, made], axis=1)
        p_distribution, p_missing, p_unseen, p_scores = np.split(p, [width, 2 * width, 3 * width], axis=1)

        alpha = params.alpha if rows >= params.min_rows else 0  # no p-value is below 0
        reference_missing = np.array([column.missing_share for column in self.reference.columns])
        min_lost = np.array([params.accuracy_drop, params.f1_drop, params.accuracy_drop])
        large = (columns.ks >= params.ks) | (columns.psi > columns.psi_critical)
        lost = 1 - scores / self.expected
        return Results(
            rows=rows,
            labelled=labelled,
            columns=columns._replace(p_distribution=p_distribution, p_missing=p_missing, p_unseen=p_unseen),
            distribution_alarm=large & (p_distribution < alpha),
            missing_alarm=(columns.missing_share - reference_missing >= params.missing_rate) & (p_missing < alpha),
            unseen_alarm=(columns.unseen_share >= params.unseen_share) & (p_unseen < alpha),
            scores=scores,
            lost=lost,
            p_scores=p_scores,
            score_alarm=(lost >= min_lost) & (p_scores < alpha) & judged,
        )

    def _homogeneous(self, at: int, current: Counts) -> Floats:
        """p-values of the hypothesis that the counts of a batch and of the reference have the same distribution."""
        reference, params = self._counts[at], self.params
        statistic, freedom, least = histograms.chi_squared(reference, current)
        p = np.where(freedom > 0, stats.chi2.sf(statistic, np.maximum(freedom, 1)), 1.0)
        for batch in np.flatnonzero((least < params.sparse_below) & (freedom > 0)):
            used = reference + current[batch] > 0
            sparse = (tuple(counts[used].tolist()) for counts in (reference, current[batch]))
            p[batch] = exact_p(*sparse, params.permutations, params.seed)
        return p

    def _p_more(self, hits: Counts, rows: int, reference_hits: int) -> Floats:
        """One-sided Fisher test of whether `hits` among `rows` are more than in the reference."""
        different, inverse = np.unique(hits, return_inverse=True)
        return stats.hypergeom.sf(different - 1, self.rows + rows, reference_hits + different, rows)[inverse]

    def _p_no_better(self, score: int, rows: int, found: Floats) -> Floats:
        """Probability that `rows` held-out rows, drawn with replacement, score no better than `found`."""
        chance = self._by_chance(rows)[score]
        return (1 + np.searchsorted(chance, found + _TINY, side="right")) / (1 + len(chance))

    def _by_chance(self, rows: int) -> Floats:
        """Scores of `rows` held-out rows drawn with replacement, many times, each sorted; shape (3, draws)."""
        if rows not in self._chance:
            rng = np.random.default_rng(self.params.seed)
            # Drawn as counts of equal rows, so that a million rows take as long as fifty.
            pairs, held_out = _pairs(self._held_out)[0], self._held_out.correct[0].round(3)
            shares = np.bincount(pairs, minlength=_PAIRS)[1:] / (pairs > 0).sum()
            scores = _accuracy_and_f1(rng.multinomial(rows, shares, size=self.params.permutations))
            values, counts = np.unique(held_out, return_counts=True)
            estimates = rng.multinomial(rows, counts / counts.sum(), size=self.params.permutations) @ values / rows
            self._chance[rows] = np.sort(np.column_stack([scores, estimates]), axis=0).T
        return self._chance[rows]


def kolmogorov_smirnov(reference: npt.NDArray[np.floating], values: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Two-sample statistic and asymptotic p-value of each row of `values`, shape (batches, rows), MISSING left out.

    `reference` is sorted, is not empty and has no missing value. NaN and 1 where a row has no value. Equal to
    `scipy.stats.ks_2samp(reference, values, method="asymp")`, for all batches at once; where both have so few values
    that scipy has no p-value, it is 1.
    """
    ordered = np.sort(np.where(values == MISSING, np.nan, values), axis=1)  # NaN last
    present = ~np.isnan(ordered)
    count = present.sum(axis=1)
    # The distribution function of the reference at each value and just below it, against that of the values.
    above, below = (np.searchsorted(reference, ordered, side=side) / len(reference) for side in ("right", "left"))
    place = np.arange(values.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.maximum((place + 1) / count[:, None] - above, below - place / count[:, None])
    statistic = np.where(present, distance, 0.0).max(axis=1)
    size = np.round(len(reference) * count / (len(reference) + count))
    p = np.where(size > 0, stats.kstwo.sf(statistic, np.maximum(size, 1)), 1.0)
    return np.where(count > 0, statistic, np.nan), p


@functools.lru_cache(maxsize=100_000)
def exact_p(reference: tuple[int, ...], current: tuple[int, ...], draws: int, seed: int) -> float:
    """p-value of the hypothesis that two sparse histograms have the same distribution, given their sums.

    Two cells: Fisher's exact test. More: the share of `draws` random divisions of the rows whose chi-squared is as
    large, with the observed one counted (Phipson & Smyth, "Permutation p-values should never be zero", 2010). The same
    counts always have the same p-value.
    """
    if len(reference) == 2:
        return float(stats.fisher_exact([reference, current]).pvalue)
    both = np.add(reference, current)
    random = np.random.default_rng(seed).multivariate_hypergeometric(both, sum(current), size=draws, method="marginals")
    # Chi-squared given the sums, up to a constant factor
    expected = both * (sum(current) / both.sum())
    found = ((np.array(current) - expected) ** 2 / both).sum()
    as_large = (((random - expected) ** 2 / both).sum(axis=1) >= found * (1 - 1e-9)).sum()
    return float((1 + as_large) / (1 + draws))


def _scores(batches: Scored) -> Floats:
    """Accuracy and weighted F1 of the labelled rows (NaN if none), estimated accuracy of all rows; (batches, 3)."""
    amount = len(batches.levels)
    offsets = np.arange(amount)[:, None] * _PAIRS
    counts = np.bincount((_pairs(batches) + offsets).ravel(), minlength=amount * _PAIRS).reshape(amount, _PAIRS)
    return np.column_stack([_accuracy_and_f1(counts[:, 1:]), batches.correct.mean(axis=1)])


def _pairs(batches: Scored) -> npt.NDArray[np.int64]:
    """The cell of each row in a flattened confusion matrix, counted from 1; 0 for a row without a label."""
    return np.where(batches.labels != NO_LABEL, batches.labels * len(LEVELS) + batches.levels + 1, 0)


def _accuracy_and_f1(confusion: npt.NDArray[np.integer]) -> Floats:
    """Accuracy and weighted F1, shape (batches, 2), of flattened confusion matrices; NaN where one is empty."""
    confusion = confusion.reshape(len(confusion), len(LEVELS), len(LEVELS))
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    f1 = 2 * hits / np.maximum(actual + predicted, 1)
    count = actual.sum(axis=1)
    right = np.column_stack([hits.sum(axis=1), (f1 * actual).sum(axis=1)])
    return right / np.where(count > 0, count, np.nan)[:, None]
