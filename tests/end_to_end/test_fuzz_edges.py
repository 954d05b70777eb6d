"""The relay abused over raw sockets: who works with it goes on, and nothing is left of that."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from random import Random

import psutil
import pytest

from acprelay.testing.fuzz.attacks import ATTACKS
from acprelay.testing.fuzz.line import Opcode, frame
from acprelay.testing.fuzz.message_attacks import message
from acprelay.testing.fuzz.program import build_parser
from acprelay.testing.fuzz.report import Report, Usage
from acprelay.testing.fuzz.run import Fuzz, Plan

PATIENCE_S = 60.0
MIB = 1 << 20


def report(**changes: object) -> Report:
    """A report of a run that found nothing, with changes."""
    fine: dict[str, object] = {
        "seed": 1,
        "seconds": 1.0,
        "outcomes": {"silent_crowd": {"408": 2}},
        "turns": 3,
        "newcomers": 1,
        "usages": (usage(40), usage(50), usage(51)),
        "growth": 10 * MIB,
    }
    return Report(**{**fine, **changes})  # type: ignore[arg-type] # the cases name its fields


def usage(mib: int, descriptors: int = 10) -> Usage:
    return Usage(rss=mib * MIB, descriptors=descriptors)


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"complaints": ("odd",)}, "odd"),
        ({"turns": 0}, "nobody could work meanwhile"),
        ({"newcomers": 0}, "nobody could work meanwhile"),
        ({"usages": (usage(40), usage(50, 13))}, "3 file descriptors are left"),
        (
            {"usages": (usage(40), usage(50), usage(50), usage(61))},
            "memory grew by 11.0 MiB after the first round",
        ),
    ],
)
def test_what_must_not_be_fails_the_run(changes: dict[str, object], failure: str) -> None:
    assert report().failures == []
    assert "all is well" in report().as_text()
    assert report(**changes).failures == [failure]
    assert f"FAILED: {failure}" in report(**changes).as_text()
    assert json.loads(json.dumps(report(**changes).as_json()))["failures"] == [failure]


def test_what_came_to_nothing_before_it_was_measured_says_only_that() -> None:
    assert report(usages=(), complaints=("before all: odd",)).failures == ["before all: odd"]


def test_every_attack_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert all(attack.run.__doc__ for attack in ATTACKS)


def test_the_same_seed_makes_the_same_messages() -> None:
    one, other = ([message(random) for _ in range(50)] for random in (Random(7), Random(7)))
    assert one == other
    assert len(set(one)) > 40


def test_frames_are_built_as_they_are_asked_for() -> None:
    assert frame(b"hi") == b"\x81\x82\0\0\0\0hi"
    assert frame(b"", Opcode.PING, masked=False) == b"\x89\x00"
    assert frame(b"", length=1 << 63, masked=False)[1:] == b"\x7f\x80" + bytes(7)
    assert frame(b"x" * 200)[1:4] == b"\xfe\x00\xc8"
    assert frame(b"", reserved=7, fin=False)[0] == 0x71


def test_a_run_has_two_rounds_and_crowds_of_a_thousand() -> None:
    options = build_parser().parse_args([])
    assert (options.rounds, options.crowd, options.seconds) == (2, 1000, 0)


@pytest.mark.process
@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.requirement(
    "limits.abuse-is-borne",
    "limits.silent-connections-give-way",
    "limits.handshakes-have-a-deadline",
)
async def test_abuse_of_every_kind_leaves_the_relay_serving_and_as_large_as_before() -> None:
    found = await Fuzz(Plan(seed=7, rounds=2)).run()
    assert found.failures == [], found.as_text()
    assert found.newcomers == 2 * len(ATTACKS)
    assert found.turns > len(ATTACKS)


@pytest.mark.process
@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.requirement("limits.abuse-is-borne")
async def test_strangers_cost_a_relay_that_asks_for_tokens_no_more() -> None:
    found = await Fuzz(Plan(seed=8, rounds=2, strangers=True)).run()
    assert found.failures == [], found.as_text()
    assert found.outcomes["random_posts"].keys() == {"401"}
    assert found.newcomers == 2 * len(ATTACKS)


@pytest.mark.process
@pytest.mark.asyncio(loop_factories=["asyncio"])  # the program has a loop of its own
async def test_a_signal_ends_the_program_and_its_relay() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "acprelay.testing.fuzz", "--rounds", "100"),
        stdout=subprocess.PIPE,
    )
    program = psutil.Process(process.pid)
    async with asyncio.timeout(PATIENCE_S):
        started: list[psutil.Process] = []
        while len(started) < 2:  # the relay and its agent
            started = await asyncio.to_thread(program.children, recursive=True)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 130
    assert psutil.wait_procs(started, timeout=PATIENCE_S)[1] == []
