"""`acprelay run`: what it prints, and how its exit code tells how the turn ended."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import WSCloseCode
from tests.repositories import a_repository, git

from acprelay.cli.exits import ExitCode
from acprelay.compose import RunningRelay

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Conversation, FakeRelay, Json

pytestmark = pytest.mark.process

HELLO = b"You wrote 1 word: hello\nSend /help for what else I can do.\n"


async def test_hello_alone_is_answered_by_the_demo_agent(cli: Cli) -> None:
    assert await cli.run("run", "hello") == (ExitCode.OK, HELLO, "")


async def test_a_running_relay_is_used_and_keeps_no_session(cli: Cli, relay: RunningRelay) -> None:
    ended = await cli.run("run", "--url", relay.url, "--agent", "demo", "hello")
    assert ended == (ExitCode.OK, HELLO, "")
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{relay.base_url}/readyz") as response,
    ):
        ready = await response.json()
    assert set(ready["sessions"].values()) == {0}


async def test_a_pipe_gets_the_bytes_as_the_agent_sent_them(cli: Cli) -> None:
    text = "h\u00f6llo \x1b[31mred\x1b[0m \u202e"
    code, output, errors = await cli.run("run", text)
    assert (code, errors) == (ExitCode.OK, "")
    assert f": {text}\n".encode() in output


async def test_the_answer_comes_as_it_is_said(cli: Cli, fake_relay: FakeRelay) -> None:
    heard = asyncio.Event()

    async def speak_and_wait(conversation: Conversation) -> None:
        prompt = await conversation.opens()
        await conversation.speaks("first ")
        await heard.wait()
        await conversation.speaks("last")
        await conversation.says({"id": prompt["id"], "result": {"stopReason": "end_turn"}})
        await conversation.ends()

    fake_relay.script = speak_and_wait
    command = await cli.start("run", "--url", fake_relay.url, "hello")
    assert await command.until(b"first ") == b"first "
    heard.set()
    assert await command.ended() == (ExitCode.OK, b"last", "")
    await fake_relay.played()


async def test_a_long_answer_arrives_whole(cli: Cli) -> None:
    code, output, errors = await cli.run("run", "/stream 20000 64\n/big 3000000")
    assert (code, errors) == (ExitCode.OK, "")
    lines = output.splitlines()
    assert lines[:20000] == [f"{number:063d}".encode() for number in range(20000)]
    assert set(lines[20000]) == {ord("x")}


@pytest.mark.parametrize(
    ("prompt", "code", "said"),
    [
        ("/stop end_turn", ExitCode.OK, ""),
        ("/refuse", ExitCode.REFUSAL, "acprelay: the turn ended with refusal\n"),
        ("/stop max_tokens", ExitCode.MAX_TOKENS, "acprelay: the turn ended with max_tokens\n"),
        (
            "/stop max_turn_requests",
            ExitCode.MAX_TURN_REQUESTS,
            "acprelay: the turn ended with max_turn_requests\n",
        ),
        ("/error 5 no more", ExitCode.ERROR, "acprelay: cannot finish the turn: no more\n"),
    ],
)
async def test_the_exit_code_tells_how_the_turn_ended(
    cli: Cli, prompt: str, code: ExitCode, said: str
) -> None:
    exit_code, _output, errors = await cli.run("run", prompt)
    assert (exit_code, errors) == (code, said)


@pytest.mark.parametrize(
    ("reason", "code"), [("cancelled", ExitCode.CANCELLED), ("something_new", ExitCode.ERROR)]
)
async def test_a_turn_that_somebody_else_cancelled_and_an_unheard_of_reason_are_told_too(
    cli: Cli, fake_relay: FakeRelay, reason: str, code: ExitCode
) -> None:
    async def end(conversation: Conversation) -> None:
        prompt = await conversation.opens()
        await conversation.says({"id": prompt["id"], "result": {"stopReason": reason}})
        await conversation.ends()

    fake_relay.script = end
    ended = await cli.run("run", "--url", fake_relay.url, "hello")
    assert ended == (code, b"", f"acprelay: the turn ended with {reason}\n")


async def test_an_agent_that_crashes_is_an_error_with_its_last_words(cli: Cli) -> None:
    code, output, errors = await cli.run("run", "hello\n/crash 3")
    assert (code, output) == (ExitCode.ERROR, HELLO)
    assert errors.startswith("acprelay: cannot finish the turn: ")
    assert "exit status 3" in errors
    assert "  | demo agent: ending with status 3, as was asked\n" in errors


@pytest.mark.parametrize(
    ("way", "written", "said"),
    [
        ("allow", True, ""),
        ("reject", False, ""),
        (
            "ask",
            False,
            "acprelay: rejected 'Write file.txt': "
            "there is no terminal to ask on; --permission allow allows everything\n",
        ),
    ],
)
async def test_permissions_are_given_as_the_option_says(
    cli: Cli, way: str, written: bool, said: str
) -> None:
    code, _output, errors = await cli.run("run", "--permission", way, "/write file.txt text")
    assert (code, errors) == (ExitCode.OK, said)
    assert (cli.cwd / "file.txt").exists() is written


async def test_the_agent_works_in_the_directory_that_is_named(cli: Cli) -> None:
    (cli.cwd / "below").mkdir()
    code, _output, _errors = await cli.run(
        "run", "--cwd", "below", "--permission", "allow", "/write file.txt text"
    )
    assert code == ExitCode.OK
    assert (cli.cwd / "below" / "file.txt").read_bytes() == b"text\n"


async def test_an_agent_can_be_given_as_a_command_and_chosen_by_name(cli: Cli) -> None:
    program = f"{sys.executable} -m acprelay.testing.demo_agent"
    code, output, _errors = await cli.run(
        "run", "--agent", "broken=false", "--agent", f"mine={program}", "--agent", "mine", "hello"
    )
    assert (code, output) == (ExitCode.OK, HELLO)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--url", "nowhere", "hello"], "cannot use the address 'nowhere'"),
        (["--token-file", "token", "hello"], "cannot show a token without --url"),
        (["--url", "ws://h", "--agent", "a=b", "hello"], "cannot give a running relay the agent"),
        (
            ["--url", "ws://h", "--pass-env", "A", "p"],
            "cannot give a running relay the variable 'A'",
        ),
        (["--agent", "a", "--agent", "b", "hello"], "cannot use 2 agents at once: a, b"),
        (["--agent", "=b", "hello"], "cannot use '' as an agent's name"),
        (["--agent", "a='", "hello"], "cannot read the command of agent 'a'"),
        (["--cwd", "/no/such/directory", "hello"], "cannot work in '/no/such/directory'"),
        ([b"\xff"], "cannot send the prompt: it is not UTF-8"),
        (["--cwd", b"\xff", "--url", "ws://h", "p"], "cannot send the directory: it is not UTF-8"),
    ],
)
async def test_options_that_cannot_be_used_are_said_before_anything_starts(
    cli: Cli, argv: list[str | bytes], said: str
) -> None:
    code, output, errors = await cli.run("run", *argv)
    assert (code, output) == (ExitCode.USAGE, b"")
    assert errors.startswith(f"acprelay: {said}")
    assert "\n  hint: " in errors


async def test_a_relay_that_is_not_there_is_told_with_how_to_start_one(
    cli: Cli, free_port: int
) -> None:
    url = f"ws://127.0.0.1:{free_port}/acp"
    assert await cli.run("run", "--url", url, "hello") == (
        ExitCode.UNREACHABLE,
        b"",
        f"acprelay: cannot reach a relay at {url}: Connection refused\n"
        "  hint: start a relay with: acprelay serve\n",
    )


async def test_a_server_that_is_no_relay_is_told(cli: Cli, fake_relay: FakeRelay) -> None:
    url = fake_relay.url.replace("/acp", "/elsewhere")
    code, _output, errors = await cli.run("run", "--url", url, "hello")
    assert code == ExitCode.UNREACHABLE
    assert errors == (
        f"acprelay: cannot reach a relay at {url}: what answers there sends HTTP status 404\n"
        "  hint: check the address: a relay's path is /acp\n"
    )


async def test_a_relay_that_does_not_take_the_connection_says_why(
    cli: Cli, relay: RunningRelay
) -> None:
    code, _output, errors = await cli.run("run", "--url", relay.url, "--agent", "other", "hello")
    assert code == ExitCode.ERROR
    assert errors == (
        "acprelay: cannot connect: cannot find agent 'other'\n  hint: choose one of demo, joined; "
        "to offer another one, name it with --agent or in the configuration when the relay is "
        "started\n"
    )


async def test_an_agent_that_cannot_be_started_is_told(cli: Cli) -> None:
    code, output, errors = await cli.run("run", "--agent", "a=/no/such/program", "hello")
    assert (code, output) == (ExitCode.ERROR, b"")
    assert "cannot start agent 'a'" in errors
    assert "  hint: " in errors


@pytest.mark.parametrize("manner", ["closes", "vanishes"])
async def test_a_relay_that_goes_away_in_the_middle_of_a_turn_is_told(
    cli: Cli, fake_relay: FakeRelay, manner: str
) -> None:
    async def go_away(conversation: Conversation) -> None:
        await conversation.opens()
        await conversation.speaks("so far")
        if manner == "closes":
            await conversation.websocket.close(code=WSCloseCode.GOING_AWAY, message=b"bye")
        else:
            transport = conversation.websocket._req.transport  # type: ignore[union-attr] # it is connected
            assert transport is not None
            transport.abort()

    fake_relay.script = go_away
    code, output, errors = await cli.run("run", "--url", fake_relay.url, "hello")
    assert (code, output) == (ExitCode.UNREACHABLE, b"so far")
    assert errors.startswith(f"acprelay: cannot go on: the connection to {fake_relay.url} is lost")
    assert ("(1001: bye)" in errors) is (manner == "closes")
    assert ("it ended without a word" in errors) is (manner == "vanishes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_cancels_the_turn_and_waits_for_its_end(
    cli: Cli, fake_relay: FakeRelay, number: signal.Signals
) -> None:
    async def be_cancelled(conversation: Conversation) -> None:
        prompt = await conversation.opens()
        await conversation.speaks("working")
        cancellation = await conversation.hears()
        assert cancellation == {
            "jsonrpc": "2.0",
            "method": "session/cancel",
            "params": {"sessionId": "s:main"},
        }
        await conversation.speaks(", stopped")
        await conversation.says({"id": prompt["id"], "result": {"stopReason": "cancelled"}})
        await conversation.ends()

    fake_relay.script = be_cancelled
    command = await cli.start("run", "--url", fake_relay.url, "hello")
    await command.until(b"working")
    command.process.send_signal(number)
    assert await command.ended() == (128 + number, b", stopped", "")
    await fake_relay.played()


async def test_a_second_signal_ends_at_once(cli: Cli, fake_relay: FakeRelay) -> None:
    async def ignore_the_cancellation(conversation: Conversation) -> None:
        await conversation.opens()
        await conversation.speaks("working")
        await conversation.hears()
        await conversation.speaks(" on")
        await conversation.websocket.receive()

    fake_relay.script = ignore_the_cancellation
    command = await cli.start("run", "--url", fake_relay.url, "hello")
    await command.until(b"working")
    command.process.send_signal(signal.SIGINT)
    await command.until(b" on")
    command.process.send_signal(signal.SIGINT)
    assert await command.ended() == (ExitCode.INTERRUPTED, b"", "")


async def test_a_signal_before_the_turn_ends_the_command_too(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    greeted = asyncio.Event()

    async def never_answer(conversation: Conversation) -> None:
        await conversation.hears()
        greeted.set()
        await conversation.ends()

    fake_relay.script = never_answer
    command = await cli.start("run", "--url", fake_relay.url, "hello")
    async with asyncio.timeout(60):
        await greeted.wait()
    command.process.send_signal(signal.SIGINT)
    assert await command.ended() == (ExitCode.INTERRUPTED, b"", "")
    await fake_relay.played()


async def test_the_embedded_relay_leaves_no_process_behind(cli: Cli) -> None:
    command = await cli.start("run", "/stream 1\n/slow 3600")
    await command.line()
    agents = command.children()
    assert len(agents) == 1
    command.process.send_signal(signal.SIGINT)
    code, _output, errors = await command.ended()
    assert (code, errors) == (ExitCode.INTERRUPTED, "")
    assert not any(agent.is_running() for agent in agents)


async def test_a_reader_that_stops_reading_cancels_the_turn_without_a_word(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    async def flood(conversation: Conversation) -> None:
        await conversation.opens()
        hearing = asyncio.get_running_loop().create_task(conversation.hears())
        while not hearing.done():
            await conversation.speaks("more of it\n" * 1000)
            await asyncio.sleep(0)
        assert (await hearing)["method"] == "session/cancel"

    fake_relay.script = flood
    reading, writing = os.pipe()
    command = await cli.start("run", "--url", fake_relay.url, "hello", stdout=writing)
    os.close(writing)
    await asyncio.get_running_loop().run_in_executor(None, os.read, reading, 5)
    os.close(reading)
    assert await command.ended() == (ExitCode.BROKEN_PIPE, b"", "")
    await fake_relay.played()


async def test_a_reader_that_does_not_read_keeps_no_signal_from_being_noticed(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    cancelled = asyncio.Event()

    async def overwhelm(conversation: Conversation) -> None:
        await conversation.opens()
        # More than the pipe and the command's own buffer hold.
        await conversation.speaks("x" * (16 << 20))
        assert (await conversation.hears())["method"] == "session/cancel"
        cancelled.set()
        await conversation.websocket.receive()

    fake_relay.script = overwhelm
    reading, writing = os.pipe()
    command = await cli.start("run", "--url", fake_relay.url, "hello", stdout=writing)
    os.close(writing)
    await asyncio.get_running_loop().run_in_executor(None, os.read, reading, 5)
    command.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        await cancelled.wait()
    command.process.send_signal(signal.SIGINT)
    assert await command.ended() == (ExitCode.INTERRUPTED, b"", "")
    os.close(reading)


async def test_a_disk_that_is_full_is_told(cli: Cli) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    command = await cli.start("run", "hello", stdout=full)
    os.close(full)
    assert await command.ended() == (
        ExitCode.ERROR,
        b"",
        "acprelay: cannot go on: No space left on device\n",
    )


async def test_updates_that_come_late_or_mean_nothing_do_no_harm(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    async def talk_oddly(conversation: Conversation) -> None:
        prompt = await conversation.opens()
        await conversation.websocket.send_bytes(b"binary")
        odd: Json = {"method": "session/update", "params": {"update": {"sessionUpdate": "x"}}}
        await conversation.says(odd, {"method": "_vendor/notice"}, {"id": 77, "result": None})
        await conversation.speaks("said")
        await conversation.says({"id": prompt["id"], "result": {"stopReason": "end_turn"}})
        await conversation.speaks("too late")
        await conversation.ends()

    fake_relay.script = talk_oddly
    ended = await cli.run("run", "--url", fake_relay.url, "hello")
    assert ended[0] == ExitCode.OK
    assert ended[1].startswith(b"said")


# --- what the agent sees of the environment

SEES = """
import os, runpy
with open("seen", "w") as seen:
    seen.write(",".join(name for name in ("WANTED_KEY", "OTHER_KEY") if name in os.environ))
