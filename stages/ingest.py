"""The source to data/raw.csv: a .yaml file is simulated, any other file is checked and copied as it is."""

import hashlib
import shutil
from pathlib import Path

from obesity_levels.data.simulation import Population, simulate
from obesity_levels.data.source import extra_columns, is_simulated, read_raw
from obesity_levels.errors import run_stage
from obesity_levels.io import write_json, write_raw_csv
from obesity_levels.params import load_params, load_yaml
from obesity_levels.paths import INGEST_METRICS, RAW_CSV


def main() -> None:
    params = load_params().ingest
    source = Path(params.source)
    simulated = is_simulated(source)
    if simulated:
        raw = simulate(load_yaml(source, Population), params.rows, params.seed)
        write_raw_csv(raw, RAW_CSV)
    else:
        raw = read_raw(source)
        RAW_CSV.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, RAW_CSV)
    account = {
        "source": source.name,
        "md5": hashlib.md5(source.read_bytes(), usedforsecurity=False).hexdigest(),
        "simulated": simulated,
        "rows": len(raw),
        "columns": {"found": len(raw.columns), "extra": ", ".join(extra_columns(list(raw.columns)))},
    }
    write_json(account, INGEST_METRICS)
    print(f"{'simulated' if simulated else 'read'} {len(raw)} rows from {source}")


if __name__ == "__main__":
    run_stage(main)
