"""The record: 16 answers with their scales and categories, and the seven levels in order of severity.

This is the only definition: cleaning, the input matrix, the simulation, the tests and the service use it.
Source: Palechor & de la Hoz (2019), "Dataset for estimation of obesity levels based on eating habits and physical
condition in individuals from Colombia, Peru and Mexico", Data in Brief 25 (UCI dataset 544).
"""

from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self, get_args

import msgspec
from msgspec import Meta


class Level(StrEnum):
    """The seven levels, in order of severity: the order is the class index everywhere."""

    INSUFFICIENT_WEIGHT = "Insufficient_Weight"
    NORMAL_WEIGHT = "Normal_Weight"
    OVERWEIGHT_LEVEL_I = "Overweight_Level_I"
    OVERWEIGHT_LEVEL_II = "Overweight_Level_II"
    OBESITY_TYPE_I = "Obesity_Type_I"
    OBESITY_TYPE_II = "Obesity_Type_II"
    OBESITY_TYPE_III = "Obesity_Type_III"


_LONGEST_SPELLING = 100


def category_key(text: str) -> str:
    """The same for every spelling of a category: case, padding, underscores and spaces do not count."""
    return "_".join(text.casefold().replace("_", " ").split())


class Category(StrEnum):
    """The answers that a question allows, in the order of their codes; any spelling with the same key is accepted."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        # Called by msgspec too, for what is not a canonical spelling. A text of megabytes is not examined.
        if not isinstance(value, str) or len(value) > _LONGEST_SPELLING:
            return None
        key = category_key(value)
        return next((member for member in cls if category_key(member) == key), None)


class Sex(Category):
    """As the questionnaire asks it."""

    FEMALE = "Female"
    MALE = "Male"


class YesNo(Category):
    """No before yes, because the order is the code in the input matrix."""

    NO = "no"
    YES = "yes"


class Frequency(Category):
    """How often; in order, because the order is the code in the input matrix."""

    NO = "no"
    SOMETIMES = "Sometimes"
    FREQUENTLY = "Frequently"
    ALWAYS = "Always"


class Transport(Category):
    """Usual means of transport, from the least to the most active."""

    AUTOMOBILE = "Automobile"
    MOTORBIKE = "Motorbike"
    PUBLIC_TRANSPORTATION = "Public_Transportation"
    BIKE = "Bike"
    WALKING = "Walking"


def _number(low: float, high: float, unit: str, description: str, example: float) -> Meta:
    return Meta(ge=low, le=high, description=description, examples=[example], extra_json_schema={"x-unit": unit})


def _category(description: str, example: str) -> Meta:
    return Meta(description=description, examples=[example], extra_json_schema={"x-unit": "category"})


class Patient(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The 16 answers of one person. `null` means "not answered"; any may be missing, not all."""

    Gender: Annotated[Sex | None, _category("Sex", "Female")]
    Age: Annotated[float, _number(10, 100, "years", "Age in years", 21.0)] | None
    Height: Annotated[float, _number(1.0, 2.5, "m", "Height in metres", 1.62)] | None
    Weight: Annotated[float, _number(20, 300, "kg", "Weight in kilograms", 64.0)] | None
    family_history_with_overweight: Annotated[
        YesNo | None, _category("Has a family member suffered from overweight?", "yes")
    ]
    FAVC: Annotated[YesNo | None, _category("Eats high-caloric food frequently?", "no")]
    FCVC: Annotated[float, _number(1, 3, "score", "Vegetables with meals, 1 never to 3 always", 2.0)] | None
    NCP: Annotated[float, _number(1, 4, "meals a day", "Main meals a day, 1 to 4", 3.0)] | None
    CAEC: Annotated[Frequency | None, _category("Eats between meals?", "Sometimes")]
    SMOKE: Annotated[YesNo | None, _category("Smokes?", "no")]
    CH2O: Annotated[float, _number(1, 3, "score", "Water a day, 1 below 1 l to 3 above 2 l", 2.0)] | None
    SCC: Annotated[YesNo | None, _category("Monitors calories?", "no")]
    FAF: Annotated[float, _number(0, 3, "score", "Physical activity, 0 none to 3 on 4 or 5 days a week", 0.0)] | None
    TUE: Annotated[float, _number(0, 2, "score", "Time at devices, 0 up to 2 h to 2 above 5 h a day", 1.0)] | None
    CALC: Annotated[Frequency | None, _category("Drinks alcohol?", "no")]
    MTRANS: Annotated[Transport | None, _category("Usual transport", "Public_Transportation")]


class Question(NamedTuple):
    """A field of `Patient`: a number on a scale (lowest and highest allowed), or one of several categories."""

    name: str
    description: str
    unit: str
    example: float | str
    scale: tuple[float, float] | None
    categories: tuple[str, ...] | None

    @property
    def allowed(self) -> str:
        """The answers that are allowed, in the words of an error."""
        if self.scale:
            low, high = self.scale
            return f"a number from {low:g} to {high:g} ({self.unit}), or null"
        return f"one of {', '.join(self.categories or ())}, or null"


def _question(name: str, answer: Any) -> Question:
    # a category's metadata are around the union with null, a number's are inside it
    answer, meta = get_args(answer)
    categories = scale = None
    if isinstance(meta, Meta):
        categories = tuple(str(category) for category in get_args(answer)[0])
    else:
        _, meta = get_args(answer)
        scale = (float(meta.ge), float(meta.le))
    return Question(name, meta.description, meta.extra_json_schema["x-unit"], meta.examples[0], scale, categories)


LABEL = "NObeyesdad"
"""Name of the label's column, as UCI spells it."""

LEVELS: tuple[str, ...] = tuple(level.value for level in Level)
ANSWERS: tuple[str, ...] = Patient.__struct_fields__
COLUMNS: tuple[str, ...] = (*ANSWERS, LABEL)

QUESTIONS = {field.name: _question(field.name, field.type) for field in msgspec.structs.fields(Patient)}

SCALES = {name: question.scale for name, question in QUESTIONS.items() if question.scale}
"""Name of a number -> (lowest, highest), both allowed."""
CATEGORIES = {name: question.categories for name, question in QUESTIONS.items() if question.categories}
"""Name of a category -> its values, in the order of their codes."""
CODES = {name: {value: code for code, value in enumerate(values)} for name, values in CATEGORIES.items()}
"""Name of a category -> value -> its code in the input matrix."""

HABITS = tuple(
    name for name in ANSWERS if name not in ("Gender", "Age", "Height", "Weight", "family_history_with_overweight")
)
"""Answers about what a person does."""

SPLITS = ("train", "validation", "test")

WHOLE_FOR_PEOPLE: tuple[str, ...] = ("Age", "FCVC", "NCP", "CH2O", "FAF", "TUE")
"""Answers that people gave as whole numbers. The rows that UCI generated by interpolation (SMOTE) have fractions."""

BMI = "BMI"
"""Name of the body-mass index (kg/m²), a column of the input matrix; missing where height or weight is."""

_LEFT_OUT: dict[str, tuple[str, ...]] = {"full": (), "no_weight": ("Weight", BMI), "habits": ("Height", "Weight", BMI)}
PROFILES: dict[str, tuple[str, ...]] = {
    profile: tuple(name for name in (*ANSWERS, BMI) if name not in left_out) for profile, left_out in _LEFT_OUT.items()
}
"""Profile (which answers a model uses) -> names of the columns of its input matrix, in order."""
