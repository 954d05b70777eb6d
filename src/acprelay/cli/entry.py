"""What the installed program starts with: as little as may be, until a command has the signals.

Imports take a tenth of a second and more. Ctrl-C in that time would raise an exception in the
middle of some import, and end in a traceback; nothing is there yet to be ended in good order. So
until the command's module is there, it ends the process as it ends any other.
"""

from __future__ import annotations

import signal


def main() -> int:
    """Runs what was typed; see `acprelay.cli.main`."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is not ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from acprelay.cli.main import main as run  # noqa: PLC0415 - not before the line above

    return run()
