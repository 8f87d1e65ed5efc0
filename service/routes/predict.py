"""POST /predict and POST /explain: a body becomes a request, the request an answer."""

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qs

import msgspec
from litestar import asgi
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send
from prometheus_client import Counter

from obesity_levels.errors import invalid_field
from obesity_levels.schema import LEVELS, QUESTIONS, Patient
from service.middleware import ROWS
from service.model import Model
from service.problems import Problem
from service.schemas import Explanations, Predictions, PredictRequest
from service.settings import Settings

# In bytes, of which a patient takes 230 to 280. Larger bodies are answered on a thread.
_SMALL = 40_000
# In memory there are bodies of so many times MAX_BODY_BYTES.
_LARGEST_BODIES = 10
_PATH = re.compile(rf"(patients(\[\d+\](\.({'|'.join(QUESTIONS)}))?)?)?")
_NOT_EXPLAINED = (
    "this model has no explanations: it was made by an older version of the code, or no level had enough training rows;"
    " rebuild it (dvc repro), with more rows or a lower train.explanations.min_rows"
)
_Answer = TypeVar("_Answer")


class _Body(NamedTuple):
    """What a body may be: its media type, and what is said of another one."""

    media_type: bytes
    advice: str


_JSON = _Body(b"application/json", "send JSON in UTF-8, with the header Content-Type: application/json")
_FORM = _Body(b"application/x-www-form-urlencoded", "send the form of the page")
_BUSY = "too many requests are being answered: try again after 1 s"

PREDICTIONS = Counter("obesity_predictions", "Patients predicted, by level", ["level"])
_predicted = {level: PREDICTIONS.labels(level) for level in LEVELS}


