"""Copies of the project's own YAML files with other values."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from obesity_levels.params import read_yaml

REMOVED = object()


def with_changes(source: Path, folder: Path, changes: dict[str, Any]) -> Path:
    """A copy of `source` in `folder`; `changes` gives values to keys, which are named with points."""
    content = read_yaml(source)
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = content
        for part in sections:
            section = section[part]
        section[name] = value
        if value is REMOVED:
            del section[name]
    YAML(typ="safe").dump(content, folder / source.name)
    return folder / source.name
