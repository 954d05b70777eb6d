"""Doubles and the demo agent: for the tests of acprelay, and for those of its users."""
