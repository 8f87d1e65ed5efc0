"""`python -m service.challenger DIRECTORY SOCKET COUNTERS`: a second model, which is shown what the first has answered.

A process of its own, started by `service.shadow`: whatever it does, however long it takes or however it ends, the
service answers on. What it finds it adds to counters in memory that both share.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import logging.config
import mmap
import os
import signal
import socket
import sys
import time
from enum import IntEnum
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import astuple

from obesity_levels.errors import ArtifactError
from obesity_levels.model.classifier import Classifier, load_classifier, most_probable
from obesity_levels.model.features import encode_rows, input_matrix
from obesity_levels.schema import LEVELS, Patient
from service.logs import log_config
from service.memory import give_back_memory

# In bytes; what a Unix socket takes at once by default.
_LARGEST_MESSAGE = 200_000

# What it finds is published of so many rows together: of fewer, counts would tell what somebody was predicted.
_FEWEST_PUBLISHED = 50
# For so much of its time it computes, and then it waits: the processors are the champion's.
_SHARE_OF_A_CORE = 0.25
_NICEST = 19
# of <linux/prctl.h>
_PR_SET_PDEATHSIG = 1

Counts = npt.NDArray[np.int64]

logger = logging.getLogger("service.challenger")


class Counter(IntEnum):
    """The place of each counter, an int64; behind them the rows by level, of the champion and of the challenger.

    The service writes the first two, the challenger all that follow.
    """

    SENT, DROPPED, STATE, AGREED, DIFFERED, FAILED = range(6)


CHAMPION = len(Counter)
CHALLENGER = CHAMPION + len(LEVELS)
COUNTERS = CHALLENGER + len(LEVELS)


class State(IntEnum):
    """What has become of the challenger."""

    LOADING, SHADOWING, UNAVAILABLE = range(3)


class Answers(Patient, array_like=True, gc=False):
    """A patient without the names."""


class Rows(msgspec.Struct, array_like=True):
    """What is sent: the champion's answers, as places in LEVELS, and the 16 answers of each patient."""

    levels: list[int]
    patients: list[Answers]


def compare(classifier: Classifier, rows: Rows) -> Counts:
    """Predict `rows`: how that compares, by the place of the counter. Raises what the model raises."""
    matrix = input_matrix(encode_rows(map(astuple, rows.patients)), classifier.manifest.profile)
    probabilities = classifier.probabilities(matrix)
    if probabilities.shape != (len(rows.levels), len(LEVELS)) or not np.isfinite(probabilities).all():
        raise ArtifactError("its answers are not probabilities")
    champion, challenger = np.array(rows.levels), most_probable(probabilities)
    counts = np.zeros(COUNTERS, np.int64)
    counts[Counter.AGREED] = (champion == challenger).sum()
    counts[Counter.DIFFERED] = len(rows.levels) - counts[Counter.AGREED]
    counts[CHAMPION:CHALLENGER] = np.bincount(champion, minlength=len(LEVELS))
    counts[CHALLENGER:] = np.bincount(challenger, minlength=len(LEVELS))
    return counts


def main() -> None:
    """Load the model, then compare what comes until the service is gone."""
    # A terminal's Ctrl-C goes to both; the end of the service is the end of its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    directory, sender, shared = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    logging.config.dictConfig(log_config(os.environ.get("LOG_LEVEL", "").strip() or "info"))
    _stand_back()
    counters = np.frombuffer(mmap.mmap(shared, COUNTERS * 8), np.int64)
    try:
        classifier = load_classifier(directory)
    except Exception as error:
        # Before it is said: what is sent from then on is refused, not waiting for a process that is about to end.
        os.close(sender)
        counters[Counter.STATE] = State.UNAVAILABLE
        logger.error("no challenger: %s", error if isinstance(error, ArtifactError) else type(error).__name__)
        sys.exit(1)
    give_back_memory()
    counters[Counter.STATE] = State.SHADOWING
    unpublished = np.zeros(COUNTERS, np.int64)
    decode = msgspec.msgpack.Decoder(Rows).decode
    failed_before = False
    with socket.socket(fileno=sender) as messages:
        while message := messages.recv(_LARGEST_MESSAGE):
            started = time.monotonic()
            rows = decode(message)
            try:
                unpublished += compare(classifier, rows)
            except Exception as error:  # a model may fail in any way
                counters[Counter.FAILED] += len(rows.levels)
                if not failed_before:  # its message may hold what was sent
                    logger.error("the challenger fails: %s; later failures are counted only", type(error).__name__)
                failed_before = True
            if unpublished[CHAMPION:CHALLENGER].sum() >= _FEWEST_PUBLISHED:
                counters[Counter.AGREED :] += unpublished[Counter.AGREED :]
                unpublished[:] = 0
            time.sleep((time.monotonic() - started) * (1 / _SHARE_OF_A_CORE - 1))


def _stand_back() -> None:
    """Be the last to get a processor, the first to go where memory ends, and gone when the service is."""
    os.nice(_NICEST)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
