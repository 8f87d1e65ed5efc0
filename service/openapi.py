"""The contract as an OpenAPI document: routes as Litestar describes them, schemas as msgspec does."""

import copy
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig

from obesity_levels.schema import QUESTIONS, Frequency, Level, Sex, Transport, YesNo
from service.problems import MEDIA_TYPE, ProblemDocument
from service.schemas import About, DriftStatus, Explanations, Health, ModelInfo, Predictions, PredictRequest
from service.settings import Settings

DESCRIPTION = (
    "From 16 answers about a person's habits and body, one of seven obesity levels, with probabilities."
    " It is not a diagnosis; GET /model-info says what data the model is from."
)


def _content(description: str, name: str, media_type: str = "application/json") -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _post(name: str, summary: str, description: str, answer: dict[str, Any], others: dict[str, str]) -> dict[str, Any]:
    """POST /`name`, whose route is an ASGI application; `others` are statuses that only it has."""
    problems = {
        "400": "The body is not JSON",
        "408": "The body did not come in time",
        "413": "The body is too large",
        "415": "The body is not said to be JSON",
        "422": "The body is JSON, but not such a request: the first wrong field is named",
        "503": "Too many requests are being answered: try again after Retry-After seconds",
    } | others
    responses = {status: _content(text, "ProblemDocument", MEDIA_TYPE) for status, text in sorted(problems.items())}
    return {
        "tags": ["prediction"],
        "summary": summary,
        "description": f"{description}\n\nA field must be there; null means that the question was not answered."
        " Categories are read in any case, with spaces or underscores.",
        "operationId": name,
        "requestBody": _content("One patient or many", f"{name.title()}Request") | {"required": True},
        "responses": {"200": answer} | responses,
    }


def _operations(max_explained: int) -> dict[str, dict[str, Any]]:
    predictions = _content("The levels, their probabilities and the prediction sets", "Predictions")
    explanations = _content("The levels and their explanations", "Explanations")
    why = (
        f"Explain the level of at most {max_explained} patients: what each answer contributes to its probability"
        " (Shapley values against a background of typical rows), and the smallest change that leads to a level nearer"
        " to Normal_Weight. This is what the model would say. It does not show what would happen to a person, and it is"
        " not advice."
    )
    return {
        "predict": _post("predict", "Predict levels", "Predict the level of one patient or many.", predictions, {}),
        "explain": _post("explain", "Explain levels", why, explanations, {"404": "The model has no explanations"}),
    }


def openapi_document(
    handlers: Sequence[Any], dependencies: dict[str, Any], settings: Settings, coverages: Sequence[str]
) -> dict[str, Any]:
    """The OpenAPI document of `handlers`. `coverages` are those of the model's prediction sets, rising.

    The schemas are msgspec's own, because Litestar leaves out a minimum of 0, units, and that unknown fields are
    refused.
    """
    config = OpenAPIConfig(title="obesity-levels", version="1", description=DESCRIPTION, use_handler_docstrings=True)
    app = Litestar(list(handlers), dependencies=dependencies, openapi_config=config, logging_config=None)
    document = app.openapi_schema.to_schema()
    kinds = (PredictRequest, Predictions, Explanations, Health, About, ModelInfo, DriftStatus, ProblemDocument)
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schemas["ExplainRequest"] = copy.deepcopy(schemas["PredictRequest"]) | {"title": "ExplainRequest"}
    for name, most in (("PredictRequest", settings.max_patients), ("ExplainRequest", settings.max_explained)):
        schemas[name]["properties"]["patients"]["maxItems"] = most
    patient = schemas["Patient"]
    for name, question in QUESTIONS.items():
        # Those of a number are within its union with null: a reader looks for them at the field, as for a category.
        annotations = {"description": question.description, "examples": [question.example], "x-unit": question.unit}
        for option in patient["properties"][name]["anyOf"]:
            for key in annotations:
                option.pop(key, None)
        patient["properties"][name] |= annotations
    # Not all null: at least one question is answered.
    patient["not"] = {"properties": {name: {"type": "null"} for name in QUESTIONS}}
    patient["examples"] = [{name: question.example for name, question in QUESTIONS.items()}]
    for kind in (Level, Sex, YesNo, Frequency, Transport):
        schemas[kind.__name__]["enum"] = [member.value for member in kind]  # in their order
    document["components"]["schemas"] = schemas
    coverage = {
        "name": "coverage",
        "in": "query",
        "description": "Of the prediction sets; by default the highest",
        "schema": {"type": "number", "enum": list(map(float, coverages))},
    }
    parameters = {"parameters": [coverage]} if coverages else {}
    operations = _operations(settings.max_explained)
    posts = {f"/{name}": {"post": operation | parameters} for name, operation in operations.items()}
    document["paths"] = posts | document["paths"]
    return document
