"""GET / and GET /model-info: what this is, and which model answers."""

import msgspec
from litestar import get
from litestar.di import NamedDependency

from service.model import Model
from service.openapi import DESCRIPTION
from service.schemas import About, ModelInfo

_PAGES = ("predict", "explain", "health", "model_info", "docs", "redoc", "metrics", "drift")
_LINKS = {name: f"/{name.replace('_', '-')}" for name in _PAGES} | {"openapi": "/schema/openapi.json"}


@get("/model-info", operation_id="model_info", summary="The model", tags=["model"], sync_to_thread=False)
def model_info(model: NamedDependency[Model]) -> ModelInfo:
    """What is served, what it was made of, and what was measured of it."""
    challenger = model.challenger and model.challenger.status()
    return msgspec.structs.replace(model.info, challenger=challenger)


@get("/", operation_id="about", summary="What this is", tags=["model"], sync_to_thread=False)
def about(model: NamedDependency[Model]) -> About:
    """What this is, and where the rest is."""
    return describe(model)


def describe(model: Model) -> About:
    """The answer of GET / to a program."""
    return About("obesity-levels", DESCRIPTION, model.version, model.info.data.simulated, _LINKS)