runpy.run_module("acprelay.testing.demo_agent", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("options", "seen"),
    [([], ""), (["--pass-env", "WANTED_KEY"], "WANTED_KEY")],
)
async def test_an_agent_sees_the_variables_that_are_named(
    cli: Cli, options: list[str], seen: str
) -> None:
    (cli.cwd / "sees.py").write_text(SEES)
    agent = f"sees={sys.executable} sees.py"
    command = await cli.start(
        "run", "--agent", agent, *options, "hello", WANTED_KEY="1", OTHER_KEY="2"
    )
    assert await command.ended() == (ExitCode.OK, HELLO, "")
    assert (cli.cwd / "seen").read_text() == seen


async def test_a_worktree_is_named_so_that_the_work_is_found(cli: Cli, tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "project")
    command = await cli.start(
        *("run", "--worktree", "--cwd", str(repository)),
        "/mode auto\n/write x one\n/commit x",
        XDG_DATA_HOME=str(tmp_path / "data"),
    )
    code, output, errors = await command.ended()
    assert code == ExitCode.OK
    assert b"Committed " in output
    named = re.search(r"the agent works in (\S+), on branch (acprelay/\w+/main)\n", errors)
    assert named
    assert git(repository, "show", f"{named[2]}:x") == "one"
    assert git(named[1], "branch", "--show-current") == named[2]
    assert Path(named[1]).is_relative_to(tmp_path / "data" / "acprelay" / "worktrees")
