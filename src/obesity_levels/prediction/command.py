"""The command `obesity-levels predict`: its options, put together."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import click

from obesity_levels.data.layout import load_layout
from obesity_levels.errors import RunError
from obesity_levels.options import ALIAS, LAYOUT, MODEL, chosen_model, echo_report
from obesity_levels.params import load_params
from obesity_levels.prediction.files import (
    PART_BYTES,
    Runner,
    file_parts,
    in_this_process,
    predict_to_file,
    predict_to_folder,
)
from obesity_levels.prediction.processes import in_processes
from obesity_levels.prediction.run import describe_run, made_with
from obesity_levels.prediction.storage import S3, File, Folder, input_files
from obesity_levels.prediction.table import OUTPUTS
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
    is_file = Path(to).suffix in _SUFFIXES and not to.endswith("/") and not to.startswith(S3)
    if not is_file and not to.endswith("/") and (to.startswith(S3) or Path(to).suffix or not to):
        ends = "/" if to.startswith(S3) else f"{', '.join(_SUFFIXES)} or /"
        raise click.UsageError(f"--to {to!r} must end with {ends}")
    if is_file and (jobs or scheduler is not None):
        raise click.UsageError("--jobs and --scheduler write a folder of parts: let --to end with /")
    if jobs and scheduler is not None:
        raise click.UsageError("name either --jobs or --scheduler")
    if taken := [name for name in keep if list(keep).count(name) > 1 or name in OUTPUTS]:
        raise click.UsageError(f"--keep {taken[0]}: there would be two columns of that name")
    files = input_files(inputs)
    _check_output(Path(to), files, is_file=is_file, overwrite=overwrite)
    params = load_params()
    rows_layout = load_layout(layout or Path(params.ingest.layout))
    with chosen_model(model, alias) as model_folder, _ended_by_sigterm(), _runner(jobs, scheduler) as runner:
        origin = made_with(str(model_folder))
        clean = params.clean
        task = Task(
            str(model_folder), origin, rows_layout, clean.missing_marks, list(keep), evaluate, clean.max_lost_share
        )
        options = {"keep": task.keep, "evaluate": evaluate, "missing_marks": task.missing_marks}
        run = describe_run(files, rows_layout, options | {"part_bytes": PART_BYTES}, origin)
        parts = file_parts(files, rows_layout, PART_BYTES)
        if is_file:
            account = predict_to_file(task, parts, Path(to), run)
        else:
            account = predict_to_folder(task, parts, Folder(to), run, runner, overwrite=overwrite)
    lines = [str(account), "", *(f"sha256 of {name}: {found}" for name, found in origin["model"].items())]
    for file in run["inputs"][:_MOST_LINES]:
        lines.append(", ".join(f"{name} {value}" for name, value in file.items()))
    lines += [f"… of {len(files)} files"] if files[_MOST_LINES:] else []
    if evaluate and not account.scores():
        lines.append("no row has a label that can be read: there are no scores")
    echo_report("\n".join([*lines, f"written: {to}"]))


def _check_output(output: Path, inputs: Sequence[File], *, is_file: bool, overwrite: bool) -> None:
    paths = [path for path in inputs if isinstance(path, Path)]
    if is_file and output.exists() and (not overwrite or any(output.samefile(path) for path in paths)):
        raise click.UsageError(f"--to {output} exists: name another file, or give --overwrite (never for a file of IN)")
    if is_file and output.is_dir():
        raise click.UsageError(f"--to {output} is a folder: let it end with / to write parts into it")
    if not is_file and output.is_dir() and any(output.samefile(path.parent) for path in paths):
        raise click.UsageError(f"--to {output}: a file of IN is in that folder: name another one")


def _runner(jobs: int | None, scheduler: str | None) -> AbstractContextManager[Runner]:
    if scheduler is None:
        return in_processes(jobs) if jobs and jobs > 1 else nullcontext(in_this_process)
    try:
        from obesity_levels.prediction.cluster import on_cluster
    except ModuleNotFoundError as error:
        raise RunError("--scheduler needs Dask: use the environment of `make batch` (docs/predict.md)") from error
    return nullcontext(on_cluster(scheduler))


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends as Ctrl+C does: what is half written is removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
