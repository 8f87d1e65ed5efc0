"""Answers to the model's input matrix: the one place that builds it, for training, evaluation and serving.

numpy only, because the service imports it.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from obesity_levels.schema import ANSWERS, BMI, CODES, PROFILES

if TYPE_CHECKING:
    import pandas as pd

Answers = npt.NDArray[np.float64]
"""The 16 answers in the order of ANSWERS, shape (rows, 16): numbers as they are, categories as their codes, NaN where
missing."""
Matrix = npt.NDArray[np.float32]
Numbers = TypeVar("Numbers", float, npt.NDArray[np.float64])

MISSING = -1.0
"""The code of a missing cell. It is below every scale, so a tree can tell it apart. It is not NaN, because the export
of forests to ONNX loses the side that NaN takes (measured: 9 % of the labels differ)."""

AGE, HEIGHT, WEIGHT = (ANSWERS.index(name) for name in ("Age", "Height", "Weight"))
"""Columns of Answers."""

_COLUMNS = {profile: [(*ANSWERS, BMI).index(name) for name in names] for profile, names in PROFILES.items()}


def input_matrix(answers: Answers, profile: str) -> Matrix:
    """The input matrix of `profile`, shape (rows, len(PROFILES[profile])); MISSING where an answer is missing."""
    matrix = np.empty((len(answers), len(ANSWERS) + 1), np.float32)
    matrix[:, :-1] = answers
    matrix[:, -1] = body_mass_index(answers[:, HEIGHT], answers[:, WEIGHT])
    matrix[np.isnan(matrix)] = MISSING
    return matrix if profile == "full" else matrix.take(_COLUMNS[profile], axis=1)


def encode_rows(rows: Iterable[Sequence[float | str | None]]) -> Answers:
    """Encode rows of 16 answers in the order of ANSWERS, as a Patient has them: None where missing.

    Raises KeyError for a category that is not in its canonical spelling, IndexError for a row with fewer than 16
    answers, ValueError for one with more.
    """
    rows = list(rows)
    cells: list[Any] = []
    for row in rows:
        encoded = list(row)
        for at, codes in _CODES:
            encoded[at] = codes[encoded[at]]
        cells += encoded
    # None becomes NaN.
    return np.fromiter(cells, np.float64).reshape(len(rows), len(ANSWERS))


def encode_table(table: "pd.DataFrame") -> Answers:
    """Encode a table of clean rows: the same as `encode_rows`, by column. Raises KeyError for an unknown category."""
    answers = np.column_stack([table[name].map(CODES[name]) if name in CODES else table[name] for name in ANSWERS])
    unknown = np.isnan(answers) & table[list(ANSWERS)].notna().to_numpy()
    if unknown.any():
        raise KeyError(f"unknown categories in {', '.join(np.array(ANSWERS)[unknown.any(axis=0)])}")
    return answers.astype(np.float64)


def body_mass_index(height: Numbers, weight: Numbers) -> Numbers:
    """Body-mass index in kg/m², of heights in m and weights in kg; NaN where either is."""
    return weight / (height * height)


def is_whole(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Whether each row of `numbers`, shape (rows, columns), has whole numbers only; a missing cell counts as whole."""
    return (np.isnan(numbers) | (numbers == np.floor(numbers))).all(axis=1)


_CODES: list[tuple[int, dict[Any, float]]] = [
    (at, {None: np.nan} | {value: float(code) for value, code in CODES[name].items()})
    for at, name in enumerate(ANSWERS)
    if name in CODES
]
"""Column of a category -> its codes."""
