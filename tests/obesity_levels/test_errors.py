import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obesity_levels.errors import RESTORE, ConflictError, SourceError, invalid_field, run_stage


def test_an_error_that_a_person_can_act_on_is_printed_without_a_traceback_and_ends_with_1(capsys):
    def main() -> None:
        raise SourceError("data/foo.csv does not exist: give another")

    with pytest.raises(SystemExit) as stopped:
        run_stage(main)
    said = f"error: data/foo.csv does not exist: give another\nTo restore the last commit: {RESTORE}\n"
    assert (stopped.value.code, capsys.readouterr().err) == (1, said)


def test_a_bug_of_ours_is_not_hidden():
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage(main)


def test_what_a_person_writes_is_merged_by_hand_and_what_the_pipeline_writes_is_made_again():
    written, made = "edit params.yaml and run `git add params.yaml`", "run `git checkout --ours dvc.lock metrics plots`"
    assert str(ConflictError(["params.yaml"])) == f"merge conflict in params.yaml: {written}"
    assert str(ConflictError(["dvc.lock"])).startswith(f"merge conflict in dvc.lock: {made}, `dvc repro` and")
    assert f"{written}; then {made}" in str(ConflictError(["params.yaml", "dvc.lock"]))


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: float


class Drawing(msgspec.Struct, forbid_unknown_fields=True):
    points: list[Point]


@pytest.mark.parametrize(
    ("content", "path", "kind", "name"),
    [
        ({"points": [{"x": 1.0}, {"x": "far"}]}, "points[1].x", "invalid", ""),
        ({"points": [{}]}, "points[0]", "missing", "x"),
        ({"points": [{"x": 1.0, "z": 2}]}, "points[0]", "unknown", "z"),
        ({"points": 3}, "points", "invalid", ""),
        ({}, "", "missing", "points"),
        (None, "", "invalid", ""),
    ],
)
def test_an_error_of_msgspec_says_where_the_invalid_field_is_and_what_is_wrong_with_it(content, path, kind, name):
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(content, Drawing)
    field = invalid_field(raised.value)
    assert (field.path, field.kind, field.name) == (path, kind, name)


@given(name=st.text(min_size=1).filter(lambda name: name != "x"))
def test_the_name_of_an_unknown_field_may_be_any_text(name):
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({"points": [{"x": 1.0, name: 2}]}, Drawing)
    field = invalid_field(raised.value)
    assert (field.path, field.kind, field.name) == ("points[0]", "unknown", name)
