"""How simulate + clean + featurize grow with the rows: seconds and peak memory, each size in a process of its own.

python benchmarks/pipeline.py [--rows 10000 100000 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
SIZES = [10_000, 100_000, 1_000_000]
STAGES = ("ingest", "clean", "featurize")


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds and peak memory of simulate + clean + featurize.")
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="sizes to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    figures = {str(rows): measure(rows) for rows in arguments.rows}
    table = [
        [
            int(rows),
            figure["seconds"],
            1e6 * figure["seconds"] / int(rows),
            figure["peak_mb"],
            *figure["stages"].values(),
        ]
        for rows, figure in figures.items()
    ]
    print(tabulate(table, ["rows", "seconds", "µs a row", "peak MB", *STAGES], "github", floatfmt=".1f"))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": figures}, indent=2) + "\n", encoding="utf-8")


def measure(rows: int) -> dict:
    """Run the real stages on `rows` rows of the default population in a new folder: seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        params = (ROOT / "params.yaml").read_text(encoding="utf-8")
        default = "source: data/population.yaml\n"
        if default not in params:
            sys.exit(f"error: params.yaml: ingest.{default.strip()} is expected; put it back to measure")
        lines = params.replace(": data/", f": {ROOT}/data/").splitlines()
        lines = [f"  rows: {rows}" if line.startswith("  rows: ") else line for line in lines]
        (here / "params.yaml").write_text("\n".join(lines), encoding="utf-8")
        stages = {}
        peak = 0.0
        for stage in STAGES:
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, ROOT / f"stages/{stage}.py"], cwd=here, stdout=subprocess.DEVNULL
            )
            # wait4 tells what this one child used, not the largest of all so far
            _, status, used = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"error: stage {stage} failed on {rows} rows")
            stages[stage] = round(time.perf_counter() - start, 2)
            peak = max(peak, used.ru_maxrss / 1024)
        return {"seconds": round(sum(stages.values()), 2), "peak_mb": round(peak, 1), "stages": stages}


if __name__ == "__main__":
    main()
