"""What a run of the pipeline made, MLflow, and retraining."""

import os

NAME = "obesity-levels"
"""The name of the registered model, and of the MLflow experiment of its runs."""
CHALLENGER, CHAMPION = "challenger", "champion"
"""Aliases of registered versions."""

# MLflow reads these when it is imported. Its own defaults wait minutes for a server that does not answer.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # It would print a password that is part of the server's address.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
