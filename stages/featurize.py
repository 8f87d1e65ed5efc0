"""Clean rows to three splits, each with the model's input matrix."""

from obesity_levels.data.splitting import group_rows, split_rows
from obesity_levels.errors import run_stage
from obesity_levels.io import read_parquet, write_json, write_split
from obesity_levels.model.features import encode_table, input_matrix
from obesity_levels.params import load_params
from obesity_levels.paths import CLEAN_PARQUET, FEATURES, FEATURIZE_METRICS
from obesity_levels.schema import LABEL, SPLITS


def main() -> None:
    params = load_params().featurize
    rows = read_parquet(CLEAN_PARQUET)
    groups = group_rows(rows, params.split.min_shared_cells)
    split = split_rows(rows[LABEL], groups, params.split)
    matrix = input_matrix(encode_table(rows), params.profile)
    account = {}
    for name in SPLITS:
        chosen = split == name
        write_split(FEATURES, name, rows[chosen], groups[chosen], matrix[chosen], params.profile)
        account[name] = int(chosen.sum())
    write_json({"rows": account, "groups": int(groups.max()) + 1, "features": matrix.shape[1]}, FEATURIZE_METRICS)
    print(f"{matrix.shape[1]} features; " + ", ".join(f"{count} {name} rows" for name, count in account.items()))


if __name__ == "__main__":
    run_stage(main)
