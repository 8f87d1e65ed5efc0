"""Asks the feature store what test_feast.py compares: `python by_id.py QUESTIONS.json FOUND.npz`.

It is run in the store's environment, in a clone. A question is a name, ids, and a time; null asks the online store.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from feast import FeatureStore
from predict_by_id import STORE, UnknownPersonError, answers_by_id, predict_by_id

from obesity_levels.model.classifier import load_classifier
from obesity_levels.model.features import input_matrix
from obesity_levels.paths import MODELS


def body_mass_index(ids, at):
    """What the store computes on demand, None where it is null."""
    service = store.get_feature_service("questionnaire")
    if at:
        persons = pd.DataFrame({"person_id": ids, "event_timestamp": at})
        columns = store.get_historical_features(persons, service).to_arrow().to_pydict()
    else:
        columns = store.get_online_features(service, [{"person_id": person} for person in ids]).to_dict()
    found = dict(zip(columns["person_id"], columns["BMI"], strict=True))
    return [found.get(person) for person in ids]


store, classifier = FeatureStore(str(STORE)), load_classifier(MODELS)
found = {}
for name, question in json.loads(Path(sys.argv[1]).read_text()).items():
    ids, at = question["ids"], question["at"] and datetime.fromisoformat(question["at"])
    if name == "too_old_but_loaded":  # which `feast materialize-incremental` does not do
        store.materialize(datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC))
    try:
        found[f"{name}.matrix"] = input_matrix(answers_by_id(store, ids, at), classifier.manifest.profile)
        found[f"{name}.probabilities"] = predict_by_id(store, classifier, ids, at)
        index = body_mass_index(ids, at)
        assert not any(value != value for value in index)  # null, not NaN
        found[f"{name}.bmi"] = np.array(index, np.float64)
    except UnknownPersonError as error:
        found[f"{name}.error"] = str(error)
np.savez(sys.argv[2], **found)
