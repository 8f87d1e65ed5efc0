"""The page for people, without a browser: who gets it, its form, its answer, its languages."""

import json
import re
import shutil
import string
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from service.web.language import by_preference, load_languages

from obesity_levels.schema import CATEGORIES, LEVELS, PROFILES, QUESTIONS, SCALES
from tests.conftest import ROOT
from tests.service.conftest import in_process, samples
from tests.service.raw import BODY, LENGTH, lines, unfinished, wait_for_requests_in_flight
from tests.serving import PATIENT, running

LANGUAGES = load_languages()
ENGLISH = LANGUAGES["en"].texts
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
}
FORM = {name: str(answer) for name, answer in PATIENT.items()}
PAGES = {"the form": "/", "an example": "/?example=1", "the model": "/about-the-model"}


@pytest.fixture(autouse=True)
def _judged_whenever_it_is_asked(monkeypatch):
    monkeypatch.setattr("service.drift_monitor._SECONDS", -1)


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())

    def named(self, *tags):
        return [attributes for tag, attributes in self.tags if tag in tags and "name" in attributes and tag != "meta"]

    @property
    def text(self):
        return " ".join(filter(None, self.texts))

    @property
    def fields(self):
        """What is in the form: name -> what would be sent."""
        found, select = {}, None
        for tag, attributes in self.tags:
            if tag == "input" and "name" in attributes:
                found[attributes["name"]] = attributes["value"]
            elif tag == "select":
                select = attributes["name"]
            elif tag == "option" and "selected" in attributes:
                found[select] = attributes["value"]
        return {name: value for name, value in found.items() if value}


def read(app, path="/", **headers):
    response = app.client.get(path, headers=BROWSER | headers)
    assert response.status_code == 200
    return Elements(response.text)


def ask(app, fields, **headers):
    return app.client.post("/", data=fields, headers=BROWSER | headers)


def ask_with(app, accept):
    request = app.client.build_request("GET", "/", headers={"Accept": accept or ""})
    if accept is None:
        del request.headers["Accept"]
    return app.client.send(request)


@pytest.mark.parametrize(
    "accept",
    [None, "", "*/*", "application/json", "text/html;q=0.5, application/json", "text/html;q=0", "text/html;q=inf"],
)
def test_a_program_gets_json_as_without_the_page(app, model_dir, accept):
    response = ask_with(app, accept)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["vary"] == "Accept, Accept-Language"
    with in_process(model_dir, WEB="off") as without:
        assert response.content == ask_with(without, accept).content


@pytest.mark.parametrize(
    "accept", [BROWSER["Accept"], "text/html", "text/html, */*;q=0.1", "application/json;q=0.9, text/html"]
)
def test_a_browser_gets_the_page(app, accept):
    response = ask_with(app, accept)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "<form" in response.text


def responses(app):
    yield from (app.client.get(path, headers=BROWSER) for path in PAGES.values())
    yield from (ask(app, fields) for fields in (FORM, {"Age": ""}, FORM | {"Age": "1"}, {"other": "1"}))


def test_every_page_forbids_what_a_browser_might_do_with_health_data(app):
    for response in responses(app):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["vary"] == "Accept, Accept-Language"
        assert "set-cookie" not in response.headers
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert set(re.findall(r"-src (\S+?)(?:;|$)", policy)) == {"'none'", "'self'"}


def test_nothing_is_inline_in_a_page(app):
    for response in responses(app):
        for tag, attributes in Elements(response.text).tags:
            assert tag != "style"
            assert tag != "script" or "src" in attributes
            assert not [name for name in attributes if name == "style" or name.startswith("on")]


def parts(app, path):
    """The files that a page loads: its address -> its size."""
    loaded = [
        attributes.get("src") or attributes["href"]
        for tag, attributes in read(app, path).tags
        if tag in ("link", "script")
    ]
    assert not [address for address in loaded if address.startswith(("/", "http"))]
    found = {address: app.client.get(urljoin(path, address)) for address in loaded}
    assert {response.status_code for response in found.values()} == {200}
    return {address: len(response.content) for address, response in found.items()}


def test_the_first_view_is_one_page_and_at_most_four_small_files(app):
    sizes = parts(app, "/")
    assert len(sizes) <= 4
    assert sum(sizes.values()) + len(app.client.get("/", headers=BROWSER).content) <= 60_000


