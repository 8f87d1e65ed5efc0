"""Obesity levels from 16 answers: the library behind the pipeline's stages and the service."""
