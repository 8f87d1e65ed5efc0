"""The command line, run in this process: a new one would import everything again."""

from obesity_levels.cli import main


def exit_status(*arguments: str) -> int:
    """Run `obesity-levels` with these arguments in the current folder; what it prints is for capsys."""
    try:
        main(arguments)
    except SystemExit as end:
        return end.code or 0
    return 0
