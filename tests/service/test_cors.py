"""Which pages may ask the service from a browser: none by default, those of CORS_ORIGINS otherwise."""

import pytest

from tests.service.conftest import in_process
from tests.serving import JSON, PATIENT

OURS, OTHERS = "https://app.example.org", "https://elsewhere.example.org"
ALLOWED = "access-control-allow-origin"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture(scope="module")
def allowing(model_dir):
    with in_process(model_dir, CORS_ORIGINS=f"{OURS}, https://second.example.org") as app:
        yield app


def test_by_default_no_origin_is_allowed(app):
    assert ALLOWED not in app.client.get("/health", headers={"Origin": OURS}).headers
    assert ALLOWED not in app.client.options("/predict", headers={"Origin": OURS} | PREFLIGHT).headers


@pytest.mark.parametrize("origin", [OURS, "https://second.example.org"])
def test_a_page_of_an_allowed_origin_may_predict(allowing, origin):
    preflight = allowing.client.options("/predict", headers={"Origin": origin} | PREFLIGHT)
    assert preflight.is_success
    assert preflight.headers[ALLOWED] == origin
    assert "POST" in preflight.headers["access-control-allow-methods"]
    answer = allowing.client.post("/predict", json={"patients": [PATIENT]}, headers=JSON | {"Origin": origin})
    assert answer.status_code == 200
    assert answer.headers[ALLOWED] == origin


def test_a_page_of_another_origin_may_not(allowing):
    assert ALLOWED not in allowing.client.options("/predict", headers={"Origin": OTHERS} | PREFLIGHT).headers
    assert ALLOWED not in allowing.client.get("/health", headers={"Origin": OTHERS}).headers
