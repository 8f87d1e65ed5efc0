"""One of several workers: the application with settings and model of its own."""

from __future__ import annotations

import os
import sys

from litestar.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from obesity_levels.errors import ObesityLevelsError
from service.app import create_app
from service.model import load_model
from service.observation import shared_folder
from service.settings import load_settings


def create_worker() -> ASGIApp:
    """The application, as uvicorn asks for it in each process.

    A model that has become a bad one since the service was started ends the service: what is on disk is not what it
    answers for.
    """
    try:
        settings = load_settings(os.environ)
        model = load_model(settings.model_dir, settings.git_revision)
        model.watch(settings.drift_window, shared_folder())
        model.shadow_with(settings.shadow_model_dir, settings.shadow_share, shared_folder())
        return create_app(settings, model)
    except ObesityLevelsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)
