"""One of several workers: the application with settings and model of its own, and its share of the connections."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import weakref
from typing import Any

from litestar.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from obesity_levels.errors import ObesityLevelsError
from service.app import create_app
from service.model import load_model
from service.observation import shared_folder
from service.settings import load_settings

# A worker that has so many connections takes more as they come.
_FEW_CONNECTIONS = 64


class Loop(asyncio.SelectorEventLoop):
    """asyncio's event loop, which leaves connections to the other workers.

    asyncio takes up to a hundred in one turn, so the worker that wakes first may get all that a client opens, and one
    core does the work of two. While a worker has few, it takes one in a turn; not when it has many, for then a turn is
    long, and new ones would wait for many of them.
    """

    async def create_server(self, *arguments: Any, sock: socket.socket | None = None, **options: Any) -> asyncio.Server:
        """As asyncio's; a listening `sock` is shared with the other workers."""
        if sock is not None:
            sock = _OneATurn(sock, self)
        return await super().create_server(*arguments, sock=sock, **options)


class _OneATurn(socket.socket):
    """The same listening socket, which says that nobody waits once it was asked in a turn of the event loop."""

    def __init__(self, listening: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(listening.family, listening.type, listening.proto, os.dup(listening.fileno()))
        self._loop = loop
        self._taken = False
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        if self._taken and len(self._open) < _FEW_CONNECTIONS:
            raise BlockingIOError
        connection, address = super().accept()
        self._open.add(connection)
        if not self._taken:
            self._taken = True
            self._loop.call_soon(self._next_turn)
        return connection, address

    def _next_turn(self) -> None:
        self._taken = False


def create_worker() -> ASGIApp:
    """The application, as uvicorn asks for it in each process.

    A model that has become a bad one since the service was started ends the service: what is on disk is not what it
    answers for.
    """
    try:
        settings = load_settings(os.environ)
        model = load_model(settings.model_dir, settings.git_revision)
        model.watch(settings.drift_window, shared_folder())
        model.shadow_with(settings.shadow_model_dir, settings.shadow_share, shared_folder())
        return create_app(settings, model)
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)
