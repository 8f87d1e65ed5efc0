"""Champion and challenger: a second model receives a share of the rows; its answers are compared, and never returned.

It runs on a thread of its own, behind a bounded queue: rows that do not fit are dropped and counted. ONNX Runtime is
all that isolates it: a model that crashes the process takes the worker with it.
"""

import logging
import threading
import time
from pathlib import Path
from typing import Literal

import numpy as np
from prometheus_client import Counter, Gauge

from obesity_levels.drift.histograms import Counts
from obesity_levels.errors import ArtifactError
from obesity_levels.model.classifier import Classifier, Levels, load_classifier, load_manifest, most_probable
from obesity_levels.model.features import Answers, input_matrix
from obesity_levels.paths import MANIFEST
from obesity_levels.schema import LEVELS
from service.schemas import ShadowStatus

logger = logging.getLogger(__name__)

_MOST_WAITING_ROWS = 10_000
# Results are published so many rows at a time: of fewer, they would tell what somebody was predicted.
_FEWEST_PUBLISHED = 50
# Rows of several requests are compared together: to wake the thread for each request costs a third of the requests.
_SECONDS = 0.05
# It computes for this share of its time, and then waits: the processors are the champion's.
_SHARE_OF_A_CORE = 0.25
_DIGITS = 4

UP = Gauge("obesity_shadow_up", "1 while the challenger receives rows", ["version"], multiprocess_mode="livemin")
ROWS = Counter("obesity_shadow_rows", "Rows for the challenger, by how its answer compares", ["result"])
PREDICTIONS = Counter("obesity_shadow_predictions", "Rows that both have predicted, by level", ["model", "level"])


class Challenger:
    """Compares the model in `directory` with the champion on `share` of the rows. A failure is logged and counted."""

    def __init__(self, directory: Path, share: float) -> None:
        self._share = share
        self._version: str | None = None
        self._status: Literal["loading", "shadowing", "unavailable"] = "loading"
        self._lock = threading.Lock()
        self._random = np.random.default_rng()
        self._queue: list[tuple[Answers, Levels]] = []
        self._waiting = self._dropped = self._failed = 0
        self._compared = np.zeros((len(LEVELS), len(LEVELS)), np.int64)  # rows by the levels of both
        self._counters = {result: ROWS.labels(result) for result in ("agreed", "differed", "failed", "dropped")}
        threading.Thread(target=self._run, args=[directory], name="challenger", daemon=True).start()

    def observe(self, answers: Answers, levels: Levels) -> None:
        """Queue a share of the rows of a request, without waiting."""
        with self._lock:
            chosen = np.flatnonzero(self._random.random(len(levels)) < self._share)
            kept = chosen[: 0 if self._status == "unavailable" else max(_MOST_WAITING_ROWS - self._waiting, 0)]
            if len(kept):
                self._queue.append((answers[kept], levels[kept]))
            self._waiting += len(kept)
            self._drop(len(chosen) - len(kept))

    def status(self) -> ShadowStatus:
        """The challenger in the answer of GET /model-info."""
        with self._lock:
            compared, failed, waiting, dropped = self._compared, self._failed, self._waiting, self._dropped
        rows = int(compared.sum())
        distance = abs(compared.sum(axis=0) - compared.sum(axis=1)).sum() / 2
        return ShadowStatus(
            version=self._version,
            status=self._status,
            share=self._share,
            rows=rows,
            failed=failed,
            waiting=waiting,
            dropped=dropped,
            agreement=round(float(np.trace(compared)) / rows, _DIGITS) if rows else None,
            distance=round(float(distance) / rows, _DIGITS) if rows else None,
        )

    def _drop(self, rows: int) -> None:
        self._dropped += rows
        self._counters["dropped"].inc(rows)

    def _run(self, directory: Path) -> None:
        try:
            self._version = load_manifest(directory / MANIFEST).version
            classifier = load_classifier(directory)
        except Exception as error:
            logger.error("no challenger: %s", error if isinstance(error, ArtifactError) else type(error).__name__)
            UP.labels(self._version or "unknown").set(0)
            with self._lock:
                self._status = "unavailable"
                self._drop(self._waiting)
                self._queue, self._waiting = [], 0
            return
        UP.labels(self._version).set(1)
        self._status = "shadowing"
        unpublished = np.zeros_like(self._compared)
        while True:
            time.sleep(_SECONDS)
            with self._lock:
                queue, self._queue = self._queue, []
            if queue:
                started = time.monotonic()
                answers, levels = map(np.concatenate, zip(*queue, strict=True))
                self._compare(classifier, answers, levels, unpublished)
                time.sleep((time.monotonic() - started) * (1 / _SHARE_OF_A_CORE - 1))

    def _compare(self, classifier: Classifier, answers: Answers, levels: Levels, unpublished: Counts) -> None:
        try:
            probabilities = classifier.probabilities(input_matrix(answers, classifier.manifest.profile))
            if not np.isfinite(probabilities).all():
                raise ArtifactError("its answers are not probabilities")
            np.add.at(unpublished, (levels, most_probable(probabilities)), 1)
        except Exception as error:  # a model may fail in any way, and its message may hold what was sent
            if not self._failed:
                logger.error("the challenger fails: %s; later failures are only counted", type(error).__name__)
            with self._lock:
                self._failed += len(levels)
                self._waiting -= len(levels)
            self._counters["failed"].inc(len(levels))
        if unpublished.sum() >= _FEWEST_PUBLISHED:
            with self._lock:
                self._compared = self._compared + unpublished
                self._waiting -= int(unpublished.sum())
            self._counters["agreed"].inc(np.trace(unpublished))
            self._counters["differed"].inc(unpublished.sum() - np.trace(unpublished))
            for at, level in enumerate(LEVELS):
                PREDICTIONS.labels("champion", level).inc(unpublished[at].sum())
                PREDICTIONS.labels("challenger", level).inc(unpublished[:, at].sum())
            unpublished[:] = 0
