"""The report of a run: one page with its metrics and plots, alone or beside those of another run."""
