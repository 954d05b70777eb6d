from __future__ import annotations

import json

import pytest
from acp import schema

from acprelay.errors import NotRestorable
from acprelay.routing.restoring import can_restore, restore_request

PARAMS = b'{"cwd":"/w","mcpServers":[]}'


def restoring(
    capabilities: object, params: bytes = PARAMS, *, session_id: str = "own"
) -> tuple[str, bytes]:
    initialized = json.dumps({"protocolVersion": 1, "agentCapabilities": capabilities}).encode()
    return restore_request(
        initialize_result=initialized,
        key="s:main",
        agent="coder",
        params=params,
        agent_session_id=session_id,
    )


# What published agents were seen to promise, as far as it matters here.
SEEN: dict[str, tuple[dict[str, object], str]] = {
    "claude-agent-acp": (
        {
            "loadSession": True,
            "sessionCapabilities": {"close": {}, "fork": {}, "list": {}, "resume": {}},
        },
        "session/resume",
    ),
    "fast-agent": (
        {"loadSession": True, "sessionCapabilities": {"list": {}, "resume": {}}},
        "session/resume",
    ),
    "gemini-cli": (
        {"loadSession": True, "promptCapabilities": {"image": True}},
        "session/load",
    ),
}


@pytest.mark.parametrize("agent", SEEN)
def test_an_agent_is_asked_for_what_it_offers_and_to_resume_before_to_load(agent: str) -> None:
    capabilities, expected = SEEN[agent]
    method, params = restoring(capabilities)
    assert method == expected
    assert params == b'{"cwd":"/w","mcpServers":[],"sessionId":"own"}'
    model = schema.ResumeSessionRequest if "resume" in method else schema.LoadSessionRequest
    assert model.model_validate_json(params).session_id == "own"


@pytest.mark.parametrize(
    "capabilities",
    [
        {"sessionCapabilities": {"resume": {}}},
        {"loadSession": False, "sessionCapabilities": {"resume": {"x": 1}}},
    ],
)
def test_an_agent_that_cannot_load_is_asked_to_resume(capabilities: object) -> None:
    assert restoring(capabilities)[0] == "session/resume"


@pytest.mark.parametrize("resume", [None, False, "no"])
def test_an_agent_that_cannot_resume_is_asked_to_load(resume: object) -> None:
    offered = {"loadSession": True, "sessionCapabilities": {"resume": resume}}
    assert restoring(offered)[0] == "session/load"


@pytest.mark.parametrize(
    "capabilities",
    [
        None,
        {},
        {"loadSession": False},
        {"loadSession": None, "sessionCapabilities": None},
        {"loadSession": "true", "sessionCapabilities": {"list": {}, "resume": None}},
    ],
)
def test_an_agent_that_offers_neither_cannot_take_a_conversation_up(capabilities: object) -> None:
    with pytest.raises(NotRestorable) as caught:
        restoring(capabilities)
    assert caught.value.message == (
        "cannot take conversation 's:main' up again:"
        " agent 'coder' offers neither session/resume nor session/load"
    )


def test_an_agent_without_capabilities_cannot_take_a_conversation_up() -> None:
    with pytest.raises(NotRestorable):
        restore_request(
            initialize_result=b'{"protocolVersion":1}',
            key="s:main",
            agent="coder",
            params=PARAMS,
            agent_session_id="own",
        )


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (b"{}", b'{"sessionId":"own"}'),
        (b" { } ", b' { "sessionId":"own"} '),
        (
            b'{ "cwd" : "/w}" , "mcpServers":[{"name":"m","env":[]} ],"_meta":{"v":[1.0]} }\n',
            b'{ "cwd" : "/w}" , "mcpServers":[{"name":"m","env":[]} ],"_meta":{"v":[1.0]} '
            b',"sessionId":"own"}\n',
        ),
        (b'{"x":{"sessionId":1}}', b'{"x":{"sessionId":1},"sessionId":"own"}'),
        (b'{"sessionId" : "old","cwd":"/"}', b'{"sessionId" : "own","cwd":"/"}'),
        (b'{"a":"\\ud83d","session\\u0049d":{} }', b'{"a":"\\ud83d","session\\u0049d":"own" }'),
    ],
)
def test_the_params_are_those_of_the_beginning_and_the_session_id(
    params: bytes, expected: bytes
) -> None:
    assert restoring({"loadSession": True}, params)[1] == expected


def test_a_session_id_is_written_as_json() -> None:
    params = restoring({"loadSession": True}, b"{}", session_id='a"\u00e9\ud83d')[1]
    assert json.loads(params) == {"sessionId": 'a"\u00e9\ud83d'}


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"loadSession": True}, True),
        ({"sessionCapabilities": {"resume": {}}}, True),
        ({"loadSession": False, "sessionCapabilities": {"list": {}}}, False),
        (None, False),
    ],
)
def test_what_an_agent_can_take_up_is_known_beforehand(
    capabilities: object, expected: bool
) -> None:
    initialized = json.dumps({"protocolVersion": 1, "agentCapabilities": capabilities}).encode()
    assert can_restore(initialized) is expected
