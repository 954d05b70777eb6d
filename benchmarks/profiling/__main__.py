"""Runs the profile: `python -m benchmarks.profiling`."""

import sys

from benchmarks.profiling.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
