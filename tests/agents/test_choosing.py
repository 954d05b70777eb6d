"""Which agents a relay offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from acprelay.agents.choosing import AgentChoice, AgentSettings
from acprelay.agents.detection import Availability
from acprelay.agents.known_agent import KnownAgent
from acprelay.agents.models import AgentSpec
from acprelay.errors import ConfigError

ROBO = KnownAgent(
    name="robo",
    title="Robo Code",
    registry_id="robo-code-acp",
    programs=("robo-acp",),
    args=("--acp",),
    runner=("npx", "--yes", "@robo/acp"),
    env={"ROBO_UPDATE": "no"},
    credentials=("ROBO_KEY",),
    pass_env=("ROBO_HOME",),
    install="npm install -g @robo/acp",
    page="https://robo.example",
)
BINARY = KnownAgent(name="binary", title="Binary", programs=("bin",), page="https://bin.example")
DEMO = AgentSpec(name="demo", argv=("python", "-m", "demo"))
STARTED_ROBO = AgentSpec(
    name="robo",
    argv=("robo-acp", "--acp"),
    env={"ROBO_UPDATE": "no"},
    pass_env=("ROBO_KEY", "ROBO_HOME"),
)
MINE = AgentSpec(name="mine", argv=("mine",))


def choice(there: str = "robo-acp", **settings: AgentSettings) -> AgentChoice:
    return AgentChoice(
        well_known=(ROBO, BINARY),
        own=(DEMO,),
        settings=settings,
        installed=lambda environment: {*there.split(), environment.get("PATH")}.__contains__,
        environment={},
    )


def mine(**more: object) -> AgentSettings:
    return AgentSettings(command=("mine",), **more)  # type: ignore[arg-type]


@pytest.mark.requirement("catalog.only-named-agents-are-offered")
def test_nothing_is_offered_that_nothing_names_whatever_is_installed() -> None:
    assert choice("robo-acp bin npx").offer([], default=None) == ()


@pytest.mark.requirement("catalog.a-name-is-enough")
def test_a_name_alone_stands_for_a_well_known_agent_with_all_that_it_needs() -> None:
    assert choice().offer(["robo"], default=None) == (STARTED_ROBO,)


def test_an_agent_that_a_runner_can_fetch_is_started_by_it() -> None:
    (spec,) = choice("npx").offer(["robo"], default=None)
    assert spec.argv == ("npx", "--yes", "@robo/acp", "--acp")


def test_a_name_alone_stands_for_the_relays_own_agent() -> None:
    assert choice().offer(["demo"], default=None) == (DEMO,)


@pytest.mark.parametrize(
    ("named", "settings", "default", "offered"),
    [
        ([], {"a": mine(), "b": mine()}, None, ["a", "b"]),
        ([], {"a": mine(), "b": mine()}, "b", ["b", "a"]),
        ([], {"a": mine()}, "robo", ["robo", "a"]),
        ([], {}, "demo", ["demo"]),
        (["b"], {"a": mine(), "b": mine()}, None, ["b", "a"]),
        (["robo"], {"a": mine(), "b": mine()}, "b", ["robo", "b", "a"]),
        ([MINE], {"mine": AgentSettings(command=("other",)), "a": mine()}, "mine", ["mine", "a"]),
        ([MINE, "mine"], {}, None, ["mine"]),
        (["mine", MINE], {}, None, ["mine"]),
        (["robo", "robo"], {}, None, ["robo", "robo"]),
    ],
)
def test_what_is_named_comes_first_then_the_default_then_the_rest(
    named: Sequence[AgentSpec | str],
    settings: Mapping[str, AgentSettings],
    default: str | None,
    offered: list[str],
) -> None:
    specs = choice(**dict(settings)).offer(named, default=default)  # type: ignore[arg-type]  # none is called there
    assert [spec.name for spec in specs] == offered


def test_a_command_that_is_typed_replaces_the_one_that_is_configured() -> None:
    assert choice(mine=AgentSettings(command=("other",))).offer([MINE], default=None) == (MINE,)


@pytest.mark.requirement("configuration.adjusts-and-replaces-agents")
def test_a_configuration_without_a_command_adjusts_a_well_known_agent() -> None:
    settings = AgentSettings(
        env={"ROBO_UPDATE": "yes", "MODE": "x"}, pass_env=("MORE",), prewarm=2, restarts=3
    )
    assert choice(robo=settings).offer(["robo"], default=None) == (
        AgentSpec(
            name="robo",
            argv=("robo-acp", "--acp"),
            env={"ROBO_UPDATE": "yes", "MODE": "x"},
            pass_env=("ROBO_KEY", "ROBO_HOME", "MORE"),
            prewarm=2,
            restarts=3,
        ),
    )


@pytest.mark.requirement("configuration.adjusts-and-replaces-agents")
def test_a_configuration_with_a_command_replaces_it_and_shares_no_secret_of_it() -> None:
    settings = AgentSettings(command=("my-robo", "x"), env={"A": "b"})
    chosen = choice("npx", robo=settings)
    assert chosen.offer(["robo"], default=None) == (
        AgentSpec(name="robo", argv=("my-robo", "x"), env={"A": "b"}),
    )
    assert chosen.known("robo") is None
    assert choice().known("robo") is ROBO
    assert choice(robo=AgentSettings()).known("robo") is ROBO


@pytest.mark.requirement("catalog.says-what-is-missing")
@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (
            "robo",
            "cannot start agent 'robo': there is no robo-acp or npx on PATH",
            "to get it: npm install -g @robo/acp; see https://robo.example",
        ),
        (
            "binary",
            "cannot start agent 'binary': there is no bin on PATH",
            "to get it: see https://bin.example",
        ),
    ],
)
def test_naming_an_agent_that_is_missing_says_how_to_get_it(
    name: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        choice("").offer([name], default=None)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert caught.value.fields == {"agent": name}


@pytest.mark.requirement("catalog.says-what-is-missing")
def test_the_environment_that_is_configured_for_an_agent_tells_what_it_has() -> None:
    plain = choice("npx", robo=AgentSettings()).detect(ROBO)
    assert (plain.availability, plain.unset) == (Availability.RUNNABLE, ("ROBO_KEY",))
    settings = AgentSettings(env={"ROBO_KEY": "x", "PATH": "robo-acp"})
    configured = choice("npx", robo=settings).detect(ROBO)
    assert (configured.availability, configured.unset) == (Availability.READY, ())


def test_a_configured_agent_that_is_missing_keeps_no_relay_from_starting() -> None:
    (spec,) = choice("", robo=AgentSettings()).offer([], default=None)
    assert spec.argv == ("robo-acp", "--acp")


@pytest.mark.requirement("catalog.unknown-names-suggest-the-nearest")
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("rob", "robo"),
        ("Robo", "robo"),
        ("robo-code-acp", "robo"),
        ("robo code", "robo"),
        ("robo-acp", "robo"),
        ("dmeo", "demo"),
        ("minee", "mine"),
        ("quite another", None),
        ("", None),
    ],
)
def test_an_unknown_name_suggests_the_one_that_may_be_meant(name: str, near: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        choice(mine=mine()).offer([name], default=None)
    assert caught.value.message == f"cannot find an agent named {name!r}"
    assert caught.value.hint.startswith(f"did you mean {near!r}? " if near else "acprelay agents")
    assert "acprelay agents --all lists the known ones" in caught.value.hint


def test_a_default_agent_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot find an agent named 'nobody'") as caught:
        choice().offer([], default="nobody")
    assert "acprelay agents --all --no-config lists the known ones" in caught.value.hint


def test_a_configured_agent_that_nobody_knows_is_told_as_one_of_the_configuration() -> None:
    chosen = choice(rob=AgentSettings(prewarm=1))
    for names in ([], ["rob"]):
        with pytest.raises(ConfigError, match="cannot find an agent named 'rob'") as caught:
            chosen.offer(names, default=None)
        assert caught.value.hint.startswith("did you mean 'robo'? the configuration names it: ")
