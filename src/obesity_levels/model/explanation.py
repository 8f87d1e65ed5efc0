"""Explanations: what each answer contributes to a probability, and which change leads to another level.

numpy and msgspec only, because the service imports it.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from obesity_levels.model.features import AGE, HEIGHT, WEIGHT, Answers, encode_rows, input_matrix
from obesity_levels.schema import ANSWERS, CATEGORIES, LEVELS, PROFILES, SCALES, Level, Patient

if TYPE_CHECKING:
    from obesity_levels.model.classifier import Classifier

Contributions = npt.NDArray[np.float64]
"""What each answer contributes to a probability, shape (16,), in the order of ANSWERS."""
Direction = Literal["increase", "decrease"]

_NORMAL = LEVELS.index(Level.NORMAL_WEIGHT)
_ENOUGH = 0.5
_DIGITS = 6


class ExplanationBasis(msgspec.Struct, frozen=True):
    """What explanations need of the training rows and of params.yaml.

    `background` are the rows that a patient is compared with, none of them a person; `seed` draws the orders in which
    answers are exchanged; `healthy` says in which direction a habit may be changed.
    """

    background: list[Patient]
    seed: int
    healthy: dict[str, Direction]


class Change(NamedTuple):
    """The level (an index in LEVELS) that a change leads to; the difference of a number, the new text of a category."""

    level: int
    answers: dict[str, float | str]


class Explainer:
    """Compares rows with a background: `background` are answers, shape (rows, 16), at least one row."""

    def __init__(self, classifier: "Classifier", background: Answers, seed: int) -> None:
        self._classifier = classifier
        rng = np.random.default_rng(seed)
        orders = np.array([rng.permutation(len(ANSWERS)) for _ in background])
        # Each order and its reverse, which takes most of the chance out of their mean.
        self._orders = np.concatenate([orders, orders[:, ::-1]])
        self._places = np.argsort(self._orders, axis=1)
        self._from = np.tile(np.arange(len(background)), 2)
        self._background = background
        self._of_background = self._score(background)
        columns = PROFILES[classifier.manifest.profile]
        self._looked_at = np.array([name in columns for name in ANSWERS])

    def contributions(
        self, row: npt.NDArray[np.float64], level: int, probability: float
    ) -> tuple[float, Contributions]:
        """The baseline, and what each answer of `row`, shape (16,), contributes to the `probability` of `level`.

        The baseline is the mean probability of the background. The contributions add up to probability - baseline. They
        are Shapley values, estimated over random orders: an answer contributes what the probability changes by
        when it takes the place of the background's, after those before it in the order (Štrumbelj & Kononenko,
        "Explaining prediction models and individual predictions with feature contributions" (2014); orders with their
        reverse: Mitchell et al., "Sampling Permutations for Shapley Value Estimation" (2022)).
        """
        start = self._background[self._from]
        differs = (start != row) & ~(np.isnan(start) & np.isnan(row)) & self._looked_at
        step = np.take_along_axis(differs, self._orders, axis=1)  # whether the row changes, at each place of an order
        changed = step.cumsum(axis=1)
        last = changed == changed[:, -1:]
        order, place = np.nonzero(step & ~last)
        mixed = np.where(self._places[order] <= place[:, None], row, start[order])
        # All probabilities, and for each step of each order which of them holds after it. A step without a change keeps
        # the one before.
        known = np.concatenate([self._of_background[:, level], self._score(mixed)[:, level], [probability]])
        at = np.zeros((len(start), len(ANSWERS) + 1), np.int64)
        at[:, 0] = self._from
        at[order, place + 1] = len(self._background) + np.arange(len(order))
        at[:, 1:][step & last] = len(known) - 1
        differences = np.diff(known[np.maximum.accumulate(at, axis=1)], axis=1)
        baseline = self._of_background[:, level].mean(dtype=np.float64)
        return float(baseline), np.take_along_axis(differences, self._places, axis=1).mean(axis=0)

    def _score(self, answers: Answers) -> npt.NDArray[np.float32]:
        return self._classifier.probabilities(input_matrix(answers, self._classifier.manifest.profile))


def load_explainer(classifier: "Classifier") -> Explainer | None:
    """The explainer with the background of the manifest; None for a model that has none."""
    basis = classifier.manifest.explanations
    if basis is None or not basis.background:
        return None
    return Explainer(classifier, encode_rows(map(msgspec.structs.astuple, basis.background)), basis.seed)


def smallest_change(classifier: "Classifier", row: npt.NDArray[np.float64], level: int) -> Change | None:
    """The smallest change of `row`, shape (16,), predicted as `level`, that leads toward Normal_Weight; None if none.

    It leads to the nearest level that any change reaches with a probability of at least 0.5. One habit alone comes
    first, then the fewest kilograms, then kilograms with one habit. Only answers that are there are changed: the weight
    by whole kilograms, a habit by whole steps in its healthy direction.
    """
    basis = classifier.manifest.explanations
    if basis is None or level == _NORMAL:
        return None
    toward = 1 if level < _NORMAL else -1
    habits = sorted(_healthier(row, basis.healthy), key=lambda habit: habit.steps)
    with_habit = _with_habits(row[None], habits)
    with_weight = _with_weights(row, toward) if "Weight" in classifier.manifest.features else row[None][:0]
    found: list[tuple[int, Answers]] = []
    for options in (np.concatenate([with_habit, with_weight]), _with_habits(with_weight, habits)):
        probabilities = classifier.probabilities(input_matrix(options, classifier.manifest.profile))
        reached = np.where(probabilities.max(axis=1) >= _ENOUGH, probabilities.argmax(axis=1), level)
        for target in range(level + toward, _NORMAL + toward, toward):
            if (reached == target).any():
                found.append((abs(target - level), options[(reached == target).argmax()]))
                break
        if found and found[0][0] == 1:
            break
    if not found:
        return None
    distance, changed = min(found, key=lambda one: one[0])
    answers = {
        name: CATEGORIES[name][int(new)] if name in CATEGORIES else _difference(float(old), float(new))
        for name, old, new in zip(ANSWERS, row, changed, strict=True)
        if new != old and not np.isnan(old)
    }
    return Change(int(level + toward * distance), answers)


def make_background(answers: Answers, labels: npt.NDArray[np.int64], rows: int, least: int) -> list[Patient]:
    """At most `rows` rows that hold no person: each the medians and modes of at least `least` training rows.

    The rows of a level are halved by age and sorted by height. Medians of slices by body-mass index would all be of
    medium height: the contributions of height and weight would be far from those against real rows.

    `answers`, shape (n, 16), and `labels`, indices in LEVELS, are the training rows; one without age, height or weight
    is left out. A level with fewer than `least` rows has none.
    """
    complete = ~np.isnan(answers[:, [AGE, HEIGHT, WEIGHT]]).any(axis=1)
    size = max(least, math.ceil(complete.sum() / rows))
    background = []
    for level in range(len(LEVELS)):
        of_level = answers[complete & (labels == level)]
        halves = np.array_split(of_level[np.argsort(of_level[:, AGE], kind="stable")], 2)
        by_height = np.concatenate([half[np.argsort(half[:, HEIGHT], kind="stable")] for half in halves])
        if slices := len(by_height) // size:
            background += [_typical(part) for part in np.array_split(by_height, slices)]
    return background


def _difference(old: float, new: float) -> float:
    """With few digits, unless `old` and it would not add up to `new`, which may be the end of the scale."""
    short = round(new - old, _DIGITS)
    return short if old + short == new else new - old


class _Habit(NamedTuple):
    answer: int
    value: float
    steps: int


def _healthier(row: npt.NDArray[np.float64], healthy: dict[str, Direction]) -> Iterator[_Habit]:
    """The healthier values of each habit that was answered, in whole steps on its scale or of its categories."""
    for name, direction in healthy.items():
        at = ANSWERS.index(name)
        low, high = SCALES.get(name) or (0, len(CATEGORIES[name]) - 1)
        if not np.isnan(row[at]):
            up = range(math.floor(row[at]) + 1, int(high) + 1)
            down = range(math.ceil(row[at]) - 1, int(low) - 1, -1)
            for steps, value in enumerate(up if direction == "increase" else down, 1):
                yield _Habit(at, float(value), steps)


def _with_habits(rows: Answers, habits: list[_Habit]) -> Answers:
    """Each of `rows` with each of `habits`."""
    changed = np.repeat(rows, len(habits), axis=0)
    for number, habit in enumerate(habits):
        changed[number :: len(habits), habit.answer] = habit.value
    return changed


def _with_weights(row: npt.NDArray[np.float64], toward: int) -> Answers:
    """`row` with 1 kg, 2 kg and so on more or less, to the end of the scale; none where the weight is missing."""
    low, high = SCALES["Weight"]
    room = (high - row[WEIGHT]) if toward > 0 else (row[WEIGHT] - low)
    changed = np.tile(row, (0 if np.isnan(room) else math.floor(room), 1))
    changed[:, WEIGHT] += toward * np.arange(1, len(changed) + 1)
    return changed


def _typical(rows: Answers) -> Patient:
    """The median of each number and the most frequent of each category; null where fewer than half have answered.

    The median of a few would be the answer of one.
    """
    found: dict[str, float | str | None] = {}
    for name, column in zip(ANSWERS, rows.T, strict=True):
        answered = column[~np.isnan(column)]
        if len(answered) < len(rows) / 2:
            found[name] = None
        elif name in CATEGORIES:
            found[name] = CATEGORIES[name][np.bincount(answered.astype(np.int64)).argmax()]
        else:
            found[name] = float(np.median(answered))
    return msgspec.convert(found, Patient)
