"""A link to an agent: whatever is cut and when, both ends get everything once and in order."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import RemoteProtocolError
from acprelay.wire.link import ACK_DELAY_S, MOST_IN_PARCEL, WINDOW, LinkEnd, Parcel, ParcelKind

STREAM, STDERR, END = ParcelKind.STREAM, ParcelKind.STDERR, ParcelKind.END


def ack(count: int) -> bytes:
    return b"\0" + count.to_bytes(8)


def connected(*bodies: bytes) -> LinkEnd:
    """An end that has a connection, and has sent so much."""
    end = LinkEnd()
    end.resume(0, 0.0)
    for body in bodies:
        end.send(STREAM, body)
        end.take_messages(0.0)
    return end


def test_a_parcel_is_its_kind_and_its_body() -> None:
    end = connected()
    end.send(STREAM, b"{}\n")
    end.send(END, b"")
    messages = end.take_messages(0.0)
    assert messages == [b"\x01{}\n", b"\x04"]
    peer = connected()
    assert [peer.receive(message) for message in messages] == [
        Parcel(STREAM, b"{}\n"),
        Parcel(END, b""),
    ]
    assert end.take_messages(0.0) == []


def test_what_is_too_long_for_one_parcel_is_several() -> None:
    end = connected()
    body = bytes(range(256)) * (MOST_IN_PARCEL // 100)
    end.send(STDERR, body)
    messages = end.take_messages(0.0)
    assert {message[:1] for message in messages} == {b"\x02"}
    assert max(map(len, messages)) == MOST_IN_PARCEL + 1
    assert b"".join(message[1:] for message in messages) == body


def test_what_waits_of_the_stream_is_sent_in_full_parcels() -> None:
    end = connected()
    for _ in range(MOST_IN_PARCEL // 8):
        end.send(STREAM, b"x" * 10)
    end.send(STDERR, b"y")
    end.send(STREAM, b"z")
    messages = end.take_messages(0.0)
    assert [len(message) for message in messages] == [
        MOST_IN_PARCEL + 1,
        MOST_IN_PARCEL // 8 * 10 - MOST_IN_PARCEL + 1,
        2,
        2,
    ]
    assert end.unacknowledged == sum(map(len, messages))
    end.send(STREAM, b"later")
    assert end.take_messages(0.0) == [b"\x01later"]


def test_what_is_not_acknowledged_counts_until_it_is() -> None:
    end = connected(b"abc", b"de")
    assert end.unacknowledged == 7
    end.receive(ack(1))
    assert end.unacknowledged == 3
    end.receive(ack(1))
    end.receive(ack(2))
    assert end.unacknowledged == 0


def test_an_end_is_full_once_a_window_is_out() -> None:
    end = connected(b"x" * (WINDOW - 40))
    fullness = [end.is_full]
    end.send(STREAM, b"x" * 40)
    fullness.append(end.is_full)
    end.take_messages(0.0)
    end.receive(ack(1))
    fullness.append(end.is_full)
    assert fullness == [False, True, False]


def test_a_few_parcels_are_acknowledged_together_after_a_moment() -> None:
    end = connected()
    for _ in range(3):
        end.receive(b"\x01x")
        end.take_all(1.0)
    assert end.take_messages(1.0 + ACK_DELAY_S / 2) == []
    assert end.wake_at == 1.0 + ACK_DELAY_S
    assert end.take_messages(1.0 + ACK_DELAY_S) == [ack(3)]
    assert end.wake_at is None


@pytest.mark.parametrize(("size", "count"), [(1, 64), (MOST_IN_PARCEL, 4)])
def test_many_parcels_and_many_bytes_are_acknowledged_at_once(size: int, count: int) -> None:
    end = connected()
    for _ in range(count):
        assert end.take_messages(0.0) == []
        end.receive(b"\x01" + b"x" * size)
        end.take_all(0.0)
    assert end.take_messages(0.0) == [ack(count)]


def test_what_is_received_and_not_taken_is_not_acknowledged() -> None:
    end = connected()
    end.receive(b"\x01x")
    end.take_all(0.0)
    end.receive(b"\x01yz")
    assert (end.received, end.untaken) == (2, 3)
    assert end.take_messages(10.0) == [ack(1)]
    end.take_all(10.0)
    assert end.untaken == 0
    assert end.take_messages(20.0) == [ack(2)]


def test_dealing_with_nothing_is_not_acknowledged() -> None:
    end = connected()
    end.take_all(0.0)
    assert end.wake_at is None


def test_a_connection_that_follows_begins_with_what_the_other_end_has_not_received() -> None:
    end = connected(b"a", b"b", b"c")
    end.resume(1, 0.0)
    assert end.take_messages(0.0) == [b"\x01b", b"\x01c"]


def test_a_connection_that_follows_repeats_the_acknowledgement() -> None:
    end = connected()
    end.receive(b"\x01x")
    end.take_all(0.0)
    assert end.take_messages(1.0) == [ack(1)]
    end.resume(0, 2.0)
    assert end.take_messages(2.0) == [ack(1)]


@pytest.mark.requirement("joining.impossible-counts-are-refused")
@pytest.mark.parametrize("claim", [0, 3, 2**60])
def test_what_cannot_have_been_received_is_refused(claim: int) -> None:
    end = connected(b"a", b"b")
    end.receive(ack(1))
    end.send(STREAM, b"never transmitted")
    with pytest.raises(RemoteProtocolError, match="cannot have come"):
        end.resume(claim, 0.0)
    with pytest.raises(RemoteProtocolError, match="cannot have come"):
        end.receive(ack(claim))


def test_what_was_not_sent_over_this_connection_cannot_be_acknowledged_over_it() -> None:
    end = connected(b"a", b"b")
    end.resume(0, 0.0)
    with pytest.raises(RemoteProtocolError):
        end.receive(ack(1))


@pytest.mark.requirement("joining.rubbish-is-refused")
@pytest.mark.parametrize("message", [b"", b"\x07x", b"{}", b"\xff", b"\0", b"\0" * 8, b"\0" * 10])
def test_rubbish_is_refused(message: bytes) -> None:
    end = connected(b"a")
    with pytest.raises(RemoteProtocolError, match="cannot go on with the link"):
        end.receive(message)


class Cable:
    """Two ends, and the connection between them, which is cut with all that is on its way."""

    def __init__(self) -> None:
        self.ends = (LinkEnd(), LinkEnd())
        self.sent: tuple[list[bytes], list[bytes]] = ([], [])
        self.got: tuple[list[bytes], list[bytes]] = ([], [])
        self._ways: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self._connected = False
        self.now = 0.0

    def send(self, side: int, size: int) -> None:
        body = b"%d:" % len(self.sent[side]) + b"x" * size
        self.sent[side].append(body)
        self.ends[side].send(STREAM, body)

    def streams(self, side: int) -> tuple[bytes, bytes]:
        """What one side got, and what the other one has sent."""
        return b"".join(self.got[side]), b"".join(self.sent[1 - side])

    def transmit(self, side: int) -> None:
        if self._connected:
            self._ways[side].extend(self.ends[side].take_messages(self.now))

    def deliver(self, side: int, count: int) -> None:
        """Lets some of what a side has transmitted arrive."""
        way, end = self._ways[side], self.ends[1 - side]
        for _ in range(min(count, len(way))):
            parcel = end.receive(way.popleft())
            if parcel is not None:
                self.got[1 - side].append(parcel.body)

    def cut(self) -> None:
        self._connected = False
        for way in self._ways:
            way.clear()

    def connect(self) -> None:
        self.cut()
        self._connected = True
        first, second = self.ends
        counts = first.received, second.received
        first.resume(counts[1], self.now)
        second.resume(counts[0], self.now)

    def settle(self) -> None:
        self.connect()
        for _ in range(3):
            self.now += 1.0
            for side in (0, 1):
                self.transmit(side)
                self.deliver(side, 1_000_000)
                self.ends[1 - side].take_all(self.now)


side = st.integers(0, 1)
actions = st.one_of(
    st.tuples(st.just("send"), side, st.sampled_from([0, 1, 300, 60_000])),
    st.tuples(st.just("transmit"), side),
    st.tuples(st.just("deliver"), side, st.integers(1, 20)),
    st.tuples(st.just("take"), side),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.1])),
    st.tuples(st.just("cut")),
    st.tuples(st.just("connect")),
)


@pytest.mark.requirement("joining.links-resume-exactly")
@given(st.lists(actions, max_size=120))
def test_wherever_a_link_is_cut_each_end_gets_what_the_other_sent_once_and_in_order(
    steps: list[tuple[object, ...]],
) -> None:
    cable = Cable()
    for name, *arguments in steps:
        if name == "take":
            cable.ends[int(str(arguments[0]))].take_all(cable.now)
        elif name == "wait":
            cable.now += float(str(arguments[0]))
        else:
            getattr(cable, str(name))(*arguments)
        for one in (0, 1):
            got, sent = cable.streams(one)
            assert sent.startswith(got)
    cable.settle()
    for one in (0, 1):
        got, sent = cable.streams(one)
        assert got == sent
    assert [end.unacknowledged for end in cable.ends] == [0, 0]
