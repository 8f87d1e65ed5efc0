"""Valid answers to the model's input matrix: the one place that builds it, for training, evaluation and serving alike.

numpy only, because the service imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def input_matrix(answers: Mapping[str, Sequence[Any]], profile: str) -> Matrix:
    """The input matrix of `profile`, float32 of shape (rows, len(PROFILES[profile])).

    `answers` has a sequence for each of the 16 answers, all of one length: numbers on their scale, categories in
    canonical spelling, None (or NaN, among numbers) where missing. Categories are coded by their order in the schema,
    missing cells as MISSING. Raises KeyError for a category that the schema does not know.
    """
    columns = PROFILES[profile]
    asked = [name for name in columns if name != BMI]
    # All columns in one array at once: for one row, twice as fast as column by column.
    table = np.array(
        [list(map(_CODES[name].__getitem__, answers[name])) if name in _CODES else answers[name] for name in asked],
        dtype=np.float64,
    )
    matrix = np.empty((table.shape[1], len(columns)), dtype=np.float32)
    matrix[:, : len(asked)] = table.T
    if BMI in columns:
        matrix[:, columns.index(BMI)] = body_mass_index(table[asked.index("Height")], table[asked.index("Weight")])
    matrix[np.isnan(matrix)] = MISSING
    return matrix


def body_mass_index(height: npt.ArrayLike, weight: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Weight in kg over the square of height in m; NaN where either is missing (None or NaN). Shape (rows,)."""
    return np.asarray(weight, dtype=np.float64) / np.asarray(height, dtype=np.float64) ** 2


def in_whole_numbers(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Whether each row of `numbers`, shape (rows, columns), has whole ones only, or missing cells (NaN, MISSING)."""
    return (np.isnan(numbers) | (numbers == np.floor(numbers))).all(axis=1)


def answer_columns(rows: Any) -> dict[str, Sequence[Any]]:
    """The answers of a pandas table of valid rows, as `input_matrix` takes them."""
    return {
        name: rows[name].astype(object).where(rows[name].notna(), None).tolist()
        if name in CATEGORIES
        else rows[name].to_numpy()
        for name in ANSWERS
    }
