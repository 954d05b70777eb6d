"""Measures the relay beside its peers, and the cost of its parts. Run: `make bench`.

It knows the relay as its users do, by its command and its addresses; only `micro` and `profiling`
look inside.
"""
