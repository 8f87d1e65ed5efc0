import pytest

from obesity_levels.reporting.numbers import Numbers, as_text, difference


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (37, "37"),
        (0.9772, "0.977"),
        ("population.yaml", "population.yaml"),
        ({"mean": 0.9669, "std": 0.0007}, "0.967 ± 0.001"),
        ({"mean": None, "std": None}, ""),
        ({"low": 0.9577, "high": 0.9932}, "0.958 to 0.993"),
        ([0.0, 0.5], "0.000 to 0.500"),
        (["a", "b"], "a, b"),
    ],
)
def test_a_value_is_written_for_people(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        (0.9772, 0.9772, ""),
        (0.9, 0.95, "-0.050"),
        (0.900001, 0.9, "+0.000001"),
        (40, 37, "+3"),
        ({"mean": 0.9, "std": 0.1}, {"mean": 0.8, "std": 0.2}, "+0.100"),
        ({"mean": 0.9, "std": 0.1}, {"mean": 0.9, "std": 0.2}, "was 0.900 ± 0.200"),
        (True, False, "was no"),
        ("drift", "no drift", "was no drift"),
        (None, 0.5, "was 0.500"),
        (0.5, None, "new"),
    ],
)
def test_a_difference_is_a_number_with_its_sign_or_what_was_before(now, before, text):
    assert difference(now, before) == text


def test_a_key_that_only_the_other_run_has_is_not_left_out():
    assert Numbers({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}).keys("a") == ["x", "y"]
