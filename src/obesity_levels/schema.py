"""The record: 16 answers with their scales and categories, and the seven levels in order of severity.

This is the only definition. Cleaning, the input matrix, the simulation, the tests and the service take it from here.
Source: Palechor & de la Hoz (2019), "Dataset for estimation of obesity levels based on eating habits and physical
condition in individuals from Colombia, Peru and Mexico", Data in Brief 25 (UCI dataset 544).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

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


class Sex(StrEnum):
    """As the questionnaire asks it."""

    FEMALE = "Female"
    MALE = "Male"


class YesNo(StrEnum):
    """No before yes, because the order is the code in the input matrix."""

    NO = "no"
    YES = "yes"


class Frequency(StrEnum):
    """How often; in order, because the order is the code in the input matrix."""

    NO = "no"
    SOMETIMES = "Sometimes"
    FREQUENTLY = "Frequently"
    ALWAYS = "Always"


class Transport(StrEnum):
    """Usual means of transport, from the least to the most active."""

    AUTOMOBILE = "Automobile"
    MOTORBIKE = "Motorbike"
    PUBLIC_TRANSPORTATION = "Public_Transportation"
    BIKE = "Bike"
    WALKING = "Walking"


class Patient(msgspec.Struct, forbid_unknown_fields=True):
    """The 16 answers of one person. `None` means "not answered"; any may be missing, not all."""

    Gender: Annotated[Sex | None, Meta(description="Sex", examples=["Female"])]
    Age: Annotated[float, Meta(ge=10, le=100, description="Age in years", examples=[21.0])] | None
    Height: Annotated[float, Meta(ge=1.0, le=2.5, description="Height in metres", examples=[1.62])] | None
    Weight: Annotated[float, Meta(ge=20, le=300, description="Weight in kilograms", examples=[64.0])] | None
    family_history_with_overweight: Annotated[
        YesNo | None, Meta(description="Has a family member suffered from overweight?", examples=["yes"])
    ]
    FAVC: Annotated[YesNo | None, Meta(description="Eats high-caloric food frequently?", examples=["no"])]
    FCVC: (
        Annotated[float, Meta(ge=1, le=3, description="Vegetables with meals, 1 never to 3 always", examples=[2.0])]
        | None
    )
    NCP: Annotated[float, Meta(ge=1, le=4, description="Main meals a day, 1 to 4", examples=[3.0])] | None
    CAEC: Annotated[Frequency | None, Meta(description="Eats between meals?", examples=["Sometimes"])]
    SMOKE: Annotated[YesNo | None, Meta(description="Smokes?", examples=["no"])]
    CH2O: (
        Annotated[float, Meta(ge=1, le=3, description="Water a day, 1 below 1 l to 3 above 2 l", examples=[2.0])] | None
    )
    SCC: Annotated[YesNo | None, Meta(description="Monitors calories?", examples=["no"])]
    FAF: (
        Annotated[float, Meta(ge=0, le=3, description="Physical activity, 0 none to 3 4-5 days a week", examples=[0.0])]
        | None
    )
    TUE: (
        Annotated[
            float, Meta(ge=0, le=2, description="Time at devices, 0 up to 2 h to 2 above 5 h a day", examples=[1.0])
        ]
        | None
    )
    CALC: Annotated[Frequency | None, Meta(description="Drinks alcohol?", examples=["no"])]
    MTRANS: Annotated[Transport | None, Meta(description="Usual transport", examples=["Public_Transportation"])]


def _scales_and_categories() -> tuple[dict[str, tuple[float, float]], dict[str, tuple[str, ...]]]:
    scales, categories = {}, {}
    for field in msgspec.inspect.type_info(Patient).fields:  # type: ignore[attr-defined]
        kind: Any = field.type.type if isinstance(field.type, msgspec.inspect.Metadata) else field.type
        answer = next(t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
        if isinstance(answer, msgspec.inspect.Metadata):
            answer = answer.type
        if isinstance(answer, msgspec.inspect.EnumType):
            categories[field.name] = tuple(member.value for member in answer.cls)
        else:
            scales[field.name] = (float(answer.ge), float(answer.le))
    return scales, categories


LABEL = "NObeyesdad"
"""Name of the label's column, as UCI spells it."""

LEVELS: tuple[str, ...] = tuple(level.value for level in Level)
ANSWERS: tuple[str, ...] = Patient.__struct_fields__
COLUMNS: tuple[str, ...] = (*ANSWERS, LABEL)

SCALES, CATEGORIES = _scales_and_categories()
"""SCALES: number's name -> (lowest, highest), both allowed. CATEGORIES: category's name -> values in coding order."""

WHOLE_FOR_PEOPLE: tuple[str, ...] = ("Age", "FCVC", "NCP", "CH2O", "FAF", "TUE")
"""Answers that people gave as whole numbers; UCI's generated rows (SMOTE) have fractions in them."""
