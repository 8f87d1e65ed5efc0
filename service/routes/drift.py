"""GET /drift: whether what was predicted lately looks like the training rows."""

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from service.model import Model
from service.problems import MEDIA_TYPE, Problem, ProblemDocument
from service.schemas import DriftStatus


@get(
    "/drift",
    operation_id="drift",
    summary="Drift",
    tags=["model"],
    sync_to_thread=False,
    responses={404: ResponseSpec(ProblemDocument, False, "Drift is not watched here", MEDIA_TYPE)},
)
def drift(model: NamedDependency[Model]) -> DriftStatus:
    """Whether what was predicted lately looks like what the model was trained on, and how often such a verdict is
    wrong. Counts only: no row is kept, and counts under 5 are not shown.
    """
    if model.monitor is None:
        raise Problem(404, "drift is not watched: there is no drift_reference.json, or DRIFT_WINDOW is 0")
    return model.monitor.status()
