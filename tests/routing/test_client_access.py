"""What clients of one conversation may do, by their grants."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.routing.conftest import Scene

from acprelay.errors import Forbidden, RelayError
from acprelay.routing.access import Grant, remote_name
from acprelay.routing.access_rules import rule_for
from acprelay.routing.destinations import Destination, destination
from acprelay.wire import METHODS, MethodKind, Sender, peek

PROMPT = (
    b'{"id":1,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[{"type":"text",'
    b'"text":"go"}]}}'
)
CANCEL = b'{"method":"session/cancel","params":{"sessionId":"s:main"}}'
ALLOW_ONCE = {"optionId": "once", "name": "Once", "kind": "allow_once"}
ALWAYS = {"optionId": "always", "name": "Always", "kind": "allow_always"}

TO_AGENTS = [
    *("session/prompt", "session/set_mode", "session/set_config_option", "session/set_model"),
    *("nes/suggest", "nes/accept", "nes/reject", "nes/close"),
    *("document/didOpen", "document/didChange", "document/didClose"),
    *("document/didSave", "document/didFocus", "_x/anything", "no/such"),
]

STEERING = ["session/set_mode", "session/set_config_option", "session/set_model"]


def request(method: str, **params: object) -> bytes:
    return json.dumps({"id": 7, "method": method, "params": params}).encode()


def ask(request_id: int, method: str, **params: object) -> bytes:
    params = {"sessionId": "own", **params}
    return json.dumps({"id": request_id, "method": method, "params": params}).encode()


def permission(request_id: int) -> bytes:
    options = [ALLOW_ONCE, ALWAYS]
    return ask(
        request_id, "session/request_permission", toolCall={"toolCallId": "t"}, options=options
    )


def answer(ask_id: object, result: object) -> bytes:
    return json.dumps({"id": ask_id, "result": result}).encode()


def asked(scene: Scene, name: str) -> list[Any]:
    """The requests that a client is given."""
    return [each for each in scene.reads(name) if "method" in each and "id" in each]


@pytest.fixture
def crowd(scene: Scene) -> Scene:
    """One client for each grant, named like it, each of a principal of its own."""
    for grant in Grant:
        scene.grants[str(grant)] = {grant}
        scene.principals[str(grant)] = str(grant)
    scene.open(*map(str, Grant))
    return scene


# --- what is said to the agent


def test_the_methods_that_go_to_agents_are_all_tried_here() -> None:
    found = {
        method
        for method in METHODS
        if METHODS[method].sender is not Sender.AGENT and goes_to_an_agent(method)
    }
    assert found - {"session/cancel"} == {*TO_AGENTS} - {"_x/anything", "no/such"}


def goes_to_an_agent(method: str) -> bool:
    said = b'{"method":"%b"}' % method.encode()
    if METHODS[method].kind is not MethodKind.NOTIFICATION:
        said = request(method)
    try:
        return destination(peek(said), initialized=True) is Destination.SESSION
    except RelayError:
        return False


@pytest.mark.parametrize("method", TO_AGENTS)
def test_what_a_client_may_not_say_does_not_reach_the_agent(crowd: Scene, method: str) -> None:
    grant = rule_for(method).grant
    said = request(method, sessionId="s:main", a=1)
    able = [name for name in map(str, Grant) if grant in crowd.clients[name].grants]
    for name in {*map(str, Grant)} - {*able}:
        with pytest.raises(Forbidden) as refusal:
            crowd.client(name, said)
        assert refusal.value.fields["grant"] == grant
    assert crowd.agent_gets() == []
    crowd.client(able[0], said)
    assert len(crowd.agent_gets()) == 1


@pytest.mark.requirement("access.approval-is-a-grant")
@pytest.mark.parametrize("method", STEERING)
def test_to_switch_asking_off_by_a_mode_or_an_option_takes_the_grant_to_approve(
    crowd: Scene, method: str
) -> None:
    with pytest.raises(Forbidden):
        crowd.client("prompt", request(method, sessionId="s:main", modeId="yolo"))
    assert crowd.agent_gets() == []
    crowd.client("approve", request(method, sessionId="s:main", modeId="yolo"))
    [line] = crowd.agent_gets()
    assert json.loads(line)["method"] == method


def test_what_would_begin_a_run_takes_the_grant_to_prompt(scene: Scene) -> None:
    scene.grants = {"ann": {Grant.APPROVE}, "bob": {Grant.APPROVE, Grant.PROMPT}}
    scene.join("ann", "bob")
    with pytest.raises(Forbidden) as refusal:
        scene.client("ann", request("session/set_mode", sessionId="s:main", modeId="m"))
    assert refusal.value.fields["grant"] == "prompt"
    assert scene.events() == []
    scene.client("bob", request("session/set_mode", sessionId="s:main", modeId="m"))
    assert len(scene.events()) == 1
    # Somebody else has begun it.
    scene.client("ann", request("session/set_mode", sessionId="s:main", modeId="m"))


# --- meta


VENDOR = b'"_meta":{"vendor":{"run":"rm"},"traceparent":"t"}'


@pytest.mark.requirement("access.commands-come-from-managers")
@pytest.mark.parametrize(
    ("name", "kept"),
    [("prompt", b'"_meta":{"traceparent":"t"}'), ("manage", VENDOR)],
)
def test_vendor_meta_is_taken_from_who_may_manage(crowd: Scene, name: str, kept: bytes) -> None:
    params = b'{"sessionId":"s:main", "prompt":[ ] ,' + VENDOR + b"}"
    crowd.client(name, b'{"id":1,"method":"session/prompt","params":' + params + b"}")
    [line] = crowd.agent_gets()
    assert line == (
        b'{"id":2,"method":"session/prompt","params":{"sessionId":"own", "prompt":[ ] ,'
        + kept
        + b"}}"
    )


@pytest.mark.parametrize(("name", "kept"), [("approve", False), ("manage", True)])
def test_so_is_the_vendor_meta_of_answers(crowd: Scene, name: str, kept: bool) -> None:
    crowd.agent(permission(5))
    [question] = asked(crowd, name)
    outcome = {"outcome": "selected", "optionId": "once"}
    assert crowd.client(name, answer(question["id"], {"outcome": outcome, "_meta": {"v": 1}}))
    [line] = crowd.agent_gets()
    assert json.loads(line)["result"] == {"outcome": outcome, "_meta": {"v": 1} if kept else {}}


def test_meta_that_is_for_tracing_alone_is_not_touched(crowd: Scene) -> None:
    params = b'{"sessionId":"own","prompt":[],"_meta":{ "traceparent" : "t" }}'
    crowd.client("prompt", b'{"id":1,"method":"session/prompt","params":' + params + b"}")
    [line] = crowd.agent_gets()
    assert line == b'{"id":2,"method":"session/prompt","params":' + params + b"}"


# --- asks


@pytest.mark.requirement("access.approval-is-a-grant")
def test_a_permission_is_put_to_who_may_approve_and_nobody_else_answers_it(crowd: Scene) -> None:
    crowd.agent(permission(5))
    asks = {name: asked(crowd, name) for name in map(str, Grant)}
    assert [name for name, each in asks.items() if each] == ["approve", "manage"]
    ask_id = asks["approve"][0]["id"]
    always = {"outcome": {"outcome": "selected", "optionId": "always"}}
    for name in ("observe", "prompt"):
        assert not crowd.client(name, answer(ask_id, always))
    assert crowd.agent_gets() == []
    assert crowd.client("approve", answer(ask_id, always))
    assert [json.loads(line)["result"] for line in crowd.agent_gets()] == [always]


def test_who_comes_later_is_asked_only_if_it_may_approve(scene: Scene) -> None:
    scene.grants = {"ann": {Grant.PROMPT}, "bob": {Grant.APPROVE}}
    scene.open()
    scene.agent(permission(5))
    scene.presence.attach(scene.make("ann"), b"0", after=0)
    scene.presence.attach(scene.make("bob"), b"0", after=0)
    assert asked(scene, "ann") == []
    assert len(asked(scene, "bob")) == 1


def test_anything_else_is_asked_of_the_only_client_that_may_prompt(scene: Scene) -> None:
    scene.grants = {"ann": {Grant.OBSERVE}, "bob": {Grant.PROMPT}, "cat": {Grant.APPROVE}}
    scene.open("ann", "bob", "cat")
    scene.agent(ask(5, "_x/ask"))
    assert [len(asked(scene, name)) for name in ("ann", "bob", "cat")] == [0, 1, 0]


def test_where_nobody_may_prompt_anything_else_is_refused_at_once(scene: Scene) -> None:
    scene.grants = {"ann": {Grant.OBSERVE}}
    scene.open("ann")
    scene.agent(ask(5, "_x/ask"))
    assert asked(scene, "ann") == []
    [line] = scene.agent_gets()
    assert json.loads(line)["error"]["code"] == -32601


# --- cancelling


@pytest.mark.requirement("access.cancelling-for-others-needs-a-grant")
@pytest.mark.parametrize(
    ("name", "stops"), [("observe", False), ("prompt", False), ("approve", True), ("manage", True)]
)
def test_to_stop_the_turn_of_another_one_takes_the_grant_to_approve(
    scene: Scene, name: str, stops: bool
) -> None:
    scene.grants[name] = {Grant(name)}
    scene.principals = {name: "other", "owner": "owner"}
    scene.open("owner", name)
    scene.client("owner", PROMPT)
    assert len(scene.agent_gets()) == 1
    scene.client(name, CANCEL)
    assert [json.loads(line)["method"] for line in scene.agent_gets()] == (
        ["session/cancel"] if stops else []
    )
    grants = scene.clients[name].grants
    turn = scene.conversation.turn
    assert turn is not None
    if stops:
        scene.conversation.check_stop(turn, principal="other", grants=grants)
    else:
        with pytest.raises(Forbidden) as refusal:
            scene.conversation.check_stop(turn, principal="other", grants=grants)
        assert refusal.value.fields["grant"] == "approve"
    scene.conversation.check_stop("g-99", principal="other", grants=grants)  # there is none


def test_a_client_cancels_its_own_turn_and_its_own_prompts(scene: Scene) -> None:
    scene.grants = {"ann": {Grant.PROMPT}, "bob": {Grant.PROMPT}}
    scene.principals = {"ann": "ann", "bob": "bob"}
    scene.open("ann", "bob")
    scene.client("ann", PROMPT)
    scene.client("bob", PROMPT)
    scene.agent_gets()
    scene.client("bob", CANCEL)
    assert scene.agent_gets() == []  # its own waited, and that is gone
    assert [each["result"] for each in scene.reads("bob") if each.get("id") == 1] == [
        {"stopReason": "cancelled"}
    ]
    scene.client("ann", CANCEL)
    assert len(scene.agent_gets()) == 1


def test_a_turn_is_also_its_principals_who_came_back_by_another_way(scene: Scene) -> None:
    scene.grants = {"ann": {Grant.PROMPT}, "ann again": {Grant.PROMPT}}
    scene.principals = {"ann": "ann", "ann again": "ann"}
    scene.open("ann", "ann again")
    scene.client("ann", PROMPT)
    scene.agent_gets()
    scene.loses("ann")
    turn = scene.conversation.turn or ""
    scene.conversation.check_stop(turn, principal="ann", grants=frozenset({Grant.PROMPT}))
    scene.client("ann again", CANCEL)
    assert len(scene.agent_gets()) == 1


def test_and_the_one_that_it_prompted_without_a_connection(scene: Scene) -> None:
    scene.grants = {"ann": {Grant.PROMPT}, "bob": {Grant.PROMPT}}
    scene.principals = {"ann": "ann", "bob": "bob"}
    scene.open("ann", "bob")
    scene.conversation.outsiders.submit_prompt(remote_name("ann"), peek(PROMPT))
    assert len(scene.agent_gets()) == 1
    scene.client("bob", CANCEL)
    assert scene.agent_gets() == []
    scene.client("ann", CANCEL)
    assert len(scene.agent_gets()) == 1


# --- attachments


def test_an_attachment_is_adopted_by_its_own_principal_alone(scene: Scene) -> None:
    scene.principals = {"ann": "ann"}
    scene.open("ann")
    scene.loses("ann")
    for principal, secret in [("bob", "ann's"), ("ann", "wrong")]:
        with pytest.raises(Forbidden) as refusal:
            scene.presence.adopt("ann", secret, b"1", principal=principal, after=None, pending=None)
        assert refusal.value.message.startswith("cannot adopt that attachment")
    scene.presence.adopt("ann", "ann's", b"1", principal="ann", after=None, pending=None)
    assert len(scene.reads("ann")) == 1


def test_what_a_principal_has_left_is_given_up_with_it(scene: Scene) -> None:
    scene.principals = {"ann": "ann", "ann's phone": "ann", "bob": "bob"}
    scene.open("ann", "ann's phone", "bob")
    scene.loses("ann", "ann's phone", "bob")
    scene.conversation.forsake("ann", now=0.0)
    scene.conversation.forsake("ann", now=0.0)
    assert [name for name in scene.clients if scene.presence.find(name)] == ["bob"]


def test_prompts_of_a_principal_that_wait_are_never_begun_once_it_is_gone(scene: Scene) -> None:
    scene.principals = {"ann": "ann", "long gone": "ann", "bob": "bob"}
    scene.open("ann", "long gone", "bob")
    scene.client("bob", PROMPT)
    scene.client("long gone", PROMPT)
    scene.presence.give_up("long gone")
    scene.client("ann", PROMPT)
    scene.conversation.outsiders.submit_prompt(remote_name("ann"), peek(PROMPT))
    scene.client("bob", PROMPT.replace(b'"id":1', b'"id":2'))
    assert len(scene.agent_gets()) == 1
    scene.conversation.forsake("ann", now=0.0)
    assert [each["result"] for each in scene.reads("ann") if each.get("id") == 1] == [
        {"stopReason": "cancelled"}
    ]
    assert len(scene.conversation.describe_turns("bob")["queued"]) == 1
    assert scene.conversation.describe_turns("bob")["queued"][0]["mine"]


def test_the_turn_of_a_principal_that_runs_goes_on_once_it_is_gone(scene: Scene) -> None:
    scene.principals = {"ann": "ann"}
    scene.open("ann", "bob")
    scene.client("ann", PROMPT)
    scene.agent_gets()
    scene.conversation.forsake("ann", now=0.0)
    assert scene.agent_gets() == []
    assert scene.conversation.turn is not None


def test_what_a_principal_wanted_of_the_next_run_is_not_said_once_it_is_gone(scene: Scene) -> None:
    scene.principals = {"ann": "ann", "bob": "bob"}
    scene.join("ann", "bob")
    for name in ("ann", "bob"):
        scene.client(name, request("session/set_mode", sessionId="s:main", modeId=name))
    scene.conversation.forsake("ann", now=0.0)
    scene.conversation.begin_run("own", last_id=1)
    [line] = scene.agent_gets()
    assert json.loads(line)["params"]["modeId"] == "bob"
