"""What a release attaches (`make release-files`), and the workflow that makes it."""

import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from service.model import load_model
from service.settings import load_settings

from obesity_levels.params import read_yaml
from tests.clone import Clone, with_make
from tests.command import printed
from tests.conftest import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
LOCKS = sorted(path for path in printed("git", "ls-files", "*.lock", cwd=ROOT).split() if path != "dvc.lock")
WORKFLOWS = {path.stem: read_yaml(path) for path in (ROOT / ".github/workflows").glob("*.yaml")}


def make_wheel(clone: Clone, folder: Path, umask: str = "022", **environment: str) -> Path:
    wheel = (*with_make("wheel"), f"DIST={folder}")
    clone.run("sh", "-c", f'umask {umask}; exec "$@"', "sh", *wheel, **environment)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(small_clone, tmp_path_factory):
    return make_wheel(small_clone, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_each_file_of_its_packages_and_no_other(small_clone, wheel):
    """Templates, styles and texts too: a rule for Python files alone would leave them out."""
    in_git = small_clone.run("git", "ls-files", "src/obesity_levels", "service").stdout.split()
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert in_wheel == {name.removeprefix("src/") for name in in_git}


def test_the_wheel_is_the_same_bytes_elsewhere_and_at_another_time(clone, wheel, tmp_path):
    for name in ("src/obesity_levels/cli.py", "service/web/static/page.css", "pyproject.toml"):
        (clone.path / name).touch()
    again = make_wheel(clone, tmp_path, umask="077", TZ="Asia/Kathmandu", LC_ALL="C", PYTHONHASHSEED="7")
    assert again.read_bytes() == wheel.read_bytes()


def test_the_command_runs_from_the_wheel_without_the_sources(wheel, tmp_path):
    """In an environment of its own that finds the locked packages, but not this project's editable installation."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    printed(Path(sys.executable).parent / "uv", "pip", "install", "--no-deps", "--python", python, wheel)
    (packages,) = tmp_path.glob("venv/lib/*/site-packages")
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"))
    alone = {"cwd": tmp_path, "env": {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}}
    where = printed(
        python, "-c", "import obesity_levels, service; print(obesity_levels.__file__, service.__file__)", **alone
    )
    assert where.count(str(packages)) == 2
    assert printed(tmp_path / "venv/bin/obesity-levels", "--version", **alone).split()[-1] == VERSION


def make_sboms(folder: Path, *locks: str) -> dict[str, bytes]:
    """The SBOMs of these locks, by the lock."""
    make = ("make", "--silent", "--old-file=.venv/ready", "sbom", f"DIST={folder}", f"LOCKS={' '.join(locks)}")
    printed(*make, cwd=ROOT)
    names = {lock: f"sbom-{lock.removesuffix('.lock').replace('/', '-')}.cdx.json" for lock in locks}
    return {lock: (folder / name).read_bytes() for lock, name in names.items()}


@pytest.fixture(scope="module")
def sboms(operations, tmp_path_factory):
    return make_sboms(tmp_path_factory.mktemp("sbom"), *LOCKS)


def locked(lock: str) -> dict[tuple[str, str], set[str]]:
    """Name and version of each package of a lock, whatever its marker: the sha256 of its files."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    named = {re.match(r"([a-z0-9._-]+)==([^\s;\\]+)", entry).groups(): entry for entry in entries}
    return {package: set(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)) for package, entry in named.items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_an_sbom_names_exactly_the_packages_of_its_lock_with_version_and_hashes(sboms, lock):
    sbom = json.loads(sboms[lock])
    assert {
        (component["name"], component["version"]): {
            found["content"] for source in component["externalReferences"] for found in source["hashes"]
        }
        for component in sbom["components"]
    } == locked(lock)


def test_an_sbom_is_of_this_version_of_the_project(sboms):
    of = json.loads(sboms["requirements.lock"])["metadata"]["component"]
    assert (of["name"], of["version"]) == ("obesity-levels", VERSION)


def test_an_sbom_is_the_same_bytes_again(sboms, tmp_path):
    assert make_sboms(tmp_path, "service/assets.lock")["service/assets.lock"] == sboms["service/assets.lock"]


def test_a_release_has_an_sbom_of_each_lock():
    said = printed("make", "--dry-run", "--old-file=.venv/ready", "--old-file=deploy/.venv/ready", "sbom", cwd=ROOT)
    assert sorted(re.search(r"for lock in (.*?);", said)[1].split()) == LOCKS


def make_archive(clone: Clone, folder: Path) -> Path:
    clone.run(*with_make("model-archive"), f"DIST={folder}")
    return folder / f"obesity-levels-model-{VERSION}.tar.gz"


def test_the_model_of_a_release_is_served_with_what_was_measured_of_it(small_clone, tmp_path):
    with tarfile.open(make_archive(small_clone, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / f"obesity-levels-model-{VERSION}"
    assert (folder / "model_card.md").read_bytes() == (small_clone.path / "metrics/model_card.md").read_bytes()
    assert load_model(load_settings({"MODEL_DIR": str(folder)})).info.test_metrics


def test_the_model_of_a_release_is_the_same_bytes_at_another_time(clone, small_clone, tmp_path):
    for path in clone.path.glob("m*/*"):
        path.touch()
    archives = [make_archive(each, tmp_path / each.path.parent.name) for each in (small_clone, clone)]
    first, second = (path.read_bytes() for path in archives)
    assert first == second
    assert first[3:8] == bytes(5)  # no name and no time for gzip, which may have packed both in the same second


def test_a_model_that_is_not_the_committed_one_is_not_released(clone, tmp_path):
    path = clone.path / "models/drift_reference.json"
    content = path.read_bytes()
    path.unlink()  # it may be a link into DVC's cache
    path.write_bytes(content + b" ")
    run = clone.run(*with_make("model-archive"), f"DIST={tmp_path}", check=False)
    assert run.returncode != 0
    assert "drift_reference.json is not the file that dvc.lock names" in run.stderr
    assert not list(tmp_path.iterdir())


def test_the_changes_of_a_release_are_its_section_of_the_changelog(small_clone, tmp_path):
    sections = (
        "## [Unreleased]\n- later\n",
        f"## [{VERSION}] - 2026-11-26\n### Added\n- this\n",
        "## [0.0.9]\n- before\n",
    )
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n" + "".join(sections))
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    printed("make", "changes", cwd=tmp_path)
    assert (tmp_path / "dist/CHANGES.md").read_text() == sections[1]


@pytest.mark.parametrize(
    ("tag", "changelog", "error"),
    [
        (f"v{VERSION}", f"## [{VERSION}] - 2026-11-26", None),
        (VERSION, f"## [{VERSION}] - 2026-11-26", "the version in pyproject.toml"),
        (f"v{VERSION}.1", f"## [{VERSION}.1] - 2026-11-26", "the version in pyproject.toml"),
        ("", f"## [{VERSION}] - 2026-11-26", "the version in pyproject.toml"),
        (f"v{VERSION}", "## [Unreleased]", "CHANGELOG.md has no section"),
    ],
)
def test_a_tag_must_be_the_version_and_the_changelog_describe_it(tmp_path, tag, changelog, error):
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n{changelog}\n")
    run = subprocess.run(["make", "check-tag", f"TAG={tag}"], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode == 0) is (error is None)
    assert error is None or error in run.stderr


def steps(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_nothing_is_released_before_its_tag_is_checked_and_all_is_rebuilt_on_both_architectures():
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["publish"]["needs"] == "build"
    commands = steps(jobs["build"])
    assert commands[:2] == ["make check-tag", "make verify"]
    assert {"ubuntu-24.04", "ubuntu-24.04-arm"} <= {
        each["runner"] for each in jobs["build"]["strategy"]["matrix"]["include"]
    }


def test_one_job_alone_of_the_release_may_write():
    workflow = WORKFLOWS["release"]
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "build": {"contents": "read"},
        "publish": {"contents": "write"},
    }


@pytest.mark.parametrize("workflow", sorted(WORKFLOWS))
def test_the_targets_that_a_workflow_runs_are_in_the_makefile(workflow):
    commands = "\n".join(command for job in WORKFLOWS[workflow]["jobs"].values() for command in steps(job))
    run = {word for words in re.findall(r"make ([^&\n]*)", commands) for word in words.split() if "=" not in word}
    assert run <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
