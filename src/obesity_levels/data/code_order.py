"""What codes stand for, where it can be proven: levels by the body-mass index, answers by the levels."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from obesity_levels.data.simulation import Population
from obesity_levels.schema import CATEGORIES, LEVELS

_LEAST_ROWS = 50
_LEAST_ROWS_OF_A_LEVEL = 5
# Log likelihoods, in nats. An order is proven if the levels are better known with it than without it, ...
_LEAST_ASSOCIATION = 5.0
# ... if it is so much more likely than any other order, ...
_LEAST_MARGIN = 10.0
# ... and if hardly any other assignment, in no order, fits the rows better, per row.
_MOST_BETTER = 0.002
# Weights of the population's shares in each level, of its mean shares, and of none: it is no more than like real ones.
_OWN, _MEAN, _FLAT = 0.9, 0.1, 0.005
# Levels may be read from the wrong side of a cut by rounding.
_LEAST_IN_BAND = 0.6
# The order on UCI's page: that of the alphabet, but for bikes and motorbikes, which are too rare to tell apart.
_AS_UCI_LISTS = ("Automobile", "Motorbike", "Bike", "Public_Transportation", "Walking")


class Order(NamedTuple):
    """The most likely category of each code, and whether that is proven."""

    categories: dict[str, str]
    proven: bool


def levels_of_codes(
    codes: Sequence[str], rows: pd.Series, bmi: pd.Series, cuts: Sequence[float]
) -> dict[str, str] | None:
    """The level of each code of the label, by the body-mass index of its rows; None if that does not prove it.

    `rows` has a code a row, `bmi` kg/m² or NaN, `cuts` the six borders between the levels. Each code must have its
    median in the band of another level, with most of its rows.
    """
    found = {}
    for code in codes:
        own = bmi[(rows == code) & bmi.notna()]
        bands = np.searchsorted(cuts, own, side="right")
        if len(own) < _LEAST_ROWS_OF_A_LEVEL:
            return None
        band = int(np.searchsorted(cuts, own.median(), side="right"))
        if (bands == band).mean() < _LEAST_IN_BAND:
            return None
        found[code] = LEVELS[band]
    return found if len(set(found.values())) == len(codes) else None


def categories_of_codes(
    name: str,
    codes: Sequence[str],
    rows: pd.Series,
    levels: npt.NDArray[np.int64],
    words: Sequence[str],
    like: Population,
    sorted_elsewhere: bool = False,
) -> Order | None:
    """The category of each code of the question `name`; None if there are too few rows, or more codes than categories.

    `codes` are in numerical order; `rows` has a text a row; `levels`, shape (rows,), an index in LEVELS, or -1; `words`
    are categories that the column has in words. Compared are the orders of the questionnaire and of the alphabet, from
    either end, with or without categories that nobody chose, and that of UCI's page, unless the codes of another
    question are in the order of the alphabet (`sorted_elsewhere`). Given the levels and the shares of `like`, a
    population, the most likely order is proven if the others are far less likely, and if it tells something about the
    levels.
    """
    free = [category for category in CATEGORIES[name] if category not in words]
    counts = np.zeros((len(codes), len(LEVELS)))
    at = pd.Index(codes).get_indexer(rows)
    known = (at >= 0) & (levels >= 0)
    np.add.at(counts, (at[known], levels[known]), 1)
    if counts.sum() < _LEAST_ROWS or len(codes) > len(free):
        return None
    shares = _shares(name, like)
    of_level = shares * counts.sum(axis=0)
    level_given_category = of_level / of_level.sum(axis=1, keepdims=True)
    expected = counts.sum(axis=0) / counts.sum()

    def log_likelihood(categories: Sequence[str]) -> float:
        at = [CATEGORIES[name].index(category) for category in categories]
        return float((counts * np.log(shares[at])).sum())

    def association(categories: Sequence[str]) -> float:
        at = [CATEGORIES[name].index(category) for category in categories]
        possible = expected > 0
        ratio = level_given_category[at][:, possible] / expected[possible]
        return float((counts[:, possible] * np.log(ratio)).sum())

    orders = sorted(set(_orders(codes, free, sorted_elsewhere)), key=log_likelihood, reverse=True)
    if not orders:
        return None
    first = orders[0]
    margin = log_likelihood(first) - (log_likelihood(orders[1]) if len(orders) > 1 else -np.inf)
    best = max(map(log_likelihood, itertools.permutations(free, len(codes))))
    proven = (
        margin >= _LEAST_MARGIN
        and association(first) >= _LEAST_ASSOCIATION
        and best - log_likelihood(first) <= _MOST_BETTER * counts.sum()
    )
    return Order(dict(zip(codes, first, strict=True)), proven)


def _orders(codes: Sequence[str], free: Sequence[str], sorted_elsewhere: bool) -> Iterator[tuple[str, ...]]:
    """The categories of the codes in each order: by their place, or without the categories that nobody chose."""
    places = [int(float(code) - float(codes[0])) for code in codes]
    as_listed = [] if sorted_elsewhere else [category for category in _AS_UCI_LISTS if category in free]
    for order in filter(None, (list(free), sorted(free), sorted(free, key=str.casefold), as_listed)):
        for one_way in (order, order[::-1]):
            if places == list(range(len(codes))):
                yield from itertools.combinations(one_way, len(codes))
            else:
                # a gap is a category that nobody chose; the first may be another one
                for first in range(len(free) - places[-1]):
                    yield tuple(one_way[first + place] for place in places)


def _shares(name: str, like: Population) -> npt.NDArray[np.float64]:
    """The share of each category in each level, shape (categories, levels)."""
    if name == "Gender":
        shares = np.array([like.female, 1 - np.array(like.female)])
    elif name in like.yes:
        shares = np.array([1 - np.array(like.yes[name]), like.yes[name]])
    else:
        shares = np.array([like.choices[name][category] for category in CATEGORIES[name]], dtype=np.float64)
    shares /= shares.sum(axis=0)
    shares = _OWN * shares + _MEAN * shares.mean(axis=1, keepdims=True) + _FLAT
    return shares / shares.sum(axis=0)
