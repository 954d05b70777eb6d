"""Configuration files: what is taken, and how everything else is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from acprelay.agents.choosing import AgentSettings
from acprelay.cli.config_file import (
    ConfigText,
    default_config_path,
    parse_config,
    read_config,
    survey_config,
)
from acprelay.cli.layers import Given, Layer
from acprelay.config import Limits
from acprelay.errors import ConfigError

FILE = Path("/etc/acprelay/config.toml")
PAGE = Path(__file__).parents[2] / "docs/configuration.md"
PREFIX = f"cannot use the configuration '{FILE}': "


def parse(text: str) -> ConfigText:
    return parse_config(text.encode(), path=FILE)


def said(config: ConfigText) -> dict[str, object]:
    return {place: given.value for place, given in config.values.items()}


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.fields == {"configuration": str(FILE)}
    return caught.value


def test_an_empty_file_says_nothing() -> None:
    assert parse("") == ConfigText(path=FILE)


def test_everything_that_can_be_written_is_taken() -> None:
    text = """
    default-agent = "mine"
    host = "::1"
    port = 9000
    state-dir = "state"
    policy = "/etc/policy.toml"

    [agents.claude]

    [agents.mine]
    command = ["my-agent", "--acp"]
    env = { MODE = "strict" }
    pass-env = ["MY_KEY"]
    prewarm = 1
    restarts = 3

    [limits]
    idle-s = 60
    start-s = 2.5
    queued-prompts = 3

    [services]
    fs = "client"
    """
    config = parse(text)
    assert said(config) == {
        "default-agent": "mine",
        "host": "::1",
        "port": 9000,
        "state-dir": FILE.parent / "state",
        "policy": Path("/etc/policy.toml"),
        "limits.idle-s": 60.0,
        "limits.start-s": 2.5,
        "limits.queued-prompts": 3,
        "services.fs": "client",
    }
    assert config.agents == {
        "claude": AgentSettings(),
        "mine": AgentSettings(
            command=("my-agent", "--acp"),
            env={"MODE": "strict"},
            pass_env=("MY_KEY",),
            prewarm=1,
            restarts=3,
        ),
    }
    assert said(parse("ephemeral = true")) == {"ephemeral": True}
    assert said(parse("ephemeral = false")) == {"ephemeral": False}
    assert config.values["port"] == Given(value=9000, layer=Layer.FILE, by=str(FILE))


@pytest.mark.requirement("configuration.every-limit-can-be-set")
@pytest.mark.parametrize("bound", dataclasses.fields(Limits), ids=lambda bound: bound.name)
def test_every_limit_can_be_set_by_its_name(bound: dataclasses.Field[object]) -> None:
    value = getattr(Limits(), bound.name) * 2
    key = bound.name.replace("_", "-")
    assert said(parse(f"[limits]\n{key} = {value}")) == {f"limits.{key}": value}


def test_a_path_may_begin_with_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert said(parse('state-dir = "~/state"'))["state-dir"] == Path("/home/ann/state")


@pytest.mark.requirement("configuration.errors-say-where")
@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        (
            'defaultagent = "a"',
            "the key 'defaultagent' is not known",
            "did you mean 'default-agent'?",
        ),
        (
            "[agents.claude]\nargs = []",
            "the key 'agents.claude.args' is not known",
            "choose one of command, env, pass-env, prewarm, restarts",
        ),
        (
            "[agents.claude]\npass_env = []",
            "the key 'agents.claude.pass_env' is not known",
            "did you mean 'pass-env'? choose one of command, env, pass-env, prewarm, restarts",
        ),
        (
            "[agents.claude]\ncommand = 'claude --acp'",
            "agents.claude.command is a string, not an array",
            'write ["one", "two"]',
        ),
        (
            "[agents.claude]\ncommand = ['claude', '--port', 5]",
            "agents.claude.command[2] is an integer, not a string",
            'write "text", in quotes',
        ),
        (
            "[agents.claude]\nenv = { A = true }",
            "agents.claude.env.A is a boolean, not a string",
            'write "text", in quotes',
        ),
        (
            "[agents.claude]\nprewarm = true",
            "agents.claude.prewarm is a boolean, not an integer",
            "write a number such as 3",
        ),
        (
            "[agents.claude]\nrestarts = 1.5",
            "agents.claude.restarts is a float, not an integer",
            "write a number such as 3",
        ),
        (
            "[agents.claude]\nrestarts = -1",
            "agents.claude is refused: cannot use -1 as restarts of agent 'claude'",
            "give 0 or a positive number",
        ),
        (
            "[agents.claude]\ncommand = []",
            "agents.claude is refused: cannot start agent 'claude': its command is empty",
            "give the program and its arguments, as in --agent NAME='PROGRAM ARGUMENT'",
        ),
        (
            "[agents.'a b']\ncommand = ['x']",
            "agents.a b is refused: cannot use 'a b' as an agent's name",
            "a name matches [A-Za-z0-9][A-Za-z0-9_-]{0,63}",
        ),
        (
            "agents = 'claude'",
            "agents is a string, not a table",
            "write a table with a header such as [agents]",
        ),
        (
            "[agents]\nclaude = 'claude --acp'",
            "agents.claude is a string, not a table",
            "write a table with a header such as [agents.claude]",
        ),
        (
            "default-agent = ''",
            "default-agent is empty",
            "write something, or leave it out",
        ),
        (
            "public-urls = ['https://a', 'x']",
            'public-urls is ["https://a", "x"]',
            "an address looks like https://relay.example.org",
        ),
        (
            "roots = ['/srv', '']",
            "roots[1] is empty",
            "write something, or leave it out",
        ),
        (
            "mcp-urls = ['']",
            "mcp-urls[0] is empty",
            "write something, or leave it out",
        ),
        (
            "port = '8137'",
            "port is a string, not an integer",
            "write a number such as 3",
        ),
        (
            "port = 2026-11-28",
            "port is a date or a time, not an integer",
            "write a number such as 3",
        ),
        (
            "ephemeral = 1",
            "ephemeral is an integer, not a boolean",
            "write true or false",
        ),
        (
            "ephemeral = true\nstate-dir = 'x'",
            "ephemeral is true, and state-dir names a directory",
            "leave one of them out",
        ),
        (
            "policy = '~nobody-here/x'",
            "policy is '~nobody-here/x', and nobody has such a home",
            "write the absolute path",
        ),
        (
            "[limits]\nidle_s = 5",
            "the key 'limits.idle_s' is not known",
            None,
        ),
        (
            "[limits]\nidle-s = 'long'",
            "limits.idle-s is a string, not a number",
            "write a number such as 3",
        ),
        (
            "[limits]\nidle-s = true",
            "limits.idle-s is a boolean, not a number",
            "write a number such as 3",
        ),
        (
            "[limits]\nidle-s = inf",
            "limits.idle-s is inf",
            "give a finite number",
        ),
        (
            "[limits]\nidle-s = -1",
            "limits.idle-s is -1.0",
            "give a positive number",
        ),
        (
            "[limits]\ndrain-s = -1",
            "limits.drain-s is -1.0",
            "give 0 or a positive number",
        ),
        (
            "[limits]\nqueued-prompts = 1.5",
            "limits.queued-prompts is a float, not an integer",
            "write a number such as 3",
        ),
        (
            "[services]\nfs = 'relais'",
            "services.fs is 'relais', which is not known",
            "did you mean 'relay'? choose one of off, relay, client",
        ),
        (
            "[services]\nterminal = true",
            "services.terminal is a boolean, not a string",
            'write "text", in quotes',
        ),
        (
            "[services]\nterminals = 'off'",
            "the key 'services.terminals' is not known",
            "did you mean 'terminal'? choose one of fs, terminal",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place_and_what_to_write(
    text: str, reason: str, hint: str | None
) -> None:
    error = refused(text)
    assert error.message == PREFIX + reason
    if hint is None:
        assert error.hint == "did you mean 'idle-s'?"
    else:
        assert error.hint == hint


@pytest.mark.requirement("configuration.all-errors-at-once")
def test_everything_that_is_wrong_is_said_at_once_each_with_its_place() -> None:
    error = refused(
        "prot = 1\nhost = 5\n[limits]\nidle-s = 0\nsession = 3\n"
        "[agents.a]\nprewarm = 'x'\n[agents.b]\nargs = []"
    )
    assert error.message.removeprefix(PREFIX).split("; ") == [
        "the key 'prot' is not known",
        "agents.a.prewarm is a string, not an integer",
        "the key 'agents.b.args' is not known",
        "host is an integer, not a string",
        "the key 'limits.session' is not known",
        "limits.idle-s is 0.0",
    ]
    assert "(1) did you mean 'port'?" in error.hint
    assert "(5) did you mean 'sessions'?" in error.hint
    assert error.hint.endswith("(6) give a positive number")


def test_everything_that_is_wrong_with_one_agent_is_said_at_once() -> None:
    problems = survey_config(
        b"[agents.mine]\ncommand = []\nenv = { 'A B' = '', 'ACPRELAY_X' = '' }\n"
        b"pass-env = ['C=D', 'E']\nprewarm = -1\nrestarts = -1\n"
        b"[agents.other]\ncommand = 'x'\nprewarm = 'y'\nrestarts = -1\n",
        path=FILE,
    )[1]
    refusal = "agents.mine is refused: cannot "
    assert [problem.reason.removeprefix(refusal) for problem in problems] == [
        "start agent 'mine': its command is empty",
        "give agent 'mine' the variable 'A B'",
        "give agent 'mine' the variable 'ACPRELAY_X': it is the relay's own",
        "give agent 'mine' the variable 'C=D'",
        "use -1 as prewarm of agent 'mine'",
        "use -1 as restarts of agent 'mine'",
        "agents.other.command is a string, not an array",
        "agents.other.prewarm is a string, not an integer",
        "agents.other is refused: cannot use -1 as restarts of agent 'other'",
    ]


def test_sections_that_are_no_tables_are_refused_together() -> None:
    error = refused("limits = 1\nservices = 'off'\nagents = []")
    for name in ("limits", "services", "agents"):
        assert f"{name} is a" in error.message


def test_what_is_no_toml_is_refused_with_the_line() -> None:
    error = refused("a = \n")
    assert error.message.startswith(f"cannot read the configuration '{FILE}': Invalid value")
    assert "line 1" in error.message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        read_config(tmp_path / "none.toml")
    assert caught.value.fields == {"configuration": str(tmp_path / "none.toml")}


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/home/ann"}, "/home/ann/.config/acprelay/config.toml"),
        ({"HOME": "/home/ann", "XDG_CONFIG_HOME": "/x"}, "/x/acprelay/config.toml"),
        ({"HOME": "/home/ann", "XDG_CONFIG_HOME": "x"}, "/home/ann/.config/acprelay/config.toml"),
        ({"HOME": "home"}, None),
        ({}, None),
    ],
)
def test_the_usual_place_is_the_one_of_the_xdg_specification(
    environment: dict[str, str], path: str | None
) -> None:
    assert default_config_path(environment) == (None if path is None else Path(path))


def test_the_page_shows_a_file_that_can_be_used_and_names_every_key() -> None:
    page = PAGE.read_text()
    for block in re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL):
        parse(block)
    for bound in dataclasses.fields(Limits):
        assert f"`{bound.name.replace('_', '-')}`" in page
