"""Checks params.yaml and the source before anything else when params.yaml changes: then a mistake costs nothing."""

from pathlib import Path

from obesity_levels.data.layout import load_layout
from obesity_levels.data.simulation import Population
from obesity_levels.data.source import is_simulated, read_blocks
from obesity_levels.errors import run_stage
from obesity_levels.params import load_params, load_yaml
from obesity_levels.schema import COLUMNS


def main() -> None:
    params = load_params().ingest
    source, layout = Path(params.source), load_layout(Path(params.layout))
    if is_simulated(source):
        load_yaml(source, Population)
    else:
        for _ in read_blocks(source, COLUMNS, layout):
            pass  # every block is checked, and none is kept


if __name__ == "__main__":
    run_stage(main, restore="git checkout params.yaml")
