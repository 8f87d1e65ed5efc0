"""What the store holds of a person: the 16 answers, and the body-mass index that is computed from them on demand."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, String

from obesity_levels.schema import BMI, CATEGORIES, QUESTIONS

person = Entity(name="person_id", value_type=ValueType.STRING)

answers = FeatureView(
    name="answers",
    entities=[person],
    schema=[
        Field(name=name, dtype=String if name in CATEGORIES else Float64, description=question.description)
        for name, question in QUESTIONS.items()
    ],
    source=FileSource(name="answers_file", path="data/answers.parquet", timestamp_field="answered_at"),
    # What a person does changes: older answers are no answers.
    ttl=timedelta(days=365),
)


@on_demand_feature_view(sources=[answers], schema=[Field(name=BMI, dtype=Float64)], mode="python")
def body(inputs: dict) -> dict:
    """The body-mass index of each row; null where height or weight is."""
    # The registry keeps the source of this function alone: it imports what it uses.
    import numpy as np

    from obesity_levels.model.features import body_mass_index

    height, weight = (np.array(inputs[name], np.float64) for name in ("Height", "Weight"))
    return {"BMI": [None if np.isnan(index) else index for index in body_mass_index(height, weight).tolist()]}


questionnaire = FeatureService(name="questionnaire", features=[answers, body])