def test_all_of_the_page_is_at_most_sixty_kilobytes(app):
    pages = [app.client.get("/about-the-model", headers=BROWSER), ask(app, FORM)]
    assert sum(parts(app, "/").values()) + sum(len(page.content) for page in pages) <= 60_000


def test_a_file_that_is_not_there_is_404(app):
    assert app.client.get("/web/../app.py").status_code == app.client.get("/web/other.js").status_code == 404


def test_the_form_has_the_questions_of_the_schema_and_their_answers(app):
    page = read(app)
    assert [field["name"] for field in page.named("input", "select")] == list(QUESTIONS)
    options = [attributes["value"] for tag, attributes in page.tags if tag == "option"]
    assert options == [value for categories in CATEGORIES.values() for value in ("", *categories)]


@pytest.mark.parametrize("example", ["1", "2"])
def test_an_example_fills_the_form_with_answers_that_are_allowed(app, example):
    fields = read(app, f"/?example={example}").fields
    assert len(fields) >= 14
    assert ask(app, fields).status_code == 200


@pytest.mark.parametrize(
    "path", ["/?example=3", "/?example=", "/?lang=xx", "/?lang=en&lang=es", "/?lang=../en", "/?other=1"]
)
def test_an_address_that_says_nothing_known_shows_the_page(app, path):
    assert read(app, path).fields == {}


OTHERS = [
    PATIENT,
    PATIENT | {"Weight": 90.0},
    PATIENT | {"Weight": 45.0},
    PATIENT | {"Weight": None},
    PATIENT | {"Height": None, "Weight": None},
    dict.fromkeys(PATIENT) | {"Weight": 70.0},
    dict.fromkeys(PATIENT) | {"MTRANS": "Walking"},
]


def form_of(patient):
    return {name: "" if answer is None else str(answer) for name, answer in patient.items()}


@pytest.mark.parametrize("patient", OTHERS)
def test_the_page_says_what_predict_and_explain_say(app, patient):
    predicted = app.predict(patient).json()
    explained = app.client.post("/explain", json={"patients": [patient]}).json()["explanations"][0]
    text = Elements(ask(app, form_of(patient)).text).text
    names = ENGLISH["levels"]
    assert f"The model says: {names[predicted['predictions'][0]]}" in text
    for level, probability in predicted["probabilities"][0].items():
        assert f"{names[level]} {100 * probability:.1f} %" in text
    size = len(predicted["prediction_sets"][0])
    assert ("One of two:" in text) == (size == 2)
    assert (f"One of {size}:" in text) == (size > 2)
    if explained["change"]:
        assert f"after which the model would say {names[explained['change']['level']]}" in text
    else:
        assert ENGLISH["answer"][explained["change_reason"]] in text
    for one in explained["contributions"]:
        assert f"{ENGLISH['questions'][one['answer']]['short']}:" in text
    assert "it is not advice" in text


def test_an_answer_says_again_that_people_were_simulated(app):
    """It may be all that is on a small screen, or in a picture."""
    text = Elements(ask(app, FORM).text).text
    assert text.index("The model says") < text.rindex("Simulated people.")


def test_the_sets_of_these_patients_have_one_two_and_more_levels(app):
    """Or the test above would not have seen them."""
    sizes = {min(len(one), 3) for one in app.predict(*OTHERS).json()["prediction_sets"]}
    assert {1, 3} <= sizes


def test_bars_go_right_for_what_adds_and_left_for_what_takes_away(app):
    explained = app.client.post("/explain", json={"patients": [PATIENT]}).json()["explanations"][0]
    bars = [attributes for tag, attributes in Elements(ask(app, FORM).text).tags if tag == "rect" and "x" in attributes]
    contributions = [one["contribution"] for one in explained["contributions"]]
    assert [bar["class"] for bar in bars] == ["less" if one < 0 else "more" for one in contributions]
    assert all((float(bar["x"]) < 0) <= (bar["class"] == "less") for bar in bars)
    assert float(bars[0]["width"]) == 100


def test_a_number_may_have_a_decimal_comma(app):
    with_comma, with_point = ask(app, FORM | {"Height": "1,62"}), ask(app, FORM | {"Height": "1.62"})
    assert with_comma.text.replace("1,62", "1.62") == with_point.text


