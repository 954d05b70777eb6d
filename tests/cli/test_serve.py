"""`acprelay serve`: what it says, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from acprelay import __version__
from acprelay.cli.exits import ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Command

pytestmark = pytest.mark.process

HELLO = b"You wrote 1 word: hello\nSend /help for what else I can do.\n"

# Ends neither with its input nor at SIGTERM. Asked to, it says over a pipe which process of its
# group has lost its parent.
STUBBORN = """\
import signal, subprocess, time
from pathlib import Path
from acprelay.testing.demo_agent import program
signal.signal(signal.SIGTERM, signal.SIG_IGN)
orphan = subprocess.check_output(["sh", "-c", "sleep 3600 >/dev/null & echo $!"])
program.main()
Path("asked-to-end").write_bytes(orphan)
time.sleep(3600)
"""


async def _serve(cli: Cli, *argv: str) -> tuple[Command, str]:
    """Gives a relay that serves, and its address."""
    command = await cli.start("serve", "--port", "0", *argv)
    first = (await command.line()).decode()
    matched = re.fullmatch(
        rf"acprelay {__version__} listens on (ws://127\.0\.0\.1:\d+/acp)\n", first
    )
    assert matched is not None
    return command, matched[1]


@pytest.mark.requirement("edges.loopback-is-the-default")
async def test_it_says_where_it_listens_and_how_to_try_it(cli: Cli) -> None:
    command, url = await _serve(cli)
    said = [(await command.line()).decode() for _ in range(8)]
    login = said.pop(2)
    base_url = url.replace("ws:", "http:").removesuffix("/acp")
    assert re.fullmatch(rf"  log in:     {base_url}/login/[\w-]{{43}}\n", login)
    assert said == [
        "  agents:     demo\n",
        f"  state:      {cli.cwd}/state/acprelay\n",
        "              (once, within ten minutes; acprelay login gives another one)\n",
        f'  try it:     acprelay run --url {url} "hello"\n',
        f"  in editors: acprelay connect --url {url}\n",
        f"  API:        {base_url}/api/v1/docs\n",
        "  stop it:    Ctrl-C\n",
    ]
    assert await cli.run("run", "--url", url, "hello") == (ExitCode.OK, HELLO, "")
    command.process.send_signal(signal.SIGTERM)
    assert await command.ended() == (ExitCode.OK, b"", "")


async def test_what_is_stored_is_for_its_owner_alone(cli: Cli) -> None:
    command, url = await _serve(cli, "--state-dir", "kept")
    assert await cli.run("run", "--url", url, "hello") == (ExitCode.OK, HELLO, "")
    command.process.send_signal(signal.SIGTERM)
    assert (await command.ended())[0] == ExitCode.OK
    kept = list((cli.cwd / "kept").rglob("*"))
    names = {path.name for path in kept if path.is_file()}
    assert {"record.json", "owner-token", "tokens.json"} <= names
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}


async def test_an_ephemeral_relay_stores_nothing(cli: Cli) -> None:
    command, url = await _serve(cli, "--ephemeral")
    said = [(await command.line()).decode() for _ in range(2)]
    assert said[1] == "  state:      in memory, gone when the relay stops\n"
    assert await cli.run("run", "--url", url, "hello") == (ExitCode.OK, HELLO, "")
    command.process.send_signal(signal.SIGTERM)
    assert (await command.ended())[0] == ExitCode.OK
    assert [path for path in cli.cwd.rglob("*") if path.is_file()] == []


@pytest.mark.requirement("lifecycle.state-directory-has-one-relay")
async def test_a_second_relay_on_one_state_directory_is_refused(cli: Cli) -> None:
    first, _url = await _serve(cli, "--state-dir", "kept")
    code, output, errors = await cli.run("serve", "--port", "0", "--state-dir", "kept")
    assert (code, output) == (ExitCode.USAGE, b"")
    assert f"process {first.process.pid}" in errors
    assert "--state-dir" in errors
    assert "Traceback" not in errors


async def test_a_policy_that_cannot_be_used_stops_it_before_anything_starts(cli: Cli) -> None:
    (cli.cwd / "policy.toml").write_text('[[rule]]\naction = "alow"\n')
    code, output, errors = await cli.run("serve", "--port", "0", "--policy", "policy.toml")
    assert (code, output) == (ExitCode.USAGE, b"")
    assert "allow" in errors
    assert not (cli.cwd / "state").exists()


async def test_it_offers_the_agents_that_are_named_the_first_by_default(cli: Cli) -> None:
    demo = f"{sys.executable} -m acprelay.testing.demo_agent"
    command, url = await _serve(cli, "--agent", f"one={demo}", "--agent", "two=false")
    assert (await command.line()).decode() == "  agents:     one, two\n"
    assert await cli.run("run", "--url", url, "hello") == (ExitCode.OK, HELLO, "")
    code, _output, errors = await cli.run("run", "--url", url, "--agent", "two", "hello")
    assert code == ExitCode.ERROR
    assert "agent 'two'" in errors


@pytest.mark.requirement("lifecycle.shutdown-ends-every-agent")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_with_status_0_and_every_agent_with_it(
    cli: Cli, number: signal.Signals
) -> None:
    command, url = await _serve(cli, "--drain", "0")
    client = await cli.start("run", "--url", url, "/stream 1\n/slow 3600")
    await client.line()
    agents = command.children()
    assert len(agents) == 1
    command.process.send_signal(number)
    code, _output, errors = await command.ended()
    assert code == ExitCode.OK
    assert "the time is up: ending 1 turn" in errors
    assert not any(agent.is_running() for agent in agents)
    code, _output, errors = await client.ended()
    assert code == ExitCode.ERROR
    assert "the relay is stopping" in errors


@pytest.mark.requirement("lifecycle.second-signal-ends-at-once")
async def test_a_second_signal_ends_it_at_once_and_agents_that_would_not_end(cli: Cli) -> None:
    (cli.cwd / "stubborn.py").write_text(STUBBORN)
    os.mkfifo(cli.cwd / "asked-to-end")
    command, url = await _serve(
        cli, "--agent", f"stubborn={sys.executable} stubborn.py", "--drain", "0"
    )
    client = await cli.start("run", "--url", url, "/stream 1\n/slow 3600")
    await client.line()
    agents = command.children()
    command.process.send_signal(signal.SIGTERM)
    loop = asyncio.get_running_loop()
    orphan = await loop.run_in_executor(None, (cli.cwd / "asked-to-end").read_bytes)
    agents.append(psutil.Process(int(orphan)))
    assert all(agent.is_running() for agent in agents)
    command.process.send_signal(signal.SIGINT)
    code, _output, errors = await command.ended()
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    gone, alive = await loop.run_in_executor(None, lambda: psutil.wait_procs(agents, timeout=30))
    assert (len(gone), alive) == (2, [])


async def test_a_signal_that_it_was_started_to_ignore_goes_on_being_ignored(cli: Cli) -> None:
    ignoring = ("env", "--ignore-signal=HUP", str(Path(sys.executable).with_name("acprelay")))
    command = await cli.start("serve", "--port", "0", program=ignoring)
    await command.until(b"Ctrl-C\n")
    command.process.send_signal(signal.SIGHUP)
    command.process.send_signal(signal.SIGTERM)
    # Two signals that are both noticed end it at once, with the second one's code.
    assert await command.ended() == (ExitCode.OK, b"", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_a_standard_stream_that_is_missing_is_done_without(cli: Cli, closed: str) -> None:
    program = str(Path(sys.executable).with_name("acprelay"))
    shell = ("sh", "-c", f'exec "$0" run hello {closed}', program)
    command = await cli.start(program=shell)
    code, output, errors = await command.ended()
    assert (code, errors) == (ExitCode.OK, "")
    assert output == (b"" if ">&-" in closed.split() else HELLO)


async def test_a_port_that_is_taken_is_a_configuration_error(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output, errors = await cli.run("serve", "--port", str(port))
    assert (code, output) == (ExitCode.USAGE, b"")
    assert errors.startswith(f"acprelay: cannot listen on 127.0.0.1:{port}: ")
    assert len(errors.splitlines()) == 2
    assert "choose another" in errors.splitlines()[1]


@pytest.mark.requirement("edges.open-bind-needs-a-token")
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--host", "0.0.0.0"], "cannot listen on '0.0.0.0'"),
        (["--port", "99999"], "cannot listen on port 99999"),
        (["--agent", "dmo"], "cannot find an agent named 'dmo'"),
        (["--config", "none.toml"], "cannot read the configuration 'none.toml'"),
        (["--agent", "a=x", "--agent", "a=y"], "cannot offer two agents named 'a'"),
    ],
)
async def test_options_that_cannot_be_used_are_configuration_errors(
    cli: Cli, argv: list[str], said: str
) -> None:
    code, output, errors = await cli.run("serve", *argv)
    assert (code, output) == (ExitCode.USAGE, b"")
    assert errors.startswith(f"acprelay: {said}")
    assert "\n  hint: " in errors
