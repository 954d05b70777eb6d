"""The command line: `acprelay serve`, `run`, `connect` and `demo-agent`."""
