"""What acprelay is tested with, and what its users test their agents and clients with.

Public, and kept as the changelog says:

- `certify` tries an agent out: `python -m acprelay.testing.certify -- COMMAND`
- `scripted_agent` and `steps`: an agent that does what a script says
- `misbehaving_agent`: a program that does what agents do on their bad days
- `demo_agent`: an agent that needs no key and no network
- `record` writes down what an agent and its client say, `transcripts` reads it, `replay` plays
  either side again, `splices` takes back what a relay changes in between
- `channels`: between an agent and a client, to a program or in memory
- `session`: a programmable store, clock and cleaner, for who embeds the session manager
- `soak` and `fuzz` run a relay for long, and abuse one

All else here is for the tests of acprelay, and may change without a word.
"""