class Predictor:
    """Answers requests with the model: at most `max_in_flight` at a time, larger ones on two threads.

    Two, because ONNX Runtime computes for one while Python works for the other: a third more patients a second than
    with one. With more, the event loop would wait longer for the interpreter.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._decode = msgspec.json.Decoder(PredictRequest).decode
        self._encode = msgspec.json.Encoder().encode
        self._threads = ThreadPoolExecutor(2, "predictor")
        self._explaining = ThreadPoolExecutor(1, "explainer")
        # Requests for predictions, patients who are explained, bytes of the bodies of both.
        self._in_flight = self._explained = self._received = 0

    async def predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for predictions. Raises Problem."""
        chunks: list[bytes] = []
        # Before the body is decoded: to refuse has to cost less than to answer.
        refused = self._in_flight >= self._settings.max_in_flight
        self._in_flight += not refused
        try:
            body = await self._body(scope, receive, chunks, refused, _JSON)
            query = scope["query_string"]
            if len(body) <= _SMALL:
                content, scope[ROWS] = self._predict(body, query)  # type: ignore[literal-required]
            else:
                run = asyncio.get_running_loop().run_in_executor(self._threads, self._predict, body, query)
                content, scope[ROWS] = await run  # type: ignore[literal-required]
            await _send(send, content)
        finally:
            self._in_flight -= not refused
            self._received -= sum(map(len, chunks))

    async def explain(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for explanations. Raises Problem."""
        query = scope["query_string"]

        def read(body: bytes) -> list[Patient]:
            if self._model.explainer is None:
                raise Problem(404, _NOT_EXPLAINED)
            self._coverage(query)
            return self._parse(body, self._settings.max_explained)

        def answer(patients: list[Patient]) -> bytes:
            return self._encode(self._model.explain(patients, self._coverage(query)))

        await _send(send, await self._explained_by(answer, scope, receive, _JSON, read))

    async def answer_form(
        self, scope: Scope, receive: Receive, read: Callable[[bytes], list[Patient]]
    ) -> tuple[Predictions, Explanations | None]:
        """Predict and explain the patients whom `read` finds in a form; None where the model has no explanations.

        It has the limits of `explain`. Raises Problem, and what `read` raises.
        """

        def answer(patients: list[Patient]) -> tuple[Predictions, Explanations | None]:
            predictions = self._counted(patients, None)
            return predictions, self._model.explain(patients) if self._model.explainer else None

        return await self._explained_by(answer, scope, receive, _FORM, read)

    async def _explained_by(
        self,
        answer: Callable[[list[Patient]], _Answer],
        scope: Scope,
        receive: Receive,
        expected: _Body,
        read: Callable[[bytes], list[Patient]],
    ) -> _Answer:
        """What `answer` makes of the patients whom `read` finds in the body. Raises Problem, and what `read` raises.

        Explanations have a thread and places of their own, so predictions do not wait for them. Each patient takes a
        place: to explain one costs as much as to predict 1,500, or up to 8,000.
        """
        chunks: list[bytes] = []
        refused = self._explained >= self._settings.max_in_flight
        places = int(not refused)
        self._explained += places
        try:
            body = await self._body(scope, receive, chunks, refused, expected)
            loop = asyncio.get_running_loop()
            if len(body) <= _SMALL:
                patients = read(body)
            else:
                patients = await loop.run_in_executor(self._threads, read, body)
            # A large body would take room from those of predictions while it waits.
            self._received -= sum(map(len, chunks))
            chunks.clear()
            del body
            others = self._explained - places
            if others and others + len(patients) > self._settings.max_in_flight:
                raise Problem(503, _BUSY, retry_after="1")
            places = len(patients)
            self._explained = others + places
            answered = await loop.run_in_executor(self._explaining, answer, patients)
            scope[ROWS] = len(patients)  # type: ignore[literal-required]
            return answered
        finally:
            self._explained -= places
            self._received -= sum(map(len, chunks))

    async def _body(self, scope: Scope, receive: Receive, chunks: list[bytes], refused: bool, expected: _Body) -> bytes:
        """Receive the body, whose `chunks` are counted until the request is answered. Raises Problem, 503 if `refused`.

        Litestar's Request would do it too, but at a cost of 11 % of the requests a second.
        """
        headers = dict(scope["headers"])
        length = _length(headers)
        # A small one is read even then: if it is not, Granian closes the connection, and the answer may be lost.
        if refused and length > _SMALL:
            raise Problem(503, _BUSY, retry_after="1")
        if not refused:
            _check_media_type(headers, expected)
        seconds, largest = self._settings.body_seconds, self._settings.max_body_bytes
        size, more = 0, True
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if size > largest or largest < length < math.inf:
                        # The rest would have to be received, to find the next request behind it.
                        detail = f"the body is larger than {largest} bytes: send fewer patients in a request"
                        raise Problem(413, detail, connection="close")
                    if size > _SMALL and self._received > _LARGEST_BODIES * largest:
                        raise Problem(503, _BUSY, retry_after="1", connection="close")
                    if not more:
                        break
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Problem(
                            400, "the connection was closed, or the body was malformed, before it was complete"
                        )
                    chunks.append(message["body"])
                    size += len(message["body"])
                    self._received += len(message["body"])
                    more = message["more_body"]
        except TimeoutError:
            raise Problem(408, f"the body did not come within {seconds:g} s", connection="close") from None
        if refused:
            raise Problem(503, _BUSY, retry_after="1")
        return b"".join(chunks)

    def _predict(self, body: bytes, query: bytes) -> tuple[bytes, int]:
        coverage = self._coverage(query)
        patients = self._parse(body, self._settings.max_patients)
        return self._encode(self._counted(patients, coverage)), len(patients)

    def _counted(self, patients: list[Patient], coverage: str | None) -> Predictions:
        predictions = self._model.predict(patients, coverage)
        for level in set(predictions.predictions):
            _predicted[level].inc(predictions.predictions.count(level))
        return predictions

    def _coverage(self, query: bytes) -> str | None:
        """The coverage that is asked for. Raises Problem, 422, if the model has no prediction sets of it."""
        asked = query and parse_qs(query.decode("latin-1"), keep_blank_values=True).get("coverage")
        if not asked:
            return None
        known = self._model.coverages
        try:
            return known[[float(coverage) for coverage in known].index(float(asked[-1]))]
        except ValueError:
            detail = f"expected one of {', '.join(known)}" if known else "this model has none: rebuild it (dvc repro)"
            raise Problem(422, f"coverage: {detail}", "coverage") from None

    def _parse(self, body: bytes, most: int) -> list[Patient]:
        """The patients, at most `most`. Raises Problem: 400 where the body is not JSON, 422 where it is but is not such
        a request.
        """
        body = body.removeprefix(b"\xef\xbb\xbf")  # a byte-order mark, which some clients write
        try:
            patients = self._decode(body).patients
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _problem(body, error) from None
        if len(patients) > most:
            raise Problem(422, f"patients: expected at most {most} in a request, send the rest in another", "patients")
        if UNANSWERED in patients:
            path = f"patients[{patients.index(UNANSWERED)}]"
            raise Problem(422, f"{path}: nothing answered: at least one field must not be null", path)
        return patients


UNANSWERED = Patient(*[None] * len(QUESTIONS))


def predict_routes(predictor: Predictor) -> list[ASGIRouteHandler]:
    """The routes, ASGI applications: they answer 10 % more requests a second than a handler that returns one, and more
    than one with a Request and a Response (docs/decisions.md). So method and contract are not Litestar's work.
    """
    return [_route("/predict", predictor.predict), _route("/explain", predictor.explain)]


def _route(path: str, answer: ASGIApp) -> ASGIRouteHandler:
    # The scope itself, not a copy: the middleware finds ROWS in it.
    @asgi(path, copy_scope=False)
    async def post(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # type: ignore[typeddict-item]
            raise MethodNotAllowedException(headers={"Allow": "POST"})
        await answer(scope, receive, send)

    return post


async def _send(send: Send, content: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _check_media_type(headers: Mapping[bytes, bytes], expected: _Body) -> None:
    media_type, _, options = headers.get(b"content-type", b"").lower().replace(b" ", b"").partition(b";")
    if media_type != expected.media_type or options not in (b"", b"charset=utf-8", b'charset="utf-8"', b"charset=utf8"):
        raise Problem(415, expected.advice)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Problem(415, "send the body as it is, without Content-Encoding")


def _length(headers: Mapping[bytes, bytes]) -> float:
    """The length of the body as the request says; infinite if it does not."""
    length = headers.get(b"content-length", b"")
    known = length.isdigit() and len(length) < 20 and b"transfer-encoding" not in headers
    return int(length) if known else math.inf


def _problem(body: bytes, error: Exception) -> Problem:
    """Of a body that could not be decoded: 400 if it is not JSON, else 422. Decoding stops at the first wrong field and
    does not see what follows. No text of `error` is used that may repeat what was sent.
    """
    reason = "a number is out of every range" if str(error).startswith("Number out of range") else ""
    try:
        body.decode()
        msgspec.json.decode(body, type=msgspec.Raw)
    except UnicodeDecodeError as malformed:
        reason = f"byte {malformed.start} is not UTF-8"
    except (msgspec.DecodeError, RecursionError) as malformed:
        reason = str(malformed)
    if reason or not isinstance(error, msgspec.ValidationError):
        return Problem(400, f"the body is not JSON that can be read: {reason or error}")
    path, allowed = explain_error(error)
    return Problem(422, f"{path}: {allowed}", path)


def explain_error(error: msgspec.ValidationError) -> tuple[str, str]:
    """The path of the invalid field and what is allowed there, without the value sent."""
    path, kind, name, _ = invalid_field(error)
    if not _PATH.fullmatch(path):  # it is the end of a name that was sent
        path = name = ""
    field = f"{path}.{name}" if path else name
    if kind == "missing":
        optional = " (null if it was not answered)" if name in QUESTIONS else ""
        return field, f"a required field is missing{optional}"
    if kind == "unknown":
        # A name may be anything, even a value in the wrong place; one that looks like a name is repeated.
        known = re.fullmatch(r"[A-Za-z_]\w{0,40}", name, re.ASCII)
        return (field if known else path or "the body"), "no such field: take it out"
    name = path.rpartition(".")[2]
    if name in QUESTIONS:
        return path, f"expected {QUESTIONS[name].allowed}"
    if re.fullmatch(r"patients\[\d+\]", path):
        return path, "expected an object with the 16 answers of a patient"
    if path == "patients":
        return path, "expected a list of at least one patient"
    return path or "the body", 'expected an object: {"patients": [...]}'
