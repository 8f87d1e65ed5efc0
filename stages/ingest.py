"""The source to data/raw.csv: a .yaml file is simulated; any other is checked, and changed as its layout says."""

import hashlib
import shutil
from pathlib import Path

from obesity_levels.data.layout import UNCHANGED, load_layout
from obesity_levels.data.simulation import Population, simulate
from obesity_levels.data.source import extra_columns, is_simulated, read_raw
from obesity_levels.errors import run_stage
from obesity_levels.io import write_json, write_raw_csv
from obesity_levels.params import load_params, load_yaml
from obesity_levels.paths import INGEST_METRICS, RAW_CSV


def main() -> None:
    params = load_params().ingest
    source, layout = Path(params.source), load_layout(Path(params.layout))
    simulated = is_simulated(source)
    if simulated:
        raw = simulate(load_yaml(source, Population), params.rows, params.seed)
        write_raw_csv(raw, RAW_CSV)
    else:
        raw = read_raw(source, layout=layout)
        RAW_CSV.parent.mkdir(exist_ok=True)
        if layout == UNCHANGED:
            shutil.copyfile(source, RAW_CSV)
        else:
            raw.to_csv(RAW_CSV, index=False, lineterminator="\n")
    account = {
        "source": source.name,
        "md5": hashlib.md5(source.read_bytes(), usedforsecurity=False).hexdigest(),
        "simulated": simulated,
        "layout": Path(params.layout).name,
        "rows": len(raw),
        "columns": {"found": len(raw.columns), "extra": ", ".join(extra_columns(list(raw.columns)))},
    }
    write_json(account, INGEST_METRICS)
    print(f"{'simulated' if simulated else 'read'} {len(raw)} rows from {source}")


if __name__ == "__main__":
    run_stage(main)
