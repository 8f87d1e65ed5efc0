"""The application: its routes, its middleware, its handlers of errors."""

import os
import sys
from typing import Any

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.types import ASGIApp

from obesity_levels.errors import ObesityLevelsError
from service.middleware import Middleware
from service.model import Model, load_model
from service.problems import EXCEPTION_HANDLERS
from service.routes.docs import docs_routes
from service.routes.drift import drift
from service.routes.health import health, live, ready
from service.routes.metrics import MODEL, forget_dead_workers, metrics
from service.routes.model import about, model_info
from service.routes.predict import Predictor, predict_routes
from service.settings import Settings, load_settings


def create_app(settings: Settings, model: Model | None = None) -> ASGIApp:
    """The application that answers with `model`, by default that of MODEL_DIR. Raises ArtifactError."""
    model = model or load_model(settings)
    predictor = Predictor(model, settings)
    routes = [health, ready, live, model_info, drift, metrics]
    page: list[Any] = [about]
    template_config = None
    if settings.web == "on":
        # Not imported without it: the template engine takes memory.
        from service.web.routes import templates, web_routes

        page, template_config = web_routes(predictor, model), templates()
    dependencies = {"model": Provide(lambda: model, sync_to_thread=False)}
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]

    forget_dead_workers()
    MODEL.labels(model.version).set(1)
    app = Litestar(
        [
            *predict_routes(predictor),
            *routes,
            *page,
            *docs_routes([*routes, about], dependencies, settings, model.coverages),
        ],
        dependencies=dependencies,
        cors_config=CORSConfig(origins, ["GET", "POST"], expose_headers=["Retry-After", "X-Request-ID"])
        if origins
        else None,
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        template_config=template_config,
        logging_config=None,
    )
    return Middleware(app)


def worker() -> ASGIApp:
    """What each worker of the server runs. A wrong setting or model is one line, and exit status 1."""
    try:
        return create_app(load_settings(os.environ))
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
