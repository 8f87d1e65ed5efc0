"""How fast `obesity-levels predict` is, and how it grows: `python benchmarks/predict.py [--json FILE]`.

Rows a second a core, and the peak memory of a process: of CSV with few and with many rows, of Parquet of texts and of
typed Parquet; beside a client that asks the service in batches; two workers of Dask beside one process. The time of the
same command on a few rows, its start, is left out. Of each figure the median of the rounds is taken. Needs a model
(`make repro`), the service's environment (`make service/.venv/ready`), and 3 GB on disk; it makes that of Dask.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.processes import MODEL_DIR, ROOT, running
from tabulate import tabulate

from obesity_levels.data.simulation import Population, draw_people, simulate
from obesity_levels.params import load_yaml
from obesity_levels.schema import ANSWERS, LEVELS, SCALES

FEW, MANY = 100_000, 10_000_000
OF_PARQUET, OF_SERVICE, OF_DASK = 2_000_000, 200_000, 3_000_000
ONCE = 1_000_000  # rows that are simulated; more are these again
SMALL = 200
BATCH = 1_000
CORES = len(os.sched_getaffinity(0))
BATCH_PYTHON = ROOT / "deploy/batch/.venv/bin/python"


def main() -> None:
    parser = argparse.ArgumentParser(description="Rows a second and peak memory of `obesity-levels predict`.")
    parser.add_argument("--many", type=int, default=MANY, help="rows of the largest file")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="predict-benchmark-") as folder:
        figures = measure(Path(folder), arguments.many, arguments.rounds)
    rows = [("csv", size, *figure.values()) for size, figure in figures["csv"].items()]
    rows += [("parquet", kind, *figure.values()) for kind, figure in figures["parquet"].items()]
    print(tabulate(rows, ["", "", "rows a second a core", "peak MB"], "github", floatfmt=",.0f"))
    print(f"beside the service, in batches of {BATCH}: {figures['service']['speedup']:.1f} times as fast")
    dask = figures["dask"]
    faster = f"{dask['speedup']:.2f} times as fast" if dask else "not measured, there is no Dask"
    print(f"two workers of Dask, beside one process: {faster}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path, many: int, rounds: int) -> dict[str, Any]:
    """All figures; what is not needed any more is removed."""
    # Another process makes the files: what a process holds counts for its children, as the most that they ever had.
    with ProcessPoolExecutor(1, get_context("spawn")) as maker:

        def make(kind: str, name: str, rows: int) -> contextlib.AbstractContextManager[Path]:
            maker.submit(write, kind, folder / name, rows).result()
            return removed(folder / name)

        figures: dict[str, Any] = {"csv": {}, "parquet": {}}
        with make("text", "small.csv", SMALL) as small:
            for size in (FEW, many):
                with make("text", "rows.csv", size) as file:
                    jobs = CORES if size > FEW else 1  # few rows are one part
                    figures["csv"][str(size)] = rate(file, small, size, rounds, jobs)
            for kind in ("text", "typed"):
                with make(kind, "rows.parquet", OF_PARQUET) as file, make(kind, "small.parquet", SMALL) as start:
                    figures["parquet"][kind] = rate(file, start, OF_PARQUET, rounds, CORES)
            with make("typed", "people.csv", OF_SERVICE) as file, running() as service:
                times: dict[str, list[float]] = {"predict": [], "client": []}
                for _ in range(rounds):
                    times["predict"].append(seconds(file, folder / "out.parquet"))
                    times["client"].append(ask_service(file, folder / "out.parquet", service.port))
            figures["service"] = {"speedup": speedup(times["client"], times["predict"])}
            with make("text", "rows.csv", OF_DASK) as file:
                figures["dask"] = dask(file, small, folder, rounds)
    return figures


def speedup(slower: list[float], faster: list[float]) -> float:
    """How many times as fast, by the medians."""
    return round(statistics.median(slower) / statistics.median(faster), 2)


def rate(file: Path, small: Path, rows: int, rounds: int, jobs: int) -> dict[str, float]:
    """Rows a second a core and the peak memory of `jobs` processes, which write a folder of parts if there are more."""
    output = file.with_name("out") if jobs > 1 else file.with_name("out.parquet")
    options = ["--jobs", str(jobs)] if jobs > 1 else []
    found = [run(sys.executable, file, output, *options) for _ in range(rounds)]
    start = statistics.median(run(sys.executable, small, output, *options)[0] for _ in range(3))
    took = statistics.median(time for time, _ in found) - start
    return {
        "rows_per_second_per_core": round(rows / took / jobs),
        "peak_mb": round(max(peak for _, peak in found)),
    }


def run(python: Path | str, file: Path, output: Path, *options: str) -> tuple[float, float]:
    """Seconds, and the peak memory in MB of the largest process."""
    command = [python, "-m", "obesity_levels.prediction", file, "--to", output, "--overwrite", *options]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--model", MODEL_DIR], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)  # with the processes that it waited for
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"error: {' '.join(map(str, command))} failed")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def seconds(file: Path, output: Path) -> float:
    """Seconds of the command, with its start: a client starts too."""
    return run(sys.executable, file, output)[0]


def ask_service(file: Path, output: Path, port: int) -> float:
    """Seconds of a client that does the same with the service: it reads the CSV file, asks, and writes Parquet."""
    script = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from benchmarks.predict import client; client(*sys.argv[1:])"
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script, file, output, str(port)], check=True)
    return time.perf_counter() - began


def client(file: str, output: str, port: str) -> None:
    """The client: pandas reads, msgspec encodes and decodes, one connection is kept, pyarrow writes."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port))
    schema = pa.schema(
        [
            ("prediction", pa.string()),
            *((level, pa.float64()) for level in LEVELS),
            ("prediction_set", pa.list_(pa.string())),
        ]
    )
    with pq.ParquetWriter(output, schema) as writer:
        for rows in pd.read_csv(file, usecols=list(ANSWERS), chunksize=BATCH, keep_default_na=False):
            body = msgspec.json.encode({"patients": rows.to_dict("records")})
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            found = msgspec.json.decode(answer.read())
            if answer.status != 200:
                sys.exit(f"error: the service answered {answer.status}: {found}")
            columns = [[row[level] for row in found["probabilities"]] for level in LEVELS]
            writer.write_table(pa.table([found["predictions"], *columns, found["prediction_sets"]], schema=schema))


