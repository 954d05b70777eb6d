"""An agent's requests for files and terminals: who gets them, and what becomes of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.routing.conftest import RULES, Scene, refused

from acprelay.errors import (
    AgentBackedUp,
    ClientError,
    FileMissing,
    InvalidParams,
    LimitReached,
    MethodNotFound,
    RequestCancelled,
    SessionEnded,
)
from acprelay.routing.agent_link import AgentLink
from acprelay.routing.client_services import ClientServices, left, unknown_terminal
from acprelay.routing.events import ServiceAsked, ServiceWithdrawn
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.publisher import Publisher
from acprelay.routing.service_asks import ServiceAsks
from acprelay.routing.service_modes import (
    FILES,
    NOT_SERVED,
    SERVED_BY_RELAY,
    TERMINALS,
    ServiceMode,
    Services,
    is_service,
    read_offer,
    unserved,
)
from acprelay.wire import peek

READ, WRITE = "fs/read_text_file", "fs/write_text_file"
CREATE, OUTPUT, RELEASE = "terminal/create", "terminal/output", "terminal/release"
WAIT = "terminal/wait_for_exit"
EVERYTHING = FILES | TERMINALS
BY_CLIENTS = Services(fs=ServiceMode.CLIENT, terminal=ServiceMode.CLIENT)
PROMPT = b'{"id":1,"method":"session/prompt","params":{"sessionId":"s:main","prompt":[]}}'
CANCEL = b'{"method":"session/cancel","params":{"sessionId":"s:main"}}'
MADE = b'"result":{"terminalId":"t1"}'


def ask(request_id: bytes, method: str, params: bytes = b"") -> bytes:
    """A request, as the agent writes it; `params` begins with a comma where there are more."""
    return b'{"id":%b,"method":"%b","params":{"sessionId":"own"%b}}' % (
        request_id,
        method.encode(),
        params,
    )


def withdraw(request_id: bytes) -> bytes:
    """The agent no longer wants an answer."""
    return b'{"method":"$/cancel_request","params":{"requestId":%b}}' % request_id


def answer(ask_id: bytes, said: bytes) -> bytes:
    """What answers a request."""
    return b'{"jsonrpc":"2.0","id":%b,%b}' % (ask_id, said)


def open_scene(services: Services, *, agent: str = "coder") -> Scene:
    """Ann and Bob are there, and a run serves."""
    scene = Scene(rules=replace(RULES, services=services), agent=agent)
    scene.open("ann", "bob")
    return scene


@pytest.fixture
def relayed() -> Scene:
    """The relay serves both itself."""
    return open_scene(SERVED_BY_RELAY)


@pytest.fixture
def shared() -> Scene:
    """Clients serve both; Bob alone can."""
    scene = open_scene(BY_CLIENTS)
    scene.clients["bob"].serves = EVERYTHING
    return scene


def asked_of(scene: Scene, name: str) -> list[tuple[object, object]]:
    """The ids and methods of what a client is asked now."""
    said = scene.reads(name)
    return [(each["id"], each["method"]) for each in said if "id" in each and "method" in each]


class TestAgentsFromElsewhere:
    @pytest.mark.requirement("files.strangers-are-served-nothing")
    @pytest.mark.parametrize("method", sorted(EVERYTHING))
    def test_the_relay_serves_them_nothing_itself(self, method: str) -> None:
        scene = open_scene(SERVED_BY_RELAY, agent="joined")
        scene.agent(ask(b"7", method))
        [answered] = scene.agent_gets()
        assert b"-32601" in answered
        assert not any(isinstance(event, ServiceAsked) for event in scene.events())

    def test_clients_serve_them_as_they_serve_others(self) -> None:
        assert SERVED_BY_RELAY.elsewhere == NOT_SERVED.elsewhere == NOT_SERVED
        assert BY_CLIENTS.elsewhere == BY_CLIENTS


class TestModes:
    @pytest.mark.parametrize("method", [*sorted(EVERYTHING), "fs/x", "terminal/x", "fs/"])
    def test_files_and_terminals_are_services(self, method: str) -> None:
        assert is_service(method)

    @pytest.mark.parametrize("method", ["", "fs", "session/prompt", "_fs/read_text_file"])
    def test_nothing_else_is(self, method: str) -> None:
        assert not is_service(method)

    def test_each_has_its_mode_and_unknown_methods_have_none(self) -> None:
        services = Services(fs=ServiceMode.RELAY, terminal=ServiceMode.CLIENT)
        assert {services.mode(method) for method in FILES} == {ServiceMode.RELAY}
        assert {services.mode(method) for method in TERMINALS} == {ServiceMode.CLIENT}
        assert services.mode("fs/x") is services.mode("terminal/x") is ServiceMode.OFF
        assert {NOT_SERVED.mode(method) for method in EVERYTHING} == {ServiceMode.OFF}

    @pytest.mark.parametrize(
        ("said", "offered"),
        [
            ({"fs": {"readTextFile": True, "writeTextFile": True}, "terminal": True}, EVERYTHING),
            ({"fs": {"readTextFile": True}}, {READ}),
            ({"fs": {"readTextFile": False, "writeTextFile": True}, "terminal": False}, {WRITE}),
            ({"terminal": True}, TERMINALS),
            ({"fs": {"readTextFile": "yes", "writeTextFile": 1}, "terminal": {}}, set()),
            ({"fs": True, "terminal": None}, set()),
            ({}, set()),
            (None, set()),
            ([], set()),
        ],
    )
    def test_a_client_serves_what_it_says_it_does(
        self, said: object, offered: frozenset[str]
    ) -> None:
        params = json.dumps({"protocolVersion": 1, "clientCapabilities": said}).encode()
        assert read_offer(params) == offered

    @pytest.mark.parametrize("params", [None, b"null", b"[]", b"{", b"\xff", b"[" * 100_000])
    def test_what_cannot_be_read_is_not_served(self, params: bytes | None) -> None:
        assert read_offer(params) == frozenset()


class TestServedByNobody:
    @pytest.mark.parametrize("method", [*sorted(EVERYTHING), "fs/x", "terminal/x"])
    def test_the_agent_is_told_so_at_once(self, method: str) -> None:
        scene = open_scene(NOT_SERVED)
        scene.clients["ann"].serves = EVERYTHING
        scene.agent(ask(b"0", method))
        assert scene.agent_gets() == [refused(b"0", unserved(method))]
        assert scene.events() == []
        assert scene.gets("ann") == []

    @pytest.mark.parametrize("services", [SERVED_BY_RELAY, BY_CLIENTS])
    @pytest.mark.parametrize("method", ["fs/x", "terminal/x"])
    def test_so_it_is_for_methods_that_there_are_not(self, services: Services, method: str) -> None:
        scene = open_scene(services)
        scene.clients["ann"].serves = EVERYTHING
        scene.agent(ask(b"0", method))
        assert scene.agent_gets() == [refused(b"0", unserved(method))]


class TestServedByTheRelay:
    @pytest.mark.requirement("files.one-owner")
    def test_a_request_is_the_relays_own_and_no_clients(self, relayed: Scene) -> None:
        relayed.clients["ann"].serves = EVERYTHING
        relayed.agent(ask(b'"a"', READ, b',"path":"/x"'), b'{"id":0,"method":"terminal/kill"}')
        assert relayed.events() == [
            ServiceAsked(1, READ, b'{"sessionId":"own","path":"/x"}'),
            ServiceAsked(2, "terminal/kill", b"null"),
        ]
        assert relayed.gets("ann") == relayed.gets("bob") == relayed.agent_gets() == []

    def test_answers_go_back_under_the_agents_ids_as_they_are_there(self, relayed: Scene) -> None:
        relayed.agent(ask(b'"a"', READ), ask(b"0", WRITE))
        relayed.conversation.settle_service(2, b'{"x":1}')
        relayed.conversation.settle_service(1, FileMissing(path="/x"))
        assert relayed.agent_gets() == [
            answer(b"0", b'"result":{"x":1}'),
            refused(b'"a"', FileMissing(path="/x")),
        ]
        relayed.conversation.settle_service(1, b"{}")
        assert relayed.agent_gets() == []

    def test_one_that_is_withdrawn_is_told_and_still_answered_once(self, relayed: Scene) -> None:
        relayed.agent(ask(b"7", WAIT), ask(b"8", WAIT), withdraw(b"7"), withdraw(b"9"))
        assert relayed.events()[2:] == [ServiceWithdrawn(1)]
        relayed.conversation.settle_service(1, RequestCancelled(method=WAIT))
        assert relayed.agent_gets() == [refused(b"7", RequestCancelled(method=WAIT))]
        relayed.agent(withdraw(b"7"))
        assert relayed.events() == []

    def test_a_turn_that_is_cancelled_does_not_take_it_along(self, relayed: Scene) -> None:
        relayed.client("ann", PROMPT)
        relayed.agent(ask(b"7", WAIT))
        relayed.client("ann", CANCEL)
        relayed.agent(ask(b"8", "terminal/kill"))
        asked = [event for event in relayed.events() if isinstance(event, ServiceAsked)]
        assert [event.number for event in asked] == [1, 2]

    def test_while_one_waits_the_conversation_is_not_idle(self, relayed: Scene) -> None:
        idle = [relayed.conversation.is_idle]
        relayed.agent(ask(b"7", WAIT))
        idle.append(relayed.conversation.is_idle)
        relayed.conversation.settle_service(1, b"{}")
        idle.append(relayed.conversation.is_idle)
        assert idle == [True, False, True]

    def test_with_the_run_all_are_dropped_and_numbers_stay_used(self, relayed: Scene) -> None:
        relayed.agent(ask(b"7", READ))
        relayed.run_ends(SessionEnded(key="s:main", reason="it was"))
        relayed.conversation.begin_run("own", last_id=1)
        assert not any(isinstance(event, ServiceAsked) for event in relayed.events())
        relayed.agent_gets()
        relayed.agent(ask(b"7", READ))
        relayed.conversation.settle_service(1, b"{}")
        assert relayed.agent_gets() == []
        relayed.conversation.settle_service(2, b"{}")
        assert relayed.agent_gets() == [answer(b"7", b'"result":{}')]

    def test_no_more_wait_than_may(self) -> None:
        link = AgentLink()
        link.session_id = "own"
        asks = ServiceAsks(services=SERVED_BY_RELAY, link=link, most_open=1)
        assert asks.receive(peek(ask(b"1", READ)))
        assert asks.receive(peek(ask(b"2", READ)))
        full = LimitReached(limit="open requests of an agent", most=1, setting="asks")
        output = link.take()
        assert output is not None
        assert output.lines == refused(b"2", full) + b"\n"
        assert asks.take_events() == [ServiceAsked(1, READ, b'{"sessionId":"own"}')]

    def test_no_more_wait_than_memory_is_set_aside_for(self) -> None:
        link = AgentLink()
        link.session_id = "own"
        asks = ServiceAsks(services=SERVED_BY_RELAY, link=link, most_bytes=30)
        much = b',"content":"%b"' % (b"x" * 100)
        for request_id in (b"1", b"2"):
            asks.receive(peek(ask(request_id, WRITE, much)))
        full = LimitReached(limit="the bytes of an agent's open requests", most=30)
        output = link.take()
        assert output is not None
        assert output.lines == refused(b"2", full) + b"\n"
        asks.settle(1, b"{}")
        asks.receive(peek(ask(b"3", READ)))
        asks.receive(peek(ask(b"4", READ)))
        assert [event.number for event in asks.take_events()] == [1, 2]
        asks.close()
        asks.receive(peek(ask(b"5", WRITE, much)))
        assert [event.number for event in asks.take_events()] == [3]

    def test_what_an_agent_has_no_room_for_becomes_an_error(self, relayed: Scene) -> None:
        backed_up = AgentBackedUp(agent="coder", waiting=9, limit=8)
        relayed.agent(ask(b"7", READ))
        relayed.conversation.settle_service(1, b'{"content":"much"}')
        output = relayed.conversation.take_agent_output()
        assert output is not None
        assert not output.is_owed
        relayed.conversation.output_refused(backed_up)
        assert relayed.agent_gets() == [refused(b"7", backed_up)]

    def test_without_a_run_nothing_is_answered(self) -> None:
        link = AgentLink()
        link.answer(b"{}", b"1")
        assert link.take() is None


class TestServedByClients:
    @pytest.mark.requirement("files.one-owner")
    def test_the_owner_of_the_turn_serves_where_it_can(self, shared: Scene) -> None:
        shared.clients["ann"].serves = EVERYTHING
        shared.client("bob", PROMPT)
        shared.agent(ask(b"7", READ, b',"path":"/x"'))
        assert asked_of(shared, "ann") == []
        asked = shared.reads("bob")[-1]
        assert asked["params"]["sessionId"] == "s:main"
        assert asked["params"]["path"] == "/x"

    @pytest.mark.requirement("files.one-owner")
    @pytest.mark.parametrize("owner", ["ann", None])
    def test_else_whoever_can_serves_and_of_several_who_came_first(
        self, shared: Scene, owner: str | None
    ) -> None:
        shared.join("cat")
        shared.clients["cat"].serves = EVERYTHING
        if owner is not None:
            shared.client(owner, PROMPT)
        shared.agent(ask(b"7", READ))
        assert asked_of(shared, "bob") == [("g-1", READ)]
        assert asked_of(shared, "ann") == asked_of(shared, "cat") == []

    def test_a_client_is_asked_only_for_what_it_serves(self, shared: Scene) -> None:
        shared.clients["bob"].serves = frozenset({READ})
        shared.agent(ask(b"7", READ), ask(b"8", WRITE), ask(b"9", CREATE))
        assert asked_of(shared, "bob") == [("g-1", READ)]
        hint = "no client that is attached can serve it"
        assert shared.agent_gets() == [
            refused(b"8", MethodNotFound(method=WRITE, hint=hint)),
            refused(b"9", MethodNotFound(method=CREATE, hint=hint)),
        ]

    def test_with_nobody_there_the_agent_is_told_so_at_once(self) -> None:
        scene = Scene(rules=replace(RULES, services=BY_CLIENTS))
        scene.open()
        scene.agent(ask(b"7", READ))
        gone = MethodNotFound(method=READ, hint="no client is attached")
        assert scene.agent_gets() == [refused(b"7", gone)]

    @pytest.mark.requirement("files.one-owner")
    def test_an_answer_counts_from_the_one_that_was_asked_alone(self, shared: Scene) -> None:
        shared.agent(ask(b"7", READ))
        shared.gets("bob")
        assert not shared.client("ann", answer(b'"g-1"', b'"result":{"content":"x"}'))
        assert shared.agent_gets() == []
        assert shared.client("bob", answer(b'"g-1"', b'"error":{"code":1,"message":"no"}'))
        assert shared.agent_gets() == [answer(b"7", b'"error":{"code":1,"message":"no"}')]
        assert not shared.client("bob", answer(b'"g-1"', b'"result":{"content":"x"}'))

    @pytest.mark.requirement("files.one-owner")
    def test_nobody_else_is_asked_where_the_one_that_was_leaves(self, shared: Scene) -> None:
        shared.clients["ann"].serves = EVERYTHING
        shared.client("bob", PROMPT)
        shared.agent(ask(b"7", WRITE))
        shared.gets("bob")
        shared.agent_gets()
        shared.loses("bob")
        assert shared.agent_gets() == []  # it may come back
        shared.wait(RULES.linger_s)
        assert shared.agent_gets() == [refused(b"7", left(WRITE))]
        assert asked_of(shared, "ann") == []

    def test_one_that_the_agent_withdraws_is_taken_from_the_client(self, shared: Scene) -> None:
        shared.agent(ask(b"7", WAIT.replace("wait_for_exit", "create")))
        shared.gets("bob")
        shared.agent(withdraw(b"7"))
        assert shared.agent_gets() == [refused(b"7", RequestCancelled(method=CREATE))]
        assert [said["method"] for said in shared.reads("bob")] == ["$/cancel_request"]

    def test_a_turn_that_is_cancelled_does_not_take_it_along(self, shared: Scene) -> None:
        shared.client("bob", PROMPT)
        shared.agent(ask(b"7", CREATE))
        shared.agent_gets()
        shared.client("bob", CANCEL)
        shared.agent(ask(b"8", READ))
        assert [method for _, method in asked_of(shared, "bob")] == [CREATE, READ]
        assert not any(b'"error"' in line for line in shared.agent_gets())
        shared.client("bob", answer(b'"g-1"', MADE))
        assert shared.agent_gets() == [answer(b"7", MADE)]


def make(scene: Scene, name: str, request_id: bytes = b"7") -> bytes:
    """Has a client, the only one that can, make a terminal; gives what the agent is told."""
    scene.agent(ask(request_id, CREATE))
    [(ask_id, _)] = asked_of(scene, name)
    scene.client(name, answer(json.dumps(ask_id).encode(), MADE))
    [told] = scene.agent_gets()
    return told


def only(scene: Scene, name: str) -> None:
    """Lets one client alone serve."""
    for each, attachment in scene.clients.items():
        attachment.serves = EVERYTHING if each == name else frozenset()


class TestTerminalsOfClients:
    @pytest.mark.requirement("terminals.stay-with-their-client")
    @pytest.mark.requirement("files.one-owner")
    @pytest.mark.parametrize("method", sorted(TERMINALS - {CREATE}))
    def test_what_concerns_a_terminal_goes_to_the_client_that_has_it(
        self, shared: Scene, method: str
    ) -> None:
        assert make(shared, "bob") == answer(b"7", MADE)
        only(shared, "ann")
        shared.client("ann", PROMPT)
        shared.agent(ask(b"8", method, b',"terminalId":"t\\u0031"'))
        assert [each for _, each in asked_of(shared, "bob")] == [method]
        assert asked_of(shared, "ann") == []

    @pytest.mark.parametrize("params", [b"", b',"terminalId":1', b',"terminalId":null'])
    def test_a_request_for_no_terminal_is_refused(self, shared: Scene, params: bytes) -> None:
        shared.agent(ask(b"8", OUTPUT, params))
        assert shared.agent_gets() == [refused(b"8", unknown_terminal(None))]

    def test_so_is_one_for_a_terminal_that_there_is_not(self, shared: Scene) -> None:
        shared.agent(ask(b"8", OUTPUT, b',"terminalId":"t1"'))
        assert shared.agent_gets() == [refused(b"8", unknown_terminal("t1"))]

    def test_a_terminal_that_is_released_is_gone(self, shared: Scene) -> None:
        make(shared, "bob")
        shared.agent(ask(b"8", RELEASE, b',"terminalId":"t1"'))
        shared.agent(ask(b"9", OUTPUT, b',"terminalId":"t1"'))
        assert [each for _, each in asked_of(shared, "bob")] == [RELEASE]
        assert shared.agent_gets() == [refused(b"9", unknown_terminal("t1"))]

    def test_a_terminal_stays_where_its_release_is_refused(self) -> None:
        rules = replace(RULES, services=BY_CLIENTS, most_asks=1)
        scene = Scene(rules=rules)
        scene.open("bob")
        only(scene, "bob")
        make(scene, "bob")
        scene.agent(ask(b"8", READ))
        [(open_ask, _)] = asked_of(scene, "bob")
        scene.agent(ask(b"9", RELEASE, b',"terminalId":"t1"'))
        [told] = scene.agent_gets()
        assert json.loads(told)["error"]["data"]["code"] == "limit_reached"
        scene.client("bob", answer(json.dumps(open_ask).encode(), b'"result":{"content":""}'))
        scene.agent(ask(b"10", RELEASE, b',"terminalId":"t1"'))
        assert [each for _, each in asked_of(scene, "bob")] == [RELEASE]

    def test_a_terminal_whose_client_has_left_is_gone_once_it_is_released(
        self, shared: Scene
    ) -> None:
        make(shared, "bob")
        shared.loses("bob")
        shared.wait(RULES.linger_s)
        release = (RELEASE, b',"terminalId":"t1"')
        shared.agent(ask(b"8", *release))
        shared.agent(ask(b"9", *release))
        assert shared.agent_gets() == [
            refused(b"8", left(RELEASE)),
            refused(b"9", unknown_terminal("t1")),
        ]

    def test_with_the_run_all_are_gone(self, shared: Scene) -> None:
        make(shared, "bob")
        shared.run_ends(SessionEnded(key="s:main", reason="it was"))
        shared.conversation.begin_run("own", last_id=1)
        shared.agent(ask(b"9", OUTPUT, b',"terminalId":"t1"'))
        assert shared.agent_gets() == [refused(b"9", unknown_terminal("t1"))]

    def test_with_a_client_that_has_left_its_terminal_is_out_of_reach(self, shared: Scene) -> None:
        make(shared, "bob")
        only(shared, "ann")
        shared.loses("bob")
        shared.wait(RULES.linger_s)
        shared.agent(ask(b"9", OUTPUT, b',"terminalId":"t1"'))
        assert shared.agent_gets() == [refused(b"9", left(OUTPUT))]
        assert asked_of(shared, "ann") == []

    def test_two_clients_cannot_have_terminals_of_one_name(self, shared: Scene) -> None:
        make(shared, "bob")
        only(shared, "ann")
        told = json.loads(make(shared, "ann", b"8"))
        assert told["id"] == 8
        assert "another client has one of that name" in told["error"]["message"]
        shared.agent(ask(b"9", OUTPUT, b',"terminalId":"t1"'))
        assert [each for _, each in asked_of(shared, "bob")] == [OUTPUT]

    @pytest.mark.parametrize(
        "said", [b'"result":{}', b'"result":null', b'"result":{"terminalId":1}']
    )
    def test_a_terminal_without_a_name_is_an_error(self, shared: Scene, said: bytes) -> None:
        shared.agent(ask(b"7", CREATE))
        shared.gets("bob")
        assert shared.client("bob", answer(b'"g-1"', said))
        [told] = map(json.loads, shared.agent_gets())
        assert "no terminalId" in told["error"]["message"]

    def test_an_error_makes_no_terminal(self, shared: Scene) -> None:
        shared.agent(ask(b"7", CREATE))
        shared.gets("bob")
        error = b'"error":{"code":-1,"message":"no","data":{"terminalId":"t1"}}'
        shared.client("bob", answer(b'"g-1"', error))
        assert shared.agent_gets() == [answer(b"7", error)]
        shared.agent(ask(b"8", OUTPUT, b',"terminalId":"t1"'))
        assert shared.agent_gets() == [refused(b"8", unknown_terminal("t1"))]

    def test_no_more_are_remembered_than_may_be(self) -> None:
        publisher = Publisher(public_id="s:main", log=MemoryLog(generation="g", history_bytes=1000))
        services = ClientServices(publisher=publisher, most_terminals=1)
        made = peek(answer(b"1", MADE))
        assert services.answered(CREATE, "ann", made) is None
        with pytest.raises(LimitReached):
            services.choose(peek(ask(b"2", CREATE)), None)
        with pytest.raises(ClientError):
            services.choose(peek(ask(b"2", RELEASE, b',"terminalId":"t1"')), None)
        with pytest.raises(MethodNotFound):
            services.choose(peek(ask(b"2", CREATE)), None)
        with pytest.raises(InvalidParams):
            services.choose(peek(ask(b"2", OUTPUT, b',"terminalId":"t1"')), None)
