"""`acprelay agents`: what it lists, and what it says of an agent that it starts."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from acprelay import __version__
from acprelay.agents.well_known import WELL_KNOWN
from acprelay.cli.exits import ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Command

pytestmark = pytest.mark.process

HELLO = b"You wrote 1 word: hello\nSend /help for what else I can do.\n"
DEMO = f"exec {shlex.quote(sys.executable)} -m acprelay.testing.demo_agent"
MISBEHAVING = f"{sys.executable} -m acprelay.testing.misbehaving_agent"
ANSWER: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": 1}}
EACH_KEY = {name: "" for agent in WELL_KNOWN for name in agent.variables}


class Machine:
    """A machine on which nothing is installed but what the test writes."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._programs = cli.cwd / "programs"
        self._programs.mkdir()
        self._config = cli.cwd / "config/acprelay/config.toml"

    def install(self, name: str, body: str = "exit 0") -> None:
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def configure(self, text: str) -> None:
        self._config.parent.mkdir(parents=True)
        self._config.write_text(text)

    async def start(self, *argv: str, **environment: str) -> Command:
        variables = {**EACH_KEY, "PATH": str(self._programs), **environment}
        return await self._cli.start(*argv, **variables)  # type: ignore[arg-type]  # all are strings

    async def agents(self, *argv: str, **environment: str) -> tuple[int, str, str]:
        return await self.types("agents", *argv, **environment)

    async def types(self, *argv: str, **environment: str) -> tuple[int, str, str]:
        command = await self.start(*argv, **environment)
        code, output, errors = await command.ended()
        return code, output.decode(), errors


@pytest.fixture
def machine(cli: Cli) -> Machine:
    return Machine(cli)


def words(report: str) -> list[list[str]]:
    return [line.split() for line in report.splitlines()]


def told(report: str) -> dict[str, str]:
    """What a probe says, by its label, each in one line."""
    entries: dict[str, str] = {}
    for line in report.splitlines()[1:]:
        label = line[:16].strip()
        entries[label or list(entries)[-1]] = (
            line[16:] if label else f"{list(entries.values())[-1]} {line[16:]}"
        )
    return entries


def gone(process: int) -> bool:
    return not psutil.pid_exists(process)


# --- the list


async def test_where_nothing_is_installed_the_demo_agent_is_listed(machine: Machine) -> None:
    code, output, errors = await machine.agents()
    assert (code, errors) == (ExitCode.OK, "")
    header, demo, blank, *remarks = output.splitlines()
    assert header.split() == ["NAME", "STATUS", "COMMAND", "NOTE"]
    assert demo.split()[:2] == ["demo", "ready"]
    assert blank == ""
    assert remarks == [
        "acprelay serve offers demo, and what --agent NAME and the configuration name.",
        f"acprelay agents --all lists {len(WELL_KNOWN)} more, which are missing here.",
        "acprelay agents probe NAME starts one, or says how to get it.",
    ]


@pytest.mark.parametrize("argv", [["--all"], ["list", "--all"], ["--all", "list"]])
@pytest.mark.requirement("catalog.says-what-is-missing")
async def test_all_agents_are_listed_in_100_columns(machine: Machine, argv: list[str]) -> None:
    code, output, _errors = await machine.agents(*argv)
    assert code == ExitCode.OK
    rows = output[: output.index("\n\n")].splitlines()
    assert [row.split()[0] for row in rows] == ["NAME", "demo", *(a.name for a in WELL_KNOWN)]
    assert {row.split()[1] for row in rows[2:]} == {"missing"}
    assert max(map(len, rows)) <= 100
    assert all(" no " in row for row in rows[2:])


async def test_what_can_be_started_is_listed_with_how_and_what_is_ready_comes_first(
    machine: Machine,
) -> None:
    machine.install("npx")
    machine.install("opencode")
    code, output, _errors = await machine.agents(OPENAI_API_KEY="x")
    assert code == ExitCode.OK
    rows = words(output)
    assert rows[2] == ["opencode", "ready", "opencode", "acp"]
    runnable = [row[0] for row in rows if row[1:2] == ["runnable"]]
    assert runnable == sorted(
        agent.name
        for agent in WELL_KNOWN
        if agent.runner[:1] == ("npx",) and not agent.needs and agent.name != "opencode"
    )
    gemini = next(row for row in rows if row[:1] == ["gemini"])
    command = ["npx", "--yes", "@google/gemini-cli", "--acp"]
    assert gemini == ["gemini", "runnable", *command, "no", "key", "is", "set"]


