import msgspec
import pytest

from obesity_levels.schema import ANSWERS, CATEGORIES, CODES, COLUMNS, LEVELS, QUESTIONS, SCALES, Patient, Sex, YesNo


def test_there_are_sixteen_answers_each_a_number_on_a_scale_or_a_category():
    assert len(ANSWERS) == 16
    assert set(SCALES) | set(CATEGORIES) == set(ANSWERS)
    assert not set(SCALES) & set(CATEGORIES)


def test_the_levels_are_in_order_of_severity():
    assert LEVELS[0] == "Insufficient_Weight"
    assert LEVELS[-1] == "Obesity_Type_III"
    assert len(LEVELS) == 7


def test_columns_are_those_of_uci_544():
    header = (
        "Gender,Age,Height,Weight,family_history_with_overweight,FAVC,FCVC,NCP,CAEC,SMOKE,CH2O,SCC,FAF,TUE,CALC,MTRANS,"
        "NObeyesdad"
    )
    assert ",".join(COLUMNS) == header


@pytest.mark.parametrize(
    ("name", "scale"),
    {
        "Age": (10, 100),
        "Height": (1.0, 2.5),
        "Weight": (20, 300),
        "FCVC": (1, 3),
        "NCP": (1, 4),
        "CH2O": (1, 3),
        "FAF": (0, 3),
        "TUE": (0, 2),
    }.items(),
)
def test_a_number_has_the_scale_of_the_design(name, scale):
    assert SCALES[name] == scale


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("end", [0, 1])
def test_a_record_takes_the_ends_of_a_scale_and_nothing_beyond(name, end):
    record = dict.fromkeys(ANSWERS) | {name: SCALES[name][end]}
    assert getattr(msgspec.convert(record, Patient), name) == SCALES[name][end]
    record[name] += -0.01 if end == 0 else 0.01
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert(record, Patient)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_question_has_an_example_that_a_record_takes(name):
    record = dict.fromkeys(ANSWERS) | {name: QUESTIONS[name].example}
    assert msgspec.to_builtins(msgspec.convert(record, Patient))[name] == QUESTIONS[name].example


@pytest.mark.parametrize(
    ("name", "said", "meant"),
    [
        ("MTRANS", "public transportation", "Public_Transportation"),
        ("MTRANS", "  PUBLIC__TRANSPORTATION ", "Public_Transportation"),
        ("FAVC", "Yes", "yes"),
        ("CAEC", "sometimes", "Sometimes"),
    ],
)
def test_a_category_is_known_in_any_case_and_with_spaces_or_underscores(name, said, meant):
    assert getattr(msgspec.convert(dict.fromkeys(ANSWERS) | {name: said}, Patient), name).value == meant


@pytest.mark.parametrize("name", CATEGORIES)
def test_a_code_is_the_place_of_a_category_in_its_order(name):
    assert list(CODES[name].items()) == [(category, code) for code, category in enumerate(CATEGORIES[name])]


def test_answers_to_different_questions_are_different():
    assert Sex.FEMALE != YesNo.NO


@pytest.mark.parametrize("name", CATEGORIES)
def test_an_answer_is_written_as_it_is_spelled(name):
    for category in CATEGORIES[name]:
        answer = getattr(msgspec.convert(dict.fromkeys(ANSWERS) | {name: category}, Patient), name)
        assert str(answer) == category
        assert repr(category) in repr(answer)
        assert msgspec.json.decode(msgspec.json.encode(answer)) == category


def test_another_text_is_no_category():
    with pytest.raises(msgspec.ValidationError, match="MTRANS"):
        msgspec.convert(dict.fromkeys(ANSWERS) | {"MTRANS": "publictransportation"}, Patient)
