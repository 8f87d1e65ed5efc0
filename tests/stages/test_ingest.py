import runpy
import shutil

import pytest
from tests.conftest import ROOT
from tests.obesity_levels.yaml_files import with_changes

from obesity_levels.data.simulation import simulate
from obesity_levels.io import read_json, write_raw_csv


@pytest.mark.parametrize("source", ["data/survey.csv", "data/population.yaml"])
def test_a_sample_is_counted_in_the_account_and_the_same_of_a_table_and_of_a_population(
    tmp_path, monkeypatch, population, source
):
    monkeypatch.chdir(tmp_path)
    write_raw_csv(simulate(population, 300, 1), tmp_path / "data/survey.csv")
    for name in ("layout.yaml", "population.yaml"):
        shutil.copy(ROOT / "data" / name, tmp_path / "data")
    changes = {"source": source, "rows": 300, "seed": 1, "sample": 100}
    with_changes(ROOT / "params.yaml", tmp_path, {f"ingest.{key}": value for key, value in changes.items()})
    for stage in ("check", "ingest"):
        runpy.run_path(str(ROOT / f"stages/{stage}.py"), run_name="__main__")
    account = read_json(tmp_path / "metrics/ingest.json")
    assert (account["rows"], account["sampled_from"]) == (100, 300)
    rows = (tmp_path / "data/survey.csv").read_text().splitlines()
    kept = (tmp_path / "data/raw.csv").read_text().splitlines()
    assert len(kept) == 101
    assert [row for row in rows if row in set(kept)] == kept
