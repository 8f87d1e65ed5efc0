"""The service: the locked model over HTTP."""
