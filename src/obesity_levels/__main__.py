"""`python -m obesity_levels`: the command `obesity-levels`."""

from obesity_levels.cli import main

if __name__ == "__main__":
    main()
