"""The agents that a relay offers."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.agents.catalog import Catalog, parse_agent
from acprelay.agents.models import AgentSpec
from acprelay.errors import AgentError, ConfigError

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@pytest.mark.parametrize(
    ("option", "argv"),
    [
        ("a=claude-agent-acp", ("claude-agent-acp",)),
        ("a=npx -y 'my agent' --flag=1", ("npx", "-y", "my agent", "--flag=1")),
        ("a=echo $HOME ~ * | cat # no", ("echo", "$HOME", "~", "*", "|", "cat", "#", "no")),
        ("a=one\\ word", ("one word",)),
        ("a=  padded  ", ("padded",)),
    ],
)
def test_a_command_is_split_like_a_shells_words_without_a_shell(
    option: str, argv: tuple[str, ...]
) -> None:
    assert parse_agent(option) == AgentSpec(name="a", argv=argv)


@given(argv=st.lists(words, min_size=1).filter(lambda argv: argv[0] != ""))
def test_whatever_was_quoted_comes_out_as_it_was(argv: list[str]) -> None:
    assert parse_agent(f"a={shlex.join(argv)}").argv == tuple(argv)


def test_variables_to_pass_on_are_kept() -> None:
    assert parse_agent("a=x", pass_env=["KEY"]).pass_env == ("KEY",)


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("claude", "has no '='"),
        ("", "has no '='"),
        ("a=", "its command is empty"),
        ("a=   ", "its command is empty"),
        ("a=''", "its command is empty"),
        ("=x", "as an agent's name"),
        ("a b=x", "as an agent's name"),
        ("a='x", "no closing quotation"),
        ("a=x\\", "no escaped character"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused_with_a_hint(option: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        parse_agent(option)
    assert caught.value.hint


def test_a_catalog_keeps_its_order_and_the_first_is_the_default() -> None:
    second, first = AgentSpec(name="b", argv=("x",)), AgentSpec(name="a", argv=("y",))
    catalog = Catalog([second, first])
    assert catalog.names == ("b", "a")
    assert catalog.default is second
    assert catalog.lookup("a") is first


def test_two_agents_with_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two agents named 'a'"):
        Catalog([parse_agent("a=x"), parse_agent("a=y")])


def test_an_empty_catalog_is_refused() -> None:
    with pytest.raises(ConfigError, match="no agent at all"):
        Catalog([])


def test_looking_up_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(AgentError, match="cannot find an agent named 'c'") as caught:
        Catalog([parse_agent("b=x"), parse_agent("a=y")]).lookup("c")
    assert caught.value.hint == (
        "choose one of: b, a; to offer another one, name it with --agent or in the configuration "
        "when the relay is started"
    )
