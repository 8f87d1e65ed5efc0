"""Predictions for tables of many rows. No stage depends on this package."""
