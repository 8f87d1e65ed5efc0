"""Simulation: raw rows of people who do not exist, drawn from a population.yaml, damaged as real files are."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta

from obesity_levels.params import LARGEST, OpenShare, Positive, Section, Share
from obesity_levels.schema import CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES, WHOLE_FOR_PEOPLE

Seven = Meta(min_length=len(LEVELS), max_length=len(LEVELS))
ByLevel = Annotated[list[Annotated[float, Meta(ge=-1000, le=1000)]], Seven]
WeightsByLevel = Annotated[list[Annotated[float, Meta(ge=0, le=LARGEST)]], Seven]
SharesByLevel = Annotated[list[Share], Seven]
Range = Annotated[list[Annotated[int, Meta(ge=-(10**9), le=10**9)]], Meta(min_length=2, max_length=2)]
# written to a CSV file without quotes
Cell = Annotated[str, Meta(pattern=r'^[^",\r\n]*\Z')]
_DECIMALS = 6


class Spread(Section):
    mean: Positive
    sd: Positive


class BodyMassIndex(Section):
    """kg/m²: uniform between `low` and `high` of the level, plus a normal error with standard deviation `error_sd`."""

    low: ByLevel
    high: ByLevel
    error_sd: Positive


class Ages(Section):
    """Years: `youngest` plus a log-normal number of years, by its median and the standard deviation of its log."""

    youngest: Positive
    median_years_above: ByLevel
    log_sd: Positive


class Habit(Section):
    """An answer on a scale: normal with a mean by level, cut off at the ends of the scale."""

    mean: ByLevel
    sd: Positive


class Missing(Section):
    share: Share
    markers: Annotated[list[Cell], Meta(min_length=1)]


class OutOfScale(Section):
    """Numbers that an integer from the range `integers` was added to, or that were multiplied by one."""

    share: Share
    integers: Range

    def __post_init__(self) -> None:
        _rising(self.integers)


class Junk(Section):
    name: Cell
    words: Annotated[list[Cell], Meta(min_length=1)]
    integers: Range

    def __post_init__(self) -> None:
        _rising(self.integers)


class Damage(Section):
    missing: Missing
    respelled_texts: Share
    padded_numbers: Share
    out_of_scale: OutOfScale
    copied_rows: Share
    junk_column: Junk


class Population(Section):
    shares: SharesByLevel
    people: OpenShare
    female: SharesByLevel
    height: dict[str, Spread]
    body_mass_index: BodyMassIndex
    age: Ages
    habits: dict[str, Habit]
    yes: dict[str, SharesByLevel]
    choices: dict[str, dict[str, WeightsByLevel]]
    damage: Damage

    def __post_init__(self) -> None:
        _same_keys("height", self.height, CATEGORIES["Gender"])
        _same_keys("habits", self.habits, [n for n in SCALES if n not in ("Age", "Height", "Weight")])
        _same_keys("yes", self.yes, [n for n, values in CATEGORIES.items() if values == ("no", "yes")])
        _same_keys("choices", self.choices, [n for n, v in CATEGORIES.items() if len(v) > 2])
        for name, choices in self.choices.items():
            _same_keys(f"choices.{name}", choices, CATEGORIES[name])
            if any(sum(weights) == 0 for weights in zip(*choices.values(), strict=True)):
                raise ValueError(f"choices.{name}: each level needs an answer that weighs more than 0")
        if sum(self.shares) == 0:
            raise ValueError("shares must not all be 0")
        if self.damage.junk_column.name in COLUMNS:
            raise ValueError("damage.junk_column.name must not be one of the 17 columns")


def _rising(integers: list[int]) -> None:
    if integers[0] > integers[1]:
        raise ValueError("integers must be the lowest, then the highest")


def _same_keys(where: str, given: dict, wanted: Sequence[str]) -> None:
    if set(given) != set(wanted):
        raise ValueError(f"{where} must have exactly the keys {', '.join(wanted)}")


def simulate(population: Population, rows: int, seed: int) -> pd.DataFrame:
    """`rows` raw rows: the 17 columns of UCI 544 and a junk column, every cell a text, damaged as `population` says.

    The same population, rows and seed give the same table. The last rows duplicate earlier ones; both were damaged
    independently.
    """
    people_rng, damage_rng = np.random.default_rng(seed).spawn(2)
    duplicates = min(round(rows * population.damage.copied_rows), rows // 2)
    people = as_text(draw_people(population, rows - duplicates, people_rng))
    copied = damage_rng.choice(rows - duplicates, size=duplicates, replace=False)
    table = pd.concat([people, people.iloc[np.sort(copied)]], ignore_index=True)
    return damaged(table, population.damage, damage_rng)


def draw_people(population: Population, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """`rows` clean, complete rows: numbers as float64 on their scale, categories and the label as canonical text."""
    shares = np.array(population.shares)
    level = rng.choice(len(LEVELS), size=rows, p=shares / shares.sum())
    whole = rng.random(rows) < population.people
    sex = np.where(rng.random(rows) < np.array(population.female)[level], 0, 1)

    means = np.array([population.height[name].mean for name in CATEGORIES["Gender"]])[sex]
    sds = np.array([population.height[name].sd for name in CATEGORIES["Gender"]])[sex]
    height = _on_scale("Height", np.where(whole, _rounded(rng.normal(means, sds), 2), rng.normal(means, sds)))
    body = population.body_mass_index
    low, high = np.array(body.low)[level], np.array(body.high)[level]
    index = low + (high - low) * rng.random(rows) + rng.normal(0, body.error_sd, rows)
    weight = index * height**2
    years = np.array(population.age.median_years_above)[level] * np.exp(rng.normal(0, population.age.log_sd, rows))

    columns: dict[str, np.ndarray] = {
        "Gender": np.array(CATEGORIES["Gender"], dtype=object)[sex],
        "Age": population.age.youngest + years,
        "Height": height,
        "Weight": _on_scale("Weight", np.where(whole, np.round(weight * 2) / 2, weight)),
    }
    for name, habit in population.habits.items():
        columns[name] = rng.normal(np.array(habit.mean)[level], habit.sd)
    for name, share in population.yes.items():
        columns[name] = np.where(rng.random(rows) < np.array(share)[level], "yes", "no").astype(object)
    for name, choices in population.choices.items():
        weights = np.array([choices[category] for category in CATEGORIES[name]])[:, level]
        ends = np.cumsum(weights, axis=0) / weights.sum(axis=0)
        picked = (rng.random(rows) >= ends[:-1]).sum(axis=0)
        columns[name] = np.array(CATEGORIES[name], dtype=object)[picked]
    for name in WHOLE_FOR_PEOPLE:
        columns[name] = _on_scale(name, np.where(whole, np.round(columns[name]), columns[name]))
    columns[LABEL] = np.array(LEVELS, dtype=object)[level]
    return pd.DataFrame({name: columns[name] for name in COLUMNS})


def as_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Clean rows as the texts of a CSV file: numbers with a point, whole ones with one decimal; missing cells empty."""
    texts = {}
    for name in COLUMNS:
        if name in SCALES:
            numbers = pa.array(rows[name].to_numpy(), from_pandas=True)
            text = pc.cast(numbers, pa.string())
            whole = pc.equal(numbers, pc.floor(numbers))
            text = pc.if_else(whole, pc.binary_join_element_wise(text, "0", "."), text)
        else:
            text = pa.array(rows[name], type=pa.string(), from_pandas=True)
        texts[name] = pd.Series(pc.fill_null(text, "").to_numpy(zero_copy_only=False), index=rows.index, dtype="str")
    return pd.DataFrame(texts)


