"""What the tests of `obesity-levels predict` share: how it is run, and rows as people write them."""

import os
import subprocess
from pathlib import Path

import pandas as pd

from obesity_levels.schema import ANSWERS
from tests.command import exit_status

HEADER = ",".join(ANSWERS)
ROW = "Female,21.0,1.62,64.0,yes,no,2.0,3.0,Sometimes,no,2.0,no,0.0,1.0,no,Public_Transportation"


def predict(*arguments: str | Path) -> int:
    """Run `obesity-levels predict` with these arguments in this process: its exit status."""
    return exit_status("predict", *map(str, arguments))


def start(python: Path, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """Start the same as a process of its own, with its children in a group of its own."""
    return subprocess.Popen(
        [python, "-m", "obesity_levels.prediction", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def said_by(process: subprocess.Popen[str], status: int = 0) -> str:
    """What a process has printed, which must end with this status. Its children have closed its output by then."""
    said, _ = process.communicate(timeout=120)
    assert process.returncode == status, said
    return said


def file(folder: Path, content: str, name: str = "rows.csv") -> Path:
    """A file with this content, of which some bytes may not be UTF-8."""
    path = folder / name
    path.write_bytes(content.encode(errors="surrogateescape"))
    return path


def many_files(folder: Path, raw: pd.DataFrame, files: int, times: int) -> Path:
    """A folder of CSV files, each with the rows of `raw` that many times."""
    folder.mkdir()
    rows = pd.concat([raw] * times)
    for at in range(files):
        rows.to_csv(folder / f"{at:02}.csv", index=False)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
