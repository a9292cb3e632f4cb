"""`python -m layers.cli`, the same as `minigrad`."""

import sys

from layers.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
