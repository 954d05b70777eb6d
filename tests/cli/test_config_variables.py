"""Settings in environment variables: what is taken, and how everything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from acprelay.cli.config_variables import read_variables
from acprelay.cli.layers import Given, Layer
from acprelay.cli.setting import Setting
from acprelay.cli.settings import OTHER_VARIABLES, SETTINGS
from acprelay.errors import ConfigError


def said(**variables: str) -> dict[str, object]:
    return {place: given.value for place, given in read_variables(variables).items()}


@pytest.mark.parametrize(
    ("variable", "text", "place", "value"),
    [
        ("ACPRELAY_PORT", "9000", "port", 9000),
        ("ACPRELAY_DEFAULT_AGENT", "claude", "default-agent", "claude"),
        ("ACPRELAY_STATE_DIR", "/s", "state-dir", Path("/s")),
        ("ACPRELAY_STATE_DIR", "~/s", "state-dir", Path("/home/ann/s")),
        ("ACPRELAY_EPHEMERAL", "true", "ephemeral", True),
        ("ACPRELAY_EPHEMERAL", "FALSE", "ephemeral", False),
        ("ACPRELAY_LIMITS_IDLE_S", "2.5", "limits.idle-s", 2.5),
        ("ACPRELAY_LIMITS_QUEUED_PROMPTS", "3", "limits.queued-prompts", 3),
        ("ACPRELAY_SERVICES_FS", "off", "services.fs", "off"),
        ("ACPRELAY_ROOTS", "/srv:~/w", "roots", (Path("/srv"), Path("/home/ann/w"))),
        ("ACPRELAY_MCP_COMMANDS", "a, b", "mcp-commands", ("a", "b")),
    ],
)
def test_a_variable_stands_for_the_setting_of_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, place: str, value: object
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert read_variables({variable: text}) == {
        place: Given(value=value, layer=Layer.VARIABLE, by=variable)
    }


def test_a_relative_path_is_relative_to_the_working_directory() -> None:
    assert said(ACPRELAY_POLICY="p.toml") == {"policy": Path.cwd() / "p.toml"}


def test_what_is_empty_or_somebody_elses_says_nothing() -> None:
    assert said(ACPRELAY_PORT="", PORT="1", ACPRELAYPORT="1", acprelay_port="1") == {}


@pytest.mark.parametrize("variable", OTHER_VARIABLES)
def test_the_relays_other_variables_pass(variable: str) -> None:
    assert said(**{variable: "x"}) == {}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.place)
def test_every_setting_has_a_variable_of_its_own(setting: Setting) -> None:
    assert [each.place for each in SETTINGS if each.variable == setting.variable] == [setting.place]
    assert setting.variable not in OTHER_VARIABLES


@pytest.mark.requirement("configuration.unknown-variables-are-refused")
@pytest.mark.parametrize(
    ("variable", "text", "reason", "hint"),
    [
        (
            *("ACPRELAY_PROT", "1"),
            "the variable 'ACPRELAY_PROT' is not known",
            "did you mean ACPRELAY_PORT? ",
        ),
        (
            *("ACPRELAY_IDLE_S", "1"),
            "the variable 'ACPRELAY_IDLE_S' is not known",
            "did you mean ACPRELAY_LIMITS_IDLE_S? ",
        ),
        (
            *("ACPRELAY_" + "X" * 500, "1"),
            "the variable 'ACPRELAY_",
            "unset it; acprelay config show",
        ),
        ("ACPRELAY_PORT", "http", "ACPRELAY_PORT is 'http'", "write a whole number such as 3"),
        ("ACPRELAY_PORT", "1.5", "ACPRELAY_PORT is '1.5'", "write a whole number such as 3"),
        ("ACPRELAY_PORT", "70000", "ACPRELAY_PORT is '70000'", "a port is a number from 0"),
        ("ACPRELAY_LIMITS_IDLE_S", "nan", "_IDLE_S is 'nan'", "write a number such as 3"),
        ("ACPRELAY_LIMITS_IDLE_S", "-1", "_IDLE_S is '-1'", "give a positive number"),
        ("ACPRELAY_EPHEMERAL", "1", "ACPRELAY_EPHEMERAL is '1'", "write true or false"),
        ("ACPRELAY_SERVICES_FS", "relais", "_FS is 'relais'", "did you mean 'relay'?"),
        ("ACPRELAY_ROOTS", ":", "ACPRELAY_ROOTS is ':'", "write something on both sides of ':'"),
        ("ACPRELAY_ROOTS", "/srv::/tmp", "_ROOTS is '/srv::/tmp'", "both sides of ':'"),
        ("ACPRELAY_MCP_URLS", "https://a,", "_URLS is 'https://a,'", "both sides of ','"),
        ("ACPRELAY_MCP_COMMANDS", " , ", "_COMMANDS is ' , '", "both sides of ','"),
        ("ACPRELAY_POLICY", "~nobody-here/x", "_POLICY is '~nobody-here/x'", "write the absolute"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name_and_what_to_write(
    variable: str, text: str, reason: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        said(**{variable: text})
    assert caught.value.message.startswith("cannot use the environment: ")
    assert reason in caught.value.message
    assert hint in caught.value.hint


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        said(
            ACPRELAY_PORT="x", ACPRELAY_HOTS="y", ACPRELAY_EPHEMERAL="true", ACPRELAY_STATE_DIR="/"
        )
    assert caught.value.message == (
        "cannot use the environment: the variable 'ACPRELAY_HOTS' is not known; "
        "ACPRELAY_PORT is 'x'; ACPRELAY_EPHEMERAL is true, and ACPRELAY_STATE_DIR names a directory"
    )
    assert "(3) unset one of them" in caught.value.hint
