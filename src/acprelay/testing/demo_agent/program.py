"""The demo agent as a program: its streams, its signals, its exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial

from acprelay.testing.demo_agent.agent import DemoAgent
from acprelay.testing.demo_agent.rpc import Peer

_ENDING = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Serves the client on standard input and output.

    Returns:
        0, at the end of standard input or when the client reads no more. SIGTERM ends the process
        at once, with status 0 too; SIGINT with 130.
    """
    # Waited for by a thread of its own: a handler would run in the thread that reads, and only when
    # something is read. The threads of turns inherit the mask.
    ending = {one for one in _ENDING if signal.getsignal(one) is not signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    threading.Thread(target=_end_at, args=(ending,), daemon=True).start()
    changed = threading.Condition()
    peer = Peer(write=partial(os.write, sys.stdout.fileno()), changed=changed)
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody is left to serve
        DemoAgent(peer=peer, changed=changed).serve(sys.stdin.buffer)
    return 0


def _end_at(signals: set[signal.Signals]) -> None:
    number = signal.sigwait(signals)
    # Nothing is buffered, and a turn's thread may hold any lock at this moment.
    os._exit(0 if number == signal.SIGTERM else 128 + number)
