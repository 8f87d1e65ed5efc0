"""Waiting for what other processes do: never longer than it takes, and never without end."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(found: Callable[[], T], what: str | Callable[[], str], seconds: float = 60) -> T:
    """What `found` returns, once that is true; where it is not within `seconds`, a failure that says `what` was not."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(0.05)
    return result
