"""`acprelay config`: what is shown and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acprelay.cli.config_schema import json_schema
from acprelay.cli.exits import ExitCode
from acprelay.cli.main import main
from acprelay.cli.setting import Setting
from acprelay.cli.settings import AGENT_SETTINGS, OTHER_VARIABLES, SETTINGS

TEXT = """
port = 9000

[agents.mine]
command = ["my-agent", "--acp"]
env = { MY_KEY = "a secret" }

[services]
fs = "client"
"""
PAGE = Path(__file__).parents[2] / "docs/configuration.md"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration in the usual place of a home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "ACPRELAY_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / ".config/acprelay/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; gives its exit code and what it wrote."""

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["config", *argv])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run


@pytest.mark.requirement("configuration.shows-where-values-come-from")
def test_every_value_is_shown_with_who_gave_it(
    file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACPRELAY_LIMITS_IDLE_S", "2.5")
    code, out, err = run("show", "--json", "--host", "::1", "--agent", "typed=a 'b c'")
    shown = {one["setting"]: one for one in map(json.loads, out.splitlines())}
    assert (code, err) == (ExitCode.OK, "")
    assert {setting.place for setting in SETTINGS} < shown.keys()
    assert shown["port"] == {
        "setting": "port",
        "value": 9000,
        "layer": "file",
        "by": str(file),
        "variable": "ACPRELAY_PORT",
    }
    said = {place: (one["value"], one["layer"], one["by"]) for place, one in shown.items()}
    variable = "ACPRELAY_LIMITS_IDLE_S"
    assert said["host"] == ("::1", "option", "--host")
    assert said["limits.idle-s"] == (2.5, "variable", variable)
    assert said["limits.sessions"] == (1000, "default", None)
    assert said["state-dir"] == (f"{file.parents[2]}/.local/state/acprelay", "default", None)
    assert said["default-agent"] == ("typed", "option", "--agent")
    assert said["agents.mine.command"] == (["my-agent", "--acp"], "file", str(file))
    assert said["agents.mine.prewarm"] == (0, "default", None)
    assert said["agents.typed.command"] == (["a", "b c"], "option", "--agent")


@pytest.mark.requirement("configuration.shows-where-values-come-from")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_values_of_agents_variables_are_not_shown(
    file: Path, run: Run, form: tuple[str, ...]
) -> None:
    _, out, err = run("show", "--config", str(file), *form)
    assert "MY_KEY" in out
    assert "a secret" not in out + err


def test_people_see_a_table(file: Path, run: Run) -> None:
    _, out, _ = run("show", "--ephemeral")
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert rows[0] == ["SETTING", "VALUE", "FROM"]
    assert ["ephemeral", "true", "--ephemeral"] in rows
    assert ["state-dir", "-", "default"] in rows
    assert ["limits.start-s", "60", "default"] in rows
    assert ["agents.mine.command", "my-agent --acp", str(file)] in rows


def test_a_list_that_is_empty_is_told_from_one_that_nobody_gave(file: Path, run: Run) -> None:
    file.write_text("mcp-commands = []\n")
    _, out, _ = run("show")
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert ["mcp-commands", "none", str(file)] in rows
    assert ["mcp-urls", "-", "default"] in rows


def test_an_agent_that_is_typed_replaces_the_one_of_the_file(file: Path, run: Run) -> None:
    _, out, _ = run("show", "--agent", "mine=other")
    assert str(file) in out
    assert "my-agent" not in out
    assert re.search(r"agents\.mine\.command +other +--agent", out)


@pytest.mark.requirement("configuration.check-tells-everything")
def test_everything_that_is_wrong_is_told_each_with_its_place(
    file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("prot = 1\n[limits]\nidle-s = 0\n")
    monkeypatch.setenv("ACPRELAY_HOTS", "x")
    code, out, err = run("check")
    assert (code, out) == (ExitCode.USAGE, "")
    assert [line for line in err.splitlines() if line.startswith("acprelay: ")] == [
        "acprelay: the key 'prot' is not known",
        "acprelay: limits.idle-s is 0.0",
        "acprelay: the variable 'ACPRELAY_HOTS' is not known",
    ]
    assert "did you mean 'port'?" in err
    assert "did you mean ACPRELAY_HOST?" in err
    code, out, _ = run("check", "--json")
    assert code == ExitCode.USAGE
    assert [json.loads(line)["reason"] for line in out.splitlines()][1] == "limits.idle-s is 0.0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port = \n", "cannot read the configuration"),
        ("policy = 'none.toml'", "cannot read the policy"),
        ("default-agent = 'nobody'", "cannot find an agent named 'nobody'"),
        ("host = 'example.com'", "example.com"),
    ],
)
def test_what_a_relay_could_not_start_with_is_told(
    file: Path, run: Run, text: str, reason: str
) -> None:
    other = file.with_name("other.toml")
    other.write_text(text)
    code, _, err = run("check", str(other))
    assert code == ExitCode.USAGE
    assert reason in err
    assert "hint: " in err


def test_a_configuration_that_can_be_used_is_said_to_be_so(file: Path, run: Run) -> None:
    assert run("check") == (ExitCode.OK, f"{file}: a relay can be started with it\n", "")
    assert run("check", "--json") == (ExitCode.OK, "", "")
    file.unlink()
    assert run("check")[1].startswith("the environment, and no file: ")


def test_the_schema_has_every_setting_and_nothing_else(run: Run) -> None:
    code, out, _ = run("schema")
    schema: dict[str, Any] = json.loads(out)
    assert code == ExitCode.OK
    assert schema == json_schema()
    agents = schema["properties"].pop("agents")["additionalProperties"]
    assert set(agents["properties"]) == {setting.key for setting in AGENT_SETTINGS}
    places = set()
    for key, entry in schema["properties"].items():
        inner = entry.get("properties")
        places |= {key} if inner is None else {f"{key}.{name}" for name in inner}
    assert places == {setting.place for setting in SETTINGS}
    assert schema["properties"]["services"]["properties"]["fs"]["enum"] == [
        "off",
        "relay",
        "client",
    ]


@pytest.mark.parametrize("setting", [*SETTINGS, *AGENT_SETTINGS], ids=lambda one: one.place)
def test_every_setting_is_described_and_stands_on_the_page(setting: Setting) -> None:
    assert setting.about
    [row] = _rows(setting)
    if setting.flag and setting.section != "services":
        assert f"`{setting.flag}`" in row


def _rows(setting: Setting) -> list[str]:
    """Gives the rows about a setting, in the part of the page about its section."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    titles = dict(zip(parts[1::2], parts[2::2], strict=True))
    part = titles[f"`[{setting.section}]`" if setting.section else "Keys"]
    return [line for line in part.splitlines() if line.startswith(f"| `{setting.key}` |")]


@pytest.mark.parametrize("variable", OTHER_VARIABLES)
def test_every_other_variable_stands_on_the_page(variable: str) -> None:
    assert f"| `{variable}` |" in PAGE.read_text()
