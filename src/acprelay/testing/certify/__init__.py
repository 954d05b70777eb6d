"""Certifies an agent: tries it out, and says what was found.

`python -m acprelay.testing.certify -- COMMAND` is the command. Every check starts the agent anew,
is a client of it, and passes, fails with a reason, or is skipped with one. `checks` has them,
`client` is the client, `through_a_relay` puts a relay between, `program` is the command. They judge
by what ACP says, and by what clients and relays rely on.
"""
