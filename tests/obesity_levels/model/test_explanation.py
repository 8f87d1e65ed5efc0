import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.obesity_levels.manifests import manifest_of
from tests.strategies import few_examples, matrix_of, records

from obesity_levels.data.simulation import draw_people
from obesity_levels.model.classifier import Calibration, Classifier, load_classifier, most_probable
from obesity_levels.model.estimators import build_estimator
from obesity_levels.model.explanation import (
    Explainer,
    ExplanationBasis,
    _difference,
    make_background,
    smallest_change,
)
from obesity_levels.model.features import encode_rows, encode_table, input_matrix
from obesity_levels.model.onnx_export import export_onnx
from obesity_levels.schema import ANSWERS, CATEGORIES, LABEL, LEVELS, PROFILES, SCALES

HEALTHY = {"FCVC": "increase", "CAEC": "decrease", "FAF": "increase", "CALC": "decrease", "MTRANS": "increase"}
NORMAL = LEVELS.index("Normal_Weight")
PERSON = dict.fromkeys(ANSWERS) | {"Age": 30.0, "Height": 1.7, "Weight": 70.0, "FAF": 1.0, "CALC": "Sometimes"}


@pytest.fixture(scope="module")
def classifier(small_clone):
    found = load_classifier(small_clone.path / "models")
    found.manifest = msgspec.structs.replace(found.manifest, explanations=ExplanationBasis([], 1, HEALTHY))
    return found


def without_weight(params, population) -> Classifier:
    """A small forest of the profile `no_weight`."""
    people = draw_people(population, 350, np.random.default_rng(0))
    features = PROFILES["no_weight"]
    chosen = {"n_estimators": 5, "max_features": 4}
    forest = build_estimator(params.train, features, "random_forest", chosen).fit(
        input_matrix(encode_table(people), "no_weight"), people[LABEL].map(LEVELS.index).to_numpy()
    )
    onnx = export_onnx(forest, Calibration("power", 0.01, 2.4, 0, 0))
    basis = ExplanationBasis([], 1, HEALTHY)
    manifest = msgspec.structs.replace(
        manifest_of(onnx), profile="no_weight", features=list(features), explanations=basis
    )
    return Classifier(manifest, onnx)


def rows(*people: dict) -> np.ndarray:
    return encode_rows([[person[name] for name in ANSWERS] for person in people])


def probability(classifier, answers: np.ndarray, level: int) -> np.ndarray:
    return classifier.probabilities(input_matrix(answers, classifier.manifest.profile))[:, level].astype(float)


def exact(classifier, row: np.ndarray, background: np.ndarray, level: int) -> np.ndarray:
    """Shapley values by their definition: over all sets of those answers in which the row differs from the background.

    Shapley, "A Value for n-Person Games" (1953), with the mean probability over the background as the game.
    """
    players = [
        at for at in range(len(ANSWERS)) if not np.array_equal(background[:, at], [row[at]] * len(background), True)
    ]
    coalitions = [set(some) for size in range(len(players) + 1) for some in itertools.combinations(players, size)]
    mixed = np.repeat(background[None], len(coalitions), axis=0)
    for number, coalition in enumerate(coalitions):
        mixed[number][:, list(coalition)] = row[list(coalition)]
    worth = probability(classifier, mixed.reshape(-1, len(ANSWERS)), level).reshape(len(coalitions), -1).mean(axis=1)
    values, number_of = np.zeros(len(ANSWERS)), {frozenset(one): at for at, one in enumerate(coalitions)}
    for player, coalition in itertools.product(players, coalitions):
        if player not in coalition:
            share = 1 / (len(players) * math.comb(len(players) - 1, len(coalition)))
            values[player] += share * (
                worth[number_of[frozenset(coalition | {player})]] - worth[number_of[frozenset(coalition)]]
            )
    return values


def explained(classifier, row, background, seed=1):
    level = int(most_probable(classifier.probabilities(input_matrix(row[None], classifier.manifest.profile)))[0])
    probable = probability(classifier, row[None], level)[0]
    return level, probable, *Explainer(classifier, background, seed).contributions(row, level, probable)


@few_examples
@given(records(), records(), st.lists(st.sampled_from(ANSWERS), min_size=2, max_size=2, unique=True))
def test_with_two_answers_that_differ_the_contributions_are_the_exact_game(classifier, person, other, names):
    row, background = rows(person, person | {name: other[name] for name in names})
    level, _, _, found = explained(classifier, row, background[None])
    assert found == pytest.approx(exact(classifier, row, background[None], level), abs=1e-9)


