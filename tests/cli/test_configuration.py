"""What options and the configuration file make together."""

from __future__ import annotations

from pathlib import Path

import pytest

from acprelay.cli.configuration import Configured, embedded, find_config, serving
from acprelay.cli.layers import Given, Layer
from acprelay.cli.parser import build_parser
from acprelay.config import DEFAULT_PORT, RelayConfig
from acprelay.errors import ConfigError
from acprelay.routing.service_modes import ServiceMode, Services

TEXT = """
default-agent = "second"
host = "::1"
port = 9000
state-dir = "kept"
policy = "policy.toml"

[agents.first]
command = ["first"]

[agents.second]
command = ["second"]
pass-env = ["A"]

[limits]
idle-s = 60

[services]
fs = "client"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with a configuration in the usual place."""
    folder = tmp_path / ".config/acprelay"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(TEXT)
    (folder / "policy.toml").write_text('default = "reject"\n')
    return tmp_path


def served(home: Path, *options: str) -> RelayConfig:
    arguments = build_parser().parse_args(["serve", *options])
    environ = {"HOME": str(home), "PATH": "/nowhere"}
    return serving(arguments, find_config(arguments, environ), environ)


def test_the_file_in_the_usual_place_is_used(home: Path) -> None:
    config = served(home)
    assert (config.host, config.port) == ("::1", 9000)
    assert config.state_dir == home / ".config/acprelay/kept"
    assert [spec.name for spec in config.agents] == ["second", "first"]
    assert config.limits.idle_s == 60
    assert config.services.fs is ServiceMode.CLIENT
    assert config.policy.default == "reject"


@pytest.mark.requirement("configuration.options-win")
def test_every_option_wins_over_the_file(home: Path) -> None:
    (home / "other.toml").write_text('default = "allow"\n')
    config = served(
        home,
        *("--host", "127.0.0.1", "--port", "0", "--state-dir", "/other"),
        *("--policy", str(home / "other.toml"), "--agent", "first=typed", "--pass-env", "B"),
        *("--fs", "off", "--worktree-dir", "/trees"),
    )
    assert config.services == Services(fs=ServiceMode.OFF, terminal=ServiceMode.RELAY)
    assert config.worktree_dir == Path("/trees")
    assert (config.host, config.port, config.state_dir) == ("127.0.0.1", 0, Path("/other"))
    assert config.policy.default == "allow"
    assert [(spec.name, spec.argv, spec.pass_env) for spec in config.agents] == [
        ("first", ("typed",), ("B",)),
        ("second", ("second",), ("A", "B")),
    ]


def test_the_demo_agent_gets_the_variables_that_are_named_where_no_agent_is(tmp_path: Path) -> None:
    [demo] = served(tmp_path, "--pass-env", "A").agents
    assert (demo.name, demo.pass_env) == ("demo", ("A",))


@pytest.mark.parametrize("variable", ["A=B", "", "ACPRELAY_TOKEN"])
def test_a_variable_that_cannot_be_passed_is_refused_whether_or_not_an_agent_is_named(
    tmp_path: Path, variable: str
) -> None:
    for named in ([], ["--agent", "demo"]):
        with pytest.raises(ConfigError, match="cannot give agent 'demo' the variable"):
            served(tmp_path, *named, "--pass-env", variable)


@pytest.mark.requirement("configuration.options-win")
def test_options_about_what_is_stored_win_over_the_file_both_ways(home: Path) -> None:
    assert served(home, "--ephemeral").state_dir is None
    (home / ".config/acprelay/config.toml").write_text("ephemeral = true\n")
    assert served(home).state_dir is None
    assert served(home, "--state-dir", "/kept").state_dir == Path("/kept")


def test_no_configuration_leaves_the_defaults(home: Path) -> None:
    config = served(home, "--no-config")
    assert config == RelayConfig(state_dir=home / ".local/state/acprelay")


def test_without_a_file_there_are_the_defaults(tmp_path: Path) -> None:
    assert served(tmp_path) == RelayConfig(state_dir=tmp_path / ".local/state/acprelay")
    (tmp_path / ".config").write_text("no directory")
    assert served(tmp_path) == RelayConfig(state_dir=tmp_path / ".local/state/acprelay")


