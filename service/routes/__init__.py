"""The routes, one idea a file."""
