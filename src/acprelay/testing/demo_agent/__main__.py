"""Run the demo agent: `python -m acprelay.testing.demo_agent`."""

import sys

from acprelay.testing.demo_agent.program import main

if __name__ == "__main__":
    sys.exit(main())
