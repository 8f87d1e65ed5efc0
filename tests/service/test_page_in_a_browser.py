"""The page as a person meets it: in Chromium, by mouse and keyboard, with and without JavaScript."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from service.web.language import load_languages

from tests.service.raw import BODY, LENGTH, post, unfinished, wait_for_requests_in_flight
from tests.serving import running

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not on this machine: apt-get install chromium")
SCRIPT = Path(__file__).with_name("browser.py")
LANGUAGES = {code: language.texts for code, language in load_languages().items()}
ENGLISH = LANGUAGES["en"]
SCRIPTING = pytest.mark.parametrize("scripting", [True, False], ids=["with JavaScript", "without JavaScript"])
ANSWERED, REFUSED = ["wait", "#answer h2"], ["wait", "#answer .error"]
ADDRESS = r"/(about-the-model|web/[a-z.]+)?(\?(lang=[a-z]+)?(&?example=\d)?|\?[0-9a-f]{12})?"
PRESS = ["click", "button", ENGLISH["ask"]["button"]]


@pytest.fixture(scope="module")
def browse(operations, service):
    """Open a page of the service and do the steps: what was seen. The browser's rules hold in every test."""

    def browsed(*steps: list[str], path: str = "/", at: Any = service, refused: int = 0, **options: Any) -> list[Any]:
        address = f"http://127.0.0.1:{at.port}"
        asked = {"chromium": CHROMIUM, "address": address + path, "options": options, "steps": steps}
        command = [operations / "python", SCRIPT]
        run = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stderr
        found = json.loads(run.stdout)
        # To no other host, and with no answer in an address.
        assert [url for _, url in found["requests"] if not re.fullmatch(re.escape(address) + ADDRESS, url)] == []
        # Of an answer with another status than 200 the browser says so itself.
        assert [error for error in found["errors"] if f"a status of {refused} " not in error] == []
        assert {(one["cookies"], one["stored"]) for one in found["seen"] if isinstance(one, dict)} <= {("", 0)}
        return found["seen"]

    return browsed


def fill(texts, name, answer):
    """The step that answers a question as a person does: by its label."""
    return ["choose" if answer in texts["categories"].values() else "fill", texts["questions"][name]["ask"], answer]


@SCRIPTING
@pytest.mark.parametrize("code", LANGUAGES)
def test_a_person_fills_the_form_and_reads_the_answer_under_it(browse, code, scripting):
    texts = LANGUAGES[code]
    [before, seen] = browse(
        ["see"],
        fill(texts, "Gender", texts["categories"]["Female"]),
        fill(texts, "Age", "21"),
        fill(texts, "Height", f"1{texts['format']['decimal']}62"),
        fill(texts, "Weight", "70"),
        fill(texts, "MTRANS", texts["categories"]["Walking"]),
        ["click", "button", texts["ask"]["button"]],
        ANSWERED,
        ["see"],
        locale=code,
        java_script_enabled=scripting,
    )
    assert before["language"] == code
    assert texts["page"]["simulated"].upper() in before["text"]  # the style writes it in capitals
    assert texts["answer"]["no_advice"] in seen["answer"]
    assert seen["focus"].startswith(texts["answer"]["title"])
    assert seen["fields"]["MTRANS"] == "Walking"
    assert seen["fields"]["Weight"] == "70"
    assert (seen["url"] == before["url"]) == scripting  # without a new page, or with one


def test_feet_inches_and_pounds_are_what_metres_and_kilograms_are(browse):
    [switched, changed] = browse(
        ["fill", "Height", "1.828"],
        ["fill", "Weight", "70"],
        ["check", ENGLISH["ask"]["imperial"]],
        ["see"],
        ["fill", "Height: feet", "5"],
        ["fill", "Height: inches", "10.5"],
        ["fill", "Weight: pounds", "200"],
        PRESS,
        ANSWERED,
        ["see"],
    )
    assert switched["imperial"] == {"Height: feet": "6", "Height: inches": "0", "Weight: pounds": "154.3"}
    assert switched["fields"] == {"Height": "1.828", "Weight": "70"}  # the switch itself changes nothing
    assert changed["fields"] == {"Height": "1.7907", "Weight": "90.72"}
    assert "Height: 1.7907 m" in changed["answer"]


def test_a_wrong_weight_in_pounds_is_explained_in_pounds(browse):
    [seen] = browse(
        ["check", ENGLISH["ask"]["imperial"]], ["fill", "Weight: pounds", "20"], PRESS, REFUSED, ["see"], refused=422
    )
    assert seen["focus"] == "Weight: pounds"
    assert "45 to 661 lb" in seen["text"]
    assert "20 to 300 kg" not in seen["text"]


@SCRIPTING
def test_wrong_values_are_named_at_their_fields_the_first_has_the_focus_and_corrected_they_are_answered(
    browse, scripting
):
    [wrong, right] = browse(
        ["fill", "Height", "162"],
        ["fill", "Weight", "heavy"],
        PRESS,
        REFUSED,
        ["see"],
        ["fill", "Height", "1.62"],
        ["fill", "Weight", "70"],
        ["press", "Enter"],
        ANSWERED,
        ["see"],
        refused=422,
        java_script_enabled=scripting,
    )
    assert wrong["invalid"] == ["Height", "Weight"]
    assert "1 to 2.5 m" in wrong["errors"][0]
    assert wrong["focus"] == "Height"
    assert wrong["fields"] == {"Height": "162", "Weight": "heavy"}
    assert right["invalid"] == right["errors"] == []


def test_questions_may_be_left_open_but_not_all_of_them(browse):
    [nothing, one] = browse(PRESS, REFUSED, ["see"], ["fill", "Weight", "70"], PRESS, ANSWERED, ["see"], refused=422)
    assert nothing["answer"] == nothing["focus"] == ENGLISH["ask"]["nothing"]
    assert ENGLISH["ask"]["open"] in one["answer"]


def test_an_example_is_asked_about_with_the_keyboard_alone(browse):
    example = ["Tab"] * 5 + ["Enter"]  # two pages, two languages, the first example
    [seen] = browse(
        ["press", *example], ["wait", "#Age[value='21']"], ["press", *["Tab"] * 9, "Enter"], ANSWERED, ["see"]
    )
    assert seen["fields"]["Age"] == "21"
    assert seen["focus"].startswith(ENGLISH["answer"]["title"])


@SCRIPTING
def test_over_capacity_the_page_says_what_to_do(browse, model_dir, tmp_path, scripting):
    start = post(BODY[:-1], LENGTH).replace(b"/predict", b"/explain", 1)
    with (
        running(model_dir, tmp_path / "log", MAX_IN_FLIGHT="1", BODY_SECONDS="600") as busy,
        unfinished(busy, 1, start),
    ):
        wait_for_requests_in_flight(busy, 1)
        steps = [["fill", "Weight", "70"], PRESS, ANSWERED, ["see"]]
        [seen] = browse(*steps, at=busy, refused=503, java_script_enabled=scripting)
    assert ENGLISH["problems"]["503"] in seen["answer"]
    assert seen["fields"] == {"Weight": "70"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browse, scheme):
    size = {"width": 390, "height": 844} if scheme == "dark" else {"width": 1280, "height": 800}
    steps = [
        ["axe"],
        ["fill", "Weight", "1"],
        PRESS,
        REFUSED,
        ["axe"],
        ["fill", "Weight", "70"],
        PRESS,
        ANSWERED,
        ["axe"],
    ]
    options = {"color_scheme": scheme, "viewport": size}
    assert browse(*steps, refused=422, **options) == [[], [], []]
    assert browse(["axe"], path="/about-the-model", **options) == [[]]
