"""`acprelay connect`: an agent on standard input and output whose other end is a relay."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING, cast

import acp
import pytest
from acp import schema
from aiohttp import WSCloseCode, WSMsgType

from acprelay.cli.exits import ExitCode
from acprelay.compose import RunningRelay

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Command, Conversation, FakeRelay

pytestmark = pytest.mark.process

MIB = 1 << 20
PROGRAM = str(Path(sys.executable).with_name("acprelay"))
INITIALIZE = b'{"jsonrpc":"2.0","id":"a b","method":"initialize","params":{"protocolVersion":1}}'


async def _echo(conversation: Conversation) -> None:
    """Sends every message back until the client closes the connection."""
    async for message in conversation.websocket:
        assert message.type is WSMsgType.TEXT
        await conversation.websocket.send_str(message.data)
    assert conversation.websocket.close_code == WSCloseCode.OK


async def _connect(cli: Cli, relay: FakeRelay, *argv: str) -> Command:
    return await cli.start("connect", "--url", relay.url, *argv, stdin=PIPE)


async def test_lines_and_messages_pass_byte_for_byte(cli: Cli, fake_relay: FakeRelay) -> None:
    lines = [
        b'{ "jsonrpc" : "2.0",\t"method":"x","b":1,"a":[1.0,1e2] ,"a":2}',
        '{"text":"h\u00f6 \\u0041 🦉 \\ud800"}'.encode(),
        b'"\x7f"',
        b"not JSON at all",
        b"{}\r",
        b"[" * 3000 + b"]" * 3000,
    ]
    fake_relay.script = _echo
    command = await _connect(cli, fake_relay)
    for line in lines:
        command.stdin.write(line + b"\n")
        assert await command.line() == line + b"\n"
    command.stdin.close()
    assert await command.ended() == (ExitCode.OK, b"", "")
    await fake_relay.played()


async def test_a_message_of_64_mib_passes(cli: Cli, fake_relay: FakeRelay) -> None:
    line = b'{"method":"x","params":"' + b"x" * (64 * MIB - 26) + b'"}'
    assert len(line) == 64 * MIB
    fake_relay.script = _echo
    command = await _connect(cli, fake_relay)
    command.stdin.write(line + b"\n")
    assert await command.line() == line + b"\n"
    command.stdin.close()
    assert (await command.ended())[0] == ExitCode.OK


async def test_blank_lines_are_passed_over_and_a_line_that_is_not_utf8_is_answered(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    fake_relay.script = _echo
    command = await _connect(cli, fake_relay)
    command.stdin.write(b'\n  \n"\xff"\n"still there"\n')
    refusal = json.loads(await command.line())
    assert (refusal["id"], refusal["error"]["code"]) == (None, -32700)
    assert await command.line() == b'"still there"\n'
    command.stdin.close()
    assert (await command.ended())[0] == ExitCode.OK


async def test_newlines_in_a_message_become_spaces_and_binary_messages_are_passed_over(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    async def speak(conversation: Conversation) -> None:
        await conversation.websocket.send_bytes(b'{"binary":true}')
        await conversation.websocket.send_str('{\n  "a": "b"\r\n}')
        await conversation.ends()

    fake_relay.script = speak
    command = await _connect(cli, fake_relay)
    assert await command.line() == b'{   "a": "b"\r }\n'
    command.stdin.close()
    assert (await command.ended())[0] == ExitCode.OK


async def test_the_choices_stand_in_the_address(cli: Cli, fake_relay: FakeRelay) -> None:
    fake_relay.script = _echo
    for argv in ([], ["--agent", "a", "--role", "db", "--session", "s-1"]):
        command = await _connect(cli, fake_relay, *argv)
        command.stdin.close()
        assert (await command.ended())[0] == ExitCode.OK
    assert fake_relay.queries == [{}, {"agent": "a", "role": "db", "session": "s-1"}]


async def test_an_unusable_address_is_a_usage_error(cli: Cli) -> None:
    code, output, errors = await cli.run("connect", "--url", "nowhere")
    assert (code, output) == (ExitCode.USAGE, b"")
    assert errors.startswith("acprelay: cannot use the address 'nowhere'\n  hint: ")


async def test_open_requests_are_answered_after_the_input_has_ended(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    async def answer_late(conversation: Conversation) -> None:
        first, second = await conversation.hears(), await conversation.hears()
        await conversation.says({"method": "in between"}, {"id": second["id"], "result": 2})
        await conversation.says({"id": first["id"], "result": 1})
        await conversation.ends()

    fake_relay.script = answer_late
    command = await _connect(cli, fake_relay)
    command.stdin.write(b'{"id":1,"method":"x"}\n{"id":"1","method":"y"}\n')
    command.stdin.close()
    code, output, errors = await command.ended()
    assert (code, errors) == (ExitCode.OK, "")
    assert [json.loads(line).get("id") for line in output.splitlines()] == [None, "1", 1]
    await fake_relay.played()


async def test_all_that_was_written_reaches_the_relay_before_the_connection_is_closed(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    heard: list[str] = []

    async def listen(conversation: Conversation) -> None:
        # What the relay says meanwhile is unread when the client closes.
        await conversation.websocket.send_str("x" * 1000)
        async for message in conversation.websocket:
            heard.append(message.data)
            await conversation.websocket.send_str("y" * 1000)
        assert conversation.websocket.close_code == WSCloseCode.OK

    fake_relay.script = listen
    command = await _connect(cli, fake_relay)
    lines = [f'{{"method":"n","params":{number}}}' for number in range(2000)]
    command.stdin.write("".join(line + "\n" for line in lines).encode())
    command.stdin.close()
    assert (await command.ended())[0] == ExitCode.OK
    await fake_relay.played()
    assert heard == lines


async def test_initialize_is_answered_with_the_reason_where_there_is_no_relay(
    cli: Cli, free_port: int
) -> None:
    url = f"ws://127.0.0.1:{free_port}/acp"
    command = await cli.start("connect", "--url", url, stdin=PIPE)
    command.stdin.write(INITIALIZE + b"\n")
    answer = json.loads(await command.line())
    assert answer["id"] == "a b"
    assert answer["error"]["message"] == f"cannot reach a relay at {url}: Connection refused"
    assert answer["error"]["data"] == {
        "code": "relay_unreachable",
        "retryable": True,
        "hint": "start a relay with: acprelay serve",
        "url": url,
    }
    code, output, errors = await command.ended()
    assert (code, output) == (ExitCode.UNREACHABLE, b"")
    assert errors == (
        f"acprelay: cannot reach a relay at {url}: Connection refused\n"
        "  hint: start a relay with: acprelay serve\n"
    )


@pytest.mark.parametrize("input_ends", [True, False])
async def test_without_a_relay_it_ends_also_if_nothing_is_asked(
    cli: Cli, free_port: int, input_ends: bool
) -> None:
    url = f"ws://127.0.0.1:{free_port}/acp"
    command = await cli.start("connect", "--url", url, stdin=PIPE)
    if input_ends:
        command.stdin.close()
        code, output, _errors = await command.ended()
    else:
        async with asyncio.timeout(60):
            code, output = await command.process.wait(), await command.stdout.read()
    assert (code, output) == (ExitCode.UNREACHABLE, b"")


async def test_a_relay_that_refuses_the_connection_says_why_to_the_editor_too(
    cli: Cli, relay: RunningRelay
) -> None:
    command = await cli.start("connect", "--url", relay.url, "--role", "a/b", stdin=PIPE)
    command.stdin.write(INITIALIZE + b"\n")
    answer = json.loads(await command.line())
    assert answer["id"] == "a b"
    assert answer["error"]["message"] == "cannot connect: cannot use 'a/b' as a role"
    assert answer["error"]["data"]["hint"].startswith("a role matches")
    code, _output, errors = await command.ended()
    assert code == ExitCode.ERROR
    assert errors.startswith("acprelay: cannot connect: cannot use 'a/b' as a role\n")


async def test_requests_that_wait_are_answered_when_the_relay_goes_away(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    async def go_away(conversation: Conversation) -> None:
        await conversation.hears()
        answered = await conversation.hears()
        await conversation.hears()
        await conversation.says({"id": answered["id"], "result": {}})
        await conversation.websocket.close(code=WSCloseCode.GOING_AWAY, message=b"bye")

    fake_relay.script = go_away
    command = await _connect(cli, fake_relay)
    command.stdin.write(b'{"id":1.0,"method":"x"}\n{"id":2,"method":"y"}\n{"method":"z"}\n')
    assert json.loads(await command.line())["id"] == 2
    line = await command.line()
    assert line.startswith(b'{"jsonrpc":"2.0","id":1.0,"error":')
    assert json.loads(line)["error"]["data"]["code"] == "relay_unreachable"
    code, output, errors = await command.ended()
    assert (code, output) == (ExitCode.UNREACHABLE, b"")
    assert errors.startswith(f"acprelay: cannot go on: the connection to {fake_relay.url} is lost")
    assert "(1001: bye)" in errors


async def test_an_editor_that_says_nothing_for_too_long_is_connected_again_once_it_does(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    over = asyncio.Event()

    async def grow_impatient(conversation: Conversation) -> None:
        message = b"limit greeting-s: no initialize within 60 s"
        await conversation.websocket.close(code=WSCloseCode.POLICY_VIOLATION, message=message)
        fake_relay.script = _echo
        over.set()

    fake_relay.script = grow_impatient
    command = await _connect(cli, fake_relay)
    async with asyncio.timeout(60):
        await over.wait()
    command.stdin.write(INITIALIZE + b"\n")
    assert await command.line() == INITIALIZE + b"\n"
    command.stdin.close()
    assert (await command.ended())[0] == ExitCode.OK


async def test_an_editor_that_never_says_anything_may_end_without_a_relay(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    over = asyncio.Event()

    async def go_away(conversation: Conversation) -> None:
        await conversation.websocket.close(code=WSCloseCode.GOING_AWAY, message=b"bye")
        over.set()

    fake_relay.script = go_away
    command = await _connect(cli, fake_relay)
    async with asyncio.timeout(60):
        await over.wait()
    command.stdin.close()
    assert await command.ended() == (ExitCode.OK, b"", "")


async def test_a_relay_that_dies_ends_it_although_the_input_goes_on(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    async def die(conversation: Conversation) -> None:
        await conversation.hears()
        transport = conversation.websocket._req.transport  # type: ignore[union-attr] # it is connected
        assert transport is not None
        transport.abort()

    fake_relay.script = die
    command = await _connect(cli, fake_relay)
    command.stdin.write(INITIALIZE + b"\n")
    assert json.loads(await command.line())["error"]["data"]["retryable"] is True
    async with asyncio.timeout(60):
        assert await command.process.wait() == ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, ExitCode.OK), (signal.SIGINT, ExitCode.INTERRUPTED)],
)
async def test_a_signal_closes_the_connection_without_waiting_for_answers(
    cli: Cli, fake_relay: FakeRelay, number: signal.Signals, code: ExitCode
) -> None:
    asked = asyncio.Event()

    async def keep_waiting(conversation: Conversation) -> None:
        await conversation.hears()
        asked.set()
        await conversation.ends()

    fake_relay.script = keep_waiting
    command = await _connect(cli, fake_relay)
    command.stdin.write(INITIALIZE + b"\n")
    async with asyncio.timeout(60):
        await asked.wait()
    command.process.send_signal(number)
    assert await command.ended() == (code, b"", "")
    await fake_relay.played()


async def test_a_signal_while_it_connects_ends_it(cli: Cli) -> None:
    called, hung_up = asyncio.Event(), asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await reader.read()
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        command = await cli.start("connect", "--url", f"ws://127.0.0.1:{port}", stdin=PIPE)
        async with asyncio.timeout(60):
            await called.wait()
        command.process.send_signal(signal.SIGTERM)
        assert await command.ended() == (ExitCode.OK, b"", "")
        async with asyncio.timeout(60):
            await hung_up.wait()


async def test_an_editor_that_reads_no_more_ends_it_without_a_word(
    cli: Cli, fake_relay: FakeRelay
) -> None:
    closed = asyncio.Event()

    async def speak_when_nobody_reads(conversation: Conversation) -> None:
        await conversation.hears()
        await closed.wait()
        await conversation.websocket.send_str("{}")
        await conversation.ends()

    fake_relay.script = speak_when_nobody_reads
    reading, writing = os.pipe()
    command = await cli.start("connect", "--url", fake_relay.url, stdin=PIPE, stdout=writing)
    os.close(writing)
    command.stdin.write(INITIALIZE + b"\n")
    os.close(reading)
    closed.set()
    async with asyncio.timeout(60):
        assert await command.process.wait() == ExitCode.BROKEN_PIPE
    assert command.process.stderr is not None
    assert await command.process.stderr.read() == b""


async def test_it_makes_the_relay_wait_for_a_slow_editor(cli: Cli, fake_relay: FakeRelay) -> None:
    message = "x" * MIB
    count = 200
    sent = 0

    async def flood(conversation: Conversation) -> None:
        nonlocal sent
        for _ in range(count):
            await conversation.websocket.send_str(message)
            sent += 1
        await conversation.ends()

    fake_relay.script = flood
    reading, writing = os.pipe()
    command = await cli.start("connect", "--url", fake_relay.url, stdin=PIPE, stdout=writing)
    os.close(writing)
    loop = asyncio.get_running_loop()
    taken = 0
    most_ahead = 0
    async with asyncio.timeout(60):
        while taken < count * (MIB + 1):
            taken += len(await loop.run_in_executor(None, os.read, reading, 1 << 16))
            most_ahead = max(most_ahead, sent - taken // (MIB + 1))
    assert most_ahead < 40
    os.close(reading)
    command.stdin.close()
    assert (await command.ended())[0] == ExitCode.OK


class Recorder:
    """The part of the SDK's client that the demo agent calls."""

    def __init__(self) -> None:
        self.text = ""

    async def session_update(self, session_id: str, update: object, **_: object) -> None:
        assert session_id.endswith(":main")
        if isinstance(update, schema.AgentMessageChunk):
            assert isinstance(update.content, schema.TextContentBlock)
            self.text += update.content.text

    async def request_permission(
        self, session_id: str, options: list[schema.PermissionOption], **_: object
    ) -> schema.RequestPermissionResponse:
        assert session_id.endswith(":main")
        allow = next(option for option in options if option.kind == "allow_once")
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id=allow.option_id)
        )


async def test_the_sdk_uses_it_as_an_agent(relay: RunningRelay, tmp_path: Path) -> None:
    recorder = Recorder()
    argv = (PROGRAM, "connect", "--url", relay.url)
    client = cast("acp.Client", recorder)
    async with (
        asyncio.timeout(60),
        acp.spawn_agent_process(client, *argv) as (agent, process),
    ):
        greeting = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        assert greeting.agent_info is not None
        assert greeting.agent_info.name == "acprelay-demo"
        session = await agent.new_session(cwd=str(tmp_path), mcp_servers=[])
        answer = await agent.prompt(
            session_id=session.session_id,
            prompt=[acp.text_block("hello\n/write file.txt text")],
        )
        assert answer.stop_reason == "end_turn"
    assert process.returncode == 0
    assert recorder.text.startswith("You wrote 1 word: hello\n")
    assert (tmp_path / "file.txt").read_bytes() == b"text\n"
