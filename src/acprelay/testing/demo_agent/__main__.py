"""Run the demo agent: `python -m acprelay.testing.demo_agent`."""

import sys

from acprelay.testing.demo_agent.program import main

if __name__ == "__main__":
    if sys.argv[1:]:
        import argparse  # the relay starts it without: it is to start fast

        argparse.ArgumentParser(prog="python -m acprelay.testing.demo_agent").parse_args()
    sys.exit(main())
