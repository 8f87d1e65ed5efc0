from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from obesity_levels.evaluation import plots
from obesity_levels.evaluation.metrics import confusion_table
from obesity_levels.io import Rows, level_indices
from obesity_levels.schema import ANSWERS, CATEGORIES, LABEL, LEVELS

BINS = pd.DataFrame({"confidence": [0.5], "accuracy": [0.4], "rows": [9], "low": [0.1], "high": [0.9]})
RATES = np.linspace(0, 1, 5)
DRAWINGS = {
    "confusion matrix": (plots.draw_confusion_matrix, confusion_table(np.arange(7), np.arange(7))),
    "calibration": (partial(plots.draw_calibration, BINS), BINS),
    "importance": (plots.draw_importance, pd.DataFrame({"feature": ["a"], "importance": [0.1], "std": [0.01]})),
    "contributions": (
        plots.draw_contributions,
        pd.DataFrame({"feature": ["a", "b"], "contribution": [0.1, np.nan], "importance": [0.2, 0.1]}),
    ),
    "learning curve": (plots.draw_learning_curve, pd.DataFrame({"rows": [9], "training": [1.0], "validation": [0.5]})),
    "roc": (plots.draw_roc, pd.DataFrame({"false_positive_rate": RATES, **dict.fromkeys(LEVELS[:6], RATES)})),
}

NOTHING_ANSWERED = Rows(
    pd.DataFrame({name: [None if name in CATEGORIES else np.nan] * 7 for name in ANSWERS}),
    np.arange(7),
    np.arange(7),
    np.zeros((7, 1), dtype=np.float32),
)


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_same_table_gives_the_same_png(name, tmp_path):
    draw, table = DRAWINGS[name]
    draw(table, tmp_path / "one.png")
    draw(table, tmp_path / "two.png")
    one = (tmp_path / "one.png").read_bytes()
    assert one.startswith(b"\x89PNG")
    assert one == (tmp_path / "two.png").read_bytes()
    assert mpl.__version__.encode() not in one


def test_another_table_gives_another_png(tmp_path):
    for at in (1, 2):
        plots.draw_confusion_matrix(confusion_table(np.arange(7), np.full(7, at)), tmp_path / f"{at}.png")
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "2.png").read_bytes()


def test_the_same_rows_give_the_same_distributions(people, tmp_path):
    rows = NOTHING_ANSWERED._replace(answers=people[list(ANSWERS)], labels=level_indices(people[LABEL]))
    plots.draw_distributions(rows, tmp_path / "one.png")
    plots.draw_distributions(rows, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_distributions_of_answers_that_nobody_gave_are_empty(tmp_path):
    plots.draw_distributions(NOTHING_ANSWERED, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").exists()
