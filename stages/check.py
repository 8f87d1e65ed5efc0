"""params.yaml and the source, looked at before anything else when params.yaml changes: a mistake then costs nothing."""

from pathlib import Path

from obesity_levels.params import load_params, load_yaml
from obesity_levels.raw import read_raw
from obesity_levels.simulation import Population
from pipeline import is_simulated, run


def main() -> None:
    source = Path(load_params().ingest.source)
    if is_simulated(source):
        load_yaml(source, Population)
    else:
        read_raw(source)


if __name__ == "__main__":
    run(main, restore="git checkout params.yaml")
