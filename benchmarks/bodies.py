"""Bodies of requests: random answers within their scales and categories, and the mix of them that a service meets.

Locust has an environment of its own, so nothing but the standard library is imported here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

# A number's lowest and highest, or the categories.
Options = Sequence[float | str]
Patient = dict[str, float | str | None]

ONE, BATCH, INVALID = "one patient", "10 to 100 patients", "invalid"
SHARES = {ONE: 90, BATCH: 9, INVALID: 1}
"""The mix: so many in a hundred requests."""


class Body(NamedTuple):
    """A body of POST /predict, the status that it has to get, and the patients in it."""

    content: bytes
    status: int
    patients: int


def options(openapi: dict[str, Any]) -> dict[str, Options]:
    """What may be answered to each question, from the contract of a running service."""
    schemas = openapi["components"]["schemas"]

    def of(field: dict[str, Any]) -> Options:
        answer = next(kind for kind in field["anyOf"] if kind != {"type": "null"})
        if "$ref" in answer:
            return schemas[answer["$ref"].rpartition("/")[2]]["enum"]
        return [answer["minimum"], answer["maximum"]]

    return {name: of(field) for name, field in schemas["Patient"]["properties"].items()}


def patient(rng: random.Random, questions: Mapping[str, Options]) -> Patient:
    """Every question answered, evenly at random."""
    return {name: _answer(rng, of) for name, of in questions.items()}


def _answer(rng: random.Random, of: Options) -> float | str:
    first, last = of[0], of[-1]
    if isinstance(first, str) or isinstance(last, str):
        return rng.choice(of)
    return round(rng.uniform(first, last), 2)


def encode(patients: Sequence[Patient]) -> bytes:
    return json.dumps({"patients": patients}).encode()


def body(rng: random.Random, questions: Mapping[str, Options], kind: str) -> Body:
    """One of `kind`, a key of SHARES."""
    patients = [patient(rng, questions) for _ in range(rng.randint(10, 100) if kind == BATCH else 1)]
    if kind == INVALID:
        return _invalid(rng, patients[0])
    return Body(encode(patients), 200, len(patients))


def _invalid(rng: random.Random, answers: Patient) -> Body:
    """What clients get wrong: a unit, a spelling, a field that is missing, a body that is cut off."""
    wrong = {
        "unit": encode([answers | {"Height": 170}]),
        "spelling": encode([answers | {"MTRANS": "Tramway"}]),
        "field": encode([{name: answer for name, answer in answers.items() if name != "Age"}]),
        "cut off": encode([answers])[:-40],
    }
    what = rng.choice(list(wrong))
    return Body(wrong[what], 400 if what == "cut off" else 422, 1)


def fault(sent: Body, status: int, content: bytes, levels: Collection[str]) -> str | None:
    """What is wrong with the answer to `sent`, None if nothing is; `levels` are those that may be predicted."""
    if status != sent.status:
        return f"{status} instead of {sent.status}"
    if status != 200:
        return None
    try:
        answer = json.loads(content)
        predictions, probabilities = answer["predictions"], answer["probabilities"]
        if not len(predictions) == len(probabilities) == sent.patients:
            return "more or fewer predictions than patients"
        return None if all(level in levels for level in predictions) else "no such level"
    except (ValueError, KeyError, TypeError) as error:
        return f"no such answer: {type(error).__name__}"
