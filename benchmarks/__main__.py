"""Runs the benchmarks: `python -m benchmarks`."""

import sys

from benchmarks.command import main
from benchmarks.processes import end_on_sigterm

if __name__ == "__main__":
    end_on_sigterm()
    sys.exit(main(sys.argv[1:]))
