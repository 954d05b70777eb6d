"""Elicitations over the whole core: a URL to open is for one pair of eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.routing.conftest import RULES

if TYPE_CHECKING:
    from tests.routing.conftest import Scene

PROMPT = b'{"id":1,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
OPEN_URL = (
    b'{"id":0,"method":"elicitation/create","params":{"sessionId":"own","mode":"url",'
    b'"elicitationId":"e","url":"https://example.org/log-in","message":"Log in"}}'
)
GIVEN_UP = b'{"jsonrpc":"2.0","id":0,"result":{"action":"cancel"}}'


def urls(scene: Scene, name: str) -> list[str]:
    """The URLs that a client is asked to open now."""
    calls = [each["params"] for each in scene.reads(name) if "method" in each]
    return [params["url"] for params in calls if "url" in params]


@pytest.mark.requirement(
    "elicitation.urls-reach-one-client-at-most", "elicitation.goes-to-the-turns-owner"
)
def test_a_url_is_put_to_the_owner_of_the_turn_and_to_nobody_who_is_there_or_comes(
    open_scene: Scene,
) -> None:
    scene = open_scene
    scene.client("ann", PROMPT)
    scene.agent(OPEN_URL)
    scene.presence.load(scene.make("cat"), b"7")
    scene.presence.resume(scene.make("dan"), b"7")
    assert urls(scene, "ann") == ["https://example.org/log-in"]
    assert [urls(scene, name) for name in ("bob", "cat", "dan")] == [[], [], []]


@pytest.mark.requirement(
    "elicitation.urls-reach-one-client-at-most", "elicitation.else-waits-and-is-cancelled"
)
@pytest.mark.parametrize("when", ["before it is asked", "after it was asked"])
def test_an_owner_who_is_gone_leaves_no_url_to_anybody_else(open_scene: Scene, when: str) -> None:
    scene = open_scene
    scene.client("ann", PROMPT)
    if when == "before it is asked":
        scene.presence.give_up("ann")
        scene.agent_gets()
        scene.agent(OPEN_URL)
    else:
        scene.agent_gets()
        scene.agent(OPEN_URL)
        assert urls(scene, "ann") == ["https://example.org/log-in"]
        scene.presence.give_up("ann")
    assert urls(scene, "bob") == []  # the only one left
    scene.presence.load(scene.make("cat"), b"7")
    assert scene.agent_gets() == []
    assert [urls(scene, name) for name in ("bob", "cat")] == [[], []]
    scene.wait(RULES.elicitation_s)
    assert scene.agent_gets() == [GIVEN_UP]
