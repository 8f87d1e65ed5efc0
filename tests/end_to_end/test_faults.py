"""What goes wrong around a pipeline: it is killed, the disk is full, nothing may be written, two run at once."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import ROOT

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
LOCKED = {name: stage["outs"] for name, stage in read_yaml(ROOT / "dvc.lock")["stages"].items() if "outs" in stage}


@contextmanager
def started(clone, stage: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """DVC in a session of its own, as soon as the stage's script has started: what it will write was removed."""
    command = ["dvc", "repro", "--force", "--single-item", stage]
    with subprocess.Popen(
        command,
        cwd=clone.path,
        env=clone.environment | environment,
        stdout=subprocess.PIPE,
        # pytest's own is a file, which for a killed stage would be one that becomes larger
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("> python stages/"):
                break
        yield process


def files_of(clone, stage: str) -> list[Path]:
    outs = [clone.path / out["path"] for out in LOCKED[stage]]
    return [path for out in outs for path in (out, *out.glob("*")) if path.is_file()]


@pytest.mark.parametrize("stage", LOCKED)
def test_killed_while_a_stage_writes_the_next_repro_runs_it_again_and_makes_the_same(clone, tmp_path, stage):
    before = clone.made()
    sizes = {path: path.stat().st_size for path in files_of(clone, stage)}
    (tmp_path / "sitecustomize.py").write_text(KILLED)
    path = os.pathsep.join((str(tmp_path), clone.environment["PYTHONPATH"]))
    script = f"stages/{stage.replace('-', '_')}.py"
    with started(clone, stage, PYTHONPATH=path, KILLED_IN=script, PYTHONDONTWRITEBYTECODE="1") as process:
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    assert (clone.path / "dvc.lock").read_bytes() == before["dvc.lock"]
    assert [path for path in files_of(clone, stage) if path.stat().st_size == 200 < sizes[path]], "half a file"
    # DVC would take from its cache what it made before: without that, the stage has to run.
    shutil.rmtree(clone.path / ".dvc/cache/runs")
    for out in read_yaml(clone.path / "dvc.lock")["stages"][stage]["outs"]:
        (clone.path / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
    said = clone.run("dvc", "repro").stdout
    assert f"Running stage '{stage}'" in said
    assert clone.made() == before
    assert clone.changed_files() == []


@pytest.mark.parametrize("stage", ["clean", "train", "evaluate"])
def test_a_full_disk_in_a_stage_is_one_clear_line_and_nothing_is_lost(clone, tmp_path, stage):
    before = clone.made()
    (tmp_path / "sitecustomize.py").write_text(FULL_DISK)
    path = os.pathsep.join((str(tmp_path), clone.environment["PYTHONPATH"]))
    command = ["dvc", "repro", "--force", "--single-item", stage]
    failed = clone.run(*command, check=False, PYTHONPATH=path, FULL_DISK_IN=f"stages/{stage}.py")
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


def test_of_two_repros_at_once_the_second_is_refused_and_the_first_ends_well(clone):
    before = clone.made()
    command = ["dvc", "repro", "--force", "--single-item", "train"]
    with started(clone, "train") as first:
        second = clone.run(*command, check=False)
        first.stdout.read()
    assert second.returncode != 0
    assert "is busy, it is being blocked by" in second.stderr
    assert first.returncode == 0
    assert clone.made() == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("metrics/clean.json", '"kept": ', '"kept": 9'),
        ("metrics/evaluate.json", '"accuracy": 0', '"accuracy": 1'),
        ("models/manifest.json", '"full"', '"habits"'),
        ("models/drift_reference.json", '"psi": ', '"psi": 9'),
    ],
)
def test_a_number_that_was_edited_by_hand_is_put_right_by_the_next_repro(clone, path, old, new):
    before = clone.made()
    file = clone.path / path
    text = file.read_text()
    file.unlink()  # it may be a link into DVC's cache
    file.write_text(text.replace(old, new, 1))
    assert path in clone.run("dvc", "status").stdout
    clone.run("dvc", "repro")
    assert clone.made() == before
