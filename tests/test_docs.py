"""The site: what `make docs` does not check itself. Links, anchors and the navigation it does."""

import ast
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.conftest import ROOT

BROWSER = shutil.which("chromium")


@pytest.fixture(scope="module")
def site(operations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    make = ["make", "--silent", "--old-file=.venv/ready", "docs", f"SITE={folder}"]
    run = subprocess.run(make, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder / "html"


def public_names() -> set[str]:
    names = set()
    for path in (ROOT / "src").rglob("[!_]*.py"):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        nodes = ast.parse(path.read_text()).body
        definitions = (node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef))
        names |= {f"{module}.{name}" for name in definitions if not name.startswith("_")}
    return names


def test_every_public_function_and_class_is_in_the_reference(site):
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[-1]
    objects = {line.split()[0] for line in zlib.decompress(content).decode().splitlines()}
    assert sorted(public_names() - objects) == []


@pytest.mark.skipif(not BROWSER, reason="chromium is not on this machine: apt-get install chromium")
@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("overconfident", "docs/drift.html"),
        ("population_stability_index", "#obesity_levels.drift.histograms.population_stability_index"),
    ],
)
def test_the_search_finds_a_page_without_a_server(site, tmp_path, word, page):
    alone = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    run = subprocess.run(
        [BROWSER, *alone.split(), "--virtual-time-budget=30000", f"--user-data-dir={tmp_path}", "--dump-dom",
         f"{(site / 'search.html').as_uri()}?q={word}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert f'{page}"' in run.stdout.split('id="search-results"')[1]
