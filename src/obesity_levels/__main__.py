"""`python -m obesity_levels`: the metrics of the last run as a table (Markdown)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from obesity_levels.model_card import results_table


def main() -> None:
    """Print the table of metrics/evaluate.json in this folder."""
    path = Path("metrics/evaluate.json")
    if not path.exists():
        sys.exit(f"error: {path} does not exist: run `make repro` (or `dvc repro`) in the project's root first")
    print(results_table(json.loads(path.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
