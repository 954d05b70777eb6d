"""The soak: its judges catch what goes wrong, and a short one of the real relay finds nothing."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace

import psutil
import pytest
from tests.server.peers import PATIENCE_S

from acprelay.testing.soak.ear import Ear
from acprelay.testing.soak.history import History
from acprelay.testing.soak.lane import Lane
from acprelay.testing.soak.ledger import Fate, Ledger, Prompts
from acprelay.testing.soak.messages import (
    Ask,
    Content,
    Entry,
    Notice,
    Other,
    Position,
    Prompted,
    Reply,
    Said,
    Settled,
    TurnEnded,
    TurnStarted,
    Withdrawn,
    hear,
)
from acprelay.testing.soak.moves import Kind, Moves, Way
from acprelay.testing.soak.payload import LARGE_EVERY, Numbered, Order, build, numbered, read
from acprelay.testing.soak.program import build_parser, plan_of
from acprelay.testing.soak.report import Report
from acprelay.testing.soak.run import Plan, Soak
from acprelay.testing.soak.stream import Counts, Stream

UPDATES = 20
TURNS = ("one", "two")


def entry(seq: int, content: Content, generation: str = "g") -> Entry:
    return Entry(Position(generation, seq), hash(content) & 0xFFFFFFFF, content)


def turn(label: str, count: int = UPDATES, *, stop: str = "end_turn") -> list[Content]:
    """What the log has of one turn."""
    return [
        TurnStarted(f"relay-{label}"),
        Prompted(label, f"relay-{label}"),
        *(Said(Numbered(label, number, UPDATES, 10), True) for number in range(1, count + 1)),
        TurnEnded(f"relay-{label}", "ended", stop),
    ]


def log(*labels: str) -> list[Entry]:
    """A log as it should be."""
    contents = [content for label in labels or TURNS for content in turn(label)]
    return [entry(seq, content) for seq, content in enumerate(contents, start=1)]


def judge(entries: Iterable[Entry], *, after: int | None = 0, own: Iterable[str] = ()) -> Counts:
    """The counts of a client that got these entries, where another one got the whole log."""
    history = History()
    for each in log():
        history.note(each)
        history.line_up(each.at)
    for label in TURNS:
        history.wrote(label, UPDATES)
    stream = Stream(after=after)
    for each in entries:
        history.note(each)
        stream.take(each)
    return history.settle(stream, own=set(own))


def fates(counts: Counts) -> tuple[int, int, int, int]:
    return counts.lost, counts.repeated, counts.out_of_order, counts.damaged


def without(entries: list[Entry], *indexes: int) -> list[Entry]:
    return [each for index, each in enumerate(entries) if index not in indexes]


def renumbered(entries: Iterable[Entry]) -> list[Entry]:
    """Hides what was done to the entries from everybody who looks at places alone."""
    return [entry(seq, each.content) for seq, each in enumerate(entries, start=1)]


# -- the stream


def test_a_whole_log_is_delivered_whole() -> None:
    counts = judge(log())
    assert fates(counts) == (0, 0, 0, 0)
    assert counts.delivered == counts.due == len(log())


@pytest.mark.parametrize("begin", range(0, 2 * UPDATES, 7))
def test_a_stream_may_begin_and_end_anywhere(begin: int) -> None:
    for end in range(begin, len(log()), 5):
        counts = judge(log()[begin:end], after=begin)
        assert fates(counts) == (0, 0, 0, 0)
        assert counts.due == end - begin


@pytest.mark.parametrize("index", range(1, len(log()) - 1))
def test_a_lost_entry_is_counted_wherever_it_was(index: int) -> None:
    assert fates(judge(without(log(), index))) == (1, 0, 0, 0)


@pytest.mark.parametrize("index", [3, 7, UPDATES + 1])
def test_an_update_that_was_lost_before_it_had_a_place_is_counted(index: int) -> None:
    assert judge(renumbered(without(log(), index))).lost == 1


def test_a_first_entry_that_does_not_come_is_lost() -> None:
    assert judge(log()[1:], after=0).lost == 1


@pytest.mark.parametrize("index", range(len(log())))
def test_a_repeated_entry_is_counted_wherever_it_was(index: int) -> None:
    doctored = log()
    doctored.insert(index + 1, doctored[index])
    assert fates(judge(doctored)) == (0, 1, 0, 0)


def test_an_entry_that_is_repeated_much_later_is_counted() -> None:
    assert fates(judge([*log(), log()[4]])) == (0, 1, 0, 0)


@pytest.mark.parametrize("index", [3, 9, 30])
def test_an_update_that_is_repeated_at_a_place_of_its_own_is_counted(index: int) -> None:
    doctored = log()
    doctored.insert(index + 1, doctored[index])
    assert judge(renumbered(doctored)).repeated == 1


@pytest.mark.parametrize("index", range(len(log()) - 1))
def test_two_entries_that_changed_places_are_one_out_of_order(index: int) -> None:
    doctored = log()
    doctored[index], doctored[index + 1] = doctored[index + 1], doctored[index]
    counts = judge(doctored)
    assert fates(counts) == (0, 0, 1, 0)
    assert counts.delivered == len(log())


@pytest.mark.parametrize("index", [4, 10])
def test_updates_that_changed_places_before_they_had_one_are_out_of_order(index: int) -> None:
    doctored = log()
    doctored[index], doctored[index + 1] = doctored[index + 1], doctored[index]
    counts = judge(renumbered(doctored))
    assert (counts.lost, counts.repeated, counts.out_of_order) == (0, 0, 1)


def test_any_doctored_stream_is_found_out() -> None:
    chance = random.Random(1)
    for _ in range(300):
        doctored = log()
        for _ in range(chance.randint(1, 3)):
            index = chance.randrange(1, len(doctored) - 1)
            match chance.choice(("lose", "repeat", "move")):
                case "lose":
                    del doctored[index]
                case "repeat":
                    doctored.insert(index, doctored[index])
                case _:
                    moved = doctored.pop(index)
                    doctored.insert(index - 1, moved)
        is_as_it_was = doctored == log()
        assert (sum(fates(judge(doctored))) == 0) is is_as_it_was


def test_an_update_whose_bytes_changed_is_damaged() -> None:
    doctored = log()
    said = doctored[5].content
    assert isinstance(said, Said)
    doctored[5] = entry(6, said._replace(is_intact=False))
    assert judge(doctored).damaged == 1


def test_the_end_of_a_turn_that_does_not_come_is_lost_even_if_its_places_do() -> None:
    short = [*turn("one", UPDATES - 3), *turn("two")]
    assert judge(entry(seq, content) for seq, content in enumerate(short, start=1)).lost == 3


def test_a_turn_that_is_cancelled_ends_where_the_agent_says() -> None:
    history, stream = History(), Stream(after=0)
    contents = [*turn("one", 7, stop="cancelled"), *turn("two")]
    for seq, content in enumerate(contents, start=1):
        stream.take(entry(seq, content))
    assert history.settle(stream, own=()).lost == 0
    history.wrote("one", 9)
    assert history.settle(stream, own=()).lost == 2


def test_a_stream_that_ends_too_early_has_lost_the_rest() -> None:
    history, stream = History(), Stream(after=0)
    for each in log()[:10]:
        stream.take(each)
    stream.fall_short(log()[-1].at)
    assert history.settle(stream, own=()).lost == len(log()) - 10


# -- what one client cannot know alone


def test_a_client_is_spared_its_own_prompt_and_nobody_elses() -> None:
    assert judge(without(log(), 1), own=["one"]).lost == 0
    assert judge(without(log(), 1), own=["two"]).lost == 1
    assert judge(without(log(), 2), own=["one"]).lost == 1
    assert judge(without(log(), 1)).due == len(log())
    assert judge(without(log(), 1), own=["one"]).due == len(log()) - 1


def test_an_entry_that_nobody_has_seen_is_lost_whoever_prompted() -> None:
    history, stream = History(), Stream(after=0)
    for each in without(log(), 1):
        stream.take(each)
    assert history.settle(stream, own={"one", "two"}).lost == 1


def test_an_entry_has_the_same_bytes_for_everybody() -> None:
    history = History()
    assert history.note(log()[5])
    assert history.note(log()[5])
    assert not history.note(log()[5]._replace(digest=1))
    assert history.note(log()[2])  # before all that was noted so far
    assert history.note(log()[2])


def restarted() -> list[Entry]:
    """A log that a second relay goes on with; the first one was killed in the turn."""
    before = [entry(seq, content) for seq, content in enumerate(turn("one")[:9], start=1)]
    interrupted = TurnEnded("relay-one", "interrupted")
    after = enumerate([interrupted, *turn("two")], start=10)
    return [*before, *(entry(seq, content, "h") for seq, content in after)]


def judge_restarted(entries: Iterable[Entry]) -> Counts:
    history, stream = History(), Stream(after=0)
    for each in restarted():
        history.line_up(each.at)
    for each in entries:
        stream.take(each)
    return history.settle(stream, own=())


def test_a_stream_goes_on_in_the_next_generation() -> None:
    assert fates(judge_restarted(restarted())) == (0, 0, 0, 0)


def test_what_is_lost_where_two_generations_meet_is_counted() -> None:
    assert judge_restarted(without(restarted(), 8)).lost == 1
    assert judge_restarted(without(restarted(), 9)).lost == 1
    assert judge_restarted(without(restarted(), 7, 8, 9)).lost == 3


def test_a_crash_may_cost_the_end_of_a_turn_that_was_answered_before_it() -> None:
    history, stream = History(), Stream(after=0)
    history.wrote("one", UPDATES)
    for each in restarted():
        history.line_up(each.at)
        stream.take(each)
    assert history.settle(stream, own=()).lost == 0


def test_a_crash_may_cost_a_whole_generation_that_a_client_has_seen_the_beginning_of() -> None:
    begun = entry(10, TurnEnded("relay-one", "interrupted"), "lost")
    assert judge_restarted([*restarted()[:9], begun]).lost == 0
    assert judge_restarted([*restarted()[:8], begun]).lost == 1


def test_a_crash_may_cost_a_prompt_that_nobody_but_its_author_knows() -> None:
    def lost(own: set[str]) -> int:
        history, stream = History(), Stream(after=0)
        for each in restarted():
            history.note(each)
            history.line_up(each.at)
            if each.at.generation == "g":
                stream.take(each)
        unknown = [entry(10, TurnStarted("relay-lost")), entry(12, Other("plan"))]
        for each in unknown:
            stream.take(each)
        return history.settle(stream, own=own).lost

    assert lost({"one", "of which nobody knows"}) == 0
    assert lost({"one"}) == 1


def test_to_go_on_from_a_place_that_the_log_has_not_kept_is_a_loss() -> None:
    lost_tail = entry(10, turn("one")[9])
    assert judge_restarted([*restarted()[:9], lost_tail, *restarted()[10:]]).lost == 1


# -- what comes for one client alone


def test_a_reply_comes_once_and_only_where_one_is_waited_for() -> None:
    lane = Lane()
    lane.requested(b"1", "session/prompt")
    assert not lane.replied(b"2")
    assert lane.waiting == (b"1",)
    assert lane.replied(b"1")
    assert not lane.replied(b"1")


def test_an_ask_comes_once_to_an_attachment() -> None:
    lane = Lane()
    assert lane.asked(b'"a"', at=5)
    assert not lane.asked(b'"a"', at=6)
    lane.attached()
    assert lane.asked(b'"a"', at=7)


def test_an_adoption_may_bring_an_ask_again_that_came_at_its_very_place() -> None:
    lane = Lane()
    lane.asked(b'"a"', at=5)
    lane.asked(b'"b"', at=6)
    lane.adopted(at=6)
    assert lane.asked(b'"b"', at=6)
    assert not lane.asked(b'"a"', at=6)


def test_an_ask_does_not_come_once_it_is_settled() -> None:
    lane = Lane()
    lane.settled(b'"a"')
    assert not lane.asked(b'"a"', at=5)


def test_a_prompt_whose_turn_has_ended_waits_for_its_reply_while_that_can_come() -> None:
    prompts = Prompts()
    prompts.sent("one")
    prompts.ended("one", interrupted=False)
    assert list(prompts.open) == ["one"]
    prompts.abandoned()
    assert prompts.fate("one") is Fate.ENDED


def test_what_comes_of_a_prompt_is_told_once() -> None:
    prompts = Prompts()
    for label in ("answered", "ended", "interrupted", "lost"):
        prompts.sent(label)
    prompts.answered("answered")
    prompts.abandoned()
    assert list(prompts.open) == ["ended", "interrupted", "lost"]
    prompts.ended("ended", interrupted=False)
    prompts.ended(None, interrupted=True)  # whose it is can only be the oldest one
    assert list(prompts.open) == ["lost"]
    prompts.lost()
    assert not prompts.open
    assert prompts.count(Fate.ANSWERED, Fate.ENDED) == prompts.count(Fate.INTERRUPTED) == 2


# -- messages


def stamped(method: str, seq: int = 7, **params: object) -> bytes:
    meta = {"acprelay": {"generation": "g", "seq": seq}}
    message = {"method": method, "params": {"sessionId": "s:main", **params, "_meta": meta}}
    return json.dumps({"jsonrpc": "2.0", **message}).encode()


@pytest.mark.parametrize(
    ("frame", "content"),
    [
        (stamped("_acprelay/turn_started", turn="t"), TurnStarted("t")),
        (
            stamped("_acprelay/turn_ended", turn="t", outcome="ended", stopReason="end_turn"),
            TurnEnded("t", "ended", "end_turn"),
        ),
        (stamped("_acprelay/permission_settled", ask="a", by="client"), Settled('"a"')),
        (stamped("_acprelay/notice", code="agent_exited"), Other("_acprelay/notice agent_exited")),
        (
            stamped(
                "session/update",
                update={
                    "sessionUpdate": "user_message_chunk",
                    "content": {"type": "text", "text": Order("one", 5).text},
                    "messageId": "t",
                },
            ),
            Prompted("one", "t"),
        ),
        (stamped("session/update", update={"sessionUpdate": "plan", "entries": []}), Other("plan")),
    ],
)
def test_entries_are_told_apart(frame: bytes, content: Content) -> None:
    heard = hear(frame)
    assert isinstance(heard, Entry)
    assert (heard.at, heard.content) == (Position("g", 7), content)


def test_what_is_no_entry_is_told_apart_too() -> None:
    params = b'{"sessionId":"s:main","toolCall":{},"options":[{"optionId":"go","name":"Go"}]}'
    ask = b'{"id":"a-1","method":"session/request_permission","params":' + params + b"}"
    assert hear(ask) == Ask(b'"a-1"', ("go",))
    assert hear(b'{"id":1.0,"result":{"a":1}}') == Reply(b"1.0", b'{"a":1}', b"")
    assert hear(b'{"id":"1","error":{}}') == Reply(b'"1"', b"", b"{}")
    withdrawn = b'{"method":"$/cancel_request","params":{"requestId":"a-1"}}'
    assert hear(withdrawn) == Withdrawn(b'"a-1"')
    params = b'{"code":"cursor_expired","_meta":{"acprelay":{"generation":"g"}}}'
    notice = b'{"method":"_acprelay/notice","params":' + params + b"}"
    assert hear(notice) == Notice("_acprelay/notice", "cursor_expired")


# -- what the agent says


def test_every_update_is_json_and_can_be_told_from_any_other_bytes() -> None:
    order = Order("one", LARGE_EVERY, size=30)
    for number in range(1, LARGE_EVERY + 1):
        update = build(numbered(order, number))
        json.loads(update)
        assert read(update) == (numbered(order, number), True)
        for altered in (update.replace(b"|", b"|x", 1), update[:-1] + b" }", b" " + update):
            found = read(altered)
            assert found is None or not found[1]


def test_an_order_is_read_as_it_is_written() -> None:
    order = Order("one", updates=5, rate=6, size=7, asks=8)
    assert Order.parse(order.text) == order
    assert Order.parse("hello") is None


# -- choices and findings


def test_choices_depend_on_the_seed_alone() -> None:
    def choices(seed: int) -> list[object]:
        moves = Moves(random=random.Random(seed), every=10, longest_s=1.0)
        return [(moves.move(), moves.answer()) for _ in range(50)]

    assert choices(1) == choices(1) != choices(2)


def test_every_move_and_every_way_is_made() -> None:
    def made(*, drives: bool) -> tuple[set[Kind], set[Way]]:
        moves = Moves(random=random.Random(1), every=10, longest_s=1.0, drives=drives, kills=drives)
        made = [moves.move() for _ in range(500)]
        return {move.kind for move in made}, {move.way for move in made}

    kinds, ways = made(drives=False)
    more_kinds, more_ways = made(drives=True)
    assert kinds | more_kinds == set(Kind)
    assert ways == set(Way)
    assert more_ways == {Way.ADOPT, Way.ATTACH, Way.LOAD}


def report(**changes: object) -> Report:
    fine: dict[str, object] = {
        **dict.fromkeys(("seed", "clients", "sent", "asks_delivered", "relay_kills"), 1),
        **dict.fromkeys(("replies_repeated", "asks_repeated"), 0),
        "permissions": {},
        "moves": {},
        "prompts_sent": 3,
        "prompts_answered": 2,
        "prompts_interrupted": 1,
        "counts": Counts(due=10),
        "seconds": 1.0,
    }
    return Report(**{**fine, **changes})  # type: ignore[arg-type] # the cases name its fields


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"counts": Counts(lost=2)}, "2 messages lost"),
        ({"counts": Counts(repeated=1)}, "1 messages repeated"),
        ({"counts": Counts(out_of_order=3)}, "3 messages out of order"),
        ({"counts": Counts(damaged=1)}, "1 messages damaged"),
        ({"replies_repeated": 1}, "1 replies that nobody waited for"),
        ({"asks_repeated": 1}, "1 asks repeated"),
        ({"permissions": {"wrong": 1}}, "1 permissions decided by what was not offered"),
        ({"prompts_answered": 1}, "1 prompts unanswered"),
        ({"complaints": ["odd"]}, "odd"),
    ],
)
def test_what_must_not_be_fails_the_soak(changes: dict[str, object], failure: str) -> None:
    assert report().failures == []
    assert "all is well" in report().as_text()
    assert report(**changes).failures == [failure]
    assert f"FAILED: {failure}" in report(**changes).as_text()
    assert json.loads(json.dumps(report(**changes).as_json()))["failures"] == [failure]


@pytest.mark.parametrize("kills", [0, 3])
def test_a_soak_tells_how_often_it_has_killed_the_relay_also_if_it_never_did(kills: int) -> None:
    moves = {"nap": 2, "kill relay": kills} if kills else {"nap": 2}
    text = report(relay_kills=kills, moves=moves).as_text()
    assert re.findall(r"kill relay +([0-9]+)\n", text) == [str(kills)]


def test_steps_bound_a_soak_in_place_of_time() -> None:
    def bounds(*argv: str) -> tuple[float | None, int | None]:
        plan = plan_of(build_parser().parse_args(argv))
        return plan.seconds, plan.steps

    assert bounds() == (30.0, None)
    assert bounds("--steps", "5") == (None, 5)
    assert bounds("--steps", "5", "--seconds", "2") == (2.0, 5)


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
def test_a_soak_that_would_do_nothing_is_refused(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["--seconds", seconds])
    assert ended.value.code == 2
    assert f"{seconds!r} is no positive number" in capsys.readouterr().err


def test_to_be_shown_ones_own_prompt_is_complained_of_until_one_attaches_anew() -> None:
    ledger = Ledger()
    ear = Ear(name="it", history=History(), ledger=ledger, may_forget=False)
    block = {"type": "text", "text": Order("one", 5).text}
    update = {"sessionUpdate": "user_message_chunk", "content": block, "messageId": "t"}
    ear.prompted("one")
    ear.attached()
    ear.hear(stamped("session/update", 1, update=update))
    assert ledger.complaints == []
    ear.prompted("one")
    ear.hear(stamped("session/update", 2, update=update))
    assert ledger.complaints == ["it is shown its own prompt of one"]


def test_a_whole_history_that_comes_again_is_a_stream_of_its_own() -> None:
    frames = [
        stamped("session/update", seq, update=json.loads(build(Numbered("one", seq, 5, 10))))
        for seq in range(1, 6)
    ]

    def heard(frames: list[bytes], *, reloads: bool) -> Counts:
        ledger = Ledger()
        ear = Ear(name="it", history=History(), ledger=ledger, may_forget=False)
        if reloads:
            ear.expect_reload()
        for frame in frames:
            ear.hear(frame)
        ear.settle()
        assert ledger.complaints == []
        return ledger.counts

    twice = heard([*frames, *frames], reloads=True)
    assert (twice.delivered, twice.lost, twice.repeated) == (10, 0, 0)
    assert heard([*frames, *frames[:2], *frames[3:]], reloads=True).lost == 1
    assert heard([*frames, *frames], reloads=False).repeated == 5


# -- the whole of it


@pytest.fixture
def quick() -> Plan:
    """A soak that is bounded by work, and has more happen in less time than usual."""
    return Plan(seed=7, clients=4, seconds=None, steps=10, rate=0, every=300, pause_s=0.05)


@pytest.mark.process
@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.requirement(
    "order.one-contiguous-slice", "order.answers-follow-their-updates", "replay.load-answers-last"
)
@pytest.mark.parametrize("ephemeral", [False, True], ids=["stored", "ephemeral"])
async def test_a_soak_of_the_real_relay_finds_nothing(quick: Plan, ephemeral: bool) -> None:
    found = await Soak(replace(quick, ephemeral=ephemeral)).run()
    assert found.failures == []
    assert found.prompts_sent == found.prompts_answered >= 11
    assert found.sent > 1000
    assert found.counts.delivered == found.counts.due > found.sent * 4
    assert sum(found.moves.get(way, 0) for way in (Way.ADOPT, Way.ATTACH, Way.RESUME)) >= 5
    assert (
        found.moves[Way.LOAD] >= 4
    )  # each observer at first, and who looks it all over in the end


@pytest.mark.process
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_soak_whose_relay_is_killed_finds_nothing_either(quick: Plan) -> None:
    found = await Soak(replace(quick, kill_relay=True, steps=20)).run()
    assert found.failures == []
    assert found.relay_kills >= 1
    assert found.prompts_sent == found.prompts_answered + found.prompts_interrupted


@pytest.mark.process
@pytest.mark.asyncio(loop_factories=["asyncio"])  # the program has a loop of its own
async def test_the_program_reports_in_json_and_its_status_says_that_all_is_well() -> None:
    status, said = await run_program("--steps", "2", "--clients", "2", "--rate", "0", "--json")
    assert status == 0
    found = json.loads(said)
    assert (found["failures"], found["counts"]["lost"], found["clients"]) == ([], 0, 2)


@pytest.mark.process
@pytest.mark.asyncio(loop_factories=["asyncio"])  # the program has a loop of its own
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_program_and_its_relay(number: signal.Signals) -> None:
    process = await start_program("--clients", "2", "--seconds", "600")
    program = psutil.Process(process.pid)
    async with asyncio.timeout(PATIENCE_S):
        started: list[psutil.Process] = []
        while len(started) < 2:  # the relay and its agent
            started = await asyncio.to_thread(program.children, recursive=True)
        process.send_signal(number)
        assert await process.wait() == 130
    assert psutil.wait_procs(started, timeout=PATIENCE_S)[1] == []


async def run_program(*arguments: str) -> tuple[int | None, bytes]:
    process = await start_program(*arguments)
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    return process.returncode, said


async def start_program(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "acprelay.testing.soak", *arguments), stdout=subprocess.PIPE
    )
