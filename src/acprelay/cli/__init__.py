"""The command line: a module for each command of `acprelay`, and what they share."""
