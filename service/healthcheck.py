"""`python -m service.healthcheck`: exit status 0 if the service in this container is ready. There is no curl in it."""

import os
import sys
from http.client import HTTPConnection, HTTPException

_SECONDS = 2.0


def main() -> None:
    """Ask GET /health/ready, where HOST and PORT say that the service listens."""
    host = os.environ.get("HOST") or "127.0.0.1"
    # Every address, so this one too.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        connection = HTTPConnection(host, int(os.environ.get("PORT") or 8000), timeout=_SECONDS)
        connection.request("GET", "/health/ready")
        if (status := connection.getresponse().status) != 200:
            sys.exit(f"not ready: {status}")
    except (OSError, HTTPException, ValueError) as error:
        sys.exit(f"not reached: {error}")


if __name__ == "__main__":
    main()
