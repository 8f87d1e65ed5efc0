"""data/raw.csv to valid rows, with an account of every cell and row that changed."""

from obesity_levels.cleaning import clean_rows
from obesity_levels.params import load_params
from obesity_levels.raw import read_raw
from obesity_levels.tables import write_parquet
from pipeline import CLEAN_METRICS, CLEAN_PARQUET, RAW_CSV, REJECTED_CSV, run, write_json


def main() -> None:
    raw = read_raw(RAW_CSV)
    kept, rejected, account = clean_rows(raw, load_params().clean)
    write_parquet(kept, CLEAN_PARQUET)
    rejected.to_csv(REJECTED_CSV, lineterminator="\n")
    write_json(account, CLEAN_METRICS)
    rows = account["rows"]
    print(f"kept {rows['kept']} of {rows['read']} rows: {len(rejected)} rejected, {rows['merged']} merged into copies")


if __name__ == "__main__":
    run(main)
