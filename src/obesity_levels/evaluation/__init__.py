"""How good a model is: metrics, plots, the gate, the model card, and the check of a rebuild."""
