"""Simulation: raw rows of people who do not exist, drawn from a population.yaml, damaged as real files are."""

from collections.abc import Collection
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from msgspec import Meta
from msgspec.structs import astuple

from obesity_levels.params import LARGEST, OpenShare, Positive, Section, Share
from obesity_levels.schema import CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES, WHOLE_FOR_PEOPLE

Seven = Meta(min_length=len(LEVELS), max_length=len(LEVELS))
ByLevel = Annotated[list[Annotated[float, Meta(ge=-1000, le=1000)]], Seven]
WeightsByLevel = Annotated[list[Annotated[float, Meta(ge=0, le=LARGEST)]], Seven]
SharesByLevel = Annotated[list[Share], Seven]
Range = Annotated[list[Annotated[int, Meta(ge=-(10**9), le=10**9)]], Meta(min_length=2, max_length=2)]
# written to a CSV file without quotes
Cell = Annotated[str, Meta(pattern=r'^[^",\r\n]*\Z')]
# Rounding also removes the last bits, in which the mathematical libraries of two machines may differ.
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


class Integers(Section):
    integers: Range

    def __post_init__(self) -> None:
        if self.integers[0] > self.integers[1]:
            raise ValueError("integers must be the lowest, then the highest")

    def draw(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """`count` integers from the range, whose ends are included."""
        return rng.integers(self.integers[0], self.integers[1], size=count, endpoint=True)


class OutOfScale(Integers):
    """Numbers that an integer from the range `integers` was added to, or that were multiplied by one."""

    share: Share


class Junk(Integers):
    name: Cell
    words: Annotated[list[Cell], Meta(min_length=1)]


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


def _same_keys(where: str, given: dict, wanted: Collection[str]) -> None:
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
    sex = np.where(rng.random(rows) < np.take(population.female, level), 0, 1)

    mean, sd = np.array([astuple(population.height[name]) for name in CATEGORIES["Gender"]])[sex].T
    height = _on_scale("Height", np.where(whole, np.round(rng.normal(mean, sd), 2), rng.normal(mean, sd)))
    body, age = population.body_mass_index, population.age
    low, high = np.take([body.low, body.high], level, axis=1)
    weight = (low + (high - low) * rng.random(rows) + rng.normal(0, body.error_sd, rows)) * height**2

    columns = {
        "Gender": np.array(CATEGORIES["Gender"], dtype=object)[sex],
        "Age": age.youngest + np.take(age.median_years_above, level) * np.exp(rng.normal(0, age.log_sd, rows)),
        "Height": height,
        "Weight": _on_scale("Weight", np.where(whole, np.round(weight * 2) / 2, weight)),
    }
    for name, habit in population.habits.items():
        columns[name] = rng.normal(np.take(habit.mean, level), habit.sd)
    for name, share in population.yes.items():
        columns[name] = np.where(rng.random(rows) < np.take(share, level), "yes", "no")
    for name, choices in population.choices.items():
        weights = np.take([choices[category] for category in CATEGORIES[name]], level, axis=1)
        ends = np.cumsum(weights, axis=0) / weights.sum(axis=0)
        picked = (rng.random(rows) >= ends[:-1]).sum(axis=0)
        columns[name] = np.array(CATEGORIES[name], dtype=object)[picked]
    for name in WHOLE_FOR_PEOPLE:
        columns[name] = _on_scale(name, np.where(whole, np.round(columns[name]), columns[name]))
    columns[LABEL] = np.array(LEVELS, dtype=object)[level]
    return pd.DataFrame(columns)[list(COLUMNS)]


def as_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Clean rows as the texts of a CSV file: numbers with a point, whole ones with one decimal; missing cells empty."""
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    table = pa.Table.from_pandas(rows[list(COLUMNS)], preserve_index=False).cast(schema)
    texts = table.to_pandas().set_axis(rows.index).fillna("")
    for name in SCALES:
        texts.loc[rows[name] % 1 == 0, name] += ".0"
    return texts


def damaged(rows: pd.DataFrame, damage: Damage, rng: np.random.Generator) -> pd.DataFrame:
    """A copy of `rows` (texts, as `as_text` gives them), each cell damaged at random, and with a junk column."""
    result = {}
    for name in rows.columns:
        cells = rows[name].to_numpy(dtype=object, copy=True)
        if name in SCALES:
            hit = np.flatnonzero((rng.random(len(cells)) < damage.out_of_scale.share) & (cells != ""))
            numbers = cells[hit].astype(float)
            integers = damage.out_of_scale.draw(len(hit), rng)
            off_scale = np.where(rng.random(len(hit)) < 0.5, numbers + integers, numbers * integers)
            cells[hit] = np.round(off_scale, _DECIMALS).astype(str)
        share = damage.padded_numbers if name in SCALES else damage.respelled_texts
        for at in np.flatnonzero(rng.random(len(cells)) < share):
            cells[at] = f" {cells[at].swapcase()} "
        missing = rng.random(len(cells)) < damage.missing.share
        cells[missing] = rng.choice(damage.missing.markers, size=missing.sum())
        result[name] = pd.array(cells, dtype="str")  # column by column, because Python objects take much memory
    junk = damage.junk_column.draw(len(rows), rng).astype(str).astype(object)
    words = rng.random(len(rows)) < 0.5
    junk[words] = rng.choice(damage.junk_column.words, size=words.sum())
    result[damage.junk_column.name] = pd.array(junk, dtype="str")
    return pd.DataFrame(result, index=rows.index)


def _on_scale(name: str, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return numbers.clip(*SCALES[name]).round(_DECIMALS)