WRONG = {
    **{name: f"{low - 0.5:g}" for name, (low, _) in SCALES.items()},
    **dict.fromkeys(CATEGORIES, "s3cr3t"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_wrong_value_is_said_at_its_field_and_the_focus_is_there(app, name):
    response = ask(app, FORM | {name: WRONG[name]})
    assert response.status_code == 422
    [invalid] = [attributes for _, attributes in Elements(response.text).tags if "aria-invalid" in attributes]
    assert invalid["name"] == name
    assert "autofocus" in invalid
    [error] = re.findall(rf'id="{name}-error">(.+?)</strong>', response.text)
    assert f"{name}-error" in invalid["aria-describedby"]
    assert "leave it open" in error


@pytest.mark.parametrize("text", ["x", "1.6.2", "1e0", "nan", "inf", "٢", "1_6", "--1", "9" * 400, "\x00"])
def test_what_is_no_number_is_refused_at_its_field(app, text):
    response = ask(app, FORM | {"Height": text})
    assert response.status_code == 422
    assert re.search(r'id="Height"[^>]* aria-invalid="true"', response.text)


def test_all_wrong_fields_are_said_at_once_and_the_first_has_the_focus(app):
    tags = Elements(ask(app, FORM | WRONG).text).tags
    assert [attributes["name"] for _, attributes in tags if "aria-invalid" in attributes] == list(QUESTIONS)
    assert [attributes["name"] for tag, attributes in tags if "autofocus" in attributes] == ["Gender"]


@pytest.mark.parametrize("fields", [{"Age": ""}, dict.fromkeys(QUESTIONS, ""), dict.fromkeys(QUESTIONS, " ")])
def test_where_nothing_was_answered_the_page_says_so(app, fields):
    response = ask(app, fields)
    assert response.status_code == 422
    assert ENGLISH["ask"]["nothing"] in response.text


def test_the_fields_stay_filled(app):
    fields = {name: value for name, value in FORM.items() if value}
    assert Elements(ask(app, FORM).text).fields == fields
    assert Elements(ask(app, FORM | {"Age": "1"}).text).fields == fields | {"Age": "1"}


def test_what_was_written_cannot_leave_its_field(app):
    written = "\"><script>alert('1')</script>"
    response = ask(app, FORM | {"Age": written})
    assert "<script>" not in response.text
    assert Elements(response.text).fields["Age"] == written


@pytest.mark.parametrize(
    ("status", "body", "media_type"),
    [
        (400, b"other=1", "application/x-www-form-urlencoded"),
        (400, b"Age=%ff", "application/x-www-form-urlencoded"),
        (400, b"Age=\xff", "application/x-www-form-urlencoded"),
        (400, b"Age=1&" * 1000, "application/x-www-form-urlencoded"),
        (413, b" " * 10_000_001, "application/x-www-form-urlencoded"),
        (415, b"Age=21", "application/x-www-form-urlencoded; charset=utf-16"),
    ],
)
def test_what_is_not_this_form_is_refused_by_a_page_that_says_what_to_do(app, status, body, media_type):
    response = app.client.post("/", content=body, headers=BROWSER | {"Content-Type": media_type})
    assert response.status_code == status
    assert ENGLISH["problems"][str(status)] in response.text


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}, {"Content-Type": "multipart/form-data"}])
def test_what_is_no_form_at_all_is_answered_as_without_the_page(app, model_dir, headers):
    with in_process(model_dir, WEB="off") as without:
        given, expected = (one.client.post("/", headers=headers | {"X-Request-ID": "1"}) for one in (app, without))
    assert (given.status_code, given.content) == (expected.status_code, expected.content) == (405, expected.content)
    assert given.headers["allow"] == "GET"


def test_over_capacity_the_page_says_so_and_keeps_what_was_written(model_dir, tmp_path):
    start = lines("POST /explain HTTP/1.1", "Host: x", "Content-Type: application/json", LENGTH) + BODY[:-1]
    with running(model_dir, tmp_path / "log", MAX_IN_FLIGHT="1", BODY_SECONDS="600") as service:
        with unfinished(service, 1, start):
            wait_for_requests_in_flight(service, 1)
            refused = ask(service, FORM)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert ENGLISH["problems"]["503"] in refused.text
        assert Elements(refused.text).fields == {name: value for name, value in FORM.items() if value}
        wait_for_requests_in_flight(service, 0)
        assert ask(service, FORM).status_code == 200


