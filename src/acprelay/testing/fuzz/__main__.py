"""Run a fuzz: `python -m acprelay.testing.fuzz`."""

import sys

from acprelay.testing.fuzz.program import main

if __name__ == "__main__":
    sys.exit(main())