@pytest.mark.requirement("configuration.adjusts-and-replaces-agents")
async def test_configured_agents_come_first_and_the_default_one_before_all(
    machine: Machine,
) -> None:
    machine.install("mine")
    machine.configure(
        'default-agent = "goose"\n[agents.mine]\ncommand = ["mine", "--acp"]\n'
        '[agents.lost]\ncommand = ["/no/such/agent"]\n'
    )
    code, output, _errors = await machine.agents()
    assert code == ExitCode.OK
    assert words(output)[1:4] == [
        ["goose", "missing", "goose", "acp", "no", "goose"],
        ["mine", "ready", "mine", "--acp"],
        ["lost", "missing", "/no/such/agent", "no", "/no/such/agent"],
    ]
    assert words(output)[4][0] == "demo"
    assert "acprelay serve offers goose, mine, lost, and what" in output
    code, output, _errors = await machine.agents("--no-config")
    assert words(output)[1][0] == "demo"


async def test_what_is_configured_for_an_agent_counts_where_it_is_looked_for(
    machine: Machine, cli: Cli
) -> None:
    machine.install("gemini")
    machine.install("mine")
    path = json.dumps(str(cli.cwd / "programs"))
    machine.configure(
        f'[agents.mine]\ncommand = ["mine"]\nenv = {{ PATH = {path} }}\n'
        f'[agents.gemini]\nenv = {{ PATH = {path}, GEMINI_API_KEY = "k" }}\n'
    )
    code, output, errors = await machine.agents(PATH="/nowhere")
    assert (code, errors) == (ExitCode.OK, "")
    assert words(output)[1:3] == [["mine", "ready", "mine"], ["gemini", "ready", "gemini", "--acp"]]


