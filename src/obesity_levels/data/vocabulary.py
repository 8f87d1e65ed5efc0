"""Other names of the questions, and other words for their answers, which propose a layout.

They are English, Spanish and Portuguese.

The wording of the questionnaire is that of Palechor & de la Hoz (2019), table 1.
"""

import re
import unicodedata

from obesity_levels.data.layout import CATEGORIES_OR_LEVELS, code_key
from obesity_levels.schema import CATEGORIES, COLUMNS, LABEL

# In this order, because a name may have the words of two: "family history with overweight" is about no weight.
_NAMES = {
    "family_history_with_overweight": r"\bfam|\bfhwo\b|\bfhow\b|antecedent|relative|parent",
    "SCC": r"monitor|calculat|(control|count)\w* (\w+ ){0,2}cal|calor\w* (control|count|track|consum)|\bscc\b",
    "FAVC": r"calor|\bcal\b|fast food|junk|\bfavc\b",
    "FCVC": r"\bveg|verdura|\bfcvc\b",
    "CAEC": r"between|snack|entre (las )?comidas|entre refeic|pico(te|ar)|\bcaec\b",
    "NCP": r"\bmeals?\b|comidas|refeic|\bncp\b",
    "SMOKE": r"smok|\bfum|tabac|tobacco",
    "CH2O": r"water|\bagua\b|hydrat|hidrat|\bch2o\b",
    "CALC": r"alcoh?ol|\bcalc\b",
    "TUE": r"\btech|tecno|devic|dispositiv|screen|pantalla|\btela\b|\btue\b",
    "FAF": r"physical|exercis|activ|ativid|ejercicio|exercic|deport|\bsport|\bfaf\b",
    "MTRANS": r"transp|travel|commut|\bmtrans\b",
    LABEL: r"obe|label|class|target|level|nivel|categor|diagnos|weight (status|type)",
    "Gender": r"gender|\bsex|genero",
    "Age": r"\bage\b|\bedad\b|\bidade\b|\banos\b|\byears?\b",
    "Height": r"height|\bestatura\b|\baltura\b|\btalla\b|\bstature\b",
    "Weight": r"weight|\bpeso\b",
}
_YES_NO = {"yes": "y|true|t|si|s|sim", "no": "n|false|f|nao"}
_FREQUENCY = {
    "no": "never|nunca|none|nao( bebo)?|i do not drink|no bebo|nada|jamas|not at all",
    "Sometimes": "sometime|a veces|as vezes|algunas veces|occasionally|ocasionalmente|de vez en cuando",
    "Frequently": "frequent|often|frequentemente|com frequencia|frecuentemente|con frecuencia|a menudo|frecuente",
    "Always": "siempre|sempre",
}
_GRADE = "(level |type |class |grade |nivel |tipo |clase |classe |grado |grau )?"
_OVERWEIGHT, _OBESITY = f"(overweight|sobrepeso) {_GRADE}", f"(obesity|obese|obesidade?) {_GRADE}"
_WORDS: dict[str, dict[str, str]] = {
    "Gender": {
        "Female": "woman|women|girl|mujer|femenino|feminino|feminina|mulher|femenina|hembra",
        "Male": "man|men|boy|hombre|masculino|homem|varon",
    },
    **{name: _YES_NO for name, values in CATEGORIES.items() if values == ("no", "yes")},
    "CAEC": _FREQUENCY,
    "CALC": _FREQUENCY,
    "MTRANS": {
        "Automobile": "car|auto|automovil|automovel|coche|carro|private car|automobil",
        "Motorbike": "motorcycle|moto|motocicleta|motor bike|motor cycle",
        "Public_Transportation": "public transport|public transit|bus|transporte publico|transporte publica",
        "Bike": "bicycle|cycling|bicicleta|bici|cycle",
        "Walking": "walk|on foot|foot|a pe|caminando|caminar|a pie|caminata|caminhando|caminhada|andando",
    },
    LABEL: {
        "Insufficient_Weight": "under ?weight|insufficient|peso (insuficiente|bajo)|(bajo|baixo|abaixo do) peso",
        # `0rmal` is what a replacement of "no" by 0 leaves
        "Normal_Weight": "normal|0rmal weight|peso normal|healthy( weight)?|normopeso|normalweight",
        "Overweight_Level_I": f"{_OVERWEIGHT}(1|i)",
        "Overweight_Level_II": f"{_OVERWEIGHT}(2|ii)",
        "Obesity_Type_I": f"{_OBESITY}(1|i)|{_GRADE}(1|i) obes(ity|e)",
        "Obesity_Type_II": f"{_OBESITY}(2|ii)|{_GRADE}(2|ii) obes(ity|e)",
        "Obesity_Type_III": f"{_OBESITY}(3|iii)|{_GRADE}(3|iii) obes(ity|e)|morbid obesity|obesidade? morbida",
    },
    # of numbers: the answers in words that the questionnaire offers
    "FCVC": {"1": "never|nunca", "2": "sometimes|a veces|algunas veces", "3": "always|siempre"},
    "NCP": {
        "1": "between (1|one) (y|and|to) (2|two)|entre (1|uno) y (2|dos)|1 to 2",
        "3": "three|tres",
        "4": "more than (three|3)|mas de (tres|3)",
    },
    "CH2O": {
        "1": "less than (a|1|one) lit(er|re)|menos de (un|1) litro",
        "2": "between 1 and 2 l(it(er|re)s)?|entre 1 y 2 (l|litros)",
        "3": "more than 2 l(it(er|re)s)?|mas de 2 (l|litros)",
    },
    "FAF": {
        "0": "i do not have|none|never|no tengo|nunca",
        "1": "1 (or|to|o|a) 2 (days|dias)",
        "2": "2 (or|to|o|a) 4 (days|dias)",
        "3": "4 (or|to|o|a) 5 (days|dias)",
    },
    "TUE": {
        "0": "0 (to )?2 hours|0 (a )?2 horas",
        "1": "3 (to )?5 hours|3 (a )?5 horas",
        "2": "more than 5 hours|mas de 5 horas",
    },
}


