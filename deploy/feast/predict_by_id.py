"""Levels by person: the answers come from the store, the matrix and the probabilities from the project's own code.

An id tells whose answers these are, so no id is printed: not in an error, and not beside a prediction.
"""

import csv
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from feast import FeatureStore
from feast.errors import FeatureViewNotFoundException

from obesity_levels.errors import ObesityLevelsError
from obesity_levels.model.classifier import Classifier, Probabilities, load_classifier
from obesity_levels.model.features import Answers, encode_rows, input_matrix
from obesity_levels.paths import MODELS
from obesity_levels.schema import ANSWERS, LEVELS

STORE = Path(__file__).parent

_FEATURES = [f"answers:{name}" for name in ANSWERS]
_NO_ANSWERS = (None,) * len(ANSWERS)


class UnknownPersonError(ObesityLevelsError):
    """The store has no answers of a person, or none that are recent enough."""


def answers_by_id(store: FeatureStore, ids: Sequence[str], at: datetime | None = None) -> Answers:
    """The answers of the persons `ids`, in their order, as `encode_rows` gives them.

    Without `at` they are the last ones that were materialised, from the online store; with it those that held at that
    time (a time with its time zone), from the offline store. Answers that are older then than the view's ttl are none.
    Raises UnknownPersonError if there are no answers of a person: it says at which places of `ids`, and names no id.
    """
    if not ids:
        return np.empty((0, len(ANSWERS)))
    found = _offline(store, ids, at) if at else _online(store, ids)
    answers = encode_rows(found.get(person, _NO_ANSWERS) for person in ids)
    unknown = np.flatnonzero(np.isnan(answers).all(axis=1)) + 1
    if len(unknown):
        places = ", ".join(map(str, unknown[:10])) + (", …" if len(unknown) > 10 else "")
        raise UnknownPersonError(
            f"{len(unknown)} of {len(ids)} persons have no answers in the store, or too old ones (in the order of the "
            f"ids: {places}): ask them, or load their answers (feast materialize-incremental)"
        )
    return answers


def predict_by_id(
    store: FeatureStore, classifier: Classifier, ids: Sequence[str], at: datetime | None = None
) -> Probabilities:
    """The probability of each level, shape (len(ids), 7). `ids`, `at` and errors are those of `answers_by_id`."""
    return classifier.probabilities(input_matrix(answers_by_id(store, ids, at), classifier.manifest.profile))


def _online(store: FeatureStore, ids: Sequence[str]) -> dict[str, tuple]:
    """Person -> answers, of those whose answers are not too old: Feast's online store gives old ones too."""
    response = store.get_online_features(_FEATURES, [{"person_id": person} for person in ids])
    columns = response.to_dict(include_event_timestamps=True)
    ttl = store.get_feature_view("answers").ttl
    oldest = (datetime.now(UTC) - ttl).timestamp() if ttl else 1
    # All answers of a person have one time; it is 0 if the person is not there.
    rows = zip(columns["person_id"], _rows(columns), columns[f"{ANSWERS[0]}__ts"], strict=True)
    return {person: row for person, row, time in rows if time >= oldest}


def _offline(store: FeatureStore, ids: Sequence[str], at: datetime) -> dict[str, tuple]:
    """Person -> answers; of a person whose answers are too old at that time there is no row."""
    persons = pd.DataFrame({"person_id": ids, "event_timestamp": at})
    columns = store.get_historical_features(persons, _FEATURES).to_arrow().to_pydict()
    return dict(zip(columns["person_id"], _rows(columns), strict=True))


def _rows(columns: dict[str, list]) -> list[tuple]:
    return list(zip(*(columns[name] for name in ANSWERS), strict=True))


def main() -> None:
    """Read ids from standard input, one a line; write a CSV file with a prediction a line, in their order."""
    ids = sys.stdin.read().splitlines()
    probabilities = predict_by_id(FeatureStore(str(STORE)), load_classifier(MODELS), ids)
    output = csv.writer(sys.stdout, lineterminator="\n")
    output.writerow(["prediction", *LEVELS])
    for row in probabilities.astype(np.float64):
        output.writerow([LEVELS[row.argmax()], *row.tolist()])


if __name__ == "__main__":
    try:
        main()
    except FeatureViewNotFoundException:
        sys.exit("error: nothing is defined in the store: run `feast apply` (docs/feature-store.md)")
    except ObesityLevelsError as error:
        sys.exit(f"error: {error}")
