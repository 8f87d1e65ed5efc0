"""Every wrong request has an answer that says what to do, and none of the values that were sent."""

import json

import pytest

from tests.serving import JSON, PATIENT

SECRET = "sekret-4711"


def body(**changed) -> bytes:
    return json.dumps({"patients": [PATIENT, PATIENT | changed]}).encode()


def raw(name: str, value: str) -> bytes:
    """A patient with a field of any text that may not be JSON."""
    return json.dumps({"patients": [PATIENT | {name: "@"}]}).replace('"@"', value).encode()


def forged(path: str) -> bytes:
    """A field whose name looks like the end of msgspec's message."""
    return json.dumps({f"x` - at `{path}": 1}).encode()


INVALID = {
    "out of scale": (body(Age=9.5), "patients[1].Age", "a number from 10 to 100 (years), or null"),
    "a numeric string": (body(Age="21"), "patients[1].Age", "a number"),
    "a huge number": (body(Weight=471100), "patients[1].Weight", "a number from 20 to 300 (kg), or null"),
    "a boolean for a number": (body(Height=True), "patients[1].Height", "a number from 1 to 2.5 (m), or null"),
    "unknown category": (body(MTRANS=SECRET), "patients[1].MTRANS", "one of Automobile, Motorbike"),
    "a very long category": (body(MTRANS=SECRET * 100_000), "patients[1].MTRANS", "one of Automobile"),
    "a number for a category": (body(SMOKE=4711), "patients[1].SMOKE", "one of no, yes, or null"),
    "a list for a category": (body(SMOKE=[SECRET]), "patients[1].SMOKE", "one of no, yes, or null"),
    "missing field": (b'{"patients": [{}]}', "patients[0].Gender", "field is missing (null if it was not answered)"),
    "unknown field": (body(Hobby=SECRET), "patients[1].Hobby", "no such field"),
    "a field that is no name": (body(**{f"{SECRET} {SECRET}": 1}), "patients[1]", "no such field"),
    "a category that looks like an error's path": (body(MTRANS=f"x' - at `$.{SECRET}"), "patients[1].MTRANS", "one of"),
    "a field that looks like an error's path": (body(**{f"x` - at `$.patients[1].{SECRET}": 1}), "patients[1]", "no"),
    "a first field that looks like an error's path": (f'{{" - at {SECRET}": 1}}'.encode(), "the body", "no such field"),
    "a first field that looks like an error's whole path": (forged("$.John_4711"), "the body", "no such field"),
    "a first field that looks like the path of a patient": (forged("$.patients[0].John_4711"), "the body", "no such"),
    "a first field that is a very long path": (forged(f"$.John_4711{'A' * 1_000_000}"), "the body", "no such field"),
    "nothing answered": (body(**dict.fromkeys(PATIENT)), "patients[1]", "nothing answered"),
    "empty list": (b'{"patients": []}', "patients", "at least one patient"),
    "null": (b'{"patients": null}', "patients", "a list of at least one patient"),
    "another field beside patients": (b'{"patients": [], "model": "x"}', "patients", "at least one patient"),
    "no list": (json.dumps({"patients": PATIENT}).encode(), "patients", "a list of at least one patient"),
    "patients missing": (b"{}", "patients", "a required field is missing"),
    "a patient that is a text": (json.dumps({"patients": [SECRET]}).encode(), "patients[0]", "the 16 answers"),
    "a text": (f'"{SECRET}"'.encode(), "the body", "expected an object"),
    "no object": (b"[1, 2]", "the body", "expected an object"),
}


@pytest.mark.parametrize(("sent", "path", "said"), INVALID.values(), ids=INVALID)
def test_a_body_that_breaks_the_schema_is_422_by_rfc_9457_and_names_the_field_and_what_is_allowed(
    app, sent, path, said
):
    response = app.post(sent)
    problem = response.json()
    allowed = problem["detail"].removeprefix(f"{path}: ")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert problem == {
        **{"type": "about:blank", "title": "Unprocessable Content", "status": 422},
        **{"detail": f"{path}: {allowed}", "errors": [{"path": path, "detail": allowed}]},
    }
    assert said in allowed
    assert "4711" not in response.text


