"""Champion and challenger side by side: a share of what is asked is shown to a second model, whose answers are compared
and never given.

The challenger is a process of its own (`service.challenger`). Rows are sent to it without waiting: where it does not
keep up they are dropped, and counted.
"""

from __future__ import annotations

import logging
import mmap
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import astuple
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from obesity_levels.errors import ArtifactError
from obesity_levels.model.classifier import load_manifest
from obesity_levels.paths import MANIFEST
from obesity_levels.schema import LEVELS, Patient
from service.challenger import CHALLENGER, CHAMPION, COUNTERS, Counter, State
from service.contract import ShadowStatus
from service.together import Gathered, on_event_loop

# Rows of small requests are sent together, once they are so many.
_ROWS_AT_ONCE = 50
# Of a large request so many, at random: a socket takes two or three messages of such a size before the first is read.
_ROWS_OF_REQUEST = 1000
_DIGITS = 4

# What the champion said, as a place in LEVELS, and of whom.
Pairs = list[tuple[int, Patient]]

logger = logging.getLogger("service.challenger")

_SAID: dict[State, Literal["loading", "shadowing", "unavailable"]] = {
    State.LOADING: "loading",
    State.SHADOWING: "shadowing",
    State.UNAVAILABLE: "unavailable",
}


class Shadow:
    """A challenger from the model in `directory`, which is shown `share` of the rows.

    `shared` is a folder in which several workers add up what their challengers found. Whatever is wrong with the model
    is said in the log, and in `status`. Raises OSError where no process can be started.
    """

    def __init__(self, directory: Path, share: float, shared: Path | None = None) -> None:
        self._share = share
        self._shared = shared
        self._version = _version(directory)
        self._encode = msgspec.msgpack.Encoder().encode
        self._gathered = Gathered(self._send_gathered)
        self._chance = random.Random()
        self._lock = threading.Lock()  # large requests are predicted on a thread
        self._ended = False
        if shared is None:
            memory = os.memfd_create("challenger")
        else:
            memory = os.open(shared / f"challenger_{os.getpid()}.counts", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(memory, COUNTERS * 8)
        self._counters = memoryview(mmap.mmap(memory, COUNTERS * 8)).cast("q")
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            command = [sys.executable, "-m", "service.challenger", str(directory), str(theirs.fileno()), str(memory)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(), memory))
        os.close(memory)

    def observe(self, patients: Sequence[Patient], levels: Sequence[int]) -> None:
        """Show `patients`, for whom the champion said `levels`, to the challenger, milliseconds later."""
        if self._share < 1:
            chosen = [pair for pair in zip(levels, patients, strict=True) if self._chance.random() < self._share]
        else:
            chosen = list(zip(levels, patients, strict=True))
        if len(chosen) >= _ROWS_AT_ONCE or not on_event_loop():
            shown = chosen if len(chosen) <= _ROWS_OF_REQUEST else self._chance.sample(chosen, _ROWS_OF_REQUEST)
            self._send(shown, others=len(chosen) - len(shown))
        elif chosen:
            self._gathered.add(chosen, len(chosen))
            if self._gathered.rows >= _ROWS_AT_ONCE:
                self._gathered.hand_on()

    def _send_gathered(self, gathered: list[Pairs]) -> None:
        self._send([pair for pairs in gathered for pair in pairs])

    def _send(self, pairs: Pairs, others: int = 0) -> None:
        """Send `pairs` if they are taken at once, and count them; `others` are too many to be sent."""
        # As the challenger's Rows are written.
        message = self._encode(([level for level, _ in pairs], [astuple(patient) for _, patient in pairs]))
        with self._lock:
            self._counters[Counter.DROPPED] += others
            self._counters[Counter.SENT] += len(pairs)
            try:
                self._socket.send(message)
            except OSError:  # it has not taken the ones before yet, or has ended
                self._counters[Counter.SENT] -= len(pairs)
                self._counters[Counter.DROPPED] += len(pairs)

    def _state(self) -> State:
        if self._process.poll() is None:
            return State(self._counters[Counter.STATE])
        if not self._ended:
            logger.error("the challenger has ended, with %d: there is none until a restart", self._process.returncode)
            self._drop_waiting()
        return State.UNAVAILABLE

    def _drop_waiting(self) -> None:
        """What the challenger was sent and has not answered is lost with it."""
        self._ended = True
        with self._lock:
            waiting = _waiting(self._counters.tolist())
            self._counters[Counter.SENT] -= waiting
            self._counters[Counter.DROPPED] += waiting

    def _totals(self) -> list[int]:
        """The counters of all workers together, also of those that have ended; the state is of no use there."""
        if self._shared is None:
            return self._counters.tolist()
        contents = [path.read_bytes() for path in self._shared.glob("challenger_*.counts")]
        whole = [memoryview(content).cast("q") for content in contents if len(content) == COUNTERS * 8]
        return [sum(column) for column in zip(*whole, strict=True)]

    def status(self) -> ShadowStatus:
        """What GET /model-info says of the challenger."""
        state = self._state()
        totals = self._totals()
        compared = totals[Counter.AGREED] + totals[Counter.DIFFERED]
        pairs = zip(totals[CHAMPION:CHALLENGER], totals[CHALLENGER:], strict=True)
        return ShadowStatus(
            version=self._version,
            status=_SAID[state],
            share=self._share,
            rows=compared,
            failed=totals[Counter.FAILED],
            waiting=_waiting(totals),
            dropped=totals[Counter.DROPPED],
            agreement=round(totals[Counter.AGREED] / compared, _DIGITS) if compared else None,
            distance=round(sum(abs(a - b) for a, b in pairs) / 2 / compared, _DIGITS) if compared else None,
        )

    def collect(self) -> Iterable[Metric]:
        """The same for Prometheus, as prometheus-client asks for it."""
        state = self._state()
        totals = self._totals()
        up = GaugeMetricFamily("obesity_shadow_up", "1 while the challenger is shown what is asked", labels=["version"])
        up.add_metric([self._version or "unknown"], float(state is State.SHADOWING))
        yield up
        rows = CounterMetricFamily(
            "obesity_shadow_rows", "Rows shown to the challenger, by how its answer compares", labels=["result"]
        )
        for counter in (Counter.AGREED, Counter.DIFFERED, Counter.FAILED, Counter.DROPPED):
            rows.add_metric([counter.name.lower()], totals[counter])
        yield rows
        levels = CounterMetricFamily(
            "obesity_shadow_predictions", "Rows that both have predicted, by level", labels=["model", "level"]
        )
        for model, at in (("champion", CHAMPION), ("challenger", CHALLENGER)):
            for place, level in enumerate(LEVELS):
                levels.add_metric([model, level], totals[at + place])
        yield levels

    def close(self) -> None:
        """End the challenger, which has nothing to finish."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._drop_waiting()


def _waiting(counters: list[int]) -> int:
    answered = (Counter.AGREED, Counter.DIFFERED, Counter.FAILED)
    return counters[Counter.SENT] - sum(counters[counter] for counter in answered)


def _version(directory: Path) -> str | None:
    try:
        return load_manifest(directory / MANIFEST).version
    except ArtifactError:  # said by the challenger itself
        return None
