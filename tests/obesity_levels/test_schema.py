import msgspec
import pytest

from obesity_levels.schema import ANSWERS, COLUMNS, Patient


def test_columns_are_those_of_uci_544():
    header = (
        "Gender,Age,Height,Weight,family_history_with_overweight,FAVC,FCVC,NCP,CAEC,SMOKE,CH2O,SCC,FAF,TUE,CALC,MTRANS,"
        "NObeyesdad"
    )
    assert ",".join(COLUMNS) == header


def test_a_category_is_known_in_any_case_and_with_spaces_or_underscores():
    record = dict.fromkeys(ANSWERS) | {"MTRANS": "  PUBLIC__transportation "}
    assert msgspec.convert(record, Patient).MTRANS.value == "Public_Transportation"


def test_another_text_is_no_category():
    with pytest.raises(msgspec.ValidationError, match="MTRANS"):
        msgspec.convert(dict.fromkeys(ANSWERS) | {"MTRANS": "publictransportation"}, Patient)
