"""What is sent and what is answered: the structs, how a body becomes a request, and how a wrong one is explained.

No message repeats a value that was sent: it is about a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from obesity_levels.drift.histograms import FalseAlarmRate, Verdict
from obesity_levels.errors import invalid_field
from obesity_levels.schema import LEVELS, QUESTIONS, Level, Patient
from service.problems import Problem


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One patient or many."""

    patients: Annotated[list[Patient], Meta(min_length=1, description="The answers of each patient")]


LevelProbabilities: Any = msgspec.defstruct(
    "LevelProbabilities",
    [(level, Annotated[float, Meta(ge=0, le=1, description=f"Probability of {level}")]) for level in LEVELS],
    namespace={"__doc__": "The probability of each level; together 1."},
    gc=False,
)


class Predictions(msgspec.Struct):
    """The answer, in the order of the request."""

    predictions: Annotated[list[Level], Meta(description="The most probable level of each patient")]
    probabilities: Annotated[list[LevelProbabilities], Meta(description="The probabilities of each patient")]
    model_version: Annotated[str, Meta(description="Version of the model that answered", examples=["0123456789ab"])]


class Health(msgspec.Struct):
    """Whether the service answers."""

    status: Annotated[str, Meta(description="`healthy`, or `shutting down`", examples=["healthy"])]
    model_loaded: Annotated[
        bool,
        Meta(description="Always true: before it has been verified and has scored a row, nothing answers"),
    ]
    model_version: Annotated[str, Meta(description="Version of the model", examples=["0123456789ab"])]


class Data(msgspec.Struct):
    """What the model was trained on."""

    simulated: Annotated[bool, Meta(description="Whether the people were simulated: then none of them exists")]
    source: Annotated[str, Meta(description="File name of the source")]
    md5: Annotated[str, Meta(description="md5 of the source")]
    rows: Annotated[dict[str, int], Meta(description="Rows of each split")]


class Feature(msgspec.Struct):
    """A column of the model's input: a number on a scale (lowest and highest allowed), or one of some categories."""

    name: str
    description: str
    unit: str
    scale: tuple[float, float] | None
    categories: tuple[str, ...] | None


class ShadowStatus(msgspec.Struct):
    """A second model that is shown a share of what is asked, and how its answers compare; none of them is given."""

    version: Annotated[str | None, Meta(description="Of the challenger; null where it has no manifest")]
    status: Annotated[Literal["loading", "shadowing", "unavailable"], Meta(description="Of this worker's challenger")]
    share: Annotated[float, Meta(description="Of the rows, that it is shown")]
    rows: Annotated[int, Meta(description="That both have predicted, of all workers")]
    failed: Annotated[int, Meta(description="Rows that the challenger could not predict")]
    waiting: Annotated[int, Meta(description="Rows sent to it and not answered yet, or not counted until they are 50")]
    dropped: Annotated[
        int,
        Meta(
            description="Rows that it was not shown: it did not keep up, or has ended, or they were over 1,000 at once"
        ),
    ]
    agreement: Annotated[float | None, Meta(description="Share of the rows for which both say the same level")]
    distance: Annotated[
        float | None,
        Meta(description="Total variation distance of the levels' shares: 0 if they are equal, 1 if they share none"),
    ]


class ModelInfo(msgspec.Struct):
    """What is served, what it was made of, and what was measured of it."""

    name: str
    version: Annotated[str, Meta(description="The first 12 digits of the sha256")]
    sha256: Annotated[str, Meta(description="Of the ONNX file")]
    data: Data
    model: Annotated[str, Meta(description="Kind of estimator", examples=["random_forest"])]
    profile: Annotated[str, Meta(description="Which of the answers the model looks at", examples=["full"])]
    levels: Annotated[list[str], Meta(description="In order of severity")]
    features: Annotated[list[Feature], Meta(description="The model's input, in order")]
    params: Annotated[dict[str, Any], Meta(description="The section `train` of params.yaml")]
    chosen: Annotated[dict[str, Any], Meta(description="The hyperparameters that the search chose")]
    test_metrics: Annotated[
        dict[str, Any] | None, Meta(description="Measured on the test rows; null where not beside the model")
    ]
    libraries: Annotated[dict[str, str], Meta(description="Versions of the libraries that made it")]
    git_revision: Annotated[str | None, Meta(description="Of the build, where known")]
    challenger: Annotated[ShadowStatus | None, Meta(description="Null where no second model is shadowing")] = None


