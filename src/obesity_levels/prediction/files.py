"""Predictions for files that may be larger than memory: read in blocks, predicted, and written under another name."""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from obesity_levels.data.layout import UNCHANGED, Layout
from obesity_levels.data.losses import refuse_losses
from obesity_levels.data.source import read_blocks
from obesity_levels.drift.histograms import load_reference
from obesity_levels.errors import ArtifactError, SourceError
from obesity_levels.model.classifier import load_classifier
from obesity_levels.params import CleanParams
from obesity_levels.paths import DRIFT_REFERENCE
from obesity_levels.prediction.account import Account
from obesity_levels.prediction.table import PREDICTION_SET, output_schema, predict_table
from obesity_levels.schema import ANSWERS

_FORMATS = (".csv", ".parquet")


def input_files(given: Sequence[str]) -> list[Path]:
    """The files that are named, sorted: each of `given` is a file, a folder of CSV or Parquet files, or a pattern.

    Raises SourceError where there is none.
    """
    found: list[Path] = []
    for name in given:
        path = Path(name)
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if file.suffix in _FORMATS]
        else:
            # Path.glob takes no absolute pattern.
            files = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(name))]  # noqa: PTH207
        if not files:
            raise SourceError(f"{name} is no file, no folder with {' or '.join(_FORMATS)} files, and no pattern of any")
        found += files
    return found


def predict_files(
    inputs: Sequence[Path], output: Path, model: Path, layout: Layout, params: CleanParams, keep: Sequence[str] = ()
) -> Account:
    """Predict the rows of `inputs`, which are written as `layout` says, with the model in the folder `model`.

    A Parquet file needs no layout of its own if that is UNCHANGED. Writes `output`, a .parquet or .csv file, with the
    columns `keep` first. It appears when it is complete; after an error there is none. Raises SourceError for a file
    that cannot be read, or if too many answers of a column are lost (`params.max_lost_share`), ArtifactError for the
    model.
    """
    classifier = load_classifier(model)
    reference_path = model / DRIFT_REFERENCE
    reference = load_reference(reference_path, classifier.manifest) if reference_path.exists() else None
    marks = classifier.manifest.missing_marks
    account = Account(reference)
    schema = output_schema(classifier.manifest, keep)
    with _written(output, schema) as write, tqdm(unit=" rows", unit_scale=True, disable=None) as progress:
        for path in inputs:
            for block in read_blocks(path, [*ANSWERS, *keep], _layout_of(path, layout)):
                predicted = predict_table(block, classifier, params.missing_marks if marks is None else marks, keep)
                write(predicted.table)
                account.add(block, predicted)
                progress.update(len(block))
        refuse_losses(account.losses(), params.max_lost_share, ", ".join(map(str, inputs)))
    return account


def _layout_of(path: Path, layout: Layout) -> Layout:
    is_parquet = layout == UNCHANGED and path.suffix == ".parquet"
    return msgspec.structs.replace(layout, format="parquet") if is_parquet else layout


@contextmanager
def _written(output: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """What writes a table to `output`, which appears at the end."""
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        if output.suffix == ".parquet":
            with pq.ParquetWriter(temporary, schema) as writer:
                yield writer.write_table
        elif output.suffix == ".csv":
            fields = [pa.field(field.name, pa.string()) if field.name == PREDICTION_SET else field for field in schema]
            with pa.csv.CSVWriter(temporary, pa.schema(fields)) as writer:
                yield lambda table: writer.write_table(_without_lists(table))
        else:
            raise ArtifactError(f"{output} must end with .parquet or .csv")
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def _without_lists(table: pa.Table) -> pa.Table:
    """The table with each prediction set as one text, its levels separated by spaces: CSV has no lists."""
    if PREDICTION_SET not in table.column_names:
        return table
    at = table.column_names.index(PREDICTION_SET)
    return table.set_column(at, PREDICTION_SET, pc.binary_join(table[PREDICTION_SET], " "))
