"""A soak: a real relay, a real agent, and clients that come and go under a stream of updates.

`python -m acprelay.testing.soak --seconds 60 --clients 8 --seed 1` starts a relay as a program,
lets an agent number its updates, kills, pauses and reattaches clients at random, and reports how
many messages were sent, due, delivered, lost, repeated and out of order. The last three are 0, or
the exit status is 1.

The judges are pure: `payload`, `messages`, `stream`, `lane`, `history`, `ear`, `ledger`, `report`;
so are the choices, in `moves`. `agent` is the agent's program; `relay`, `connection`, `client`,
`observer`, `driver` and `run` do the work. Nothing here uses the relay's own code: it is judged
from outside.
"""
