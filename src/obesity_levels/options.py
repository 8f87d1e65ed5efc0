"""What the commands share: options, and how an error ends them."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from obesity_levels.errors import ObesityLevelsError, RegistryError
from obesity_levels.paths import MODELS

FILE = FOLDER = click.Path(path_type=Path)
LAYOUT = click.option(
    "--layout", type=FILE, metavar="FILE", help="How the rows are written.  [default: ingest.layout of params.yaml]"
)
MODEL = click.option("--model", type=FOLDER, metavar="DIR", help=f"Folder of the model.  [default: {MODELS}]")
ALIAS = click.option(
    "--alias", metavar="NAME", help="Use the registered model with this alias instead, such as champion."
)


def run_command(command: click.Command, arguments: Sequence[str] | None, name: str) -> None:
    """Run a command and exit. An error that a person can act on is one line on standard error, with status 1."""
    # A character that the terminal cannot show is printed as "?". Standard output may be closed (`>&-`).
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        command(arguments, prog_name=name)
    except (ObesityLevelsError, OSError) as error:  # OSError: a full disk, a folder without write permission
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def echo_report(text: str) -> None:
    """Print what is written to a file too, or follows from one: it is no error if nobody reads, or the disk is full."""
    try:
        click.echo(text)
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def chosen_model(model: Path | None, alias: str | None) -> AbstractContextManager[Path]:
    """The folder of the model that --model or --alias names. Raises click.UsageError for both, RegistryError."""
    if model is not None and alias is not None:
        raise click.UsageError("name either --model or --alias")
    if alias is None:
        return nullcontext(model or MODELS)
    try:
        from obesity_levels.registry.mlflow_registry import registered_model
    except ModuleNotFoundError as error:  # in the environment of `make batch`
        raise RegistryError("--alias needs MLflow, which is not installed here: name a folder with --model") from error
    return registered_model(alias)
