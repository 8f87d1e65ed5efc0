"""What a run of the pipeline made, MLflow, and retraining."""
