"""The contract: the structs that are sent and answered."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from obesity_levels.drift.histograms import FalseAlarmRate, Verdict
from obesity_levels.schema import LEVELS, Level, Patient


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
    prediction_sets: Annotated[
        list[list[Level]] | msgspec.UnsetType,
        Meta(description="For each patient the levels of which one is the true one, with the probability `coverage`"),
    ] = msgspec.UNSET
    coverage: Annotated[
        float | msgspec.UnsetType,
        Meta(description="What the sets promise. Absent, as the sets, for a model of before there were any"),
    ] = msgspec.UNSET


class Contribution(msgspec.Struct):
    """What an answer, or that there is none, contributes to a probability."""

    answer: Annotated[str, Meta(description="Field of Patient")]
    contribution: Annotated[float, Meta(ge=-1, le=1, description="Above 0 if it makes the level more probable")]


class Change(msgspec.Struct):
    """A change of answers after which the model gives another level.

    This is what the model would say. It does not show what would happen to the person, and it is not advice.
    """

    level: Annotated[Level, Meta(description="The level after the change, with a probability of at least 0.5")]
    answers: Annotated[
        dict[str, float | str],
        Meta(description="Of a number the difference, of a category the new value", examples=[{"Weight": -4.0}]),
    ]


class Explanation(msgspec.Struct):
    """Why the model gives this level, and what would change it."""

    level: Annotated[Level, Meta(description="The most probable level")]
    probability: Annotated[float, Meta(ge=0, le=1, description="Its probability")]
    baseline: Annotated[float, Meta(ge=0, le=1, description="Its mean probability in the background")]
    contributions: Annotated[
        list[Contribution],
        Meta(description="Of all 16 answers, the largest first; together probability - baseline"),
    ]
    prediction_set: Annotated[
        list[Level], Meta(description="The true level is one of these, with the probability `coverage`")
    ]
    change: Annotated[
        Change | None,
        Meta(
            description="The smallest change that leads to the nearest level toward Normal_Weight: one habit, else"
            " weight, else both. Never age, sex, height or family history, nor what was not answered"
        ),
    ]
    change_reason: Annotated[
        Literal["already_normal_weight", "no_change_found"] | None, Meta(description="Why there is no change")
    ]


class Explanations(msgspec.Struct):
    """The answer, in the order of the request."""

    explanations: Annotated[list[Explanation], Meta(description="For each patient")]
    coverage: Annotated[float, Meta(description="The probability with which a prediction set holds the true level")]
    model_version: Annotated[str, Meta(description="Version of the model that answered", examples=["0123456789ab"])]


class Health(msgspec.Struct):
    """Whether the service answers."""

    status: Annotated[str, Meta(description="Always `healthy`", examples=["healthy"])]
    model_loaded: Annotated[bool, Meta(description="Always true: nothing answers before the model is verified")]
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
    """A second model that receives a share of this worker's rows; its answers are compared, and not returned."""

    version: Annotated[str | None, Meta(description="Of the challenger; null where it has no manifest")]
    status: Annotated[Literal["loading", "shadowing", "unavailable"], Meta(description="Of this worker's challenger")]
    share: Annotated[float, Meta(description="Share of the rows that it receives")]
    rows: Annotated[int, Meta(description="Rows that both have predicted")]
    failed: Annotated[int, Meta(description="Rows that the challenger could not predict")]
    waiting: Annotated[int, Meta(description="Rows that wait for it, or are not counted until they are 50")]
    dropped: Annotated[int, Meta(description="Rows that it did not receive, because it did not keep up")]
    agreement: Annotated[float | None, Meta(description="Share of the rows for which both say the same level")]
    distance: Annotated[float | None, Meta(description="Total variation distance of the levels' shares, from 0 to 1")]


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
    test_metrics: Annotated[dict[str, Any] | None, Meta(description="Of the test rows; null if not beside the model")]
    libraries: Annotated[dict[str, str], Meta(description="Versions of the libraries that made it")]
    git_revision: Annotated[str | None, Meta(description="Of the build, where known")]
    challenger: Annotated[ShadowStatus | None, Meta(description="Null where no second model is shadowing")] = None


class DriftColumn(msgspec.Struct):
    """A column of the model's input against the training rows, or the predicted level against the validation rows'."""

    name: str
    psi: Annotated[float | None, Meta(description="Population stability index; null where every row lacks the column")]
    psi_critical: Annotated[float, Meta(description="The PSI above which the column alarms, for so many rows")]
    missing_share: Annotated[float | None, Meta(description="Share of rows without an answer; null if under 5 rows")]
    missing_critical: Annotated[float, Meta(description="The share above which the column alarms")]
    alarm: bool
    counts: Annotated[dict[str, int | None], Meta(description="Rows by cell, in steps of 5; null where under 5")]


class DriftStatus(msgspec.Struct):
    """Whether what was predicted lately looks like what the model was trained on."""

    verdict: Verdict
    rows: Annotated[int, Meta(description="Rows in the window of this worker; single ones join it 50 at a time")]
    window: Annotated[int, Meta(description="The most rows that the window holds")]
    model_version: Annotated[str, Meta(description="Version of the model", examples=["0123456789ab"])]
    false_alarm_rate: Annotated[
        FalseAlarmRate | None, Meta(description="Of batches without drift; null if not measured")
    ]
    columns: Annotated[list[DriftColumn], Meta(description="Empty with too few rows to tell")]


class About(msgspec.Struct):
    """What this is and where the rest is."""

    name: str
    description: str
    model_version: str
    simulated: Annotated[bool, Meta(description="Whether the model was trained on simulated people")]
    links: dict[str, str]
