"""A feed of events for tests: real, of a relay's life that is named, on a clock that is set."""

from __future__ import annotations

from acprelay.routing.feed import Ring
from acprelay.runtime.feed import EventFeed
from acprelay.testing.session import FakeClock


def memory_feed(*, most: int = 1000) -> EventFeed:
    """Makes one.

    Args:
        most: How many events it remembers.
    """
    return EventFeed(ring=Ring(epoch="life", most=most, most_bytes=1024 * 1024), clock=FakeClock())