async def test_programs_get_one_object_a_line(machine: Machine) -> None:
    machine.install("gemini")
    machine.configure('[agents.mine]\ncommand = ["mine"]\n')
    code, output, errors = await machine.agents("--json")
    assert (code, errors) == (ExitCode.OK, "")
    mine, demo, gemini = map(json.loads, output.splitlines())
    assert mine == {
        "name": "mine",
        "title": None,
        "source": "configuration",
        "status": "missing",
        "offered": True,
        "default": True,
        "command": ["mine"],
        "missing": ["mine"],
        "unset": [],
        "howToGet": None,
        "howToLogIn": None,
        "page": None,
    }
    assert (demo["name"], demo["source"], demo["offered"]) == ("demo", "acprelay", False)
    assert gemini == {
        "name": "gemini",
        "title": "Gemini CLI",
        "source": "well-known",
        "status": "ready",
        "offered": False,
        "default": False,
        "command": ["gemini", "--acp"],
        "missing": [],
        "unset": ["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        "howToGet": "npm install -g @google/gemini-cli; see https://geminicli.com",
        "howToLogIn": "log in with gemini, or set GEMINI_API_KEY or GOOGLE_API_KEY",
        "page": "https://geminicli.com",
    }


async def test_a_configuration_that_names_nobody_is_an_error(machine: Machine) -> None:
    machine.configure("[agents.gemimi]\nprewarm = 1\n")
    code, output, errors = await machine.agents()
    assert (code, output) == (ExitCode.USAGE, "")
    assert errors.startswith("acprelay: cannot find an agent named 'gemimi'\n")
    assert "did you mean 'gemini'? " in errors
    code, _output, errors = await machine.agents("--all", "--no-config")  # as the hint says
    assert (code, errors) == (ExitCode.OK, "")


# --- trying one out


@pytest.mark.requirement("catalog.probe-tells-what-an-agent-says")
async def test_probing_the_demo_agent_says_what_it_is_and_can(machine: Machine) -> None:
    code, output, errors = await machine.agents("probe", "demo")
    assert (code, errors) == (ExitCode.OK, "")
    assert output.startswith("demo answers\n")
    said = told(output)
    assert said.pop("start-up").endswith(" ms until its answer")
    assert said == {
        "command": f"{sys.executable} -m acprelay.testing.demo_agent",
        "protocol": "ACP version 1",
        "agent": f"acprelay demo agent acprelay-demo {__version__}",
        "capabilities": "loadSession, sessionCapabilities.close, sessionCapabilities.resume",
        "auth methods": "none",
    }


@pytest.mark.requirement("catalog.probe-leaves-nothing")
async def test_probing_a_well_known_agent_passes_its_variables_and_leaves_no_process(
    machine: Machine, cli: Cli
) -> None:
    machine.install("gemini", f'echo "$$ $* $GEMINI_API_KEY $SECRET" > {cli.cwd}/seen\n{DEMO}')
    code, output, errors = await machine.agents("probe", "gemini", GEMINI_API_KEY="k", SECRET="s")
    assert (code, errors) == (ExitCode.OK, "")
    assert "log in" not in output
    process, *seen = (cli.cwd / "seen").read_text().split()
    assert seen == ["--acp", "k"]
    assert gone(int(process))
    code, output, _errors = await machine.agents(
        "probe", "gemini", "--pass-env", "SECRET", SECRET="s"
    )
    assert code == ExitCode.OK
    assert (cli.cwd / "seen").read_text().split()[1:] == ["--acp", "s"]
    lines = " ".join(output.split())
    assert lines.endswith(
        "login if it does not know you: log in with gemini, or set GEMINI_API_KEY or GOOGLE_API_KEY"
    )


async def test_programs_get_the_answer_itself(machine: Machine) -> None:
    code, output, errors = await machine.agents("probe", "--json", "demo")
    assert (code, errors) == (ExitCode.OK, "")
    probed = json.loads(output)
    assert probed["name"] == "demo"
    assert probed["command"] == [sys.executable, "-m", "acprelay.testing.demo_agent"]
    assert isinstance(probed["startMs"], int)
    assert probed["initialize"]["protocolVersion"] == 1
    assert probed["stderr"] == ""


async def test_an_agent_that_says_little_is_described_as_far_as_it_goes(machine: Machine) -> None:
    say = shlex.quote(f"say={json.dumps(ANSWER)}")
    code, output, _errors = await machine.agents("probe", f"a={MISBEHAVING} {say} until-eof")
    assert code == ExitCode.OK
    said = told(output)
    assert (said["protocol"], said["agent"]) == ("ACP version 1", "does not say who it is")
    assert (said["capabilities"], said["auth methods"]) == ("none", "none")


async def test_capabilities_that_are_nested_deeply_are_shown_to_a_depth(machine: Machine) -> None:
    nested = '{"x":' * 500 + "1" + "}" * 500
    answer = json.dumps({**ANSWER, "result": {"protocolVersion": 1, "agentCapabilities": "…"}})
    say = shlex.quote("say=" + answer.replace(json.dumps("…"), nested))
    code, output, _errors = await machine.agents("probe", f"a={MISBEHAVING} {say} until-eof")
    assert code == ExitCode.OK
    assert told(output)["capabilities"] == "x.x.x.x.x.x.x.x"


async def test_an_agent_that_says_strange_things_is_described_all_the_same(
    machine: Machine,
) -> None:
    result = {
        "protocolVersion": 1,
        "agentInfo": {"name": "", "version": 7},
        "agentCapabilities": {
            "loadSession": False,
            "mcpCapabilities": {"http": True, "_meta": {"x": True}},
            "auth": {},
            "list": [1],
        },
        "authMethods": [{"id": "key", "name": "Use a key"}, {"id": "plain"}, "odd"],
    }
    say = shlex.quote(f"say={json.dumps({**ANSWER, 'result': result})}")
    code, output, _errors = await machine.agents("probe", f"a={MISBEHAVING} {say} until-eof")
    assert code == ExitCode.OK
    said = told(output)
    assert said["agent"] == "7"
    assert said["capabilities"] == "mcpCapabilities.http, auth, list"
    assert said["auth methods"] == "key (Use a key); plain; odd"


@pytest.mark.requirement("catalog.probe-says-why-not")
@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            "complain='no key' exit=3",
            "acprelay: cannot reach agent 'a': it ended with exit status 3\n"
            "  hint: see its last words\n"
            "  | no key\n",
        ),
        (
            "complain=slow ignore-term child=own-session linger",
            "acprelay: cannot get an answer to initialize from agent 'a' within 5 s\n"
            "  hint: check that the agent's command speaks ACP on its standard input and output, "
            "or give it more time with --timeout\n"
            "  | slow\n",
        ),
        (
            f"complain=old {shlex.quote('say=' + json.dumps(ANSWER | {'result': 5}))} until-eof",
            "acprelay: cannot use agent 'a': it answered initialize with a malformed result "
            "(Expected `object`, got `int`)\n"
            "  hint: run the agent's command by hand to see what it lacks\n"
            "  | old\n",
        ),
    ],
)
async def test_an_agent_that_does_not_answer_is_told_with_its_last_words_and_is_gone(
    machine: Machine, cli: Cli, steps: str, said: str
) -> None:
    machine.install("agent", f"exec {MISBEHAVING} hold={cli.cwd}/held {steps}")
    timeout = "5" if "linger" in steps else "60"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(cli.cwd / "held"))
        listener.listen()
        code, output, errors = await machine.agents("probe", "a=agent", "--timeout", timeout)
        assert (code, output) == (ExitCode.ERROR, "")
        assert errors == said
        held, _ = listener.accept()
        with held:
            held.settimeout(0)
            assert held.recv(1) == b""  # the end: nobody holds it any more


