"""`python -m service`: check the settings, then serve with Granian until SIGTERM or SIGINT."""

import contextlib
import os
import resource
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

# In bytes, of the request line and the headers. It is also the size of the pieces in which a body is received: with
# 16,384 a request of 1,000 patients takes 1.5 ms longer.
_LARGEST_HEADERS = 65_536
# The most open connections, divided among the workers, and the length of the queue of new ones. With Granian's 1,024,
# clients that never close theirs would keep everybody else out, of /health too.
_CONNECTIONS = 4096
SECONDS_TO_FINISH = 8
"""For requests in flight when the service shuts down."""


def main(application: str = "service.app:worker") -> None:
    """Serve what the factory `application` makes.

    Exit status 0 after SIGTERM or SIGINT, 1 after a wrong setting or model.
    """
    # numpy's own threads have nothing to do here, and take memory; read when a worker imports numpy
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A connection is an open file, and the usual limit is 1,024.
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    try:
        settings = load_settings(os.environ)
        address = _free_address(settings)
        with _shared_metrics(settings):
            _server(settings, address, application).serve()
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _server(settings: Settings, address: str, application: str) -> Any:
    return Granian(
        application,
        factory=True,
        address=address,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        backlog=_CONNECTIONS,
        # A new worker for one that crashed. If that one crashes within 5.5 s, the server ends with status 1.
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


def _free_address(settings: Settings) -> str:
    """The numeric address of HOST, which is what Granian takes. Raises SettingsError if nothing can listen there."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.create_server((settings.host, settings.port), family=family) as listening:
            return listening.getsockname()[0]
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such host"
        raise SettingsError(f"cannot listen on HOST {settings.host!a}, PORT {settings.port}: {reason}") from error


if __name__ == "__main__":
    main()
