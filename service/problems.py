"""Errors as RFC 9457 problem documents. No message repeats a value that was sent: it is about a person."""

import logging
import traceback
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Meta

MEDIA_TYPE = "application/problem+json"

REQUEST_ID = "obesity_levels.request_id"
"""Key of an ASGI scope: the id of the request."""

logger = logging.getLogger(__name__)


class FieldError(msgspec.Struct):
    """A field that is wrong."""

    path: Annotated[str, Meta(description="Where it is in the body", examples=["patients[3].Age"])]
    detail: Annotated[str, Meta(description="What is allowed there")]


class ProblemDocument(msgspec.Struct, omit_defaults=True):
    """A problem document, RFC 9457. It never repeats a value that was sent."""

    type: Annotated[str, Meta(description="Always about:blank: the status says what kind of problem it is")]
    title: Annotated[str, Meta(description="The status in words", examples=["Unprocessable Content"])]
    status: Annotated[int, Meta(description="The HTTP status", examples=[422])]
    detail: Annotated[str, Meta(description="What is wrong, where, and what to do")]
    errors: Annotated[list[FieldError], Meta(description="The first wrong field, where the body is JSON")] = []


class Problem(Exception):  # noqa: N818 – the term of RFC 9457
    """A request that cannot be answered: the status, what to do, and the path of the wrong field if there is one."""

    def __init__(self, status: int, detail: str, path: str | None = None, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.path = path
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def _response(
    status: int, detail: str, headers: dict[str, str] | None = None, path: str | None = None
) -> Response[ProblemDocument]:
    """`detail` begins with the path of the wrong field, if there is one."""
    # The names of RFC 9110, which are Python's from 3.13 on.
    title = {413: "Content Too Large", 422: "Unprocessable Content"}.get(status) or HTTPStatus(status).phrase
    errors = [FieldError(path, detail.removeprefix(f"{path}: "))] if path else []
    document = ProblemDocument("about:blank", title, status, detail, errors)
    return Response(document, status_code=status, media_type=MEDIA_TYPE, headers=headers or {})


def _from_problem(_: Request[Any, Any, Any], problem: Problem) -> Response[ProblemDocument]:
    return _response(problem.status, problem.detail, problem.headers, problem.path)


_DETAILS = {
    404: "there is nothing at this path: GET / lists what there is",
    405: "this method is not allowed here: the header Allow lists those that are",
}


def _from_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[ProblemDocument]:
    if error.status_code >= 500:
        return _from_bug(request, error)
    detail = _DETAILS.get(error.status_code) or HTTPStatus(error.status_code).phrase
    return _response(error.status_code, detail, error.headers)


def _from_bug(request: Request[Any, Any, Any], error: Exception) -> Response[ProblemDocument]:
    """An unforeseen error. Its message may hold a value that was sent, so only its type and place are logged."""
    details = {"request_id": request.scope.get(REQUEST_ID), "trace": traceback.format_tb(error.__traceback__)}
    logger.error("unforeseen %s", type(error).__name__, extra=details)
    return _response(500, "an error of the service: its log says where, by the request id")


EXCEPTION_HANDLERS: dict[Any, Any] = {Problem: _from_problem, HTTPException: _from_http_exception, Exception: _from_bug}
