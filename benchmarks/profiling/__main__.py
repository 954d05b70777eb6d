"""Runs the profile: `python -m benchmarks.profiling`."""

import sys

from benchmarks.processes import end_on_sigterm
from benchmarks.profiling.command import main

if __name__ == "__main__":
    end_on_sigterm()
    sys.exit(main(sys.argv[1:]))
