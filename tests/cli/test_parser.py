"""What can be typed, and what comes of it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from acprelay import __version__
from acprelay.cli.arguments.common import DEFAULT_DRAIN_S, DEFAULT_HOST, DEFAULT_PORT
from acprelay.cli.exits import EXIT_CODES, STOP_REASONS, ExitCode
from acprelay.cli.parser import build_parser
from acprelay.config import RelayConfig

COMMANDS = (
    "serve",
    "run",
    "sessions",
    "worktrees",
    "transcript",
    "permissions",
    "events",
    "connect",
    "invite",
    "join",
    "token",
    "login",
    "agents",
    "policy",
    "config",
    "doctor",
    "demo-agent",
)


def _help(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with patch.dict(os.environ, {"COLUMNS": "80"}), pytest.raises(SystemExit) as ended:
        build_parser().parse_args([*argv, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["serve"], {"host": None, "port": None, "agents": [], "config": None, "no_config": False}),
        (
            ["serve", "--host", "::1", "--port", "0", "--agent", "a=x y", "--agent", "b=z"],
            {"host": "::1", "port": 0, "agents": ["a=x y", "b=z"]},
        ),
        (["serve"], {"fs": None, "terminal": None}),
        (
            ["serve", "--fs", "client", "--terminal=off"],
            {"fs": "client", "terminal": "off"},
        ),
        (
            ["run", "hello there"],
            {"prompt": "hello there", "url": None, "agents": [], "cwd": None, "permission": "ask"},
        ),
        (
            ["run", "--url", "ws://h/acp", "--agent", "a", "--cwd", "d", "--permission=allow", "p"],
            {
                "prompt": "p",
                "url": "ws://h/acp",
                "agents": ["a"],
                "cwd": "d",
                "permission": "allow",
            },
        ),
        (["run", "--", "--help"], {"prompt": "--help"}),
        (
            ["connect"],
            {"url": None, "agent": None, "role": None, "session": None, "token_file": None},
        ),
        (
            ["connect", "--url", "u", "--agent", "a", "--role", "r", "--session", "s"],
            {"url": "u", "agent": "a", "role": "r", "session": "s"},
        ),
        (["agents"], {"agents_command": None, "all": False, "json": False, "config": None}),
        (["agents", "list", "--all"], {"agents_command": "list", "all": True, "json": False}),
        (["agents", "--all", "--no-config", "list"], {"all": True, "no_config": True}),
        (
            ["agents", "--config", "c", "probe", "claude", "--json"],
            {"agent": "claude", "config": "c", "json": True, "timeout": 60.0, "pass_env": []},
        ),
        (["agents", "probe", "a=x y", "--timeout", "2.5"], {"agent": "a=x y", "timeout": 2.5}),
        (["demo-agent"], {}),
        (
            ["invite", "--session", "s"],
            {"session": "s", "role": "main", "ttl": None, "json": False, "revoke": False},
        ),
        (
            ["join", "--session", "s", "--", "agent", "--acp", "--role"],
            {
                "session": "s",
                "role": "main",
                "agent_command": ["agent", "--acp", "--role"],
                "token_file": None,
                "wait": 60.0,
                "again": False,
                "pass_env": [],
            },
        ),
    ],
)
def test_arguments_are_taken_as_they_are_typed(
    argv: list[str], expected: dict[str, object]
) -> None:
    parsed = vars(build_parser().parse_args(argv))
    assert parsed == {**parsed, **expected, "command": argv[0]}


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "COMMAND"),
        (["unknown"], "unknown"),
        (["serve", "--port", "http"], "--port"),
        (["serve", "--drain", "-1"], "--drain: cannot wait -1 seconds"),
        (["serve", "--drain", "inf"], "--drain: cannot wait inf seconds"),
        (["serve", "--state-dir", ""], "--state-dir: it is empty"),
        (["serve", "--root="], "--root: it is empty"),
        (["serve", "--host", ""], "--host: it is empty"),
        (["run", "--url", "", "p"], "--url: it is empty"),
        (["serve", "--unknown"], "--unknown"),
        (["serve", "--por", "1"], "unrecognized arguments: --por"),
        (["serve", "--fs", "on"], "--fs"),
        (["serve", "--terminal", ""], "--terminal"),
        (["serve", "extra"], "extra"),
        (["run"], "PROMPT"),
        (["run", "two", "prompts"], "prompts"),
        (["run", "--permission", "maybe", "p"], "--permission"),
        (["demo-agent", "--port", "1"], "--port"),
        (["serve", "--config", "c", "--no-config"], "--no-config"),
        (["agents", "probe"], "NAME"),
        (["agents", "probe", "a", "--timeout", "soon"], "'soon' is no positive number"),
        (["agents", "probe", "a", "--timeout", "0"], "'0' is no positive number"),
        (["agents", "probe", "a", "--timeout", "inf"], "'inf' is no positive number"),
        (["invite"], "--session"),
        (["invite", "--session", "s", "--ttl", "day"], "--ttl"),
        (["join", "--session", "s"], "COMMAND"),
        (["join", "--", "agent"], "--session"),
        (["join", "--session", "s", "--wait", "-1", "--", "agent"], "cannot wait -1 seconds"),
        (["join", "--session", "s", "--wait", "nan", "--", "agent"], "cannot wait nan seconds"),
        (["join", "--session", "s", "--wait", "soon", "--", "agent"], "--wait"),
        (["sessions", "show", ""], "argument NAME: it is empty"),
        (["sessions", "stop", "task", ""], "argument NAME: it is empty"),
        (["sessions", "remove", ""], "argument NAME: it is empty"),
        (["transcript", ""], "argument SESSION: it is empty"),
        (["token", "revoke", ""], "argument ID: it is empty"),
        (["permissions", "answer", "", "y"], "argument ASK: it is empty"),
    ],
)
def test_what_cannot_be_parsed_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], argv: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(argv)
    assert ended.value.code == ExitCode.USAGE
    streams = capsys.readouterr()
    assert streams.out == ""
    assert complaint in streams.err


def _commands(
    parser: argparse.ArgumentParser, name: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each, child in action.choices.items():
                yield from _commands(child, (*name, each))


NEVER_EMPTY = ("DIR", "FILE", "WS_URL")


@pytest.mark.parametrize("name", [name for name, _ in _commands(build_parser())], ids=" ".join)
def test_a_path_or_an_address_that_is_empty_is_a_usage_error(name: tuple[str, ...]) -> None:
    parser = dict(_commands(build_parser()))[name]
    for action in parser._actions:
        if action.metavar in NEVER_EMPTY:
            with pytest.raises(argparse.ArgumentError, match="it is empty"):
                parser._get_value(action, "")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"acprelay {__version__}\n"


def test_the_defaults_are_those_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    config = RelayConfig()
    assert (config.host, config.port) == (DEFAULT_HOST, DEFAULT_PORT)
    assert config.limits.drain_s == DEFAULT_DRAIN_S
    assert config.services.fs == config.services.terminal == "relay"
    text = " ".join(_help(capsys, "serve").split())
    assert text.count("(default: relay)") == 2


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys)
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [(command,) for command in COMMANDS]
    + [("agents", "list"), ("agents", "probe"), ("config", "show"), ("config", "check")],
    ids=" ".join,
)
def test_the_help_of_a_command_fits_a_terminal_and_explains_every_option(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    text = _help(capsys, *command)
    assert max(len(line) for line in text.splitlines()) <= 80
    for option in re.findall(r"\[(--\w+)", text):
        assert re.search(rf"^  {option}.*\n?.*[a-z]{{3}}", text, flags=re.MULTILINE), option


@pytest.mark.parametrize("name", [name for name, _ in _commands(build_parser())], ids=" ".join)
def test_the_help_of_every_command_and_subcommand_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], name: tuple[str, ...]
) -> None:
    assert max(map(len, _help(capsys, *name).splitlines())) <= 80


@pytest.mark.parametrize(
    "name",
    [name for name, parser in _commands(build_parser()) if "--url" in parser.format_help()],
    ids=" ".join,
)
def test_every_command_that_talks_to_a_relay_tells_its_exit_codes(
    capsys: pytest.CaptureFixture[str], name: tuple[str, ...]
) -> None:
    codes = _help(capsys, *name).partition("exit codes:\n")[2]
    assert {0, 1, 2, 3} <= {int(code) for code in re.findall(r"^ +([0-9]+)  ", codes, re.MULTILINE)}


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        (("agents", "probe"), {"129  SIGHUP", "130  Ctrl-C", "143  SIGTERM"}),
        (("doctor",), {"129  SIGHUP", "130  Ctrl-C", "143  SIGTERM"}),
        (("worktrees",), {"129  SIGHUP", "130  Ctrl-C", "143  SIGTERM"}),
        (("connect",), {"SIGTERM or SIGHUP came", "130  Ctrl-C"}),
        (("join",), {"SIGTERM or SIGHUP came", "130  Ctrl-C"}),
        (("events",), {"0  SIGTERM or SIGHUP came", "130  Ctrl-C"}),
    ],
)
def test_commands_that_a_signal_ends_in_good_order_tell_with_which_code(
    capsys: pytest.CaptureFixture[str], name: tuple[str, ...], codes: set[str]
) -> None:
    text = _help(capsys, *name).partition("exit codes:\n")[2]
    assert all(code in text for code in codes)


def test_the_help_of_run_documents_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, "run")
    for code in ExitCode:
        assert f"{code.value:>3}  {EXIT_CODES[code]}" in text


def test_every_stop_reason_has_an_exit_code_of_its_own() -> None:
    assert len(set(STOP_REASONS.values())) == len(STOP_REASONS)
    assert {code for code in STOP_REASONS.values() if code == ExitCode.OK} == {
        STOP_REASONS["end_turn"]
    }
