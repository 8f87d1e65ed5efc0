"""The site: what `make docs` does not check itself. Links, anchors and the navigation it does."""

import shutil
import subprocess
import zlib

import pytest

from tests.conftest import ROOT

SITE = ROOT / "site/html"
BROWSER = shutil.which("chromium")
pytestmark = pytest.mark.skipif(not SITE.exists(), reason="there is no site: run `make docs` first, as .ci/run does")


def test_every_module_is_in_the_reference():
    """Of a package without __init__.py there would be nothing, and no warning."""
    content = (SITE / "objects.inv").read_bytes().split(b"\n", 4)[-1]
    objects = {line.split()[0] for line in zlib.decompress(content).decode().splitlines()}
    paths = (path.relative_to(ROOT / "src").with_suffix("") for path in (ROOT / "src").rglob("[!_]*.py"))
    assert sorted({".".join(path.parts) for path in paths} - objects) == []


@pytest.mark.skipif(not BROWSER, reason="chromium is not on this machine: apt-get install chromium")
@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("overconfident", "docs/drift.html"),
        ("population_stability_index", "#obesity_levels.drift.histograms.population_stability_index"),
    ],
)
def test_the_search_finds_a_page_without_a_server(tmp_path, word, page):
    alone = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    run = subprocess.run(
        [BROWSER, *alone.split(), "--virtual-time-budget=30000", f"--user-data-dir={tmp_path}", "--dump-dom",
         f"{(SITE / 'search.html').as_uri()}?q={word}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert f'{page}"' in run.stdout.split('id="search-results"')[1]