def dask(file: Path, small: Path, folder: Path, rounds: int) -> dict[str, float] | None:
    """How many times as fast two workers are as one process, in turns; None where Dask cannot be installed."""
    made = subprocess.run(["make", "--silent", "--old-file=.venv/ready", "deploy/batch/.venv/ready"], cwd=ROOT)
    if made.returncode:
        return None
    output = folder / "out"
    with cluster(folder) as address:
        times: dict[str, list[float]] = {"one": [], "two": []}
        for _ in range(rounds):
            for name, options in {"one": [], "two": ["--scheduler", address]}.items():
                start = run(BATCH_PYTHON, small, output, *options)[0]
                times[name].append(run(BATCH_PYTHON, file, output, *options)[0] - start)
    return {"speedup": speedup(times["one"], times["two"])}


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A scheduler of Dask and two workers, of one thread each: the scheduler's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    scheduler = ["distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    worker = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    with contextlib.ExitStack() as stack:
        for command in (scheduler, worker, worker):
            process = subprocess.Popen([BATCH_PYTHON, "-m", *command], cwd=folder, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        time.sleep(10)
        yield address


@cache
def made(kind: str) -> pd.DataFrame:
    """Rows as people write them, as texts; or complete ones with numbers."""
    population = load_yaml(ROOT / "data/population.yaml", Population)
    if kind == "text":
        return simulate(population, ONCE, 0)
    people = draw_people(population, ONCE // 2, np.random.default_rng(0))
    return people.astype(dict.fromkeys(SCALES, "float64"))


def write(kind: str, path: Path, size: int) -> None:
    """A CSV or Parquet file with so many rows of a kind: the same ones, again and again."""
    rows = made(kind)
    with contextlib.ExitStack() as stack:
        schema = pa.Table.from_pandas(rows[:1], preserve_index=False).schema
        writer = stack.enter_context(pq.ParquetWriter(path, schema)) if path.suffix == ".parquet" else None
        for begin in range(0, size, len(rows)):
            block = rows[: size - begin]
            if writer:
                writer.write_table(pa.Table.from_pandas(block, schema, preserve_index=False), row_group_size=250_000)
            else:
                block.to_csv(path, index=False, header=not begin, mode="a" if begin else "w")


@contextlib.contextmanager
def removed(path: Path) -> Iterator[Path]:
    """The file, which is removed at the end."""
    yield path
    path.unlink()


if __name__ == "__main__":
    main()
