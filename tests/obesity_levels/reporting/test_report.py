"""The report of a run: what `obesity-levels report` writes about a real workspace, revision and experiment."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.clone import Clone, copy_clone
from tests.command import exit_status

from obesity_levels.errors import ArtifactError
from obesity_levels.evaluation.model_card import METRICS
from obesity_levels.io import leaves, read_json
from obesity_levels.reporting.page import report_page
from obesity_levels.reporting.reported import Reported, reported_at, reported_in

EXPERIMENT = "stricter"


@pytest.fixture(scope="module")
def project(small_template, tmp_path_factory) -> Clone:
    """A clone with an experiment that differs in a param of the gate."""
    clone = copy_clone(small_template, tmp_path_factory.mktemp("report"))
    clone.run("dvc", "exp", "run", "--quiet", "--temp", "--name", EXPERIMENT, "-S", "gate.at_least.accuracy=0.999")
    return clone


@pytest.fixture
def write(project, tmp_path, monkeypatch):
    """Run the command in the clone: the page that it writes."""
    project.enter(monkeypatch)

    def written(*arguments: str) -> str:
        to = tmp_path / "pages/report.html"
        assert exit_status("report", *arguments, "--to", str(to)) == 0
        return to.read_text(encoding="utf-8")

    return written


@pytest.fixture(scope="module")
def compared(project, tmp_path_factory) -> str:
    """The page of the experiment beside the last commit."""
    to = tmp_path_factory.mktemp("compared") / "report.html"
    with pytest.MonkeyPatch.context() as here:
        project.enter(here)
        assert exit_status("report", EXPERIMENT, "--against", "HEAD", "--to", str(to)) == 0
    return to.read_text(encoding="utf-8")


@pytest.fixture
def workspace(project, monkeypatch) -> Reported:
    project.enter(monkeypatch)
    return reported_at(None)


def numbers_in(page: str) -> dict[str, float]:
    found = re.findall(r'<data value="([^"]+)" title="([^"]+)">', page)
    return {name: float(value) for value, name in found}


def dvc_metrics(clone: Clone) -> dict[str, float]:
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json").stdout)
    files = {Path(name).stem: file["data"] for name, file in shown[""]["data"].items()}
    return dict(leaves(files))


class Page(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("run", [(), ("HEAD",)], ids=["the workspace", "a revision"])
def test_every_number_is_the_one_that_dvc_metrics_show_prints(project, write, run):
    numbers, shown = numbers_in(write(*run)), dvc_metrics(project)
    assert len(numbers) > 300
    assert numbers == {name: shown[name] for name in numbers}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_the_test_rows_is_shown_with_three_digits(project, write, name):
    value = read_json(project.path / "metrics/evaluate.json")["test"][name]
    assert f'title="evaluate.test.{name}">{value:.3f}</data>' in write()


def test_a_revision_by_any_of_its_names_gives_the_same_bytes(write):
    assert write("HEAD") == write("main")


def test_it_asks_nothing_of_another_host(compared):
    named = [
        value for _, attributes in Page(compared).tags for key, value in attributes.items() if key in ("src", "href")
    ]
    assert named
    assert [value[:30] for value in named if not value.startswith(("#", "data:image/png;base64,"))] == []
    assert not re.search(r"://|url\(|@import|<script", compared)


def test_every_figure_is_there_and_has_a_text_in_its_place(project, write):
    images = [attributes for tag, attributes in Page(write()).tags if tag == "img"]
    assert len(images) == len([*(project.path / "plots").rglob("*.png")])
    assert all(image["alt"] for image in images)


def test_simulated_people_are_named_before_anything_else(workspace):
    assert "simulated people: none of them exists" in report_page(workspace).partition("<h1>")[0]


def test_people_who_are_not_simulated_are_not_called_so(workspace):
    workspace.metrics["ingest"]["simulated"] = False
    assert "none of them exists" not in report_page(workspace)


def test_a_run_against_itself_shows_no_difference(write):
    page = write("HEAD", "--against", "HEAD")
    assert "No values of <code>metrics/</code> differ" in page
    assert "No param differs" in page
    assert "<small>" not in page


def test_an_experiment_is_found_by_its_name(compared):
    assert f"<h1>Report of a run: experiment {EXPERIMENT}, against revision" in compared
    assert numbers_in(compared)["gate.conditions.accuracy.at_least"] == 0.999


def test_what_an_experiment_changed_is_beside_the_number(project, compared):
    before = read_json(project.path / "metrics/gate.json")["conditions"]["accuracy"]["at_least"]
    assert f'at_least">0.999</data> <small>{0.999 - before:+.3f}</small>' in compared


def test_the_params_that_an_experiment_changed_are_named(compared):
    assert '<th scope="row">gate.at_least.accuracy</th><td>0.999</td>' in compared


def test_a_figure_that_is_the_same_in_both_runs_is_shown_once(project, compared):
    assert compared.count("<img") == len([*(project.path / "plots").rglob("*.png")])


def test_the_candidates_of_the_search_are_those_of_the_revisions_manifest(project, write):
    search = read_json(project.path / "models/manifest.json")["search"]
    assert write("HEAD").count('.chosen">') == len(search["candidates"])


def test_without_the_manifest_it_says_how_to_see_the_candidates(project, tmp_path):
    for folder in ("metrics", "plots"):
        shutil.copytree(project.path / folder, tmp_path / folder)
    assert "The candidates of a copy are in models/manifest.json" in report_page(reported_in(tmp_path, "a copy"))


def test_stages_that_were_run_for_different_models_are_no_one_run(project, tmp_path):
    shutil.copytree(project.path / "metrics", tmp_path / "metrics")
    drift = read_json(tmp_path / "metrics/drift.json") | {"model_version": "0123456789ab"}
    (tmp_path / "metrics/drift.json").write_text(json.dumps(drift))
    assert "<strong>Not of one run:</strong>" in report_page(reported_in(tmp_path, "a copy"))


def test_the_name_of_a_column_is_text_and_no_markup(workspace):
    cells = workspace.metrics["clean"]["cells"]["set_missing"]
    cells["<img src=x>"] = cells["Age"]
    assert "&lt;img src=x&gt;" in report_page(workspace)
    assert "<img src=x>" not in report_page(workspace)


def test_a_revision_that_does_not_exist_is_an_error_of_one_line(project, monkeypatch, capsys):
    project.enter(monkeypatch)
    assert exit_status("report", "nowhere") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: 'nowhere' is no revision of git, and there is no experiment 'nowhere'")
    assert said.count("\n") == 1


def test_a_run_without_metrics_says_what_to_run(tmp_path):
    with pytest.raises(ArtifactError, match="a copy has no metrics/evaluate.json: run `dvc repro`"):
        reported_in(tmp_path, "a copy")


def test_metrics_that_are_not_json_are_named(project, tmp_path):
    shutil.copytree(project.path / "metrics", tmp_path / "metrics")
    (tmp_path / "metrics/gate.json").write_text("{")
    with pytest.raises(ArtifactError, match="metrics/gate.json of a copy is not JSON"):
        reported_in(tmp_path, "a copy")
