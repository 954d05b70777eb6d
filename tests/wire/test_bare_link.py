"""A WebSocket whose other end is an agent itself: a text for each line, and nothing else."""

from __future__ import annotations

from acprelay.wire.bare_link import BareEnd
from acprelay.wire.link import Parcel, ParcelKind


def test_whole_lines_are_a_message_each() -> None:
    end = BareEnd()
    end.resume(0, 0.0)
    end.send(ParcelKind.STREAM, b'{"id":1}\n{"id":2}\n')
    assert end.unacknowledged == 18
    assert end.take_messages(0.0) == [b'{"id":1}', b'{"id":2}']
    assert (end.unacknowledged, end.take_messages(0.0), end.wake_at) == (0, [], None)


def test_of_anything_but_lines_such_an_agent_knows_nothing() -> None:
    end = BareEnd()
    end.send(ParcelKind.END, b"why")
    assert (end.unacknowledged, end.take_messages(0.0)) == (0, [])


def test_a_message_is_a_line_whatever_white_space_it_has() -> None:
    end = BareEnd()
    assert end.receive(b'{"id":\r\n1}') == Parcel(ParcelKind.STREAM, b'{"id":  1}\n')
    assert (end.received, end.untaken) == (1, 11)
    end.take_all(0.0)
    assert end.untaken == 0
