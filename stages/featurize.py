"""Valid rows to three splits, each with the model's input matrix."""

from obesity_levels.features import answer_rows, input_matrix
from obesity_levels.params import load_params
from obesity_levels.schema import LABEL
from obesity_levels.splitting import SPLITS, group_rows, split_rows
from obesity_levels.tables import read_parquet, write_split
from pipeline import CLEAN_PARQUET, FEATURES, FEATURIZE_METRICS, run, write_json


def main() -> None:
    params = load_params().featurize
    rows = read_parquet(CLEAN_PARQUET)
    groups = group_rows(rows, params.split.min_shared_cells)
    split = split_rows(rows[LABEL], groups, params.split)
    matrix = input_matrix(answer_rows(rows), params.profile)
    account = {}
    for name in SPLITS:
        here = split == name
        write_split(FEATURES, name, rows[here], groups[here], matrix[here], params.profile)
        account[name] = int(here.sum())
    write_json({"rows": account, "groups": int(groups.max()) + 1, "features": matrix.shape[1]}, FEATURIZE_METRICS)
    print(f"{matrix.shape[1]} features; " + ", ".join(f"{count} rows to {name}" for name, count in account.items()))


if __name__ == "__main__":
    run(main)
