"""The settings, from environment variables: typed, each with a range; a wrong one is an error that names it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from obesity_levels.errors import ObesityLevelsError, invalid_field


class SettingsError(ObesityLevelsError):
    """An environment variable has a wrong value."""


LogLevel = Literal["debug", "info", "warning", "error"]
_ORIGINS = r"^https?://[a-z0-9.:-]+(\s*,\s*https?://[a-z0-9.:-]+)*\Z|^\Z"


class Settings(msgspec.Struct, frozen=True, rename="upper"):
    """The settings; each field is the environment variable of its name in capitals."""

    host: Annotated[str, Meta(min_length=1, description="the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="the port to listen on, 1 to 65535")] = 8000
    workers: Annotated[int, Meta(ge=1, le=64, description="the number of processes that answer, 1 to 64")] = 1
    model_dir: Annotated[Path, Meta(description="the folder of classifier.onnx and manifest.json")] = Path("models")
    max_patients: Annotated[int, Meta(ge=1, description="the most patients in a request, 1 or more")] = 10_000
    max_explained: Annotated[
        int, Meta(ge=1, le=1000, description="the most patients to explain in a request, 1 to 1000")
    ] = 100
    max_body_bytes: Annotated[int, Meta(ge=1, description="the largest body in bytes, 1 or more")] = 10_000_000
    body_seconds: Annotated[float, Meta(gt=0, le=600, description="the longest wait for a body, up to 600")] = 10.0
    header_seconds: Annotated[float, Meta(ge=1, le=600, description="the longest wait for headers, 1 to 600")] = 10.0
    max_in_flight: Annotated[
        int, Meta(ge=1, description="the most predictions, and explained patients, at a time, 1 or more")
    ] = 512
    cors_origins: Annotated[str, Meta(pattern=_ORIGINS, description="origins such as https://a.org")] = ""
    drift_window: Annotated[int, Meta(ge=0, le=10**7, description="500 rows or more, or 0: not watched")] = 10_000
    shadow_model_dir: Annotated[Path | None, Meta(description="the folder of a challenger, or empty: none")] = None
    shadow_share: Annotated[float, Meta(ge=0, le=1, description="the share of rows for the challenger, 0 to 1")] = 1.0
    web: Annotated[Literal["on", "off"], Meta(description="on or off: the page for people")] = "on"
    log_level: Annotated[LogLevel, Meta(description="debug, info, warning (no line for a request) or error")] = "info"
    git_revision: Annotated[str, Meta(pattern=r"^[\w./+-]*\Z", description="a git revision, for /model-info")] = ""


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that `environment` gives; a variable that is missing or empty has its default.

    Raises SettingsError, which names the variable and what it may be.
    """
    given = {
        # What is not UTF-8 is "?", which no setting takes.
        field.encode_name: environment[field.encode_name].strip().encode(errors="replace").decode()
        for field in msgspec.structs.fields(Settings)
        if environment.get(field.encode_name, "").strip()
    }
    for name in given.keys() & {"LOG_LEVEL", "WEB"}:
        given[name] = given[name].lower()
    # Path is not a type that msgspec converts to by itself.
    try:
        return msgspec.convert(given, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        field = invalid_field(error)
        # What was given may be no text that can be printed.
        raise SettingsError(f"{ascii(field.reason)[1:-1]}: set {field.path} to {_allowed(field.path)}") from error


def _allowed(name: str) -> str:
    field = next(field for field in msgspec.inspect.type_info(Settings).fields if field.encode_name == name)  # type: ignore[attr-defined]
    return field.type.extra_json_schema["description"]
