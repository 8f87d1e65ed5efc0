"""`python -m service`: check the settings and the model, then serve."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from obesity_levels.errors import ObesityLevelsError
from service.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from litestar.types import ASGIApp

# For requests in flight when the service closes; with the drain before it, the process ends within 10 s.
_SECONDS_TO_FINISH = 7


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit status 0 after them, 1 after a wrong setting or model."""
    # numpy's own threads have nothing to do here, and take memory; read when numpy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        settings = load_settings(os.environ)
        with _shared_metrics(settings):
            from service.app import create_app
            from service.model import load_model

            # Verified here even where the workers will load their own: a bad one is refused once, in one line.
            model = load_model(settings.model_dir, settings.git_revision)
            _check_address(settings)
            if settings.workers > 1:
                serve(settings, "service.worker:create_worker")
            else:
                model.watch(settings.drift_window, shared=None)
                model.shadow_with(settings.shadow_model_dir, settings.shadow_share, shared=None)
                serve(settings, create_app(settings, model))
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


@contextlib.contextmanager
def _shared_metrics(settings: Settings) -> Iterator[None]:
    """A folder in which several workers add up their metrics; named before anything imports prometheus_client."""
    if settings.workers == 1:
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        yield
        return
    with tempfile.TemporaryDirectory(prefix="obesity-levels-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def _check_address(settings: Settings) -> None:
    """Raise SettingsError if nothing can listen there: uvicorn would say it with a traceback, or not where."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such host"
        raise SettingsError(f"cannot listen on HOST {settings.host!a}, PORT {settings.port}: {reason}") from error


def serve(settings: Settings, app: ASGIApp | str) -> None:
    """Serve `app`, or with several workers what its factory makes in each, until SIGTERM or SIGINT."""
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    from service.connections import Connection
    from service.logs import log_config

    connection = functools.partial(
        Connection, header_seconds=settings.header_seconds, answer_seconds=settings.answer_seconds
    )
    config = uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        # uvloop accepts one connection a turn: over capacity, when a turn is long, new ones wait without end
        loop="asyncio" if settings.workers == 1 else "service.worker:Loop",
        http=connection,  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=log_config(settings.log_level),
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    # uvicorn raises the signal again when it has closed: then all is done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        if settings.workers == 1:
            uvicorn.Server(config).run()
        else:
            listening = config.bind_socket()
            # asyncio sets it for sockets of its own making only; without it answers wait 40 ms for the client's ACK
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            supervisor = Multiprocess(config, sockets=[listening])
            supervisor.run()
            if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
                sys.exit(1)  # a worker could not be started anew


if __name__ == "__main__":
    main()
