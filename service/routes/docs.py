"""The contract and its pages, which need no internet: their scripts come from packages.

All addresses are relative, so the pages work behind a prefix that a proxy strips.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import OpenAPIRenderPlugin, RedocRenderPlugin, SwaggerRenderPlugin
from litestar.params import FromPath

from service.openapi import openapi_document
from service.problems import Problem
from service.settings import Settings

# package -> its folder of scripts and styles; never imported, because they would import a web framework
_PACKAGES = {
    "flask-swagger-ui": "flask_swagger_ui/dist",
    "flask-openapi-redoc": "flask_openapi_redoc/templates/redoc/js",
}
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
_NO_FAVICON: dict[str, Any] = {"favicon": "<link rel='icon' href='data:,'>"}


def docs_routes(
    handlers: Sequence[Any], dependencies: dict[str, Any], settings: Settings, coverages: Sequence[str]
) -> list[Any]:
    """The routes of the OpenAPI document of `handlers`, and of its pages."""
    document = functools.cache(lambda: openapi_document(handlers, dependencies, settings, coverages))
    read = functools.cache(Path.read_bytes)
    files = {path.name: path for package, inner in _PACKAGES.items() for path in _files(package, inner)}
    swagger = SwaggerRenderPlugin(
        js_url="assets/swagger-ui-bundle.js",
        css_url="assets/swagger-ui.css",
        standalone_preset_js_url="assets/swagger-ui-standalone-preset.js",
        **_NO_FAVICON,
    )
    redoc = RedocRenderPlugin(js_url="assets/redoc.standalone.js", google_fonts=False, **_NO_FAVICON)

    def page(path: str, plugin: OpenAPIRenderPlugin) -> Any:
        @get(path, media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
        def rendered(request: Request[Any, Any, Any]) -> bytes:
            if not files:
                raise Problem(503, "the scripts of the pages are not installed: see service/assets.lock")
            # Relative to the page.
            return plugin.render(request, document() | {"servers": [{"url": "."}]})

        return rendered

    @get("/schema/openapi.json", include_in_schema=False, sync_to_thread=False)
    def openapi_json() -> dict[str, Any]:
        # Relative to the document.
        return document() | {"servers": [{"url": ".."}]}

    @get("/assets/{name:str}", include_in_schema=False, sync_to_thread=False)
    def asset(name: FromPath[str]) -> Response[bytes]:
        if name not in files:
            raise NotFoundException
        return Response(read(files[name]), media_type=_MEDIA_TYPES[files[name].suffix])

    return [openapi_json, page("/docs", swagger), page("/redoc", redoc), asset]


def _files(package: str, inner: str) -> Iterator[Path]:
    with contextlib.suppress(PackageNotFoundError):
        folder = Path(str(distribution(package).locate_file(inner)))
        yield from (path for path in folder.iterdir() if path.suffix in _MEDIA_TYPES)
