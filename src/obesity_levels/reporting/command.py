"""The command `obesity-levels report`."""

from pathlib import Path

import click

from obesity_levels.options import FILE
from obesity_levels.paths import REPORTS
from obesity_levels.reporting.page import report_page
from obesity_levels.reporting.reported import reported_at

_REPORT_HTML = REPORTS / "report.html"


@click.command()
@click.argument("run", required=False, metavar="[REV | EXP]")
@click.option("--against", metavar="REV | EXP", help="Show this run beside it, with the difference of each number.")
@click.option("--to", type=FILE, default=_REPORT_HTML, show_default=True, metavar="FILE", help="The file to write.")
def report(run: str | None, against: str | None, to: Path) -> None:
    """Write the report of a run: one HTML file with its metrics and plots, which opens anywhere.

    The run is a revision of git, an experiment of DVC, or by default the workspace. The numbers are those that
    `dvc metrics show` prints there.
    """
    page = report_page(reported_at(run), None if against is None else reported_at(against))
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(page, encoding="utf-8", newline="\n")
    click.echo(f"written: {to}")
