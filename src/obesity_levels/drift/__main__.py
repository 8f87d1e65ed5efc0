"""`python -m obesity_levels.drift`: the command `obesity-levels drift`."""

import sys

from obesity_levels.cli import main

if __name__ == "__main__":
    main(["drift", *sys.argv[1:]])
