"""Obesity levels from 16 answers: the library behind the stages of the pipeline and the service."""
