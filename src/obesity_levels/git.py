"""What git says of this folder."""

from __future__ import annotations

import subprocess

from obesity_levels.errors import ArtifactError


def git_bytes(*arguments: str) -> bytes:
    """What a git command prints. Raises ArtifactError, with what git said, if it fails."""
    run = subprocess.run(["git", *arguments], capture_output=True, check=False)
    if run.returncode:
        raise ArtifactError(f"git {arguments[0]}: {run.stderr.decode(errors='replace').strip()}")
    return run.stdout


def git(*arguments: str) -> str:
    """The same as text, without the line's end."""
    return git_bytes(*arguments).decode(errors="replace").rstrip()
