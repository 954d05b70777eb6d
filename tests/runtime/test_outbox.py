"""What is written to one client, in which order, and when not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.access import LOCAL
from acprelay.routing.attachment import Attachment
from acprelay.routing.log_memory import MemoryLog
from acprelay.runtime.measurements import Measures, Traffic
from acprelay.runtime.outbox import Outbox
from acprelay.testing.outlet import MemoryOutlet
from acprelay.wire import text_frame

QUANTUM = 64 * 1024
PATIENCE_S = 30.0

MEASURES = Measures(traffic=Traffic(), delivered=lambda _lag_s: None)


class Session:
    """A session whose log and lane a test fills."""

    def __init__(self, name: str) -> None:
        self.log = MemoryLog(generation=name, history_bytes=1 << 40)
        self.attachment = Attachment(
            id=name,
            secret="",
            session_id=name,
            log=self.log,
            cursor=0,
            principal=LOCAL.id,
            grants=LOCAL.grants,
        )
        self.attachment.lead(b'"%s opened"' % name.encode())

    def publish(self, *payloads: bytes) -> None:
        self.log.append(b"".join(map(text_frame, payloads)), len(payloads))


class StrictOutlet(MemoryOutlet):
    """An outlet that takes no more than the rest of one turn while it is paused."""

    def __init__(self, *, high_water: int | None = None) -> None:
        super().__init__(high_water=high_water)
        self._excess = 0

    def write(self, data: bytes) -> None:
        self._excess = self._excess + len(data) if self.writing_paused else 0
        assert self._excess - len(data) < QUANTUM
        super().write(data)


@pytest.fixture
async def outlet() -> MemoryOutlet:
    return MemoryOutlet()


@pytest.fixture
async def outbox(outlet: MemoryOutlet) -> Outbox:
    return Outbox(outlet=outlet, measures=MEASURES)


async def test_what_belongs_to_no_session_goes_first(outlet: MemoryOutlet, outbox: Outbox) -> None:
    session = Session("a")
    session.publish(b'"update"')
    outlet.pause()
    outbox.add(session.attachment)
    outbox.say(b'"first"')
    outbox.say(b'"second"')
    assert outlet.payloads == []
    outlet.resume()
    outbox.flush()
    assert outlet.payloads == [b'"first"', b'"second"', b'"a opened"', b'"update"']


async def test_what_waits_for_no_session_is_counted_in_bytes(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    outlet.pause()
    outbox.say(b"x" * 200)
    assert outbox.lane_bytes == len(text_frame(b"x" * 200))
    outlet.resume()
    outbox.flush()
    assert outbox.lane_bytes == 0


async def test_nothing_is_taken_from_anywhere_while_the_transport_is_full(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    session = Session("a")
    outlet.pause()
    outbox.add(session.attachment)
    outbox.flush()
    assert session.attachment.has_pending
    assert outlet.payloads == []


async def test_it_goes_on_when_the_transport_has_room_again(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    writer = asyncio.get_running_loop().create_task(outbox.run())
    outlet.pause()
    outbox.say(b'"late"')
    for _ in range(5):
        await asyncio.sleep(0)
    assert outlet.payloads == []
    outlet.resume()
    async with asyncio.timeout(PATIENCE_S):
        await outlet.wait_for(lambda message: message is not None)
    assert outlet.payloads == [b'"late"']
    writer.cancel()
    await asyncio.wait({writer})


async def test_the_writer_ends_when_the_connection_is_lost(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    writer = asyncio.get_running_loop().create_task(outbox.run())
    outlet.pause()
    outbox.say(b'"never"')
    outlet.lose()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ConnectionError):
            await writer
    assert outlet.payloads == []


async def test_sessions_take_turns_by_bytes(outlet: MemoryOutlet) -> None:
    outlet = MemoryOutlet(high_water=16 * QUANTUM)
    outbox = Outbox(outlet=outlet, measures=MEASURES)
    sizes = {"a": 100, "b": 1_000, "c": 20_000}
    for name, size in sizes.items():
        session = Session(name)
        for _ in range(4 * 16 * QUANTUM // size):
            session.publish(name.encode() * size)
        outbox.add(session.attachment)
    outbox.flush()
    assert outlet.writing_paused
    written: Counter[int] = Counter()
    for payload in outlet.payloads:
        written[payload[0]] += len(payload)
    shares = [written[ord(name)] for name in sizes]
    assert max(shares) - min(shares) <= QUANTUM + max(sizes.values())


async def test_a_session_that_joins_late_gets_its_turn_next_but_those_before_it(
    outlet: MemoryOutlet,
) -> None:
    outlet = MemoryOutlet(high_water=0)
    outbox = Outbox(outlet=outlet, measures=MEASURES)
    sessions = [Session(name) for name in "abc"]
    for session in sessions:
        for _ in range(3):
            session.publish(session.attachment.id.encode() * QUANTUM)
        outbox.add(session.attachment)
    order = ""
    for _ in range(9):
        outbox.flush()
        order += chr(outlet.payloads[-1][0])
        outlet.read()
    assert order == "abcabcabc"


async def test_a_session_that_is_retired_is_written_until_its_lane_is_empty_and_forgotten(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    session, other = Session("a"), Session("b")
    told: list[str] = []
    outlet.pause()
    outbox.add(session.attachment)
    outbox.add(other.attachment)
    session.publish(b'"before"')
    session.attachment.push(b'"last"')
    outbox.retire(session.attachment, then=lambda: told.append("a"))
    assert told == []
    outlet.resume()
    outbox.flush()
    assert [each for each in outlet.payloads if each != b'"b opened"'] == [
        b'"a opened"',
        b'"before"',
        b'"last"',
    ]
    assert told == ["a"]
    session.attachment.push(b'"too late"')
    other.publish(b'"in time"')
    outbox.flush()
    assert outlet.payloads[-1] == b'"in time"'
    assert b'"too late"' not in outlet.payloads


async def test_what_is_not_written_here_can_be_retired_at_once(outbox: Outbox) -> None:
    told: list[str] = []
    outbox.retire(Session("a").attachment, then=lambda: told.append("a"))
    outbox.retire(Session("b").attachment)
    assert told == ["a"]


async def test_a_session_that_is_removed_is_not_written_any_more(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    session = Session("a")
    told: list[str] = []
    outlet.pause()
    outbox.add(session.attachment)
    outbox.retire(session.attachment, then=lambda: told.append("a"))
    outbox.remove(session.attachment)
    outbox.remove(session.attachment)
    outlet.resume()
    outbox.flush()
    assert (outlet.payloads, told) == ([], [])
    assert session.attachment.has_pending


async def test_whoever_waits_for_the_last_word_is_told_when_the_outbox_is_closed_before(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    sessions = [Session(name) for name in "ab"]
    told: list[str] = []
    outlet.pause()
    for session in sessions:
        outbox.add(session.attachment)
    outbox.retire(sessions[0].attachment, then=lambda: told.append("a"))
    outbox.retire(sessions[1].attachment)
    outbox.close()
    outbox.close()
    assert told == ["a"]


async def test_what_follows_from_a_last_word_may_take_other_sessions_away(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    first, removed, retired = Session("a"), Session("b"), Session("c")
    told: list[str] = []

    def take_away() -> None:
        outbox.remove(removed.attachment)
        outbox.flush()

    outlet.pause()
    for session in (first, removed, retired):
        outbox.add(session.attachment)
    first.attachment.take(QUANTUM)  # its lane is empty: it is over before a byte is written
    outbox.retire(first.attachment, then=take_away)
    outbox.retire(retired.attachment, then=lambda: told.append("c"))
    outlet.resume()
    outbox.flush()
    assert outlet.payloads == [b'"c opened"']
    assert told == ["c"]


async def test_all_that_are_retired_at_once_are_forgotten(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    sessions = [Session(name) for name in "abcd"]
    outlet.pause()
    for session in sessions:
        outbox.add(session.attachment)
        outbox.retire(session.attachment)
    outlet.resume()
    outbox.flush()
    assert len(outlet.payloads) == 4
    for session in sessions:
        session.publish(b'"too late"')
    outbox.flush()
    assert len(outlet.payloads) == 4


async def test_a_closed_outbox_writes_nothing_and_keeps_nothing(
    outlet: MemoryOutlet, outbox: Outbox
) -> None:
    session = Session("a")
    outlet.pause()
    outbox.add(session.attachment)
    outbox.say(b'"waits"')
    outbox.close()
    assert outbox.lane_bytes == 0
    outlet.resume()
    outbox.say(b'"too late"')
    outbox.add(session.attachment)
    outbox.retire(session.attachment)
    outbox.flush()
    assert outlet.payloads == []
    assert session.attachment.has_pending


Step = Callable[["Play"], None]


class Play:
    """An outbox, some sessions, and what must come out of it."""

    def __init__(self, high_water: int | None) -> None:
        self.outlet = StrictOutlet(high_water=high_water)
        self.outbox = Outbox(outlet=self.outlet, measures=MEASURES)
        self.sessions = [Session(name) for name in "abc"]
        self.expected: dict[str, list[bytes]] = {"lane": []}
        self._count = 0
        for session in self.sessions:
            self.outbox.add(session.attachment)
            name = session.attachment.id
            self.expected[name] = [b'"%b opened"' % name.encode()]
        self.outbox.flush()

    @property
    def is_over(self) -> bool:
        return len(self.outlet.payloads) == sum(map(len, self.expected.values()))

    def payload(self, owner: str, size: int) -> bytes:
        self._count += 1
        payload = b'"%b %d %b"' % (owner.encode(), self._count, b"x" * size)
        self.expected[owner].append(payload)
        return payload


def say(play: Play, _session: Session, size: int) -> None:
    play.outbox.say(play.payload("lane", size))


def publish(play: Play, session: Session, size: int) -> None:
    session.publish(play.payload(session.attachment.id, size))
    play.outbox.flush()


def push(play: Play, session: Session, size: int) -> None:
    session.attachment.push(play.payload(session.attachment.id, size))
    play.outbox.flush()


def pause(play: Play, _session: Session, _size: int) -> None:
    play.outlet.pause()


def resume(play: Play, _session: Session, _size: int) -> None:
    play.outlet.read()


ACTIONS = st.tuples(
    st.sampled_from([say, publish, push, pause, resume]),
    st.integers(0, 2),
    st.sampled_from([0, 10, 1_000, 70_000]),
    st.integers(0, 2),
)


@given(actions=st.lists(ACTIONS, max_size=40), high_water=st.sampled_from([None, 0, 1_000]))
def test_nothing_is_lost_repeated_or_reordered_however_the_transport_pauses(
    actions: list[tuple[Callable[[Play, Session, int], None], int, int, int]],
    high_water: int | None,
) -> None:
    async def perform() -> Play:
        play = Play(high_water)
        writer = asyncio.get_running_loop().create_task(play.outbox.run())
        for act, which, size, rounds in actions:
            act(play, play.sessions[which], size)
            for _ in range(rounds):
                await asyncio.sleep(0)
        for _ in range(1_000):
            play.outlet.read()
            if play.is_over:
                break
            await asyncio.sleep(0)
        assert not writer.done()
        writer.cancel()
        await asyncio.wait({writer})
        return play

    play = asyncio.run(perform())
    owners = {b"a": "a", b"b": "b", b"c": "c", b"l": "lane"}
    written: dict[str, list[bytes]] = {owner: [] for owner in play.expected}
    for payload in play.outlet.payloads:
        written[owners[payload[1:2]]].append(payload)
    assert written == play.expected


async def test_what_is_due_to_an_attachment_is_written_at_once_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outlet = MemoryOutlet()
    written: list[bytes] = []
    monkeypatch.setattr(outlet, "write", written.append)
    outbox = Outbox(outlet=outlet, measures=MEASURES)
    session = Session("a")
    outbox.add(session.attachment)
    session.publish(b'"one"', b'"two"')
    session.attachment.push(b'"reply"')
    session.publish(b'"three"')
    outbox.flush()
    payloads = (b'"a opened"', b'"one"', b'"two"', b'"reply"', b'"three"')
    assert written == [b"".join(map(text_frame, payloads))]