class DriftColumn(msgspec.Struct):
    """A column of the model's input against the training rows, or the predicted level against the validation rows'."""

    name: str
    psi: Annotated[float | None, Meta(description="Population stability index; null where every row lacks the column")]
    psi_critical: Annotated[float, Meta(description="The PSI above which the column alarms, for so many rows")]
    missing_share: Annotated[
        float | None, Meta(description="Share of rows in which it was not answered; null where they are under 5")
    ]
    missing_critical: Annotated[float, Meta(description="The share above which the column alarms")]
    alarm: bool
    counts: Annotated[
        dict[str, int | None], Meta(description="Rows by cell, rounded down to a multiple of 5; null where under 5")
    ]


class DriftStatus(msgspec.Struct):
    """Whether what was predicted lately looks like what the model was trained on."""

    verdict: Verdict
    rows: Annotated[int, Meta(description="In the window, of all workers; single ones join it 50 at a time")]
    window: Annotated[int, Meta(description="The most rows that the window holds")]
    model_version: Annotated[str, Meta(description="Version of the model", examples=["0123456789ab"])]
    false_alarm_rate: Annotated[
        FalseAlarmRate | None, Meta(description="Of batches without drift; null where not measured for so few rows")
    ]
    columns: Annotated[list[DriftColumn], Meta(description="Empty with too few rows to tell")]


class About(msgspec.Struct):
    """What this is and where the rest is."""

    name: str
    description: str
    model_version: str
    simulated: Annotated[bool, Meta(description="Whether the model was trained on simulated people")]
    links: dict[str, str]


def request_decoder(max_patients: int) -> Callable[[bytes], PredictRequest]:
    """A function that turns a body into a request of at most `max_patients` patients.

    It raises Problem: 400 where the body is not JSON, 422 where it is but is not such a request.
    """
    decode = msgspec.json.Decoder(PredictRequest).decode

    def decoded(body: bytes) -> PredictRequest:
        try:
            request = decode(body)
        except msgspec.ValidationError as error:
            _check_json(body, error)
            path, allowed = explain(error)
            raise Problem(422, f"{path}: {allowed}", path) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _not_json(error) from None
        patients = request.patients
        if len(patients) > max_patients:
            raise Problem(
                422, f"patients: expected at most {max_patients} in a request, send the rest in another", "patients"
            )
        if UNANSWERED in patients:
            path = f"patients[{patients.index(UNANSWERED)}]"
            raise Problem(422, f"{path}: nothing answered: at least one field must not be null", path)
        return request

    return decoded


UNANSWERED = Patient(*[None] * len(QUESTIONS))


def _check_json(body: bytes, error: msgspec.ValidationError) -> None:
    """Raise Problem if `body` is not JSON: decoding stops at the first wrong field, and does not see what follows."""
    if str(error).startswith("Number out of range"):
        raise Problem(400, "the body is not JSON that can be read: a number is out of every range")
    try:
        body.decode()
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as malformed:
        raise _not_json(malformed) from None


def _not_json(error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(400, "the body is not JSON that can be read: it is nested too deep")
    if isinstance(error, UnicodeDecodeError):
        return Problem(400, f"the body is not JSON: byte {error.start} is not UTF-8")
    at = re.search(r"\(byte (\d+)\)", str(error))
    where = f"malformed at byte {at[1]}" if at else "it ends too early"
    return Problem(400, f"the body is not JSON: {where}")


def explain(error: msgspec.ValidationError) -> tuple[str, str]:
    """The path of the invalid field and what is allowed there, without the value sent."""
    path, kind, name, _ = invalid_field(error)
    if kind == "missing":
        return _join(path, name), "a required field is missing" + _null_allowed(name)
    if kind == "unknown":
        # A name may be anything, even a value in the wrong place; one that looks like a name is repeated.
        known = re.fullmatch(r"[A-Za-z_]\w{0,40}", name, re.ASCII)
        return (_join(path, name) if known else path or "the body"), "no such field: take it out"
    name = path.rpartition(".")[2]
    if name in QUESTIONS:
        return path, f"expected {QUESTIONS[name].allowed}"
    if re.fullmatch(r"patients\[\d+\]", path):
        return path, "expected an object with the 16 answers of a patient"
    if path == "patients":
        return path, "expected a list of at least one patient"
    return path or "the body", 'expected an object: {"patients": [...]}'


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _null_allowed(name: str) -> str:
    return " (null if it was not answered)" if name in QUESTIONS else ""
