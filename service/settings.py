"""The settings, from environment variables: typed, each with a range; a wrong one is an error that names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from obesity_levels.errors import ObesityLevelsError, invalid_field
from obesity_levels.paths import MODELS


class SettingsError(ObesityLevelsError):
    """An environment variable has a wrong value."""


class Settings(msgspec.Struct, frozen=True, rename="upper"):
    """What the environment says; each field is the variable of its name in capitals."""

    host: Annotated[str, Meta(min_length=1, description="the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="the port to listen on, 0 to 65535 (0: any free one)")] = 8000
    workers: Annotated[int, Meta(ge=1, le=64, description="the number of processes that answer, 1 to 64")] = 1
    model_dir: Annotated[Path, Meta(description="the folder of classifier.onnx and manifest.json")] = MODELS
    max_patients: Annotated[int, Meta(ge=1, description="the most patients in a request, 1 or more")] = 10_000
    max_body_bytes: Annotated[int, Meta(ge=1, description="the largest body of a request in bytes, 1 or more")] = (
        10_000_000
    )
    body_seconds: Annotated[
        float, Meta(gt=0, le=600, description="the longest wait for a body in seconds, up to 600")
    ] = 10.0
    header_seconds: Annotated[
        float, Meta(gt=0, le=600, description="the longest wait for a request's headers in seconds, up to 600")
    ] = 10.0
    answer_seconds: Annotated[
        float, Meta(gt=0, le=600, description="the longest that a client may take to receive an answer, up to 600")
    ] = 60.0
    max_in_flight: Annotated[
        int,
        Meta(ge=1, description="the most POST /predict that are answered at a time; more get 503, 1 or more"),
    ] = 512
    drain_seconds: Annotated[
        float, Meta(ge=0, le=60, description="the seconds to answer on, not ready, after SIGTERM, 0 to 60")
    ] = 1.0
    drift_window: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description="the rows over which drift is judged, 500 to 10000000 (fewer are 500), or 0: not at all",
        ),
    ] = 10_000
    shadow_model_dir: Annotated[
        Path | None, Meta(description="the folder of a second model, which is shown what is asked, or empty: none")
    ] = None
    shadow_share: Annotated[float, Meta(ge=0, le=1, description="the share of the rows that it is shown, 0 to 1")] = 1.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="debug, info, warning (no line for a request) or error"),
    ] = "info"
    git_revision: Annotated[
        str, Meta(pattern=r"^[\w./+-]*\Z", description="the git revision of the build, shown by /model-info")
    ] = ""


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that `environment` gives; a variable that is missing or empty has its default.

    Raises SettingsError that names the variable and what it may be.
    """
    given = {
        # What is not UTF-8 is "?", which no setting takes.
        field.encode_name: environment[field.encode_name].strip().encode(errors="replace").decode()
        for field in msgspec.structs.fields(Settings)
        if environment.get(field.encode_name, "").strip()
    }
    if "LOG_LEVEL" in given:
        given["LOG_LEVEL"] = given["LOG_LEVEL"].lower()
    # Path is not a type that msgspec converts to by itself.
    try:
        return msgspec.convert(given, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        found = invalid_field(error)
        # What was given may be no text that can be printed.
        raise SettingsError(f"{ascii(found.reason)[1:-1]}: set {found.path} to {_meant(found.path)}") from error


def _meant(name: str) -> str:
    field = next(field for field in msgspec.inspect.type_info(Settings).fields if field.encode_name == name)  # type: ignore[attr-defined]
    return field.type.extra_json_schema["description"]