def test_without_a_home_there_is_no_file(tmp_path: Path) -> None:
    arguments = build_parser().parse_args(["serve", "--state-dir", str(tmp_path)])
    assert serving(arguments, find_config(arguments, {}), {}).agents == ()


def test_a_file_that_is_named_has_to_be_there(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration 'none\.toml'"):
        served(home, "--config", "none.toml")


def test_a_file_in_the_usual_place_that_cannot_be_read_is_not_passed_over(home: Path) -> None:
    path = home / ".config/acprelay/config.toml"
    path.unlink()
    path.symlink_to(path)  # root, who may read everything, cannot follow this either
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        served(home)


def test_a_relay_of_its_own_takes_all_but_where_to_listen_and_what_to_store(
    home: Path, tmp_path: Path
) -> None:
    arguments = build_parser().parse_args(["run", "--agent", "first", "hello"])
    environ = {"HOME": str(home)}
    file = find_config(arguments, environ)
    config = embedded(arguments, file, environ, state_dir=tmp_path / "own")
    assert (config.host, config.port, config.state_dir) == ("127.0.0.1", 0, tmp_path / "own")
    assert [spec.name for spec in config.agents] == ["first", "second"]
    assert config.limits.idle_s == 60
    assert config.services.fs is ServiceMode.CLIENT
    assert config.policy.default == "reject"


def configured(home: Path, *options: str, **variables: str) -> Configured:
    arguments = build_parser().parse_args(["serve", *options])
    return find_config(arguments, {"HOME": str(home), **variables})


@pytest.mark.requirement("configuration.variables-win-over-the-file")
def test_variables_win_over_the_file_and_options_over_both(home: Path) -> None:
    variables = {"ACPRELAY_PORT": "9100", "ACPRELAY_LIMITS_IDLE_S": "5", "ACPRELAY_HOST": "::1"}
    found = configured(home, "--port", "9200", **variables)
    file = str(home / ".config/acprelay/config.toml")
    assert found.given["port"] == Given(value=9200, layer=Layer.OPTION, by="--port")
    assert found.given["limits.idle-s"] == Given(
        value=5.0, layer=Layer.VARIABLE, by="ACPRELAY_LIMITS_IDLE_S"
    )
    assert found.given["services.fs"] == Given(value="client", layer=Layer.FILE, by=file)
    assert "limits.sessions" not in found.given
    assert found["limits.sessions"] == 1000


@pytest.mark.parametrize(
    ("options", "variables", "text", "kept"),
    [
        (("--ephemeral",), {}, "state-dir = '/a'", {"ephemeral": True}),
        (("--state-dir", "/b"), {"ACPRELAY_EPHEMERAL": "true"}, "", {"state-dir": Path("/b")}),
        ((), {"ACPRELAY_STATE_DIR": "/c"}, "ephemeral = true", {"state-dir": Path("/c")}),
        ((), {"ACPRELAY_EPHEMERAL": "True"}, "state-dir = '/a'", {"ephemeral": True}),
    ],
)
def test_what_is_said_higher_up_about_what_is_stored_silences_the_rest(
    home: Path,
    options: tuple[str, ...],
    variables: dict[str, str],
    text: str,
    kept: dict[str, object],
) -> None:
    (home / ".config/acprelay/config.toml").write_text(text)
    found = configured(home, *options, **variables)
    assert {name: given.value for name, given in found.given.items()} == kept


def test_a_variable_names_the_file_and_an_option_names_another(home: Path) -> None:
    (home / "one.toml").write_text("port = 1")
    (home / "two.toml").write_text("port = 2")
    variable = {"ACPRELAY_CONFIG": str(home / "one.toml")}
    assert configured(home, **variable)["port"] == 1
    assert configured(home, "--config", str(home / "two.toml"), **variable)["port"] == 2
    assert configured(home, "--no-config", **variable)["port"] == DEFAULT_PORT
