"""Run it: `python -m acprelay.testing.certify -- COMMAND`."""

import sys

from acprelay.testing.certify.program import main

if __name__ == "__main__":
    sys.exit(main())
