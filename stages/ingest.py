"""The source to data/raw.csv: a .yaml file is simulated; any other is checked, and changed as its layout says."""

import hashlib
import shutil
from pathlib import Path

import pandas as pd

from obesity_levels.data.layout import UNCHANGED, load_layout
from obesity_levels.data.sampling import sample_rows
from obesity_levels.data.simulation import Population, simulate
from obesity_levels.data.source import extra_columns, is_simulated, read_blocks
from obesity_levels.errors import run_stage
from obesity_levels.io import write_json, write_raw_csv
from obesity_levels.params import load_params, load_yaml
from obesity_levels.paths import INGEST_METRICS, RAW_CSV
from obesity_levels.schema import COLUMNS


def main() -> None:
    params = load_params().ingest
    source, layout = Path(params.source), load_layout(Path(params.layout))
    simulated = is_simulated(source)
    if simulated:
        blocks = iter([simulate(load_yaml(source, Population), params.rows, params.seed)])
    else:
        blocks = read_blocks(source, COLUMNS, layout)
    sampled = {}
    if params.sample is None:
        raw = pd.concat(blocks)
    else:
        raw, rows = sample_rows(blocks, params.sample, params.seed)
        sampled = {"sampled_from": rows}
    RAW_CSV.parent.mkdir(exist_ok=True)
    if simulated:
        write_raw_csv(raw, RAW_CSV)
    elif params.sample is None and layout == UNCHANGED:
        shutil.copyfile(source, RAW_CSV)
    else:
        raw.to_csv(RAW_CSV, index=False, lineterminator="\n")
    with source.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    account = {
        "source": source.name,
        "md5": md5.hexdigest(),
        "simulated": simulated,
        "layout": Path(params.layout).name,
        "rows": len(raw),
        **sampled,
        "columns": {"found": len(raw.columns), "extra": ", ".join(extra_columns(list(raw.columns)))},
    }
    write_json(account, INGEST_METRICS)
    of_all = f" of {rows}" if sampled else ""
    print(f"{'simulated' if simulated else 'read'} {len(raw)}{of_all} rows from {source}")


if __name__ == "__main__":
    run_stage(main)
