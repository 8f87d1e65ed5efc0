"""The application: its routes, and how it takes its leave."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

import msgspec
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody
from litestar.types import ASGIApp

from obesity_levels.schema import Level, Patient
from service import observation
from service.admission import Admission
from service.bodies import MEDIUM, SMALL, Bodies
from service.contract import About, DriftStatus, Health, ModelInfo, Predictions, request_decoder
from service.docs import DESCRIPTION, docs_routes, openapi_document
from service.monitor import Monitor
from service.observation import PREDICTED, Lifecycle, Observed
from service.problems import EXCEPTION_HANDLERS, MEDIA_TYPE, Problem, ProblemDocument
from service.settings import Settings
from service.shadow import Shadow
from service.together import ARRIVALS

# Once the service closes, for bodies that are still on their way: less than the server then waits for their answers.
_LAST_SECONDS_FOR_A_BODY = 5.0


class Predictor(Protocol):
    """What answers: the model, or in the benchmark a constant."""

    version: str
    info: ModelInfo
    monitor: Monitor | None
    shadow: Shadow | None

    def predict(self, patients: Sequence[Patient]) -> Predictions: ...

    async def predict_together(self, patients: Sequence[Patient]) -> Predictions: ...


@dataclass
class PredictOperation(Operation):
    """The body is decoded by the handler, so its schema is named here."""

    def __post_init__(self) -> None:
        schema = Reference(ref="#/components/schemas/PredictRequest")
        self.request_body = RequestBody(content={MediaType.JSON: OpenAPIMediaType(schema=schema)}, required=True)


def _problems(said: dict[int, str]) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(ProblemDocument, generate_examples=False, description=description, media_type=MEDIA_TYPE)
        for status, description in said.items()
    }


def _operation(operation_id: str, summary: str, tag: str) -> dict[str, Any]:
    return {"operation_id": operation_id, "summary": summary, "tags": [tag], "sync_to_thread": False}


def create_app(settings: Settings, model: Predictor) -> ASGIApp:
    """The application that answers with `model`, which is loaded and verified."""
    decode = request_decoder(settings.max_patients)
    encode = msgspec.json.Encoder().encode
    admission = Admission(settings.max_in_flight)
    bodies = Bodies(settings.max_body_bytes, settings.body_seconds)
    # One thread, so that the event loop never waits for the interpreter behind several.
    scoring = ThreadPoolExecutor(1, "scoring")
    lifecycle = Lifecycle()
    monitor, shadow = model.monitor, model.shadow
    # What these count is of all workers already.
    own_metrics = [observation.registry_of(collector) for collector in (monitor, shadow) if collector is not None]

    def large(body: bytes) -> tuple[bytes, list[Level]]:
        return encoded(model.predict(decode(body).patients))

    def encoded(predictions: Predictions) -> tuple[bytes, list[Level]]:
        return encode(predictions), predictions.predictions

    @post(
        "/predict",
        operation_class=PredictOperation,
        operation_id="predict",
        summary="Predict levels",
        tags=["prediction"],
        status_code=200,
        response_description="The levels and their probabilities",
        responses=_problems(
            {
                400: "The body is not JSON",
                408: "The body did not come in time",
                413: "The body is too large",
                415: "The body is not said to be JSON",
                422: "The body is JSON, but not such a request: the first wrong field is named",
                503: "Too many requests are being answered: try again after Retry-After seconds",
            }
        ),
    )
    async def predict(request: Request[Any, Any, Any]) -> Response[Predictions]:
        """Predict the level of one patient or many.

        A field must be there; null means that the question was not answered. Categories are read in any case, with
        spaces or underscores.
        """
        _check_media_type(request)
        body = await bodies.read(request)
        admission.answering += 1
        try:
            if len(body.content) <= SMALL:
                content, levels = encoded(await model.predict_together(decode(body.content).patients))
            elif len(body.content) <= MEDIUM and admission.answering == 1 and ARRIVALS.of_one_connection:
                content, levels = large(body.content)
            else:
                content, levels = await asyncio.get_running_loop().run_in_executor(scoring, large, body.content)
        finally:
            admission.answering -= 1
            await bodies.release(body.reserved)
        request.scope[PREDICTED] = levels  # type: ignore[literal-required]
        # The annotation is for the contract; this is the same, encoded.
        return Response(content, media_type=MediaType.JSON)  # type: ignore[arg-type]

    def readiness() -> Response[Health]:
        status = "shutting down" if lifecycle.draining else "healthy"
        return Response(Health(status, True, model.version), status_code=503 if lifecycle.draining else 200)

    unready = {503: ResponseSpec(Health, generate_examples=False, description="Shutting down")}

    @get("/health", **_operation("health", "Health", "health"), responses=unready)
    def health() -> Response[Health]:
        """The same as /health/ready."""
        return readiness()

    @get("/health/ready", **_operation("ready", "Readiness", "health"), responses=unready)
    def ready() -> Response[Health]:
        """Whether requests should be sent here: 503 while shutting down."""
        return readiness()

    @get("/health/live", **_operation("live", "Liveness", "health"))
    def live() -> Health:
        """Whether the process runs."""
        return Health("healthy", True, model.version)

    @get("/model-info", **_operation("model_info", "The model", "model"))
    def model_info() -> ModelInfo:
        """What is served, what it was made of, and what was measured of it."""
        return model.info if shadow is None else msgspec.structs.replace(model.info, challenger=shadow.status())

    @get("/", **_operation("about", "What this is", "model"))
    def about() -> About:
        """What this is, and where the rest is."""
        links = {
            "predict": "/predict", "health": "/health", "model_info": "/model-info", "docs": "/docs", "redoc": "/redoc",
            "openapi": "/schema/openapi.json", "metrics": "/metrics", "drift": "/drift",
        }  # fmt: skip
        return About("obesity-levels", DESCRIPTION, model.version, model.info.data.simulated, links)

    @get(
        "/drift",
        **_operation("drift", "Drift", "model"),
        responses=_problems({404: "Drift is not watched here"}),
    )
    def drift() -> DriftStatus:
        """Whether what was predicted lately looks like what the model was trained on, and how often such a verdict is
        wrong. Counts only: no row is kept, and counts under 5 are not shown.
        """
        if monitor is None:
            raise Problem(404, "drift is not watched: there is no drift_reference.json, or DRIFT_WINDOW is 0")
        return monitor.status()

    @get("/metrics", **_operation("metrics", "Metrics for Prometheus", "health"), media_type=MediaType.TEXT)
    def metrics() -> Response[str]:
        """Metrics in the text format of Prometheus, of all workers together."""
        content, media_type = observation.exposition(*own_metrics)
        return Response(content, media_type=media_type)  # type: ignore[arg-type]

    handlers = [predict, health, ready, live, model_info, drift, about, metrics]

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        """On SIGTERM say first that this is not ready, and close only after those who watch had time to see it."""
        loop = asyncio.get_running_loop()
        close: Any = signal.getsignal(signal.SIGTERM)

        def drain(number: int, frame: FrameType | None) -> None:
            if not lifecycle.draining:
                lifecycle.draining = True
                loop.call_soon_threadsafe(bodies.hurry, settings.drain_seconds + _LAST_SECONDS_FOR_A_BODY)
                loop.call_soon_threadsafe(lambda: loop.call_later(settings.drain_seconds, close, number, frame))

        if callable(close):  # there is a server that closes; in its tests an application may run without one
            signal.signal(signal.SIGTERM, drain)
        # A full collection looks at 100,000 objects that stay, and halts every request meanwhile: it need not.
        gc.collect()
        gc.freeze()
        observation.forget_dead_workers()
        if monitor is not None:
            monitor.loop = loop
        observation.MODEL.labels(model.version).set(1)
        yield
        scoring.shutdown(wait=False)
        if shadow is not None:
            shadow.close()

    app = Litestar(
        [*handlers, *docs_routes(functools.cache(lambda: openapi_document(handlers, settings.max_patients)))],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=settings.max_body_bytes,
    )
    return Observed(admission.before(app), lifecycle)


def _check_media_type(request: Request[Any, Any, Any]) -> None:
    media_type, options = request.content_type
    if media_type != MediaType.JSON or options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem(415, "send JSON in UTF-8, with the header Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "send the body as it is, without Content-Encoding")
