"""The handshake: what the relay promises, and what it makes of what others promise."""

from __future__ import annotations

import json

import pytest
from acp import schema

from acprelay import __version__
from acprelay.errors import AgentRefused, InvalidParams
from acprelay.routing.capabilities import (
    PROTOCOL_VERSION,
    check_agent,
    check_client,
    client_result,
    initialize_params,
    relay_result,
)
from acprelay.routing.service_modes import NOT_SERVED, ServiceMode, Services

OURS = {"acprelay": {"version": __version__, "attach": True}}
SERVED: dict[str, object] = {"list": {}, "resume": {}, "close": {}, "delete": {}}


def narrowed(result: object) -> dict[str, object]:
    """What a client is told by an agent's answer that has passed the check."""
    raw = json.dumps(result).encode()
    check_agent("coder", raw)
    return client_result(raw)


def capabilities(offered: dict[str, object]) -> object:
    return narrowed({"protocolVersion": 1, "agentCapabilities": offered})["agentCapabilities"]


def test_to_an_agent_the_relay_is_a_client_that_serves_nothing_itself() -> None:
    assert json.loads(initialize_params(NOT_SERVED)) == {
        "protocolVersion": 1,
        "clientCapabilities": {
            "fs": {"readTextFile": False, "writeTextFile": False},
            "terminal": False,
        },
        "clientInfo": {"name": "acprelay", "title": "acprelay", "version": __version__},
    }


