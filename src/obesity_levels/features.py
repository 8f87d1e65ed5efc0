"""Valid answers to the model's input matrix: the one place that builds it, for training, evaluation and serving alike.

numpy only, because the service imports it.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from obesity_levels.schema import ANSWERS, CATEGORIES

Matrix = npt.NDArray[np.float32]

MISSING = -1.0
"""The code of a missing cell. Below every scale, so that a tree can tell it apart; not NaN, because the exporter of
forests to ONNX loses the side that NaN takes (measured: 9 % of the labels differ)."""

BMI = "BMI"
"""Body-mass index, kg/m²; missing where height or weight is."""

_WITHOUT: dict[str, tuple[str, ...]] = {
    "full": (),
    "no_weight": ("Weight", BMI),
    "habits": ("Height", "Weight", BMI),
}
PROFILES: dict[str, tuple[str, ...]] = {
    profile: tuple(name for name in (*ANSWERS, BMI) if name not in without) for profile, without in _WITHOUT.items()
}
"""Profile -> names of the columns of its input matrix, in order."""

# Of each category of a question, its code; nothing answered stays so.
_CODES: dict[str, dict[str | None, float | None]] = {
    name: {**{value: float(code) for code, value in enumerate(values)}, None: None}
    for name, values in CATEGORIES.items()
}
_HEIGHT, _WEIGHT = ANSWERS.index("Height"), ANSWERS.index("Weight")
_ALL = PROFILES["full"]
# Profile -> the places of its columns among all.
_PLACES = {profile: [_ALL.index(name) for name in columns] for profile, columns in PROFILES.items()}
# From so many rows on numpy is the faster.
_MANY = 8
_PACK_ROW = struct.Struct(f"{len(ANSWERS)}d").pack


def input_matrix(rows: Iterable[Sequence[Any]], profile: str) -> Matrix:
    """The input matrix of `profile`, float32 of shape (rows, len(PROFILES[profile])).

    Each of `rows` has the 16 answers in the order of ANSWERS, as a Patient has them: numbers on their scale, categories
    (each is its code, see schema.Category) or their codes, None where missing, which becomes MISSING. Raises ValueError
    where they are more or fewer than 16.
    """
    rows = list(rows)
    matrix = _of_many(rows) if len(rows) >= _MANY else _of_few(rows)
    return matrix if profile == "full" else matrix.take(_PLACES[profile], axis=1)


def _of_few(rows: list[Sequence[Any]]) -> Matrix:
    """In plain Python: numpy is called once, because for one row its calls cost more than all the rest."""
    cells: list[float] = []
    for row in rows:
        cells += [MISSING if answer is None else answer for answer in row]
        bmi = body_mass_index(row[_HEIGHT], row[_WEIGHT])
        cells.append(MISSING if bmi is None else bmi)
    return np.array(cells, dtype=np.float32).reshape(len(rows), len(_ALL))


def _of_many(rows: list[Sequence[Any]]) -> Matrix:
    """An eighth of the time of the other; where an answer is missing, half of it."""
    width = len(ANSWERS)
    try:
        # struct takes half of numpy's time to turn Python's numbers into a matrix, but no None.
        answers = np.frombuffer(b"".join(itertools.starmap(_PACK_ROW, rows)))
    except struct.error:
        answers = np.fromiter(itertools.chain.from_iterable(rows), np.float64)  # None becomes NaN
    answers = answers.reshape(len(rows), width)
    matrix = np.empty((len(answers), len(_ALL)), np.float32)
    matrix[:, :width] = answers
    matrix[:, width] = answers[:, _WEIGHT] / (answers[:, _HEIGHT] * answers[:, _HEIGHT])
    matrix[np.isnan(matrix)] = MISSING
    return matrix


def body_mass_index(height: float | None, weight: float | None) -> float | None:
    """Weight in kg over the square of height in m; None where either is."""
    return None if height is None or weight is None else weight / (height * height)


def in_whole_numbers(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Whether each row of `numbers`, shape (rows, columns), has whole ones only, or missing cells (NaN, MISSING)."""
    return (np.isnan(numbers) | (numbers == np.floor(numbers))).all(axis=1)


def answer_rows(table: Any) -> Iterator[tuple[Any, ...]]:
    """The answers of a pandas table of valid rows, as `input_matrix` takes them.

    Raises KeyError for a category that is not one of the schema's in canonical spelling.
    """
    columns = {name: table[name].astype(object).where(table[name].notna(), None).tolist() for name in ANSWERS}
    for name, codes in _CODES.items():
        columns[name] = [codes[answer] for answer in columns[name]]
    return zip(*columns.values(), strict=True)
