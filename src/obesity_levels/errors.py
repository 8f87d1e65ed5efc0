"""Errors that a person can act on: each names the file, the column or the key, and what to do. Never a bug of ours."""


class ObesityLevelsError(Exception):
    """Base of all errors that are shown without a traceback."""


class ParamsError(ObesityLevelsError):
    """params.yaml, or another YAML file, has a wrong key, type or value."""


class SourceError(ObesityLevelsError):
    """The source is not there, not readable, or not a table of survey rows."""


class TooFewRowsError(ObesityLevelsError):
    """What is left after cleaning is not enough to split or to train on."""


class RegistryError(ObesityLevelsError):
    """MLflow's registry does not answer, has not what is asked for, or the model may not become champion."""


class ArtifactError(ObesityLevelsError):
    """The artifact is missing, truncated, altered, or not one of ours."""
