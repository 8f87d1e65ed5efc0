"""GET /health and its kin: whether the service answers. It does as soon as its model is loaded and verified."""

from litestar import get
from litestar.di import NamedDependency

from service.model import Model
from service.schemas import Health


def _healthy(model: Model) -> Health:
    return Health("healthy", True, model.version)


@get("/health", operation_id="health", summary="Health", tags=["health"], sync_to_thread=False)
def health(model: NamedDependency[Model]) -> Health:
    """The same as /health/ready."""
    return _healthy(model)


@get("/health/ready", operation_id="ready", summary="Readiness", tags=["health"], sync_to_thread=False)
def ready(model: NamedDependency[Model]) -> Health:
    """Whether requests should be sent here."""
    return _healthy(model)


@get("/health/live", operation_id="live", summary="Liveness", tags=["health"], sync_to_thread=False)
def live(model: NamedDependency[Model]) -> Health:
    """Whether the process runs."""
    return _healthy(model)
