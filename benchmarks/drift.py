"""What metrics/drift.json cannot say, because its batches come from the few held-out rows: python benchmarks/drift.py.

Simulates fresh people of the population that the model was made of, and measures how often their batches alarm, how
often a service shows an alarm while its window fills, and which cause is named for changes that look alike. Needs the
default pipeline's results (`make repro`).
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from multiprocessing.pool import Pool
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from tabulate import tabulate
from tqdm import tqdm

from obesity_levels.data.simulation import Population, simulate
from obesity_levels.drift.batch import NUMBERS, Batch, score
from obesity_levels.drift.calibration import KINDS, alarms, rate
from obesity_levels.drift.check import Calibrated, load_calibrated
from obesity_levels.drift.histograms import judge
from obesity_levels.drift.report import Source, build_report
from obesity_levels.params import Params, load_params, load_yaml

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZES = [50, 100, 200, 300, 500, 1000]
WINDOW_STEP, WINDOW = 50, 1000
CAUSE_ROWS = 300
HEIGHT, WEIGHT, AGE = (NUMBERS.index(name) for name in ("Height", "Weight", "Age"))
Change = Callable[[np.ndarray], np.ndarray]
# What is changed, and by what: as it is written down, rounded.
CHANGES: list[tuple[str, int, Change]] = [
    ("Weight × 1.1", WEIGHT, lambda numbers: (numbers * 1.1).round(1)),
    ("Weight + 10 kg", WEIGHT, lambda numbers: numbers + 10),
    ("Height × 1.1", HEIGHT, lambda numbers: (numbers * 1.1).round(2)),
    ("Age + 3 years", AGE, lambda numbers: numbers + 3),
    ("Height in inches", HEIGHT, lambda numbers: (numbers * 39.370079).round()),
    ("Height in feet", HEIGHT, lambda numbers: (numbers * 3.28084).round(1)),
    ("Height in millimetres", HEIGHT, lambda numbers: (numbers * 1000).round()),
    ("Weight in pounds", WEIGHT, lambda numbers: (numbers * 2.204623).round()),
    ("Age in months", AGE, lambda numbers: (numbers * 12).round()),
]


def main() -> None:
    parser = argparse.ArgumentParser(description="How often drift is found among fresh simulated people.")
    parser.add_argument("--batches", type=int, default=500, help="of each size")
    parser.add_argument("--services", type=int, default=500, help="whose windows fill")
    parser.add_argument("--changes", type=int, default=20, help="batches of each change")
    arguments = parser.parse_args()
    with multiprocessing.Pool() as pool:
        columns = ["batches of fresh people that alarm", *KINDS]
        print(tabulate(list(fresh(pool, arguments.batches)), columns, "github"), "\n")

        filled = pool.imap(first_alarm, range(arguments.services))
        shown = np.array(list(tqdm(filled, total=arguments.services, desc="windows", leave=False)))
        rows = [
            [f"{least} rows on", percent(np.logical_or.reduce(shown[:, least // WINDOW_STEP - 1 :], axis=1))]
            for least in (WINDOW_STEP, params().drift.detect.min_window_rows)
        ]
        columns = [f"services that alarm while their windows fill to {WINDOW} rows; judged from", ""]
        print(tabulate(rows, columns, "github"), "\n")

        found = pool.imap(partial(unit_errors, batches=arguments.changes), range(len(CHANGES)))
        named = [[name, f"{count} of {arguments.changes}"] for (name, *_), count in zip(CHANGES, found, strict=True)]
        print(tabulate(named, [f"change of {CAUSE_ROWS} rows", "called a unit error"], "github"))


@cache
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@cache
def calibrated() -> Calibrated:
    """In each process once: ONNX Runtime's session cannot be sent to another."""
    return load_calibrated(ROOT / "models", ROOT / "data/features")


def people(rows: int, seed: list[int]) -> Batch:
    """Fresh people, damaged as those of the source are, as the drift command reads them."""
    population = load_yaml(ROOT / params().ingest.source, Population)
    number = int(np.random.default_rng(seed).integers(2**31))
    clean = params().clean
    return Batch.of_raw(simulate(population, rows, number), clean.missing_marks, clean.reported_lost_share)


def fresh(pool: Pool, batches: int) -> Iterator[list[str]]:
    for size in BATCH_SIZES:
        found = pool.imap(partial(fresh_alarms, size), range(batches))
        of_kinds = np.array(list(tqdm(found, total=batches, desc=f"{size} rows", leave=False)))
        yield [f"{size} rows", *map(percent, of_kinds.T)]


def fresh_alarms(size: int, at: int) -> list[bool]:
    held_out = calibrated().held_out
    scored = score(people(size, [size, at]), held_out.classifier, held_out.confidence)
    return [bool(alarm[0]) for alarm in alarms(calibrated().detector, scored)]


def first_alarm(at: int) -> list[bool]:
    """Whether the counts of the first 50, 100, … rows of a stream alarm, however few they are."""
    detector, held_out = calibrated().detector, calibrated().held_out
    scored = score(people(WINDOW, [0, at]), held_out.classifier, held_out.confidence)
    always = msgspec.structs.replace(
        detector.reference, thresholds=msgspec.structs.replace(detector.reference.thresholds, min_rows=1)
    )
    counts = [
        detector.cells.count(scored.matrix[0][:rows], scored.levels[0][:rows])
        for rows in range(WINDOW_STEP, WINDOW + 1, WINDOW_STEP)
    ]
    return [judge(always, detector.cells, count).verdict == "drift" for count in counts]


def unit_errors(at_change: int, batches: int) -> int:
    """In how many batches so changed the column is called a unit error."""
    _, column, change = CHANGES[at_change]
    detector, held_out, trained_on, _ = calibrated()
    count = 0
    for at in range(batches):
        batch = people(CAUSE_ROWS, [column + 1, at])
        numbers = batch.numbers.copy()
        numbers[:, column] = change(numbers[:, column])
        batch = replace(batch, numbers=numbers)
        results = detector.test(score(batch, held_out.classifier, held_out.confidence))
        report = build_report(detector, results, batch, trained_on, Source("file", "changed"))
        count += any(cause.cause == "unit_error" and NUMBERS[column] in cause.columns for cause in report.causes)
    return count


def percent(alarm: npt.NDArray[np.bool_]) -> str:
    found = rate(alarm)
    low, high = found.interval
    return f"{found.rate:.1%} ({low:.1%} to {high:.1%})"


if __name__ == "__main__":
    main()
