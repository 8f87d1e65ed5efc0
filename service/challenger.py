"""`python -m service.challenger DIRECTORY SOCKET COUNTERS`: a second model, which is shown what the first has answered.

A process of its own, started by `service.shadow`: whatever it does, however long it takes or however it ends, the
service answers on. What it finds it adds to counters in memory that both share.
"""

from __future__ import annotations

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

from obesity_levels.errors import ArtifactError
from obesity_levels.features import input_matrix
from obesity_levels.schema import LEVELS
from obesity_levels.scoring import Classifier, load_classifier, most_probable
from service.logs import log_config

LARGEST_MESSAGE = 200_000
"""In bytes; what a Unix socket takes at once by default."""

# For so much of its time it computes, and then it waits: the processors are the champion's.
_SHARE_OF_A_CORE = 0.25
_NICEST = 19

logger = logging.getLogger("service.challenger")


class Counter(IntEnum):
    """The place of each counter, an int64; behind them the rows by level, of the champion and of the challenger."""

    STATE, SENT, AGREED, DIFFERED, FAILED, DROPPED = range(6)


CHAMPION = len(Counter)
CHALLENGER = CHAMPION + len(LEVELS)
COUNTERS = CHALLENGER + len(LEVELS)


class State(IntEnum):
    """What has become of the challenger."""

    LOADING, SHADOWING, UNAVAILABLE = range(3)


class Rows(msgspec.Struct, array_like=True):
    """What is sent: the champion's answers, as places in LEVELS, and the 16 answers of each patient."""

    levels: list[int]
    patients: list[tuple[float | str | None, ...]]


def compare(classifier: Classifier, rows: Rows, counters: memoryview[int]) -> None:
    """Predict `rows` and add to the counters how that compares. Raises what the model raises."""
    probabilities = classifier.probabilities(input_matrix(rows.patients, classifier.manifest.profile))
    if probabilities.shape != (len(rows.levels), len(LEVELS)) or not np.isfinite(probabilities).all():
        raise ArtifactError("its answers are not probabilities")
    found = most_probable(probabilities).tolist()
    for level, other in zip(rows.levels, found, strict=True):
        counters[CHAMPION + level] += 1
        counters[CHALLENGER + other] += 1
        counters[Counter.AGREED if level == other else Counter.DIFFERED] += 1


def main() -> None:
    """Load the model, then compare what comes until the service is gone."""
    directory, sender, shared = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    logging.config.dictConfig(log_config(os.environ.get("LOG_LEVEL", "info").strip() or "info"))
    # A terminal's Ctrl-C goes to both; the end of the service is the end of its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICEST)
    counters = memoryview(mmap.mmap(shared, COUNTERS * 8)).cast("q")
    try:
        classifier = load_classifier(directory)
    except ArtifactError as error:
        counters[Counter.STATE] = State.UNAVAILABLE
        logger.error("no challenger: %s", error)
        sys.exit(1)
    counters[Counter.STATE] = State.SHADOWING
    decode = msgspec.msgpack.Decoder(Rows).decode
    failed_before = False
    with socket.socket(fileno=sender) as messages:
        while message := messages.recv(LARGEST_MESSAGE):
            started = time.monotonic()
            rows = decode(message)
            try:
                compare(classifier, rows, counters)
            except Exception as error:  # a model may fail in any way
                counters[Counter.FAILED] += len(rows.levels)
                if not failed_before:  # its message may hold what was sent
                    logger.error("the challenger fails: %s; later failures are counted only", type(error).__name__)
                failed_before = True
            time.sleep((time.monotonic() - started) * (1 / _SHARE_OF_A_CORE - 1))


if __name__ == "__main__":
    main()