def damaged(rows: pd.DataFrame, damage: Damage, rng: np.random.Generator) -> pd.DataFrame:
    """A copy of `rows` (texts, as `as_text` gives them), each cell damaged at random, and with a junk column."""
    result = {}
    for name in rows.columns:
        cells = rows[name].to_numpy(dtype=object, copy=True)
        if name in SCALES:
            hit = np.flatnonzero((rng.random(len(cells)) < damage.out_of_scale.share) & (cells != ""))
            numbers = cells[hit].astype(float)
            integers = _integers(damage.out_of_scale.integers, len(hit), rng)
            cells[hit] = _rounded(np.where(rng.random(len(hit)) < 0.5, numbers + integers, numbers * integers)).astype(
                str
            )
        share = damage.padded_numbers if name in SCALES else damage.respelled_texts
        for at in np.flatnonzero(rng.random(len(cells)) < share):
            cells[at] = f" {cells[at].swapcase()} "
        hit = np.flatnonzero(rng.random(len(cells)) < damage.missing.share)
        cells[hit] = rng.choice(np.array(damage.missing.markers, dtype=object), size=len(hit))
        result[name] = pd.Series(cells, index=rows.index, dtype="str")
    junk = _integers(damage.junk_column.integers, len(rows), rng).astype(str).astype(object)
    words = rng.random(len(rows)) < 0.5
    junk[words] = rng.choice(np.array(damage.junk_column.words, dtype=object), size=int(words.sum()))
    result[damage.junk_column.name] = pd.Series(junk, index=rows.index, dtype="str")
    return pd.DataFrame(result)


def _integers(low_and_high: Sequence[int], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    low, high = low_and_high
    return rng.integers(low, high, size=count, endpoint=True)


def _on_scale(name: str, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return _rounded(np.clip(numbers, *SCALES[name]))


def _rounded(numbers: npt.NDArray[np.float64], decimals: int = _DECIMALS) -> npt.NDArray[np.float64]:
    # Rounding also removes the last bits, in which the mathematical libraries of two machines may differ.
    return np.round(numbers, decimals)
