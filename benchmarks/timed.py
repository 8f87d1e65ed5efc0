"""The service, which takes the time of its model where it is called: `benchmarks/serve.py` asks what that is.

In a loop of nothing else the same call is faster, because then the model's trees stay in the processor's caches.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
from service.__main__ import main

from obesity_levels.model.classifier import Classifier, Probabilities
from obesity_levels.model.features import Matrix


def take_time(times: list[tuple[int, float]]) -> None:
    """From now on add to `times` the rows and the seconds of each call of a model."""
    probabilities = Classifier.probabilities

    def timed(classifier: Classifier, matrix: Matrix) -> Probabilities:
        started = time.perf_counter()
        answer = probabilities(classifier, matrix)
        times.append((len(matrix), time.perf_counter() - started))
        return answer

    Classifier.probabilities = timed  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    called: list[tuple[int, float]] = []
    take_time(called)
    try:
        main()
    finally:
        Path(os.environ["MODEL_TIMES"]).write_bytes(msgspec.json.encode(called))
