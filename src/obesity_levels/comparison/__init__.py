"""Two models: on the same rows, in production side by side, and how many rows either takes.

No stage depends on this package.
"""
