"""Reading the body of a request: within a time, a size, and a share of the memory for large ones."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException

from service.problems import Problem

# In bytes, of which a patient takes 230 to 280. Larger bodies reserve memory, and are answered on a thread ...
SMALL = 40_000
# ... but for these (1,000 patients took 4 to 5 ms) of a connection that is alone: the thread takes some 7 % longer.
MEDIUM = 300_000
# So many bodies of the largest size may be in memory at a time.
_LARGEST_AT_ONCE = 10
# After a refusal the rest of the body would have to be received, to find the next request behind it.
_CLOSE = {"connection": "close"}


class Body(NamedTuple):
    """A body, and the bytes that are reserved for it until `Bodies.release`."""

    content: bytes
    reserved: int


class Bodies:
    """Reads bodies of at most `largest` bytes that come within `seconds`."""

    def __init__(self, largest: int, seconds: float) -> None:
        self._largest = largest
        self._seconds = seconds
        self._free = _LARGEST_AT_ONCE * largest
        self._freed = asyncio.Condition()
        self._timeouts: set[asyncio.Timeout] = set()

    async def read(self, request: Request[Any, Any, Any]) -> Body:
        """The body of `request`; a large one waits until there is memory for it, with what it sent so far.

        Raises Problem: 400 if the client goes away, 408 if the body does not come in time, 413 if it is too large, 503
        if there was no memory for it in that time.
        """
        chunks: list[bytes] = []
        received = reserved = 0
        waiting = False
        try:
            async with asyncio.timeout(self._seconds) as timeout:
                self._timeouts.add(timeout)
                try:
                    async for chunk in request.stream():
                        chunks.append(chunk)
                        received += len(chunk)
                        if received > SMALL and not reserved:
                            waiting = True
                            reserved = await self._reserve(self._announced(request))
                            waiting = False
                            timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)
                finally:
                    self._timeouts.discard(timeout)
            return Body(b"".join(chunks), reserved)
        except BaseException as error:
            await self.release(reserved)
            if isinstance(error, TimeoutError):
                if waiting:
                    busy = {"retry-after": "1", **_CLOSE}
                    raise Problem(503, "too many large requests are being answered: try again", headers=busy) from None
                raise Problem(408, f"the body did not come within {self._seconds:g} s", headers=_CLOSE) from None
            if isinstance(error, InternalServerException):  # of Litestar, for nothing else while a body is read
                raise Problem(400, "the connection was closed before the body was whole", headers=_CLOSE) from None
            if isinstance(error, HTTPException) and error.status_code == 413:
                detail = f"the body is larger than {self._largest} bytes: send fewer patients in a request"
                raise Problem(413, detail, headers=_CLOSE) from None
            raise

    async def release(self, reserved: int) -> None:
        """Give back what was reserved for a body."""
        if reserved:
            async with self._freed:
                self._free += reserved
                self._freed.notify_all()

    def hurry(self, seconds: float) -> None:
        """Wait for no body longer than `seconds` from now."""
        end = asyncio.get_running_loop().time() + seconds
        for timeout in self._timeouts:
            timeout.reschedule(min(end, timeout.when() or end))

    async def _reserve(self, size: int) -> int:
        async with self._freed:
            await self._freed.wait_for(lambda: self._free >= size)
            self._free -= size
        return size

    def _announced(self, request: Request[Any, Any, Any]) -> int:
        """The length of the body as the request says, or the largest that it may have."""
        length = request.headers.get("content-length", "")
        return min(int(length), self._largest) if length.isascii() and length.isdigit() else self._largest
