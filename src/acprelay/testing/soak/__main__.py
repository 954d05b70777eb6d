"""Run a soak: `python -m acprelay.testing.soak`."""

import sys

from acprelay.testing.soak.program import main

if __name__ == "__main__":
    sys.exit(main())
