"""GET /metrics: metrics of all workers for Prometheus."""

import os
from pathlib import Path

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest, multiprocess

from service.model import Model

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"

MODEL = Gauge("obesity_model_info", "The model that answers", ["version"], multiprocess_mode="livemax")


@get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    tags=["health"],
    sync_to_thread=False,
    media_type=MediaType.TEXT,
)
def metrics(model: NamedDependency[Model]) -> Response[str]:
    """Metrics in the text format of Prometheus, of all workers together."""
    if model.monitor is not None:
        model.monitor.status()  # the gauges of this worker show its window as it is now
    registry = REGISTRY
    if MULTIPROCESS_DIR in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    # Litestar adds the charset.
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8"))  # type: ignore[arg-type]


def forget_dead_workers() -> None:
    """Remove the gauges of workers that have ended from the metrics."""
    folder = os.environ.get(MULTIPROCESS_DIR)
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid)
