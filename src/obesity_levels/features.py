"""Valid answers to the model's input matrix: the one place that builds it, for training, evaluation and serving alike.

numpy only, because the service imports it.
"""

from __future__ import annotations

import itertools
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

_CODES: dict[str, dict[str | None, float]] = {
    name: {**{value: float(code) for code, value in enumerate(values)}, None: MISSING}
    for name, values in CATEGORIES.items()
}
# Of each answer its codes, or None where it is a number.
_CODES_OF = [_CODES.get(name) for name in ANSWERS]
_HEIGHT, _WEIGHT = ANSWERS.index("Height"), ANSWERS.index("Weight")
_ALL = PROFILES["full"]
# Profile -> the places of its columns among all.
_PLACES = {profile: [_ALL.index(name) for name in columns] for profile, columns in PROFILES.items()}
# From so many rows on they are coded column by column.
_MANY = 8


def input_matrix(rows: Iterable[Sequence[Any]], profile: str) -> Matrix:
    """The input matrix of `profile`, float32 of shape (rows, len(PROFILES[profile])).

    Each of `rows` has the 16 answers in the order of ANSWERS: numbers on their scale, categories in canonical spelling,
    None where missing. Categories are coded by their order in the schema, missing cells as MISSING. Raises KeyError for
    a category that the schema does not know.
    """
    rows = list(rows)
    matrix = _of_many(rows) if len(rows) >= _MANY else _of_few(rows)
    return matrix if profile == "full" else matrix.take(_PLACES[profile], axis=1)


def _of_few(rows: list[Sequence[Any]]) -> Matrix:
    """Row by row in plain Python: numpy is called once, because for one row its calls cost more than all the rest."""
    cells: list[float] = []
    for row in rows:
        cells += [
            (MISSING if answer is None else answer) if codes is None else codes[answer]
            for answer, codes in zip(row, _CODES_OF, strict=True)
        ]
        bmi = body_mass_index(row[_HEIGHT], row[_WEIGHT])
        cells.append(MISSING if bmi is None else bmi)
    return np.array(cells, dtype=np.float32).reshape(-1, len(_ALL))


def _of_many(rows: list[Sequence[Any]]) -> Matrix:
    """Column by column: half the time of the other."""
    width = len(ANSWERS)
    cells = list(itertools.chain.from_iterable(rows))
    for at, codes in enumerate(_CODES_OF):
        if codes is not None:
            cells[at::width] = map(codes.__getitem__, cells[at::width])
    answers = np.fromiter(cells, np.float64, len(cells)).reshape(-1, width)  # None becomes NaN
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
    """The answers of a pandas table of valid rows, as `input_matrix` takes them."""
    columns = [table[name].astype(object).where(table[name].notna(), None).tolist() for name in ANSWERS]
    return zip(*columns, strict=True)
