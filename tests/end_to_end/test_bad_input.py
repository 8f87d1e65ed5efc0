"""Bad input, met as a user meets it: `dvc repro` says what is wrong, and the command that it names undoes it all.

What is said of each bad file and each bad key is tested where it is read: in test_source, test_params, test_cleaning,
test_splitting and test_estimators.
"""

import re

from obesity_levels.errors import RESTORE

RESTORED_BY = re.compile(r"To restore the last commit: (.*)")


def fails_clearly_and_is_undone(clone, *said: str) -> None:
    before = clone.made()
    run = clone.run("dvc", "repro", check=False)
    output = run.stdout + run.stderr
    assert run.returncode != 0, output
    assert "Traceback" not in output
    for words in said:
        assert words in output
    (command,) = RESTORED_BY.findall(output)
    clone.run("sh", "-c", command)
    assert clone.run("git", "status", "--porcelain", "--untracked-files=no").stdout == ""
    assert clone.made() == before
    assert "up to date" in clone.run("dvc", "status").stdout


def test_a_wrong_value_in_the_params(clone):
    clone.set_params({"train.model": "oracle"})
    fails_clearly_and_is_undone(clone, "params.yaml: train.model: Invalid enum value 'oracle'")


def test_a_source_that_is_not_there(clone):
    clone.set_params({"ingest.source": "nowhere.csv"})
    fails_clearly_and_is_undone(clone, "nowhere.csv does not exist: give the path of a CSV or YAML file")


def test_a_source_that_the_first_stages_read_and_a_later_one_refuses(clone):
    lines = (clone.path / "data/raw.csv").read_text().splitlines(keepends=True)
    clone.write("source.csv", "".join(line for line in lines if "insufficient" not in line.lower()))
    clone.set_params({"ingest.source": "source.csv"})
    fails_clearly_and_is_undone(clone, "level 'Insufficient_Weight' has 0 rows", "give more rows of this level")


def test_a_source_that_was_taken_away_is_named_by_dvc_and_what_it_removed_is_brought_back(clone):
    """The params did not change, so DVC itself is the first to look; it removes what ingest wrote before it does."""
    rows = (clone.path / "data/raw.csv").read_bytes()
    (clone.path / "data/population.yaml").unlink()
    run = clone.run("dvc", "repro", check=False)
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    assert "data/population.yaml" in run.stderr
    clone.run("sh", "-c", RESTORE)
    assert (clone.path / "data/raw.csv").read_bytes() == rows