def test_with_many_answers_that_differ_they_are_near_the_exact_game(classifier, small_clone):
    """Six answers differ, so there are 720 orders, of which a sample is taken."""
    people = [
        msgspec.to_builtins(one)
        for one in load_classifier(small_clone.path / "models").manifest.explanations.background
    ]
    differing = ("Gender", "Age", "Height", "Weight", "FCVC", "CALC")
    errors = []
    for person in people[::10]:
        other = [person | {name: one[name] for name in differing} for one in people]
        row, background = rows(person)[0], rows(*other)
        level, _, _, found = explained(classifier, row, background)
        errors.append(np.abs(found - exact(classifier, row, background, level)))
    assert np.mean(errors) < 0.01
    assert np.max(errors) < 0.08


@few_examples
@given(records(), st.lists(records(), min_size=1, max_size=5))
def test_contributions_add_up_to_what_is_between_probability_and_baseline(classifier, person, others):
    row, background = rows(person)[0], rows(*others)
    level, probable, baseline, found = explained(classifier, row, background)
    assert baseline == pytest.approx(probability(classifier, background, level).mean(), abs=1e-9)
    assert found.sum() == pytest.approx(probable - baseline, abs=1e-9)


@few_examples
@given(records(), st.sampled_from(ANSWERS))
def test_an_answer_that_the_row_and_all_the_background_share_contributes_nothing(classifier, person, name):
    others = [dict.fromkeys(ANSWERS) | {name: person[name]}, person | {"Age": 20.0, name: person[name]}]
    row, background = rows(person)[0], rows(*others)
    assert explained(classifier, row, background)[3][ANSWERS.index(name)] == 0


def test_a_missing_answer_contributes_too(classifier, small_clone):
    manifest = load_classifier(small_clone.path / "models").manifest
    background = encode_rows(map(msgspec.structs.astuple, manifest.explanations.background))
    row = background[-1].copy()
    row[ANSWERS.index("Weight")] = np.nan
    assert abs(explained(classifier, row, background)[3][ANSWERS.index("Weight")]) > 0.01


@given(records(), st.integers(0, 2**32 - 1))
@few_examples
def test_the_same_row_and_seed_give_the_same_bits(classifier, person, seed):
    row, background = rows(person)[0], rows(*[person | {"Weight": weight} for weight in (50.0, 80.0, 120.0)])
    once, again = (explained(classifier, row, background, seed) for _ in range(2))
    assert (once[2], once[3].tobytes()) == (again[2], again[3].tobytes())


def options(row: np.ndarray, level: int) -> list[list[tuple[dict[str, float], int]]]:
    """All changes by kind, each kind in the order in which the first that leads to a level is the smallest."""
    toward = 1 if level < NORMAL else -1
    kilograms = [{"Weight": row[ANSWERS.index("Weight")] + toward * more} for more in range(1, 281)]
    low, high = SCALES["Weight"]
    kilograms = [change for change in kilograms if low <= change["Weight"] <= high]
    habits = []
    for name, direction in HEALTHY.items():
        now = row[ANSWERS.index(name)]
        low, high = SCALES.get(name) or (0, len(CATEGORIES[name]) - 1)
        better = [
            value for value in np.arange(low, high + 1) if (value > now if direction == "increase" else value < now)
        ]
        habits += [
            (steps, {name: value}) for steps, value in enumerate(better if direction == "increase" else better[::-1])
        ]
    habits = [change for _, change in sorted(habits, key=lambda habit: habit[0])]
    return [habits, kilograms, [more | habit for more in kilograms for habit in habits]]


def smallest(classifier, row: np.ndarray, level: int) -> tuple[int, dict[str, float]] | None:
    """By trying everything: the nearest level that is reached at all, by the first kind that does, and its smallest."""
    kinds = options(row, level)
    for target in range(level + 1, NORMAL + 1) if level < NORMAL else range(level - 1, NORMAL - 1, -1):
        for changes in filter(None, kinds):
            changed = np.repeat(row[None], len(changes), axis=0)
            for one, change in zip(changed, changes, strict=True):
                one[[ANSWERS.index(name) for name in change]] = list(change.values())
            probabilities = classifier.probabilities(input_matrix(changed, classifier.manifest.profile))
            reached = (probabilities[:, target] >= 0.5) & (probabilities.argmax(axis=1) == target)
            if reached.any():
                return target, changes[reached.argmax()]
    return None