async def test_a_well_known_agent_that_fails_is_told_how_to_log_in(machine: Machine) -> None:
    machine.install("gemini", "echo 'who are you?' >&2; exit 41")
    code, _output, errors = await machine.agents("probe", "gemini")
    assert code == ExitCode.ERROR
    assert errors == (
        "acprelay: cannot reach agent 'gemini': it ended with exit status 41\n"
        "  hint: see its last words; if it does not know you: log in with gemini, or set "
        "GEMINI_API_KEY or GOOGLE_API_KEY\n"
        "  | who are you?\n"
    )


@pytest.mark.requirement("catalog.probe-says-why-not")
async def test_probing_what_is_missing_says_how_to_get_it(machine: Machine) -> None:
    code, output, errors = await machine.agents("probe", "gemini")
    assert (code, output) == (ExitCode.ERROR, "")
    assert errors == (
        "acprelay: cannot start agent 'gemini': there is no gemini or npx on PATH\n"
        "  hint: to get it: npm install -g @google/gemini-cli; see https://geminicli.com\n"
    )
    code, output, errors = await machine.agents("probe", "gemini", "--json")
    assert (code, errors) == (ExitCode.ERROR, "")
    assert json.loads(output) == {
        "name": "gemini",
        "command": ["gemini", "--acp"],
        "error": {
            "message": "cannot start agent 'gemini': there is no gemini or npx on PATH",
            "code": "spawn_failed",
            "retryable": True,
            "hint": "to get it: npm install -g @google/gemini-cli; see https://geminicli.com",
        },
    }


async def test_probing_a_command_that_is_missing_says_so(machine: Machine) -> None:
    machine.configure('[agents.mine]\ncommand = ["mine"]\n')
    code, _output, errors = await machine.agents("probe", "mine")
    assert code == ExitCode.ERROR
    assert errors == (
        "acprelay: cannot start agent 'mine': there is no program 'mine' on PATH\n"
        "  hint: install it, or give its full path\n"
    )


async def test_probing_what_nobody_knows_suggests_the_nearest(machine: Machine) -> None:
    code, output, errors = await machine.agents("probe", "claude-acp")
    assert (code, output) == (ExitCode.USAGE, "")
    assert errors.startswith(
        "acprelay: cannot find an agent named 'claude-acp'\n  hint: did you mean 'claude'? "
    )


@pytest.mark.requirement("catalog.probe-leaves-nothing")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_probe_and_the_agent(
    machine: Machine, cli: Cli, number: signal.Signals
) -> None:
    fifo = cli.cwd / "process"
    os.mkfifo(fifo)
    machine.install("agent", f"echo $$ > {fifo}\nexec {MISBEHAVING} linger")
    command = await machine.start("agents", "probe", "a=agent")
    process = int(await asyncio.get_running_loop().run_in_executor(None, fifo.read_text))
    assert not gone(process)
    command.process.send_signal(number)
    assert await command.ended() == (128 + number, b"", "")
    assert gone(process)


