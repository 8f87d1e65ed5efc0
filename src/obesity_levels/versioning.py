"""git and DVC in a project, through their command lines."""

import os
import subprocess
import sys
from pathlib import Path

from obesity_levels.errors import ArtifactError


def git(*arguments: str, folder: Path | None = None) -> str:
    """What a git command prints, without the last line end, run in `folder`.

    Raises ArtifactError, with git's message, if it fails.
    """
    return _text(_output(["git", *arguments], f"git {arguments[0]}", folder)).rstrip()


def git_file(revision: str, path: str) -> bytes:
    """The content of a file at a revision; `path` is relative to the current folder.

    Raises ArtifactError, with git's message, if it is not there.
    """
    return _output(["git", "show", f"{revision}:./{path}"], "git show", None)


def dvc(*arguments: str, folder: Path | None = None) -> str:
    """What a DVC command prints, run in `folder`. Raises ArtifactError, with DVC's message, if it fails."""
    return _text(_output(dvc_command(*arguments), f"dvc {arguments[0]}", folder))


def dvc_command(*arguments: str) -> list[str]:
    """The command line of DVC in the environment of this process."""
    return [sys.executable, "-m", "dvc", *arguments]


def dvc_environment() -> dict[str, str]:
    """The environment in which DVC finds this process's `python` for the stages, whether it is activated or not."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _text(printed: bytes) -> str:
    return printed.decode(errors="replace")


def _output(command: list[str], name: str, folder: Path | None) -> bytes:
    run = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if run.returncode:
        raise ArtifactError(f"{name}: {' '.join(run.stderr.decode(errors='replace').split())}")
    return run.stdout
