"""The twin of the service: the same application and settings, which answers a constant whatever is asked.

`python benchmarks/echo.py` serves it; `benchmarks/serve.py` measures the service beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
from service.__main__ import serve
from service.app import create_app
from service.contract import ModelInfo, Predictions
from service.model import load_model
from service.monitor import Monitor
from service.settings import load_settings
from service.shadow import Shadow

from obesity_levels.schema import QUESTIONS, Patient


class Echo:
    """Answers the same to everybody."""

    def __init__(self, info: ModelInfo, answer: Predictions) -> None:
        self.version = info.version
        self.info = info
        self.monitor: Monitor | None = None
        self.shadow: Shadow | None = None
        self._answer = answer

    def predict(self, patients: Sequence[Patient]) -> Predictions:
        """The constant."""
        return self._answer

    async def predict_together(self, patients: Sequence[Patient]) -> Predictions:
        """The constant."""
        return self._answer


def main() -> None:
    settings = load_settings(os.environ)
    model = load_model(settings.model_dir)
    example = msgspec.convert({name: question.example for name, question in QUESTIONS.items()}, Patient)
    serve(settings, create_app(settings, Echo(model.info, model.predict([example]))))


if __name__ == "__main__":
    main()
