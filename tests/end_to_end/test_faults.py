"""What goes wrong around a pipeline: it is killed, the disk is full, nothing may be written."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.clone import with_make
from tests.command import exit_status

from obesity_levels.params import read_yaml

# Python runs this before a stage's script: a file may have so many bytes and no more, as if the disk were full then.
FULL_DISK = """
import os, resource, sys
if any(argument == os.environ["FULL_DISK_IN"] for argument in sys.orig_argv):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
"""

# The same, from when the script has read its params: as soon as it makes a file larger, the whole pipeline is killed.
KILLED = """
import os, resource, signal, sys
def arm(event, arguments):
    if event == "open" and str(arguments[0]).endswith("params.yaml"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
if any(argument == os.environ["KILLED_IN"] for argument in sys.orig_argv):
    signal.signal(signal.SIGXFSZ, lambda *_: os.killpg(0, signal.SIGKILL))
    sys.addaudithook(arm)
"""


def outs_of(clone, stage: str) -> list[dict[str, str]]:
    return read_yaml(clone.path / "dvc.lock")["stages"][stage]["outs"]


def files_of(clone, stage: str) -> list[Path]:
    outs = [clone.path / out["path"] for out in outs_of(clone, stage)]
    return [path for out in outs for path in (out, *out.glob("*")) if path.is_file()]


# One whose outs DVC keeps, one whose metrics and plots git tracks: no stage has another kind of out (test_dvc_yaml).
@pytest.mark.parametrize("stage", ["clean", "evaluate"])
def test_killed_while_a_stage_writes_the_next_repro_runs_it_again_and_makes_the_same(clone, tmp_path, stage):
    before = clone.made()
    sizes = {path: path.stat().st_size for path in files_of(clone, stage)}
    (tmp_path / "sitecustomize.py").write_text(KILLED)
    path = os.pathsep.join((str(tmp_path), clone.environment["PYTHONPATH"]))
    killed = subprocess.run(
        ["dvc", "repro", "--force", "--single-item", stage],
        cwd=clone.path,
        env=clone.environment | {"PYTHONPATH": path, "KILLED_IN": f"stages/{stage}.py", "PYTHONDONTWRITEBYTECODE": "1"},
        # pytest's own are files, which for a killed stage would become larger
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (clone.path / "dvc.lock").read_bytes() == before["dvc.lock"]
    assert [path for path in files_of(clone, stage) if path.stat().st_size == 200 < sizes[path]], "half a file"
    # DVC would take from its cache what it made before: without that, the stage has to run.
    shutil.rmtree(clone.path / ".dvc/cache/runs")
    for out in outs_of(clone, stage):
        (clone.path / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
    said = clone.run("dvc", "repro").stdout
    assert f"Running stage '{stage}'" in said
    assert clone.made() == before
    assert clone.changed_files() == []


def test_a_full_disk_in_a_stage_is_one_clear_line_and_nothing_is_lost(clone, tmp_path):
    before = clone.made()
    (tmp_path / "sitecustomize.py").write_text(FULL_DISK)
    path = os.pathsep.join((str(tmp_path), clone.environment["PYTHONPATH"]))
    command = ["dvc", "repro", "--force", "--single-item", "evaluate"]
    failed = clone.run(*command, check=False, PYTHONPATH=path, FULL_DISK_IN="stages/evaluate.py")
    assert failed.returncode != 0
    assert "File too large" in failed.stderr
    assert "Traceback" not in failed.stderr
    (restore,) = re.findall(r"To restore the last commit: (.*)", failed.stderr)
    clone.run("sh", "-c", restore)
    assert clone.made() == before


@pytest.fixture
def read_only(clone):
    """The clone without write permission, and a prefix that makes the superuser heed it."""
    root = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.getuid() == 0 else []
    clone.run("chmod", "-R", "a-w", ".")
    yield root
    clone.run("chmod", "-R", "u+w", ".")


@pytest.mark.parametrize("command", [("dvc", "repro"), ("python", "stages/clean.py")])
def test_a_checkout_that_may_not_be_written_is_said_to_be_one(clone, read_only, command):
    before = clone.made()
    failed = clone.run(*read_only, *command, check=False)
    assert failed.returncode != 0
    assert "Permission denied" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert clone.made() == before


def test_a_false_number_that_was_committed_is_found(clone):
    """`make verify` forces, because a plain repro of a fresh clone believes what git holds."""
    path = clone.path / "metrics/clean.json"
    truth = path.read_text()
    path.write_text(truth.replace('"kept": ', '"kept": 9'))
    clone.commit("Lie")
    clone.run("dvc", "repro", "--force", "--single-item", "clean")
    assert "metrics/clean.json" in clone.run("git", "diff", "--name-only", check=False).stdout
    assert path.read_text() == truth


@pytest.fixture
def conflict(clone, monkeypatch):
    """A merge of two limits of the gate, each with its run, that git could not finish."""
    for branch, limit in (("theirs", 0.1), ("ours", 0.2)):
        clone.run("git", "checkout", "--quiet", "-b", branch, "main")
        clone.set_params({"gate.at_least.accuracy": limit})
        clone.run("dvc", "repro", "--quiet")
        clone.commit(branch)
    assert "Merge conflict in dvc.lock" in clone.run("git", "merge", "theirs", check=False).stdout
    clone.enter(monkeypatch)
    return clone


def test_a_merge_conflict_is_refused_by_the_commands_and_settled_by_what_they_say(conflict, capsys):
    for command in ("results", "publish", "promote", "verify", "retrain data/raw.csv"):
        assert exit_status(*command.split()) == 1
    said = capsys.readouterr().err.splitlines() + conflict.run(*with_make("data"), check=False).stderr.splitlines()[:1]
    assert [
        line for line in said if not re.match("error: merge conflict in .*dvc.lock.*: edit params.yaml", line)
    ] == []
    assert len(said) == 6
    conflict.run("git", "checkout", "--theirs", "params.yaml")
    for step in re.findall("`(.*?)`", said[0]):
        conflict.run(*step.split())
    conflict.run("git", "commit", "--quiet", "--message", "Merge")
    assert conflict.changed_files() == []
    assert "up to date" in conflict.run("dvc", "status").stdout


def test_an_environment_that_is_a_link_is_not_emptied(clone, tmp_path):
    (tmp_path / "theirs").write_text("packages")
    (clone.path / ".venv").symlink_to(tmp_path)
    refused = clone.run("make", "setup", check=False)
    assert refused.returncode != 0
    assert "error: .venv is a link" in refused.stderr
    assert (tmp_path / "theirs").exists()