MALFORMED = {
    "nothing": b"",
    "cut off": b'{"patients": [{"Gender": "Fem',
    "NaN": raw("Age", "NaN"),
    "Infinity": raw("Age", "Infinity"),
    "-1e400": raw("Weight", "-1e400"),
    "100,000 brackets in a field": raw("Age", "[" * 100_000),
    "a comma too many": b'{"patients": [],}',
    "single quotes": b"{'patients': []}",
    "-Infinity": raw("Age", "-Infinity"),
    "1e400": raw("Age", "1e400"),
    "5,000 digits": raw("Age", "4711" * 1250),
    "1e400 where there is no field": b'{"patients": 1e400}',
    "bad UTF-8": raw("Gender", '"@"').replace(b"@", b"\xff\xfe"),
    "bad UTF-8 after a wrong field": b'{"patients": 1, "a": "\xff"}',
    "UTF-16": json.dumps({"patients": [PATIENT]}).encode("utf-16"),
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"patients":' * 100_000,
    "closed brackets, too deep": raw("Age", "[" * 5000 + "]" * 5000),
    "something after the end": json.dumps({"patients": [PATIENT]}).encode() + b"4711",
    "a wrong field and then no JSON": b'{"patients": 1, oops',
    "form data": b"Gender=Female&Age=4711",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_not_json_is_400(app, sent):
    response = app.post(sent)
    problem = response.json()
    assert response.status_code == problem["status"] == 400, response.text
    assert "JSON" in problem["detail"]
    assert "4711" not in response.text


FORM, UTF_16 = "application/x-www-form-urlencoded", "application/json; charset=utf-16"


@pytest.mark.parametrize("media_type", [None, "text/plain", FORM, UTF_16, "application/jsonish", "/"])
def test_a_body_that_is_not_said_to_be_json_is_415(app, media_type):
    response = app.post(body(), {"Content-Type": media_type} if media_type else {})
    assert response.status_code == response.json()["status"] == 415
    assert "the header Content-Type: application/json" in response.json()["detail"]


@pytest.mark.parametrize("said", ["application/json", "application/json; charset=UTF-8", "Application/JSON"])
def test_json_may_be_said_in_several_ways(app, said):
    assert app.post(body(), {"Content-Type": said}).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/predict/1", "/health/x", "/assets/nothing.js"])
def test_a_path_that_is_not_there_is_404(app, path):
    response = app.client.get(path)
    assert response.status_code == response.json()["status"] == 404


@pytest.mark.parametrize(("method", "path", "allowed"), [("DELETE", "/predict", "POST"), ("PUT", "/", "GET")])
def test_a_method_that_is_not_allowed_is_405_and_says_which_are(app, method, path, allowed):
    response = app.client.request(method, path)
    assert response.status_code == response.json()["status"] == 405
    assert allowed in response.headers["allow"]


@pytest.mark.parametrize("framing", [{}, {"Transfer-Encoding": "chunked"}], ids=["length", "chunks"])
def test_the_largest_body_that_is_allowed_is_read_and_one_byte_more_is_413(app, framing):
    largest = body().ljust(10_000_000)
    assert app.post(largest, JSON | framing).status_code == 200
    refused = app.post(largest + b" ", JSON | framing)
    assert refused.status_code == refused.json()["status"] == 413
    assert "larger than 10000000 bytes" in refused.json()["detail"]
    assert refused.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/predict", "/nothing", "/health"])
def test_every_answer_bears_the_request_id_that_was_given(app, path):
    response = app.client.get(path, headers={"X-Request-ID": "trace-1:2/3"})
    assert response.headers["x-request-id"] == "trace-1:2/3"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, 'quote"', "é".encode()])
def test_where_no_usable_request_id_is_given_one_is_made(app, given):
    headers = {} if given is None else {"X-Request-ID": given}
    made = app.client.get("/health", headers=headers).headers["x-request-id"]
    assert len(made) == 32
    assert made != app.client.get("/health", headers=headers).headers["x-request-id"]