@pytest.mark.parametrize("mode", [ServiceMode.RELAY, ServiceMode.CLIENT])
def test_an_agent_is_promised_what_is_served_and_no_more(mode: ServiceMode) -> None:
    files = json.loads(initialize_params(Services(fs=mode)))["clientCapabilities"]
    assert files == {"fs": {"readTextFile": True, "writeTextFile": True}, "terminal": False}
    terminals = json.loads(initialize_params(Services(terminal=mode)))["clientCapabilities"]
    assert terminals == {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": True}


class TestClients:
    @pytest.mark.requirement("handshake.versions-are-negotiated-per-hop")
    @pytest.mark.parametrize(
        "params",
        [
            b'{"protocolVersion":1}',
            b'{"protocolVersion":2}',
            b'{"protocolVersion":"1"}',
            b'{"protocolVersion":123456789012345678901234567890}',
            b' { "x": [1], "protocolVersion" : 1 , "clientCapabilities": null } ',
        ],
    )
    def test_a_client_that_speaks_our_version_or_a_later_one_is_taken(self, params: bytes) -> None:
        check_client(params)

    @pytest.mark.requirement("handshake.versions-are-negotiated-per-hop")
    @pytest.mark.parametrize("version", [0, -1])
    def test_a_version_older_than_ours_is_refused_and_ours_named(self, version: int) -> None:
        with pytest.raises(InvalidParams) as caught:
            check_client(b'{"protocolVersion":%d}' % version)
        assert caught.value.message == (
            f"cannot speak ACP version {version}: this relay speaks {PROTOCOL_VERSION}"
        )
        assert caught.value.data["supported"] == PROTOCOL_VERSION

    @pytest.mark.parametrize(
        "params",
        [
            None,
            b"null",
            b"{}",
            b"[]",
            b"[1]",
            b'{"protocolversion":1}',
            b'{"protocolVersion":null}',
            b'{"protocolVersion":"0.1"}',
            b'{"protocolVersion":"1\\n"}',
            b'{"protocolVersion":1.5}',
            b'{"protocolVersion":true}',
            b'{"protocolVersion":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        ],
    )
    def test_malformed_params_are_refused_with_what_they_lack(self, params: bytes | None) -> None:
        with pytest.raises(InvalidParams, match=r"^cannot initialize: ") as caught:
            check_client(params)
        assert caught.value.hint == "initialize needs params.protocolVersion, a number"


class TestAgents:
    @pytest.mark.parametrize(
        "result",
        [
            b'{"protocolVersion":1}',
            b'{"protocolVersion":1,"agentCapabilities":null,"_meta":null}',
            b'{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":null}}',
            b'{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":{"list":{}}}}',
        ],
    )
    def test_an_agent_that_speaks_our_version_is_taken(self, result: bytes) -> None:
        check_agent("coder", result)

    @pytest.mark.requirement("handshake.versions-are-negotiated-per-hop")
    @pytest.mark.parametrize("version", [0, 2])
    def test_an_agent_of_another_version_is_refused_and_both_are_named(self, version: int) -> None:
        with pytest.raises(AgentRefused) as caught:
            check_agent("coder", b'{"protocolVersion":%d}' % version)
        assert caught.value.message == (
            "cannot use agent 'coder': it answered initialize with"
            f" ACP version {version}, and this relay speaks 1"
        )

    @pytest.mark.parametrize(
        "result",
        [
            b"null",
            b"[]",
            b"{}",
            b'{"protocolVersion":"1"}',
            b'{"protocolVersion":1,"agentCapabilities":[]}',
            b'{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":[]}}',
            b'{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":"close"}}',
            b'{"protocolVersion":1,"_meta":[1]}',
            b'{"protocolVersion":1,"_meta":"x"}',
            b'{"protocolVersion":1,"agentInfo":{"name":"\\ud800"}}',
            b'{"protocolVersion":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        ],
    )
    def test_a_malformed_answer_is_refused_before_anybody_builds_on_it(self, result: bytes) -> None:
        with pytest.raises(AgentRefused, match="with a malformed result"):
            check_agent("coder", result)


class TestNarrowing:
    @pytest.mark.requirement("peers.capabilities-may-be-missing")
    def test_what_the_relay_serves_itself_is_promised_whatever_the_agent_can(self) -> None:
        told = narrowed({"protocolVersion": 1})
        assert told == {
            "protocolVersion": 1,
            "agentCapabilities": {"loadSession": True, "sessionCapabilities": SERVED},
            "_meta": OURS,
        }
        capable = schema.InitializeResponse.model_validate(told).agent_capabilities
        assert capable is not None
        assert capable.load_session
        assert capable.session_capabilities is not None
        assert capable.session_capabilities.fork is None

    def test_what_the_relay_passes_through_is_promised_as_the_agent_promised_it(self) -> None:
        offered: dict[str, object] = {
            "promptCapabilities": {"image": True, "audio": False},
            "mcpCapabilities": {"http": True},
            "_meta": {"vendor": 1},
            "later": {"x": [None]},
        }
        assert capabilities(offered) == {
            **offered,
            "loadSession": True,
            "sessionCapabilities": SERVED,
        }

    @pytest.mark.parametrize("name", ["providers", "nes"])
    def test_what_the_relay_does_not_keep_is_not_promised(self, name: str) -> None:
        assert capabilities({name: {}, "auth": {}}) == {
            "auth": {},
            "loadSession": True,
            "sessionCapabilities": SERVED,
        }

    @pytest.mark.parametrize("can", [True, False, None, "x"])
    def test_sessions_can_be_loaded_whatever_the_agent_can(self, can: object) -> None:
        offered = capabilities({"loadSession": can})
        assert isinstance(offered, dict)
        assert offered["loadSession"] is True

    def test_of_what_an_agent_can_do_with_sessions_only_what_is_kept_is_promised(self) -> None:
        session = {
            "list": {"x": 1},
            "resume": {"x": 1},
            "fork": {},
            "delete": {},
            "close": {"x": 1},
            "additionalDirectories": {"y": 2},
            "systemPrompt": {"z": 3},
        }
        offered = capabilities({"sessionCapabilities": session})
        assert isinstance(offered, dict)
        assert offered["sessionCapabilities"] == {
            "additionalDirectories": {"y": 2},
            "systemPrompt": {"z": 3},
            **SERVED,
        }

    def test_everything_beside_the_capabilities_passes_through(self) -> None:
        beside = {"authMethods": [{"id": "key"}], "agentInfo": {"name": "é"}, "later": None}
        told = narrowed({"protocolVersion": 1, **beside})
        assert {name: told[name] for name in beside} == beside

    @pytest.mark.parametrize("forged", [{"version": "9"}, None, "x"])
    def test_the_relays_own_meta_stands_beside_the_agents_and_cannot_be_forged(
        self, forged: object
    ) -> None:
        told = narrowed({"protocolVersion": 1, "_meta": {"vendor": 1, "acprelay": forged}})
        assert told["_meta"] == {"vendor": 1, **OURS}


def test_where_the_relay_speaks_for_itself_it_promises_nothing_of_an_agent() -> None:
    told = json.loads(relay_result())
    assert (told["protocolVersion"], told["agentCapabilities"]) == (PROTOCOL_VERSION, {})
    assert told["agentInfo"]["name"] == "acprelay"
