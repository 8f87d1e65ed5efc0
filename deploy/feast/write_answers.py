"""Clean rows to the file that the store reads, each with a made-up id, as if all persons had answered now."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from obesity_levels.errors import ObesityLevelsError
from obesity_levels.io import read_parquet
from obesity_levels.paths import CLEAN_PARQUET
from obesity_levels.schema import ANSWERS

ANSWERS_PARQUET = Path(__file__).with_name("data") / "answers.parquet"


def main() -> None:
    """Read data/clean.parquet of the current folder; the id of a person is the line of the source."""
    rows = read_parquet(CLEAN_PARQUET)[list(ANSWERS)]
    rows.insert(0, "person_id", [f"line-{line}" for line in rows.index])
    rows.insert(1, "answered_at", datetime.now(UTC).replace(microsecond=0))
    ANSWERS_PARQUET.parent.mkdir(exist_ok=True)
    rows.to_parquet(ANSWERS_PARQUET, index=False)
    print(f"{len(rows)} persons")


if __name__ == "__main__":
    try:
        main()
    except ObesityLevelsError as error:
        sys.exit(f"error: {error}")
