"""What the catalog's entries must be, and how an exit reads."""

from __future__ import annotations

import pytest

from acprelay.agents.models import AgentExit, AgentSpec
from acprelay.errors import ConfigError


@pytest.mark.parametrize("name", ["claude", "a", "0", "A-b_c", "x" * 64])
def test_a_name_that_matches_the_pattern_is_taken(name: str) -> None:
    assert AgentSpec(name=name, argv=("x",)).name == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "é", "x" * 65, "a\n"])
def test_a_name_that_does_not_match_the_pattern_is_refused_with_the_pattern(name: str) -> None:
    with pytest.raises(ConfigError, match="as an agent's name") as caught:
        AgentSpec(name=name, argv=("x",))
    assert "[A-Za-z0-9]" in caught.value.hint


@pytest.mark.parametrize("name", ["none", "joined"])
def test_a_name_that_stands_for_something_else_in_an_address_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="it stands for something else"):
        AgentSpec(name=name, argv=("x",))


@pytest.mark.parametrize("argv", [(), ("",), ("", "argument")])
def test_an_empty_command_is_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="its command is empty"):
        AgentSpec(name="a", argv=argv)


def test_an_empty_argument_is_taken() -> None:
    assert AgentSpec(name="a", argv=("x", "")).argv == ("x", "")


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
def test_text_that_no_program_can_be_passed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be passed on"):
        AgentSpec(name="a", argv=("x", text))
    with pytest.raises(ConfigError, match="cannot be passed on"):
        AgentSpec(name="a", argv=("x",), env={"A": text})


@pytest.mark.parametrize("variable", ["", "A=B", "1A", "A B", "A\0"])
def test_a_variable_must_have_a_variables_name(variable: str) -> None:
    with pytest.raises(ConfigError, match="the variable"):
        AgentSpec(name="a", argv=("x",), env={variable: "1"})
    with pytest.raises(ConfigError, match="the variable"):
        AgentSpec(name="a", argv=("x",), pass_env=(variable,))


@pytest.mark.parametrize("variable", ["ACPRELAY_RUN", "ACPRELAY_TOKEN"])
def test_the_relays_own_variables_cannot_be_given_to_an_agent(variable: str) -> None:
    with pytest.raises(ConfigError, match="the relay's own"):
        AgentSpec(name="a", argv=("x",), env={variable: "1"})
    with pytest.raises(ConfigError, match="the relay's own"):
        AgentSpec(name="a", argv=("x",), pass_env=(variable,))


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-9, "signal SIGKILL"),
        (-15, "signal SIGTERM"),
        (-40, "signal 40"),
    ],
)
def test_an_exit_is_described_in_words(returncode: int, words: str) -> None:
    assert AgentExit.from_returncode(returncode).describe() == words


def test_an_exit_has_a_status_or_a_signal() -> None:
    assert AgentExit.from_returncode(3) == AgentExit(returncode=3)
    assert AgentExit.from_returncode(-9) == AgentExit(signal=9)
