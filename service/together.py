"""Small requests that come at the same time are scored together: a call of the model between requests costs as much for
ten rows as for one, because its code and its trees are no longer in the processor's caches.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from obesity_levels.schema import Patient
from service.contract import Predictions

# More are not scored without a look at what else there is to do.
_MOST_ROWS = 100
_SECONDS_GATHERED = 0.05
_SECONDS_OF_ONE = 0.1

T = TypeVar("T")


class Arrivals:
    """What was received: `expected` requests, whose handling has not begun, may still join a batch in this turn."""

    def __init__(self) -> None:
        self.expected = 0
        self._connection = 0
        self._of_one_since = math.inf

    def add(self, connection: object) -> None:
        """A request has come over `connection`."""
        self.expected += 1
        if id(connection) != self._connection:
            self._connection, self._of_one_since = id(connection), time.monotonic()

    @property
    def of_one_connection(self) -> bool:
        """Whether in the last tenth of a second and longer all requests, of whatever kind, came over the same one."""
        return time.monotonic() - self._of_one_since > _SECONDS_OF_ONE


ARRIVALS = Arrivals()


class _Batch:
    def __init__(self) -> None:
        self.patients: list[Patient] = []
        self.answer: Predictions | Exception | None = None


class Together:
    """Scores with `predict` what is asked within one turn of the event loop: whoever comes last does it for all."""

    def __init__(self, predict: Callable[[Sequence[Patient]], Predictions], arrivals: Arrivals = ARRIVALS) -> None:
        self._predict = predict
        self._arrivals = arrivals
        self._open = _Batch()

    async def predict(self, patients: Sequence[Patient]) -> Predictions:
        """What `predict` says of these patients. Raises what it raises, to all that were scored together."""
        batch = self._open
        if not (batch.patients or self._arrivals.expected):
            return self._predict(patients)  # nobody else has asked
        first = len(batch.patients)
        batch.patients += patients
        full = len(batch.patients) >= _MOST_ROWS
        if full:
            self._open = _Batch()
        elif self._arrivals.expected:
            await asyncio.sleep(0)
        if batch.answer is None:
            if batch is self._open:
                self._open = _Batch()
            try:
                batch.answer = self._predict(batch.patients)
            except Exception as error:
                batch.answer = error
                raise
        if isinstance(batch.answer, Exception):
            raise batch.answer.with_traceback(None)  # or each would add its own part to it
        part = slice(first, first + len(patients))
        answer = batch.answer
        return Predictions(answer.predictions[part], answer.probabilities[part], answer.model_version)


class Gathered(Generic[T]):
    """What requests leave to be done with later, all together: when it is asked for, or after 50 ms.

    Between requests the processor's caches forget how it is done, and that costs more than doing it. Of the event loop
    alone; for no longer are rows kept.
    """

    def __init__(self, hand_on: Callable[[list[T]], None]) -> None:
        self.rows = 0
        self._items: list[T] = []
        self._hand_on = hand_on
        self._timer_runs = False

    def add(self, item: T, rows: int) -> None:
        """Keep `item`, which is about so many rows."""
        self._items.append(item)
        self.rows += rows
        if not self._timer_runs:
            self._timer_runs = True
            asyncio.get_running_loop().call_later(_SECONDS_GATHERED, self._time_is_up)

    def hand_on(self) -> None:
        """Hand on what there is, if there is anything."""
        items, self._items, self.rows = self._items, [], 0
        if items:
            self._hand_on(items)

    def _time_is_up(self) -> None:
        self._timer_runs = False
        self.hand_on()


def on_event_loop() -> bool:
    """Whether this thread has the event loop: large requests may be predicted on one that has none."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
