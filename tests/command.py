"""Commands: the project's own in this process, because a new one would import everything again; and other programs."""

import subprocess
from pathlib import Path

from obesity_levels.cli import main


def exit_status(*arguments: str) -> int:
    """Run `obesity-levels` with these arguments in the current folder; what it prints is for capsys."""
    try:
        main(arguments)
    except SystemExit as end:
        return end.code or 0
    return 0


def printed(*command: str | Path, cwd: Path | None = None, **options) -> str:
    """Run a program, which must succeed: its standard output."""
    run = subprocess.run(command, cwd=cwd, capture_output=True, text=True, **options)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
