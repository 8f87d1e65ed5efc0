"""`python -m service`: check the settings, then serve with Granian until SIGTERM or SIGINT."""

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from obesity_levels.errors import ObesityLevelsError
from service.logs import log_config
from service.settings import Settings, SettingsError, load_settings

# In bytes, of the request line and the headers; a body comes in pieces of as many (of 16,384 it takes 1.5 ms more for
# 1,000 patients).
_LARGEST_HEADERS = 65_536
# The most connections of all workers, and the most that wait until one is closed. With Granian's 1,024, clients that
# never close theirs would keep everybody else out, of /health too.
_CONNECTIONS = 4096
SECONDS_TO_FINISH = 8
"""For requests in flight when the service shuts down."""


def main(application: str = "service.app:worker") -> None:
    """Serve what the factory `application` makes.

    Exit status 0 after SIGTERM or SIGINT, 1 after a wrong setting or model.
    """
    # numpy's own threads have nothing to do here, and take memory; read when a worker imports numpy
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        settings = load_settings(os.environ)
        _check_address(settings)
        with _shared_metrics(settings):
            _server(settings, application).serve()
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _server(settings: Settings, application: str) -> Any:
    return Granian(
        application,
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        backlog=_CONNECTIONS,
        # A new worker for one that crashed. Where none can start, the server ends with status 1.
        respawn_failed_workers=True,
        workers_kill_timeout=SECONDS_TO_FINISH,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=round(settings.header_seconds * 1000), max_buffer_size=_LARGEST_HEADERS
        ),
        websockets=False,
        loop=Loops.asyncio,
        log_access=False,
        log_level=LogLevels(settings.log_level),
        log_dictconfig=log_config(settings.log_level),
    )


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
    """Raise SettingsError if nothing can listen there: the server would end with a traceback."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such host"
        raise SettingsError(f"cannot listen on HOST {settings.host!a}, PORT {settings.port}: {reason}") from error


if __name__ == "__main__":
    main()
