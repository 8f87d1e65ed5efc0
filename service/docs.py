"""The contract as OpenAPI, and its pages, which need no internet: their scripts come from packages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin, RedocRenderPlugin, SwaggerRenderPlugin

from obesity_levels.schema import QUESTIONS, Frequency, Level, Sex, Transport, YesNo
from service.contract import About, DriftStatus, Health, ModelInfo, Predictions, PredictRequest
from service.problems import Problem, ProblemDocument

DESCRIPTION = (
    "From 16 answers about a person's habits and body, one of seven obesity levels, with probabilities."
    " It is not a diagnosis; GET /model-info says what data the model is from."
)

_ASSETS = "/assets"
# package -> its folder of scripts and styles; never imported, because they would import a web framework
_PACKAGES = {
    "flask-swagger-ui": "flask_swagger_ui/dist",
    "flask-openapi-redoc": "flask_openapi_redoc/templates/redoc/js",
}
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
_NO_FAVICON: dict[str, Any] = {"favicon": "<link rel='icon' href='data:,'>"}


def openapi_document(handlers: Sequence[Any], max_patients: int) -> dict[str, Any]:
    """The OpenAPI document of `handlers`.

    The routes are as Litestar describes them. The schemas are msgspec's own, because Litestar leaves out a lowest value
    of 0, units, and that unknown fields are refused.
    """
    config = OpenAPIConfig(title="obesity-levels", version="1", description=DESCRIPTION, use_handler_docstrings=True)
    document = Litestar(list(handlers), openapi_config=config, logging_config=None).openapi_schema.to_schema()
    del document["servers"]
    kinds = (PredictRequest, Predictions, Health, About, ModelInfo, DriftStatus, ProblemDocument)
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schemas["PredictRequest"]["properties"]["patients"]["maxItems"] = max_patients
    patient = schemas["Patient"]
    for name, question in QUESTIONS.items():
        # A number's are within its union with null: a reader looks for them at the field, as they are for a category.
        said = {"description": question.description, "examples": [question.example], "x-unit": question.unit}
        for option in patient["properties"][name]["anyOf"]:
            for key in said:
                option.pop(key, None)
        patient["properties"][name] |= said
    # Not all null: at least one question is answered.
    patient["not"] = {"properties": {name: {"type": "null"} for name in QUESTIONS}}
    patient["examples"] = [{name: question.example for name, question in QUESTIONS.items()}]
    for kind in (Level, Sex, YesNo, Frequency, Transport):
        schemas[kind.__name__]["enum"] = [member.value for member in kind]  # in their order
    document["components"]["schemas"] = schemas
    return document


def docs_routes(document: Callable[[], dict[str, Any]]) -> list[Any]:
    """The routes of the document and its pages; `document` is called when it is first asked for."""
    swagger = SwaggerRenderPlugin(
        js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        css_url=f"{_ASSETS}/swagger-ui.css",
        standalone_preset_js_url=f"{_ASSETS}/swagger-ui-standalone-preset.js",
        **_NO_FAVICON,
    )
    redoc = RedocRenderPlugin(js_url=f"{_ASSETS}/redoc.standalone.js", google_fonts=False, **_NO_FAVICON)
    files = {path.name: path for package, inner in _PACKAGES.items() for path in _files(package, inner)}

    def page(path: str, plugin: OpenAPIRenderPlugin) -> Any:
        @get(path, media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
        def rendered(request: Request[Any, Any, Any]) -> bytes:
            if not files:
                raise Problem(503, "the pages' scripts are not installed: see service/assets.lock")
            return plugin.render(request, document())

        return rendered

    @get("/schema/openapi.json", include_in_schema=False, sync_to_thread=False)
    def openapi_json() -> Response[bytes]:
        return Response(msgspec.json.encode(document()), media_type="application/json")

    @get(f"{_ASSETS}/{{name:str}}", include_in_schema=False, sync_to_thread=False)
    def asset(name: str) -> Response[bytes]:
        if name not in files:
            raise NotFoundException
        return Response(files[name].read_bytes(), media_type=_MEDIA_TYPES[files[name].suffix])

    return [openapi_json, page("/docs", swagger), page("/redoc", redoc), asset]


def _files(package: str, inner: str) -> Iterator[Path]:
    with contextlib.suppress(PackageNotFoundError):
        folder = Path(str(distribution(package).locate_file(inner)))
        yield from (path for path in folder.iterdir() if path.suffix in _MEDIA_TYPES)