def test_who_asks_on_the_page_counts_as_predicted(model_dir):
    with in_process(model_dir) as app:
        before = samples(app)
        for _ in range(50):
            ask(app, FORM)
        [level] = app.client.post("/explain", json={"patients": [PATIENT]}).json()["explanations"]
        counted = ("obesity_predictions_total", level["level"])
        assert samples(app)[counted] - before[counted] == 50
        assert app.client.get("/drift").json()["rows"] == 50


@pytest.mark.parametrize("path", PAGES.values())
@pytest.mark.parametrize(("lang", "word"), [("en", "Simulated people."), ("es", "Personas simuladas.")])
def test_where_people_were_simulated_every_page_says_so_first(app, path, lang, word):
    text = read(app, path, **{"Accept-Language": lang}).text
    assert text.index(word) < text.index(LANGUAGES[lang].texts["ask" if "about" not in path else "model"]["title"])


def test_where_they_were_not_no_page_says_so(artifact):
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["data"]["simulated"] = False
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    with in_process(artifact) as app:
        for path in PAGES.values():
            assert "imulated" not in read(app, path).text


def test_the_page_of_the_model_has_the_numbers_that_were_measured(app, model_dir):
    text = read(app, "/about-the-model").text
    measured = json.loads((model_dir / "evaluate.json").read_text())["test"]
    info = app.client.get("/model-info").json()
    assert info["version"] in text
    assert info["sha256"] in text
    interval = measured["accuracy_interval"]
    assert (
        f"Accuracy {measured['accuracy']:.3f} (95 % interval: {interval['low']:.3f} to {interval['high']:.3f})" in text
    )
    for key, name in ENGLISH["metrics"].items():
        assert f"{name} {measured[key]:.3f}" in text
    for key, name in ENGLISH["baselines"].items():
        assert f"{name} {measured['baselines'][key]['accuracy']:.3f}" in text
    for coverage, sets in measured["prediction_sets"].items():
        assert f"{100 * float(coverage):.0f} % {100 * sets['all']['all']['coverage']:.1f} %" in text
    for level, of_level in measured["per_level"].items():
        assert f"{ENGLISH['levels'][level]} {of_level['precision']:.3f} {of_level['recall']:.3f}" in text


def test_under_two_hundred_rows_nothing_is_said_of_drift(model_dir):
    with in_process(model_dir) as app:
        app.predict(*[PATIENT] * 199)
        assert app.client.get("/drift").json()["verdict"] == "too few rows to tell"
        text = read(app, "/about-the-model").text
        assert "Nothing to say yet. 199 of the 200 rows that are needed." in text
        assert "alarm" not in text


def test_from_two_hundred_rows_on_the_page_says_what_drift_says(model_dir):
    with in_process(model_dir) as app:
        app.predict(*[PATIENT] * 200)
        drift = app.client.get("/drift").json()
        page = read(app, "/about-the-model")
    assert "Drift: what is asked looks different. Judged on the last 200 rows." in page.text
    rate = drift["false_alarm_rate"]
    assert f"batches of {rate['rows']} rows without drift: {100 * rate['rate']:.1f} %" in page.text
    for column in drift["columns"]:
        assert f"{column['psi']:.2f} / {column['psi_critical']:.2f}" in page.text
    assert page.text.count("– alarm") == sum(column["alarm"] for column in drift["columns"])


def test_where_drift_is_not_watched_the_page_says_so(model_dir):
    with in_process(model_dir, DRIFT_WINDOW="0") as app:
        assert ENGLISH["drift"]["not_watched"] in read(app, "/about-the-model").text


def test_a_model_of_before_explanations_and_sets_has_its_page_too(tmp_path):
    models = shutil.copytree(Path(__file__).parent / "model_of_before", tmp_path / "models")
    with in_process(models) as app:
        assert ENGLISH["model"]["not_measured"] in read(app, "/about-the-model").text
        answer = ask(app, FORM)
    assert answer.status_code == 200
    assert ENGLISH["answer"]["no_explanation"] in answer.text