def test_what_an_agent_says_moves_no_cursor_on_a_terminal(tmp_path: Path) -> None:
    result = {"protocolVersion": 1, "agentInfo": {"name": "\x1b[2Jevil", "version": "\x07"}}
    say = shlex.quote(f"say={json.dumps({**ANSWER, 'result': result})}")
    keyboard, line = os.openpty()
    program = str(Path(sys.executable).with_name("acprelay"))
    argv = [program, "agents", "probe", "--no-config", f"a={MISBEHAVING} {say} until-eof"]
    done = subprocess.run(
        argv, stdin=line, stdout=line, stderr=line, cwd=tmp_path, timeout=60, check=False
    )
    os.close(line)
    screen = os.read(keyboard, 1 << 16)
    os.close(keyboard)
    assert done.returncode == ExitCode.OK
    assert b"\x1b" not in screen
    assert b"\x07" not in screen
    assert b"^[[2Jevil ^G" in screen


# --- a relay that is told names alone


@pytest.mark.requirement("catalog.a-name-is-enough")
async def test_a_relay_of_its_own_uses_an_agent_by_its_name(machine: Machine) -> None:
    machine.install("goose", DEMO)
    code, output, errors = await machine.types("run", "--agent", "goose", "hello")
    assert (code, output.encode(), errors) == (ExitCode.OK, HELLO, "")


async def test_a_relay_of_its_own_uses_the_default_agent_of_the_configuration(
    machine: Machine,
) -> None:
    machine.install("mine", DEMO)
    machine.configure('[agents.broken]\ncommand = ["false"]\n[agents.mine]\ncommand = ["mine"]\n')
    code, output, errors = await machine.types("run", "--agent", "mine", "hello")
    assert (code, output.encode(), errors) == (ExitCode.OK, HELLO, "")
    code, _output, errors = await machine.types("run", "hello")
    assert code == ExitCode.ERROR
    assert "there is no program 'false' on PATH" in errors


async def test_an_agent_that_is_missing_keeps_the_relay_from_starting(machine: Machine) -> None:
    for argv in (["run", "--agent", "gemini", "hello"], ["serve", "--agent", "gemini"]):
        code, output, errors = await machine.types(*argv)
        assert (code, output) == (ExitCode.USAGE, "")
        assert "to get it: npm install -g @google/gemini-cli" in errors


async def test_a_running_relay_takes_no_configuration(machine: Machine) -> None:
    code, _output, errors = await machine.types(
        "run", "--url", "ws://127.0.0.1:1/acp", "--config", "c.toml", "hello"
    )
    assert code == ExitCode.USAGE
    assert errors == (
        "acprelay: cannot give a running relay the configuration 'c.toml'\n"
        "  hint: give it to acprelay serve\n"
    )


@pytest.mark.requirement("catalog.only-named-agents-are-offered")
async def test_a_relay_says_its_configuration_and_offers_what_is_named_alone(
    machine: Machine, cli: Cli
) -> None:
    machine.install("goose", DEMO)
    machine.install("gemini", DEMO)
    machine.configure('port = 0\n[agents.goose]\nenv = { GOOSE_MODE = "chat" }\n')
    command = await machine.start("serve", "--no-auth")
    url = (await command.line()).decode().split()[-1]
    said = [(await command.line()).decode() for _ in range(4)]
    assert said[0] == "  agents:     goose\n"
    assert said[2] == f"  configured: {cli.cwd}/config/acprelay/config.toml\n"
    assert (await command.line()).decode() == f'  try it:     acprelay run --url {url} "hello"\n'
    ended = await machine.types("run", "--url", url, "--agent", "goose", "hello")
    assert ended == (ExitCode.OK, HELLO.decode(), "")
    code, _output, errors = await machine.types("run", "--url", url, "--agent", "gemini", "hello")
    assert code == ExitCode.ERROR
    assert "choose one of goose, joined; to offer another one, name it with --agent" in errors
    command.process.send_signal(signal.SIGTERM)
    assert (await command.ended())[0] == ExitCode.OK
