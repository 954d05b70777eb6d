"""A client of a relay, for programs: everything that its API offers, and conversations.

It stands by itself: importing it starts nothing, and brings in nothing of the relay but its errors.
"""

from __future__ import annotations