def test_with_web_off_there_is_no_page_and_it_is_not_imported(model_dir):
    code = (
        "import os, sys; from service.app import create_app; from service.settings import load_settings;"
        "create_app(load_settings(os.environ)); print(sorted({'service.web', 'jinja2'} & set(sys.modules)))"
    )
    command = {"args": [sys.executable, "-c", code], "cwd": ROOT, "capture_output": True, "text": True, "check": True}
    for web, imported in (("off", "[]"), ("on", "['jinja2', 'service.web']")):
        run = subprocess.run(
            **command, env={"WEB": web, "MODEL_DIR": str(model_dir), "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        )
        assert run.stdout.strip() == imported
    with in_process(model_dir, WEB="off") as app:
        assert app.client.get("/", headers=BROWSER).headers["content-type"] == "application/json"
        assert app.client.get("/about-the-model").status_code == 404
        assert ask(app, FORM).status_code == 405


def leaves(texts, path=()):
    for key, text in texts.items():
        yield from leaves(text, (*path, key)) if isinstance(text, dict) else [((*path, key), text)]


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_text_lacks_a_language_nor_what_is_put_into_it(code):
    expected = {path: placeholders(text) for path, text in leaves(ENGLISH)}
    assert {path: placeholders(text) for path, text in leaves(LANGUAGES[code].texts)} == expected


@pytest.mark.parametrize("code", set(LANGUAGES) - {"en"})
def test_a_language_is_not_english_under_another_name(code):
    english = dict(leaves(ENGLISH))
    same = [path for path, text in leaves(LANGUAGES[code].texts) if text == english[path] and len(text) > 12]
    assert same == []


def test_all_that_the_schema_names_has_a_text():
    assert ENGLISH["questions"].keys() == QUESTIONS.keys()
    assert ENGLISH["levels"].keys() == set(LEVELS)
    assert ENGLISH["categories"].keys() == {value for categories in CATEGORIES.values() for value in categories}
    assert ENGLISH["units"].keys() == {question.unit for question in QUESTIONS.values()}
    assert ENGLISH["columns"].keys() == {"predicted_level", *PROFILES["full"]} - QUESTIONS.keys()


@pytest.mark.parametrize(
    ("header", "path", "language"),
    [
        ("es-MX,es;q=0.9,en;q=0.8", "/", "es"),
        ("en;q=0.5, es", "/", "es"),
        ("de, es;q=0.1, en;q=0", "/", "es"),
        ("de-AT, fr", "/", "en"),
        ("*", "/", "en"),
        (";q=, ,es;q=x", "/", "en"),
        ("es", "/?lang=en", "en"),
        ("en", "/?lang=es", "es"),
        ("es", "/?lang=de", "es"),
    ],
)
def test_the_language_is_that_of_the_address_else_the_browser_s_else_english(app, header, path, language):
    [html] = [attributes for tag, attributes in read(app, path, **{"Accept-Language": header}).tags if tag == "html"]
    assert html["lang"] == language


def test_the_language_stays_in_the_addresses_of_the_page(app):
    tags = read(app, "/?lang=es").tags
    addresses = [attributes.get("href") or attributes.get("action") for tag, attributes in tags if tag in ("a", "form")]
    assert [address for address in addresses if "lang=es" not in address] == ["?lang=en"]


def test_the_values_that_are_sent_are_those_of_the_schema_in_every_language(app):
    english, spanish = read(app, "/?lang=en"), read(app, "/?lang=es")
    values = [[attributes["value"] for tag, attributes in page.tags if tag == "option"] for page in (english, spanish)]
    assert values[0] == values[1]


def test_what_is_wanted_most_comes_first_and_what_is_not_wanted_does_not_come():
    assert by_preference("a;q=0.1, B, c;q=0, d ; q=0.5;x=1, e;q=2, f;q=nan") == ["b", "d", "a"]


def test_a_form_that_is_larger_than_that_of_the_page_is_refused_and_not_half_shown(app):
    form = {"Age": " " * 20_000 + "34", "Weight": "80"}
    answer = app.client.post("/", data=form)
    assert answer.status_code == 413
    assert "html" in answer.headers["content-type"]


def test_a_field_of_spaces_is_not_answered(app):
    answer = app.client.post("/", data={"Age": "34", "Height": "1.7", "Weight": "  "})
    assert "Weight: not answered" in answer.text


def test_the_page_of_the_model_has_one_address(app):
    assert app.client.get("/about-the-model/").status_code == 404
