"""One part of a table, from its file to its predictions: what a process of this machine or of a cluster does."""

import json
import platform
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from obesity_levels.data.csv_file import Part
from obesity_levels.data.layout import Layout
from obesity_levels.data.source import layout_of, read_blocks
from obesity_levels.drift.histograms import Reference, load_reference
from obesity_levels.errors import RunError, SourceError
from obesity_levels.model.classifier import Classifier, load_classifier, load_manifest
from obesity_levels.paths import DRIFT_REFERENCE, MANIFEST
from obesity_levels.prediction.account import Account
from obesity_levels.prediction.run import differences, made_with
from obesity_levels.prediction.storage import Folder, file_of
from obesity_levels.prediction.table import output_schema, predict_table
from obesity_levels.schema import ANSWERS, LABEL, SCALES

ACCOUNT_OF = "account"
"""Name of a part and its counts in the metadata of its file."""


class Model(NamedTuple):
    """A model, and its drift reference if it has one."""

    classifier: Classifier
    reference: Reference | None


class Task(msgspec.Struct, frozen=True):
    """What is done with every part: the folder of the model, how the files are written, and what comes out.

    `made_with` is the model and the package that every part is predicted with. `missing_marks` are those of
    params.yaml, for a model that does not carry its own. `keep` are columns to copy. With `evaluate` the labels are
    read and counted too. Where a column loses more than `max_lost_share` of its answers, in all parts, there is an
    error.
    """

    model: str
    made_with: dict[str, Any]
    layout: Layout
    missing_marks: list[str]
    keep: list[str]
    evaluate: bool
    max_lost_share: float


class FilePart(NamedTuple):
    """A part of a file, and the name of the file of its predictions."""

    file: str
    part: Part
    output: str


def load_model(folder: str) -> Model:
    """The model in a folder, which is loaded once in a process. Raises ArtifactError, which says what to do."""
    return _load_model(folder, load_manifest(Path(folder) / MANIFEST).sha256)


@lru_cache(maxsize=1)
def _load_model(folder: str, sha256: str) -> Model:
    classifier = load_classifier(Path(folder))
    path = Path(folder) / DRIFT_REFERENCE
    return Model(classifier, load_reference(path, classifier.manifest) if path.exists() else None)


def predicted_blocks(task: Task, part: FilePart, account: Account) -> Iterator[pa.Table]:
    """The predictions of a part, in blocks, which are counted in `account`.

    Raises SourceError, ArtifactError, and RunError where the model or the package is not that of the task: it was
    changed meanwhile, or a worker has another one.
    """
    if changed := differences(task.made_with, made_with(task.model)):
        raise RunError(f"{platform.node()} has not the same {changed} as when the run began: install and copy the same")
    classifier = load_model(task.model).classifier
    marks = classifier.manifest.missing_marks
    marks = task.missing_marks if marks is None else marks
    file = file_of(part.file)
    columns = list(dict.fromkeys([*ANSWERS, *([LABEL] if task.evaluate else []), *task.keep]))
    try:
        for block in read_blocks(
            file, columns, layout_of(file, task.layout), part.part, numbers=set(SCALES) - set(task.keep)
        ):
            predicted = predict_table(block, classifier, marks, task.keep, labels=task.evaluate)
            account.add_rows(block, predicted, task.max_lost_share, evaluate=task.evaluate)
            yield predicted.table
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error}): run again") from error


def predict_part(task: Task, part: FilePart, folder: str) -> Account:
    """Write the predictions of a part to a Parquet file in `folder`, which appears when it is complete.

    Its counts are in its metadata too, so that another run needs not to read it again. Raises the errors of
    `predicted_blocks`, and RunError if the folder cannot be written.
    """
    model = load_model(task.model)
    account = Account(model.reference)
    content = pa.BufferOutputStream()
    with pq.ParquetWriter(content, output_schema(model.classifier.manifest, task.keep)) as writer:
        for table in predicted_blocks(task, part, account):
            writer.write_table(table)
        writer.add_key_value_metadata({ACCOUNT_OF: json.dumps([part.file, *part.part, account.counts_json()])})
    Folder(folder).write(part.output, content.getvalue())
    return account
