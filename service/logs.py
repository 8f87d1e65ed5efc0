"""Logs: one JSON object a line, on standard output."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

# Lines of requests are written after so many seconds, together: each by itself costs a fifth of the requests a second
# (docs/decisions.md).
_SECONDS = 0.1
# Ten lines are shorter than 4,096 bytes, which a pipe writes in one piece, so lines of several workers do not mix.
_LINES = 10


class RequestLog:
    """Writes a line for each request to standard output, some of them at a time."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []
        self._common = {"level": "INFO", "logger": "service.requests", "message": "request", "process": os.getpid()}

    def add(self, **fields: Any) -> None:
        """Write a line with these fields a little later."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_SECONDS, self.write)
        self._lines.append(self._common | fields | {"time": datetime.now(UTC)})

    def write(self) -> None:
        """Write what was added."""
        lines, self._lines = self._lines, []
        for first in range(0, len(lines), _LINES):
            os.write(sys.stdout.fileno(), msgspec.json.Encoder().encode_lines(lines[first : first + _LINES]))


def log_config(level: str) -> dict[str, Any]:
    """The configuration of Python's logging, for the service, the server and the libraries alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.msgspec.MsgspecFormatter",
                "fmt": ["levelname", "name", "message", "process"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": "time",
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
        # instead of those of Granian, which have handlers of their own
        "loggers": {},
        "root": {"level": level.upper(), "handlers": ["stdout"]},
    }