def question_named(name: str) -> tuple[str, bool] | None:
    """The column of UCI 544 that a name means, and whether the name is spelled as there but for case and marks."""
    plain = _plain(name)
    for column in COLUMNS:
        if plain.replace(" ", "") == _plain(column).replace(" ", ""):
            return column, True
    return next(((column, False) for column, words in _NAMES.items() if re.search(words, plain)), None)


def answer_meant(column: str, text: str) -> str | None:
    """The category, or the number of a scale, that a text means in this column; None if it is not one of the words."""
    plain = _plain(text)
    for category in CATEGORIES_OR_LEVELS.get(column, ()):
        if code_key(text) == code_key(category) or plain == _plain(category):
            return category
    # a letter among marks is no word: `\N` is how MySQL writes a missing answer
    if len(plain) == 1 and not text.strip().isalpha():
        return None
    words = _WORDS.get(column, {})
    return next((meant for meant, pattern in words.items() if re.fullmatch(pattern, plain)), None)


def initials(texts: set[str]) -> dict[str, str]:
    """What single letters mean as the sex, by which of them are there: M is Mujer beside H, and Male beside F."""
    letters = {_plain(text) for text in texts if len(text.strip()) == 1} & {"f", "m", "h"}
    if letters == {"f", "m"}:
        return {"f": "Female", "m": "Male"}
    return {"m": "Female", "h": "Male"} if letters == {"h", "m"} else {}


def _plain(text: str) -> str:
    """Lower case, without accents; marks and underscores are spaces; `familyHistory` is two words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    letters = unicodedata.normalize("NFKD", text.casefold())
    without_accents = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", without_accents).split())
