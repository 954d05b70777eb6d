"""What options and the configuration file make together."""

from __future__ import annotations

from pathlib import Path

import pytest

from acprelay.cli.configuration import embedded, find_config, serving
from acprelay.cli.parser import build_parser
from acprelay.config import RelayConfig
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
