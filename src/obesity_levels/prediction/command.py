"""The command `obesity-levels predict`: its options, put together."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from obesity_levels.data.layout import load_layout
from obesity_levels.errors import RunError
from obesity_levels.io import leaves
from obesity_levels.options import ALIAS, LAYOUT, MODEL, chosen_model
from obesity_levels.params import load_params
from obesity_levels.prediction.files import (
    PART_BYTES,
    Runner,
    file_parts,
    here,
    predict_to_file,
    predict_to_folder,
)
from obesity_levels.prediction.processes import in_processes
from obesity_levels.prediction.run import describe_run
from obesity_levels.prediction.storage import S3, File, Folder, input_files
from obesity_levels.prediction.task import Task

_SUFFIXES = (".parquet", ".csv")
_MOST_LINES = 10


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="IN...")
@click.option(
    "--to", metavar="OUT", required=True, help="The .parquet or .csv file to write, or a folder of parts: DIR/"
)
@MODEL
@ALIAS
@LAYOUT
@click.option("--keep", multiple=True, metavar="COLUMN", help="Copy this column of IN.  [repeatable]")
@click.option("--evaluate", is_flag=True, help="Print scores: IN has labels.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Processes, for a folder of parts.  [default: 1]")
@click.option("--scheduler", metavar="ADDRESS", help="Use the workers of this scheduler of Dask, tcp://HOST:PORT.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def predict(
    inputs: Sequence[str],
    to: str,
    model: Path | None,
    alias: str | None,
    layout: Path | None,
    keep: Sequence[str],
    evaluate: bool,
    jobs: int | None,
    scheduler: str | None,
    overwrite: bool,
) -> None:
    """Predict the rows of files: CSV or Parquet files, folders of such files, or patterns; also s3://BUCKET/KEY.

    Each row gets the most probable level, the probability of each, and the prediction set, after the columns to keep.
    Labels are ignored without --evaluate; a row without any answer gets nulls. Prints an account of the rows. The files
    may be larger than memory. In a folder of parts an interrupted run goes on with the parts that are missing.
    """
    is_file = to.endswith(_SUFFIXES) and not to.startswith(S3)
    if not is_file and Path(to).suffix and not to.endswith("/"):
        raise click.UsageError(f"--to {to} must end with {', '.join(_SUFFIXES)} or /")
    if is_file and (jobs or scheduler):
        raise click.UsageError("--jobs and --scheduler write a folder of parts: let --to end with /")
    if jobs and scheduler:
        raise click.UsageError("name either --jobs or --scheduler")
    files = input_files(inputs)
    if is_file:
        _check_output(Path(to), files, overwrite=overwrite)
    params = load_params()
    written = load_layout(layout or Path(params.ingest.layout))
    parts = file_parts(files, written, PART_BYTES)
    most = params.clean.max_lost_share
    with chosen_model(model, alias) as model_folder, _ended_by_sigterm():
        task = Task(str(model_folder), written, params.clean.missing_marks, list(keep), evaluate)
        run = describe_run(task, files, PART_BYTES)
        if is_file:
            account = predict_to_file(task, parts, Path(to), run, most)
        else:
            runner = _on_cluster(scheduler) if scheduler else in_processes(jobs) if jobs and jobs > 1 else here
            account = predict_to_folder(task, parts, Folder(to), run, runner, most, overwrite=overwrite)
    hashes = [f"{name}: {found}" for name, found in leaves({"model": run["model"], **run["inputs"]})]
    click.echo("\n".join([str(account), "", *hashes[:_MOST_LINES], *(["…"] if hashes[_MOST_LINES:] else [])]))
    click.echo(f"written: {to}")


def _check_output(output: Path, inputs: Sequence[File], *, overwrite: bool) -> None:
    if output.exists() and (not overwrite or any(isinstance(f, Path) and output.samefile(f) for f in inputs)):
        raise click.UsageError(f"--to {output} exists: name another file, or give --overwrite (never for a file of IN)")


def _on_cluster(address: str) -> Runner:
    try:
        from obesity_levels.prediction.cluster import on_cluster
    except ModuleNotFoundError as error:
        raise RunError("--scheduler needs Dask: use the environment of `make batch` (docs/predict.md)") from error
    return on_cluster(address)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends as Ctrl+C does: what is half written is removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
