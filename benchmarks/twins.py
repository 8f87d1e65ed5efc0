"""The service with one part replaced, to measure the rest beside it: `python benchmarks/twins.py echo|timed`.

`echo` answers a constant instead of predicting. `timed` writes what its model took to the file MODEL_TIMES, because in
a loop of nothing else the same call is faster: the model's trees then stay in the processor's caches.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send
from service.__main__ import main
from service.app import create_app
from service.model import Model, load_model
from service.schemas import Predictions
from service.settings import load_settings

from obesity_levels.model.classifier import Classifier, Probabilities
from obesity_levels.model.features import Matrix
from obesity_levels.schema import QUESTIONS, Patient


def echo() -> ASGIApp:
    """The service, which answers the same to everybody."""
    settings = load_settings(os.environ)
    model = load_model(settings)
    example = msgspec.convert({name: question.example for name, question in QUESTIONS.items()}, Patient)
    answer = model.predict([example])

    def predict(self: Model, patients: Sequence[Patient], coverage: str | None = None) -> Predictions:
        return answer

    Model.predict = predict  # type: ignore[method-assign]
    return create_app(settings, model)


def timed() -> ASGIApp:
    """The service, which at its end writes the rows and the seconds of each call of its model."""
    times: list[tuple[int, float]] = []
    probabilities = Classifier.probabilities

    def take_time(classifier: Classifier, matrix: Matrix) -> Probabilities:
        started = time.perf_counter()
        answer = probabilities(classifier, matrix)
        times.append((len(matrix), time.perf_counter() - started))
        return answer

    Classifier.probabilities = take_time  # type: ignore[assignment,method-assign]
    service = create_app(load_settings(os.environ))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await service(scope, receive, send)
        if scope["type"] == "lifespan":  # it ends
            Path(os.environ["MODEL_TIMES"]).write_bytes(msgspec.json.encode(times))

    return app


if __name__ == "__main__":
    main(f"benchmarks.twins:{sys.argv[1]}")
