"""The form: its fields become a patient, or it is said which of them are wrong."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from obesity_levels.schema import QUESTIONS, Patient, Question
from service.problems import Problem
from service.routes.predict import UNANSWERED

_NUMBER = re.compile(r"-?\d{1,9}([.,]\d{1,9})?", re.ASCII)

# Of made-up people, by what `?example=` says: the answers that the schema gives as examples, and others.
EXAMPLES: dict[str, dict[str, str]] = {
    "1": {
        name: question.example if isinstance(question.example, str) else f"{question.example:g}"
        for name, question in QUESTIONS.items()
    },
    "2": {
        "Gender": "Male", "Age": "34", "Height": "1.78", "family_history_with_overweight": "yes", "FAVC": "yes",
        "FCVC": "2", "NCP": "3", "CAEC": "Frequently", "SMOKE": "no", "SCC": "no", "FAF": "1", "TUE": "0",
        "CALC": "Sometimes", "MTRANS": "Automobile",
    },
}  # fmt: skip


class WrongAnswersError(Exception):
    """Answers that are not allowed: the names of their questions, in order; none if nothing was answered."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a form, as they were written. Raises Problem, 400, if it is not a form of this page."""
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=len(QUESTIONS)))
    except ValueError:  # UnicodeDecodeError is one
        fields = {"": ""}
    if not fields.keys() <= QUESTIONS.keys():
        raise Problem(400, "the body is not the form of this page: load the page again")
    return fields


def read_patient(fields: Mapping[str, str]) -> Patient:
    """The patient whom the fields describe; a blank field was not answered. Raises WrongAnswersError."""
    written = {name: fields.get(name, "").strip() for name in QUESTIONS}
    answers = {name: _answer(QUESTIONS[name], text) if text else None for name, text in written.items()}
    wrong = [name for name, text in written.items() if text and answers[name] is None]
    if wrong:
        raise WrongAnswersError(wrong)
    patient = msgspec.convert(answers, Patient)
    if patient == UNANSWERED:
        raise WrongAnswersError([])
    return patient


def _answer(question: Question, text: str) -> float | str | None:
    """What was written, as an answer; None where that is not allowed. A number may have a decimal comma."""
    if question.categories:
        return text if text in question.categories else None
    low, high = question.scale or (0, 0)
    number = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None
    return number if number is not None and low <= number <= high else None
