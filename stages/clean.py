"""data/raw.csv to clean rows, with an account of every cell and row that changed."""

from obesity_levels.data.cleaning import clean_rows
from obesity_levels.data.source import read_raw
from obesity_levels.errors import run_stage
from obesity_levels.io import write_json, write_parquet
from obesity_levels.params import load_params
from obesity_levels.paths import CLEAN_METRICS, CLEAN_PARQUET, RAW_CSV, REJECTED_CSV


def main() -> None:
    raw = read_raw(RAW_CSV)
    kept, rejected, account = clean_rows(raw, load_params().clean)
    write_parquet(kept, CLEAN_PARQUET)
    rejected.to_csv(REJECTED_CSV, lineterminator="\n")
    write_json(account, CLEAN_METRICS)
    rows = account["rows"]
    for column, lost in account["lost"].items():
        guess = f"; they look like {lost['looks_like']}" if lost["looks_like"] else ""
        print(f"warning: {column}: {lost['share']:.0%} of the filled cells are unreadable or off its scale{guess}")
    print(f"kept {rows['kept']} of {rows['read']} rows: {len(rejected)} rejected, {rows['merged']} merged duplicates")


if __name__ == "__main__":
    run_stage(main)
