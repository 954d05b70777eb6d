"""A deterministic ACP agent that needs no key and no network.

`acprelay demo-agent` and `python -m acprelay.testing.demo_agent` run it. It speaks protocol version
1 on standard input and output, answers every prompt with a short turn, and does on request what
real agents do: `/help` as a prompt lists the directives. It takes up any session that it is asked
to load or resume, also one of an earlier process, but remembers none: the session begins anew.

It imports the standard library alone and serves each turn on a thread of its own, because it is
started once for every session and must start fast.
"""

from acprelay.testing.demo_agent.program import main

__all__ = ["main"]
