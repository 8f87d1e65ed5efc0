"""`python -m obesity_levels.prediction` is `obesity-levels predict`, where only what that needs is installed."""

from obesity_levels.options import run_command
from obesity_levels.prediction.command import predict

if __name__ == "__main__":
    run_command(predict, None, "predict")
