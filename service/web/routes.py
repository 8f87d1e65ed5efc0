"""GET and POST / for people, and what is known of the model.

All addresses are relative, so the pages work behind a prefix that a proxy strips.
"""

import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response, get, post
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.params import FromPath
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig
from litestar.types import HTTPReceiveMessage

from obesity_levels.schema import LEVELS, QUESTIONS, Patient
from service.model import Model
from service.problems import Problem
from service.routes.model import describe
from service.routes.predict import Predictor
from service.schemas import Predictions
from service.web.form import EXAMPLES, WrongAnswersError, read_form, read_patient
from service.web.language import by_preference, choose_language, load_languages

_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Nothing from another host, nothing inline, in no frame.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_VARY = {"Vary": "Accept, Accept-Language"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
} | _VARY
# The form of this page has 300 bytes. Of a larger one no more is repeated in the page that refuses it.
_LARGEST_FORM = 10_000


def templates() -> TemplateConfig[JinjaTemplateEngine]:
    """The template engine of the page."""
    loader = FileSystemLoader(_FOLDER / "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment))


def web_routes(predictor: Predictor, model: Model) -> list[Any]:
    """The routes of the page. GET / answers JSON to clients that do not prefer HTML."""
    languages = load_languages()
    files = {path.name: path.read_bytes() for path in sorted((_FOLDER / "static").iterdir())}
    # In the addresses of the parts, which a browser keeps: another version has other addresses.
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:12]

    def render(request: Request[Any, Any, Any], name: str, status: int = 200, **context: Any) -> Template:
        asked = request.query_params.get("lang")
        language = choose_language(languages, asked, request.headers.get("Accept-Language", ""))
        shared = {
            "language": language,
            "languages": languages,
            "texts": language.texts,
            "info": model.info,
            "questions": QUESTIONS,
            "digest": digest,
        }
        return Template(name, context=shared | context, headers=_HEADERS, status_code=status, media_type="text/html")

    def ask(request: Request[Any, Any, Any], fields: dict[str, str], status: int = 200, **context: Any) -> Template:
        nothing = {"wrong": None, "problem": None, "prediction": None, "explanation": None}
        return render(request, "ask.html", status, fields=fields, **nothing | context)

    @get("/", include_in_schema=False, sync_to_thread=False)
    def start(request: Request[Any, Any, Any]) -> Response[Any]:
        known = ("text/html", "application/json", "application/*", "*/*")
        preferred = [name for name in by_preference(request.headers.get("Accept", "")) if name in known]
        if preferred[:1] != ["text/html"]:
            return Response(describe(model), headers=_VARY)
        return ask(request, EXAMPLES.get(request.query_params.get("example", ""), {}))

    @post("/", include_in_schema=False, status_code=200)
    async def answer(request: Request[Any, Any, Any]) -> Template:
        # To a program, whose contract has no POST here, nothing changes.
        if not request.headers.get("Content-Type", "").lower().startswith("application/x-www-form-urlencoded"):
            raise MethodNotAllowedException(headers={"Allow": "GET"})
        received = bytearray()

        async def receive() -> HTTPReceiveMessage:
            message = await request.receive()
            if len(received) < _LARGEST_FORM:
                received.extend(message.get("body", b""))  # type: ignore[arg-type]
            return message  # type: ignore[return-value]

        def read(body: bytes) -> list[Patient]:
            if len(body) > _LARGEST_FORM:
                raise Problem(413, "the body is larger than the form of this page: load the page again")
            return [read_patient(read_form(body))]

        headers: dict[str, str] = {}
        status = 200
        try:
            predictions, explanations = await predictor.answer_form(request.scope, receive, read)
        except WrongAnswersError as error:
            status = 422
            context: dict[str, Any] = {"wrong": error.names}
        except Problem as problem:
            status, headers = problem.status, problem.headers
            context = {"problem": problem.status}
        else:
            context = {
                "prediction": _first(predictions),
                "explanation": explanations.explanations[0] if explanations else None,
            }
        page = ask(request, _written(bytes(received)), status, **context)
        page.headers = _HEADERS | headers
        return page

    @get("/about-the-model", include_in_schema=False, sync_to_thread=False)
    def about_the_model(request: Request[Any, Any, Any]) -> Template:
        if request.scope["raw_path"].endswith(b"/"):  # its relative addresses would lead nowhere
            raise NotFoundException
        monitor = model.monitor
        if monitor is None:
            return render(request, "model.html", drift=None)
        fewest = monitor.reference.thresholds.min_rows
        return render(request, "model.html", drift=monitor.status(), fewest_rows=fewest)

    @get("/web/{name:str}", include_in_schema=False, sync_to_thread=False)
    def part(name: FromPath[str]) -> Response[bytes]:
        if name not in files:
            raise NotFoundException
        headers = {"Cache-Control": "max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(files[name], media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)

    return [start, answer, about_the_model, part]


def _first(predictions: Predictions) -> dict[str, Any]:
    """The prediction of one patient, as the template shows it; a model of before there were any has no set."""
    return {
        "level": predictions.predictions[0],
        "probabilities": {level: getattr(predictions.probabilities[0], level) for level in LEVELS},
        "set": predictions.prediction_sets[0] if predictions.prediction_sets else None,
        "coverage": predictions.coverage or None,
    }


def _written(body: bytes) -> dict[str, str]:
    """The fields of a form, so that nobody has to write them again; none if it is not a form of this page."""
    try:
        return read_form(body)
    except Problem:
        return {}
