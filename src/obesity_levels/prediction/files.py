"""Predictions for files that may be larger than memory, to one file or to a folder of parts."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from obesity_levels.data.csv_file import WHOLE
from obesity_levels.data.layout import Layout
from obesity_levels.data.losses import refuse_losses
from obesity_levels.data.source import parts_of
from obesity_levels.errors import RunError
from obesity_levels.prediction.account import Account
from obesity_levels.prediction.run import differences
from obesity_levels.prediction.storage import File, Folder
from obesity_levels.prediction.table import PREDICTION_SET, output_schema
from obesity_levels.prediction.task import ACCOUNT_OF, FilePart, Task, load_model, predict_part, predicted_blocks

PART_BYTES = 1 << 25
"""Bytes of CSV in a part: some 250,000 rows, which take a second or two."""

RUN, ACCOUNT = "_run.json", "_account.json"
"""What a folder of parts holds beside them: what they were made from, and the account of all rows."""

_OURS = re.compile(rf"part-\d{{6,}}\.parquet|{RUN}|{ACCOUNT}|\..+\.tmp")
_AT_ONCE = 16
_MOST_NAMES = 3

Runner = Callable[[Task, Sequence[FilePart], str], Iterator[Account]]
"""Predicts parts into a folder, in any order; gives the account of each when its file is complete."""


def file_parts(inputs: Sequence[File], layout: Layout, size: int = PART_BYTES) -> list[FilePart]:
    """The parts of all files, in their order. An object in S3 is one part if it is CSV. Raises SourceError."""
    found = [
        (str(file), part)
        for file in inputs
        for part in (
            parts_of(file, layout, size) if isinstance(file, Path) or file.suffix.lower() == ".parquet" else [WHOLE]
        )
    ]
    return [FilePart(file, part, f"part-{at:06}.parquet") for at, (file, part) in enumerate(found)]


def in_this_process(task: Task, parts: Sequence[FilePart], folder: str) -> Iterator[Account]:
    """The Runner that predicts one part after the other, in this process."""
    return (predict_part(task, part, folder) for part in parts)


def predict_to_file(task: Task, parts: Sequence[FilePart], output: Path, run: dict[str, Any]) -> Account:
    """Predict `parts` to a .parquet or .csv file, in their order. It appears when it is complete.

    `run`, as `describe_run` gives it, goes into the metadata of a Parquet file. Raises SourceError for a file that
    cannot be read, or if too much of a column is lost, ArtifactError for the model.
    """
    model = load_model(task.model)
    account = Account(model.reference)
    with _written(output, output_schema(model.classifier.manifest, task.keep), run) as write:
        for part in _progress(parts, account):
            for table in predicted_blocks(task, part, account):
                write(table)
        refuse_losses(account.losses(), task.max_lost_share, _names(run))
    return account


def predict_to_folder(
    task: Task,
    parts: Sequence[FilePart],
    folder: Folder,
    run: dict[str, Any],
    runner: Runner,
    *,
    overwrite: bool,
) -> Account:
    """Predict `parts` to files of a folder; where a run with an equal `run` has ended early, only what is missing.

    At the end the account is written beside them. Raises RunError if the folder holds anything else and is not to be
    overwritten; the other errors are those of `predict_to_file`.
    """
    names = _begin(folder, run, {part.output for part in parts}, overwrite=overwrite)
    account = Account(load_model(task.model).reference)
    finished = [part for part in parts if part.output in names]
    missing = [part for part in parts if part.output not in names]
    with ThreadPoolExecutor(_AT_ONCE) as readers:
        for part, counts in zip(finished, readers.map(lambda part: _counts(folder, part), finished), strict=True):
            try:
                account.add_counts(counts)
            except (TypeError, OverflowError, ValueError) as error:
                raise _not_of_this_run(folder, part) from error
    for found in _progress(runner(task, missing, str(folder)), account, len(parts), len(finished)):
        account.add(found)
    if lost := {part.output for part in parts} - set(folder.names()):
        raise RunError(f"{folder}/{min(lost)} is gone, perhaps removed by another program: run again")
    folder.remove_left_over()
    refuse_losses(account.losses(), task.max_lost_share, _names(run))
    folder.write(ACCOUNT, _json(account.to_dict() | {"run": run}))
    return account


def _begin(folder: Folder, run: dict[str, Any], outputs: set[str], *, overwrite: bool) -> set[str]:
    """Write RUN, or find that the one that is there is equal: the names of the files in the folder."""
    names = folder.names()
    if foreign := [name for name in names if not _OURS.fullmatch(name)]:
        raise RunError(f"{folder} holds {foreign[0]}, which is no part of predictions: name another folder")
    if overwrite:
        folder.remove(names)
        names = []
    if RUN not in names:
        if any(not name.startswith(".") for name in names):
            raise RunError(f"{folder} holds predictions without {RUN}: give --overwrite, or name another folder")
        folder.create(RUN, _json(run))  # unless another run has done so meanwhile
    try:
        begun = json.loads(folder.read(RUN))
    except ValueError as error:
        raise RunError(f"{folder}/{RUN} is damaged: give --overwrite to begin again") from error
    if changed := differences(begun, run):
        raise RunError(
            f"{folder} was begun with other values of {changed} ({RUN}): give --overwrite to begin again, or name"
            " another folder"
        )
    if others := {name for name in names if name.startswith("part-")} - outputs:
        raise RunError(f"{folder}/{min(others)} is not one of the {len(outputs)} parts of this run: remove it")
    return set(names)


def _progress(items: Any, account: Account, total: int | None = None, done: int = 0) -> Iterator[Any]:
    """The items; on a terminal a bar with the parts, the time left, and the rows a second."""
    before = int(account.counts["rows"][0])
    with tqdm(items, unit=" parts", total=total or len(items), initial=done, disable=None) as bar:
        for item in bar:
            yield item
            elapsed = bar.format_dict["elapsed"] or 1
            bar.set_postfix_str(f"{(int(account.counts['rows'][0]) - before) / elapsed:,.0f} rows/s")


def _counts(folder: Folder, part: FilePart) -> dict[str, Any]:
    """The counts of a part that an earlier run has finished."""
    try:
        with folder.open(part.output) as file:
            metadata = pq.ParquetFile(file).metadata
            *of_part, counts = json.loads(metadata.metadata[ACCOUNT_OF.encode()])
            if of_part == [part.file, *part.part] and counts["rows"][0] == metadata.num_rows:
                return counts
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise _not_of_this_run(folder, part) from error
    raise _not_of_this_run(folder, part)


def _not_of_this_run(folder: Folder, part: FilePart) -> RunError:
    return RunError(f"{folder}/{part.output} was not written by this run, or is damaged: remove it, and run again")


def _names(run: dict[str, Any]) -> str:
    names = [file["file"] for file in run["inputs"]]
    return ", ".join(names[:_MOST_NAMES] + ["…"] * (len(names) > _MOST_NAMES))


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"


@contextmanager
def _written(output: Path, schema: pa.Schema, run: dict[str, Any]) -> Iterator[Callable[[pa.Table], None]]:
    """What writes a table to `output`, which appears at the end."""
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        if output.suffix == ".parquet":
            with pq.ParquetWriter(temporary, schema) as writer:
                yield writer.write_table
                writer.add_key_value_metadata({"run": json.dumps(run)})
        else:
            fields = [pa.field(field.name, pa.string()) if field.name == PREDICTION_SET else field for field in schema]
            with pa.csv.CSVWriter(temporary, pa.schema(fields)) as writer:
                yield lambda table: writer.write_table(_without_lists(table))
        temporary.replace(output)
    except OSError as error:
        raise RunError(f"{output} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _without_lists(table: pa.Table) -> pa.Table:
    """The table with each prediction set as one text, its levels separated by spaces: CSV has no lists."""
    if PREDICTION_SET not in table.column_names:
        return table
    at = table.column_names.index(PREDICTION_SET)
    return table.set_column(at, PREDICTION_SET, pc.binary_join(table[PREDICTION_SET], " "))