@settings(max_examples=150, deadline=None)
@given(records())
def test_the_smallest_change_is_what_trying_all_changes_finds(classifier, person):
    row = rows(person)[0]
    level = int(most_probable(classifier.probabilities(matrix_of([person])))[0])
    found, expected = smallest_change(classifier, row, level), smallest(classifier, row, level)
    if expected is None:
        assert found is None
        return
    target, answers = expected
    assert found.level == target
    assert found.answers.keys() == answers.keys()
    for name, value in answers.items():
        if name in CATEGORIES:
            assert found.answers[name] == CATEGORIES[name][int(value)]
        else:
            assert found.answers[name] == pytest.approx(value - row[ANSWERS.index(name)], abs=1e-6)


@given(st.sampled_from([name for name in HEALTHY if name in SCALES]), st.data())
@few_examples
def test_the_difference_of_a_habit_leads_to_a_whole_step_to_the_last_bit(classifier, name, data):
    """Else the end of the scale may be exceeded, and the service refuses the changed answers."""
    old = data.draw(st.floats(*SCALES[name]))
    low, high = SCALES[name]
    new = data.draw(st.sampled_from(np.arange(low, high + 1).tolist()))
    assert old + _difference(old, new) == new


def test_of_a_row_only_those_steps_are_scored_that_change_it(classifier, monkeypatch):
    scored = []
    score = classifier.probabilities
    monkeypatch.setattr(classifier, "probabilities", lambda matrix: scored.append(len(matrix)) or score(matrix))
    others = ({"Age": 20.0}, {"Age": 20.0, "Weight": 90.0}, {})
    row, *background = rows(PERSON, *(PERSON | other for other in others))
    Explainer(classifier, np.array(background), 1).contributions(row, NORMAL, 0.5)
    # The background itself; then one row between two changes, for each of the two orders of the one row that has them.
    assert scored == [3, 2]


def test_a_model_that_does_not_look_at_weight_gives_it_no_contribution_and_changes_habits_only(params, population):
    classifier = without_weight(params, population)
    row, background = rows(PERSON), rows(PERSON | {"Weight": 150.0, "FAF": 0.0}, PERSON | {"Weight": 50.0})
    _, probable, baseline, found = explained(classifier, row[0], background)
    assert found[ANSWERS.index("Weight")] == 0
    assert found.sum() == pytest.approx(probable - baseline, abs=1e-9)
    changes = [smallest_change(classifier, row[0], level) for level in range(7)]
    assert {name for change in changes if change for name in change.answers} <= set(HEALTHY)


def drawn_people(number: int, rng: np.random.Generator) -> np.ndarray:
    """Answers of made-up people, one in ten missing; the numbers that people give whole have fractions in every row."""
    ranges = [SCALES.get(name) or (0, len(CATEGORIES[name]) - 1) for name in ANSWERS]
    drawn = np.array([[rng.uniform(*one) for one in ranges] for _ in range(number)])
    for at, name in enumerate(ANSWERS):
        if name in CATEGORIES:
            drawn[:, at] = drawn[:, at].round()
    drawn[rng.random(drawn.shape) < 0.1] = np.nan
    return drawn


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(100, 2000), st.integers(7, 64), st.integers(20, 50))
def test_the_background_has_as_many_rows_as_it_may_and_none_of_a_person(seed, number, most, least):
    rng = np.random.default_rng(seed)
    answers, labels = drawn_people(number, rng), rng.integers(0, 7, number)
    found = make_background(answers, labels, most, least)
    usable = ~np.isnan(answers[:, [ANSWERS.index(name) for name in ("Age", "Height", "Weight")]]).any(axis=1)
    possible = sum(int((usable & (labels == level)).sum()) // least for level in range(7))
    assert min(possible, most) - 7 <= len(found) <= min(possible, most)
    people = {tuple(row) for row in np.nan_to_num(answers, nan=-1)}
    assert not people & {tuple(row) for row in np.nan_to_num(encode_rows(map(msgspec.structs.astuple, found)), nan=-1)}


def test_a_level_with_too_few_rows_has_none_in_the_background():
    rng = np.random.default_rng(1)
    answers = drawn_people(300, rng)
    answers[np.isnan(answers)] = 2.0
    labels = np.repeat([0, 1], [281, 19])
    answers[labels == 1, ANSWERS.index("Age")] = 99.0
    ages = [patient.Age for patient in make_background(answers, labels, 64, 20)]
    assert len(ages) == 14
    assert max(ages) < 99
