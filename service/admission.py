"""Over capacity: what would wait too long is refused at once, so that what is answered is answered soon."""

from __future__ import annotations

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from service.problems import MEDIA_TYPE, problem_document

_RETRY_AFTER_SECONDS = 1
# Litestar takes it with slashes before and behind too.
_PATH = "/predict"


class Admission:
    """An ASGI application whose POST /predict is refused while `most` such requests are being answered.

    The application counts them in `answering`, from the end of their bodies to their answers: who sends slowly takes
    nobody's place. Refusing is done before the body is read, because it has to cost less than an answer.
    """

    def __init__(self, most: int) -> None:
        self.answering = 0
        self._most = most
        detail = f"{most} requests are being answered: try again after {_RETRY_AFTER_SECONDS} s"
        self._content = msgspec.json.encode(problem_document(503, detail))
        self._headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(self._content)),
            (b"retry-after", b"%d" % _RETRY_AFTER_SECONDS),
        ]

    def before(self, app: ASGIApp) -> ASGIApp:
        """`app`, to which only what is admitted comes."""

        async def admit(scope: Scope, receive: Receive, send: Send) -> None:
            if self.answering < self._most or not _is_prediction(scope):
                await app(scope, receive, send)
                return
            scope["path_template"] = _PATH
            await send({"type": "http.response.start", "status": 503, "headers": self._headers})
            await send({"type": "http.response.body", "body": self._content, "more_body": False})

        return admit


def _is_prediction(scope: Scope) -> bool:
    return scope["type"] == ScopeType.HTTP and scope["method"] == "POST" and scope["path"].strip("/") == _PATH[1:]
