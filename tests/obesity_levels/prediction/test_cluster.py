"""`obesity-levels predict --scheduler`: a real scheduler of Dask and its workers, in their own environment."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.prediction import content, many_files, said_by, start
from tests.waiting import eventually

WITHOUT_PACKAGE = (
    f"import sys; sys.path.remove({str(ROOT / 'src')!r}); from distributed.cli.dask_worker import main; main()"
)


@contextmanager
def running(*arguments: str | Path, log: Path, **options) -> Iterator[subprocess.Popen]:
    with log.open("w") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, **options)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def address_in(file: Path) -> str | None:
    """The address that a scheduler has written; None until the file is there and complete."""
    try:
        return json.loads(file.read_text())["address"]
    except (OSError, ValueError):
        return None


class Cluster:
    """A scheduler, and workers that are processes of their own."""

    def __init__(self, python: Path, folder: Path, stack: ExitStack) -> None:
        self.python, self.folder, self.stack = python, folder, stack
        found = folder / "scheduler.json"
        arguments = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", found]
        self.scheduler = self._start(python.with_name("dask"), *arguments, name="scheduler")
        self.address = eventually(lambda: address_in(found), self.logs)
        self.workers: list[subprocess.Popen] = []

    def add_worker(self, *worker: str | Path, **options) -> None:
        worker = worker or (self.python.with_name("dask"), "worker")
        name = f"worker{len(self.workers)}"
        more = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--name", name, "--local-directory", self.folder]
        self.workers.append(self._start(*worker, self.address, *more, name=name, **options))
        eventually(lambda: f"name: {name}" in self.logs(), self.logs)

    def _start(self, *arguments: str | Path, name: str, **options) -> subprocess.Popen:
        log = self.folder / f"{name}.log"
        return self.stack.enter_context(running(*arguments, log=log, **options))

    def logs(self) -> str:
        return "\n".join(log.read_text() for log in self.folder.glob("*.log"))


@pytest.fixture
def cluster(batch, tmp_path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    with ExitStack() as stack:
        yield Cluster(batch, tmp_path / "cluster", stack)


@pytest.fixture
def rows(raw, tmp_path):
    return many_files(tmp_path / "in", raw, files=16, times=25)


@pytest.fixture
def complete(batch, rows, tmp_path) -> dict[str, bytes]:
    """What one process writes."""
    said_by(start(batch, rows, "--to", tmp_path / "complete"))
    return content(tmp_path / "complete")


def test_a_killed_worker_costs_its_part_only(cluster, rows, complete, tmp_path):
    cluster.add_worker()
    cluster.add_worker()
    run = start(cluster.python, rows, "--to", tmp_path / "parts", "--scheduler", cluster.address)
    eventually(lambda: list(tmp_path.glob("parts/part-*")), cluster.logs)
    cluster.workers[0].send_signal(signal.SIGKILL)
    said_by(run)
    assert content(tmp_path / "parts") == complete


def test_a_run_whose_client_was_killed_goes_on_when_it_is_run_again(cluster, rows, complete, tmp_path):
    cluster.add_worker()
    cluster.add_worker()
    arguments = [rows, "--to", tmp_path / "parts", "--scheduler", cluster.address]
    run = start(cluster.python, *arguments)
    eventually(lambda: list(tmp_path.glob("parts/part-*")), cluster.logs)
    run.kill()
    said_by(run, -signal.SIGKILL)
    said_by(start(cluster.python, *arguments))
    assert content(tmp_path / "parts") == complete


def test_what_differs_on_a_worker_is_said_before_anything_is_sent(cluster, project, tmp_path):
    arguments = ["data/raw.csv", "--to", tmp_path / "parts", "--scheduler", cluster.address]
    assert "has no workers" in said_by(start(cluster.python, *arguments), 1)

    copied = tmp_path / "src"
    shutil.copytree(ROOT / "src/obesity_levels", copied / "obesity_levels")
    (copied / "obesity_levels/another.py").touch()
    cluster.add_worker(env=os.environ | {"PYTHONPATH": str(copied)})
    said = said_by(start(cluster.python, *arguments), 1)
    assert "error: tcp://" in said
    assert "not the same package.obesity_levels as this machine" in said
    assert not list(tmp_path.glob("parts/part-*"))


def test_two_runs_at_the_same_time_do_not_take_each_others_parts(cluster, rows, complete, tmp_path):
    cluster.add_worker()
    runs = [
        start(cluster.python, rows, "--to", tmp_path / name, "--scheduler", cluster.address, *options)
        for name, options in (("parts", []), ("kept", ["--keep", "Age"]))
    ]
    for run in runs:
        said_by(run)
    assert content(tmp_path / "parts") == complete
    said_by(start(cluster.python, rows, "--to", tmp_path / "alone", "--keep", "Age"))
    assert content(tmp_path / "kept") == content(tmp_path / "alone")


def test_a_scheduler_that_stops_is_an_error_that_says_what_to_do(cluster, rows, tmp_path):
    cluster.add_worker()
    run = start(cluster.python, rows, "--to", tmp_path / "parts", "--scheduler", cluster.address)
    eventually(lambda: list(tmp_path.glob("parts/part-*")), cluster.logs)
    cluster.scheduler.send_signal(signal.SIGKILL)
    assert "has stopped: start it, and run again" in said_by(run, 1)


def test_another_model_on_a_worker_is_an_error(cluster, project, tmp_path):
    """The path of the model leads into the current folder of whoever asks: a worker finds another one there."""
    shutil.copytree("models", tmp_path / "models")
    (tmp_path / "models/classifier.onnx").write_bytes(b"another")
    cluster.add_worker(cwd=tmp_path)
    arguments = ["data/raw.csv", "--to", tmp_path / "parts", "--scheduler", cluster.address]
    said = said_by(start(cluster.python, *arguments, "--model", "/proc/self/cwd/models"), 1)
    assert "not the same model.classifier.onnx as this machine" in said


def test_a_folder_that_a_worker_does_not_share_is_an_error(cluster, project, tmp_path):
    cluster.add_worker(cwd=tmp_path)
    arguments = [project / "data/raw.csv", "--model", project / "models", "--scheduler", cluster.address]
    said = said_by(start(cluster.python, *arguments, "--to", "/proc/self/cwd/reports/here/"), 1)
    assert "name one that all workers read and write" in said


def test_an_older_package_on_a_worker_is_an_error(cluster, project, tmp_path):
    (tmp_path / "src/obesity_levels").mkdir(parents=True)
    (tmp_path / "src/obesity_levels/__init__.py").touch()
    cluster.add_worker(env=os.environ | {"PYTHONPATH": str(tmp_path / "src")})
    arguments = ["data/raw.csv", "--to", tmp_path / "parts", "--scheduler", cluster.address]
    assert "install the same one there" in said_by(start(cluster.python, *arguments), 1)


def test_a_worker_without_the_package_is_an_error(cluster, project, tmp_path):
    cluster.add_worker(cluster.python, "-c", WITHOUT_PACKAGE)
    arguments = ["data/raw.csv", "--to", tmp_path / "parts", "--scheduler", cluster.address]
    assert "does not have this package" in said_by(start(cluster.python, *arguments), 1)


def test_an_address_where_nobody_answers_is_an_error_within_seconds(batch, project, tmp_path):
    arguments = ["data/raw.csv", "--to", tmp_path / "parts", "--scheduler"]
    began = time.monotonic()
    said = said_by(start(batch, *arguments, "tcp://127.0.0.1:9"), 1)
    assert "error: no scheduler of Dask answers at tcp://127.0.0.1:9 within 3 s" in said
    assert time.monotonic() - began < 30


def test_without_mlflow_the_error_says_how_to_name_a_model(batch, project, tmp_path):
    run = start(batch, "data/raw.csv", "--to", tmp_path / "x.csv", "--alias", "champion")
    assert "name a folder with --model" in said_by(run, 1)


def test_without_dask_the_error_says_where_it_is(project, tmp_path):

    run = start(Path(sys.executable), "data/raw.csv", "--to", tmp_path / "parts", "--scheduler", "tcp://127.0.0.1:9")
    assert "make batch" in said_by(run, 1)
