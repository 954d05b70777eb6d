"""What is in flight: the ids of both hops, and who is answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import InvalidRequest
from acprelay.routing.requests import Ask, AskLedger, Outstanding, RequestLedger

SAME_TO_CARELESS_EYES = [b"1", b'"1"', b"1.0", b"1e0", b"0", b"-0", b'""', b'"\\u0031"', b"null"]


def prompt(client: str, request_id: bytes) -> Outstanding:
    return Outstanding(client, request_id, "session/prompt")


def ask(ledger: AskLedger, agent_id: bytes, client: str = "ann") -> Ask:
    made = Ask(ledger.mint(), agent_id, "session/request_permission", client, b"{}")
    ledger.add(made)
    return made


class TestRequests:
    @pytest.fixture
    def requests(self) -> RequestLedger:
        return RequestLedger()

    def test_ids_that_look_alike_stay_distinct_and_come_back_as_sent(
        self, requests: RequestLedger
    ) -> None:
        minted = [requests.add(prompt("ann", request_id)) for request_id in SAME_TO_CARELESS_EYES]
        assert len(set(minted)) == len(minted)
        back = [requests.settle(name) for name in minted]
        assert [request.id for request in back if request] == SAME_TO_CARELESS_EYES

    def test_two_clients_may_use_the_same_id(self, requests: RequestLedger) -> None:
        of_ann, of_bob = (requests.add(prompt(name, b"1")) for name in ("ann", "bob"))
        assert requests.settle(of_bob) == prompt("bob", b"1")
        assert requests.settle(of_ann) == prompt("ann", b"1")

    def test_one_client_may_not_use_an_id_twice_at_a_time(self, requests: RequestLedger) -> None:
        minted = requests.add(prompt("ann", b"1"))
        with pytest.raises(
            InvalidRequest, match="cannot take a second request with id 1"
        ) as caught:
            requests.add(Outstanding("ann", b"1", "session/set_mode"))
        assert caught.value.hint == "choose an id that no request in flight has"
        assert requests.settle(minted) == prompt("ann", b"1")

    @pytest.mark.parametrize(
        "request_id", [b'"' + "é".encode() * 60 + b'"', b'"' + b"x" * 78 + "é".encode() + b'"']
    )
    def test_a_long_id_is_cut_in_the_refusal_wherever_its_characters_end(
        self, requests: RequestLedger, request_id: bytes
    ) -> None:
        requests.add(prompt("ann", request_id))
        with pytest.raises(InvalidRequest, match="cannot take a second request"):
            requests.add(prompt("ann", request_id))

    def test_an_id_may_be_used_again_after_its_answer(self, requests: RequestLedger) -> None:
        first = requests.add(prompt("ann", b"1"))
        requests.settle(first)
        assert requests.add(prompt("ann", b"1")) != first

    def test_a_repeated_answer_settles_nothing(self, requests: RequestLedger) -> None:
        minted = requests.add(prompt("ann", b"1"))
        requests.settle(minted)
        assert requests.settle(minted) is None

    @pytest.mark.parametrize("unknown", [b"2", b'"1"', b"1.0", b"01", b"null", b""])
    def test_an_answer_to_what_was_never_asked_settles_nothing(
        self, requests: RequestLedger, unknown: bytes
    ) -> None:
        assert requests.add(prompt("ann", b"1")) == b"1"
        assert requests.settle(unknown) is None
        assert list(requests) == [prompt("ann", b"1")]

    def test_minted_ids_keep_clear_of_those_that_the_relay_has_used(
        self, requests: RequestLedger
    ) -> None:
        requests.skip_to(7)
        assert requests.add(prompt("ann", b"1")) == b"8"
        requests.skip_to(3)
        assert requests.add(prompt("ann", b"2")) == b"9"

    def test_the_minted_id_is_known_while_the_request_is_in_flight(
        self, requests: RequestLedger
    ) -> None:
        minted = requests.add(prompt("ann", b"1"))
        assert requests.minted("ann", b"1") == minted
        assert requests.minted("bob", b"1") is None
        assert requests.minted("ann", b'"1"') is None
        requests.settle(minted)
        assert requests.minted("ann", b"1") is None

    def test_settling_by_method_takes_out_those_only_oldest_first(
        self, requests: RequestLedger
    ) -> None:
        mode = Outstanding("ann", b"2", "session/set_mode")
        for request in (prompt("bob", b"1"), mode, prompt("ann", b"1")):
            requests.add(request)
        assert requests.settle_all("session/prompt") == [prompt("bob", b"1"), prompt("ann", b"1")]
        assert list(requests) == [mode]

    def test_settling_all_leaves_nothing_in_flight(self, requests: RequestLedger) -> None:
        due = [prompt("bob", b"1"), Outstanding("ann", b"2", "session/set_mode")]
        minted = [requests.add(request) for request in due]
        assert requests.settle_all() == due
        assert list(requests) == []
        assert [requests.settle(name) for name in minted] == [None, None]

    def test_answers_for_a_forgotten_client_settle_nothing_and_others_stay(
        self, requests: RequestLedger
    ) -> None:
        of_ann, of_bob = (requests.add(prompt(name, b"1")) for name in ("ann", "bob"))
        requests.forget("ann")
        assert requests.settle(of_ann) is None
        assert requests.minted("ann", b"1") is None
        assert requests.settle(of_bob) == prompt("bob", b"1")

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["ann", "bob"]),
                st.sampled_from(SAME_TO_CARELESS_EYES),
                st.sampled_from(["session/prompt", "session/set_mode"]),
                st.sampled_from(["ask", "answer", "forget"]),
            )
        )
    )
    def test_the_two_ways_of_finding_a_request_always_agree(
        self, steps: list[tuple[str, bytes, str, str]]
    ) -> None:
        requests = RequestLedger()
        flying: dict[tuple[str, bytes], tuple[bytes, Outstanding]] = {}
        used: set[bytes] = set()
        for client, request_id, method, step in steps:
            known = flying.get((client, request_id))
            request = Outstanding(client, request_id, method)
            if step == "forget":
                requests.forget(client)
                flying = {key: value for key, value in flying.items() if key[0] != client}
            elif step == "answer" and known:
                assert requests.settle(known[0]) == known[1]
                del flying[client, request_id]
            elif step == "ask" and known:
                with pytest.raises(InvalidRequest):
                    requests.add(request)
            elif step == "ask":
                minted = requests.add(request)
                assert minted not in used
                used.add(minted)
                flying[client, request_id] = (minted, request)
            assert list(requests) == [request for _, request in flying.values()]
            for (name, original), (minted, _) in flying.items():
                assert requests.minted(name, original) == minted


class TestAsks:
    @pytest.fixture
    def asks(self) -> AskLedger:
        return AskLedger(prefix="gen")

    def test_ids_are_json_strings_that_begin_with_the_prefix_and_never_repeat(
        self, asks: AskLedger
    ) -> None:
        minted = [json.loads(asks.mint()) for _ in range(3)]
        assert minted == ["gen-1", "gen-2", "gen-3"]

    def test_ledgers_with_different_prefixes_share_no_id(self, asks: AskLedger) -> None:
        assert AskLedger(prefix="other").mint() != asks.mint()

    def test_the_client_that_was_asked_answers_once(self, asks: AskLedger) -> None:
        asked = ask(asks, b"1")
        assert asks.settle(asked.id, "ann") == asked
        assert asks.settle(asked.id, "ann") is None

    def test_an_answer_of_a_client_that_was_not_asked_settles_nothing(
        self, asks: AskLedger
    ) -> None:
        asked = ask(asks, b"1")
        assert asks.settle(asked.id, "bob") is None
        assert asks.settle(asked.id, "ann") == asked

    @pytest.mark.parametrize("unknown", [b'"gen-2"', b"1", b"gen-1", b"null", b""])
    def test_an_answer_to_what_was_never_asked_settles_nothing(
        self, asks: AskLedger, unknown: bytes
    ) -> None:
        asked = ask(asks, b"1")
        assert asks.settle(unknown, "ann") is None
        assert asks.settle_all() == [asked]

    def test_agents_ids_that_look_alike_stay_distinct(self, asks: AskLedger) -> None:
        asked = [ask(asks, agent_id) for agent_id in SAME_TO_CARELESS_EYES]
        assert [asks.settle(one.id, "ann") for one in asked] == asked

    def test_a_withdrawn_ask_cannot_be_answered(self, asks: AskLedger) -> None:
        asked, other = ask(asks, b"1"), ask(asks, b'"1"')
        assert asks.withdraw(b"1") == asked
        assert asks.settle(asked.id, "ann") is None
        assert asks.settle_all() == [other]

    @pytest.mark.parametrize("unknown", [b'"1"', b"1.0", b"2", b""])
    def test_withdrawing_what_was_never_asked_changes_nothing(
        self, asks: AskLedger, unknown: bytes
    ) -> None:
        asked = ask(asks, b"1")
        assert asks.withdraw(unknown) is None
        assert asks.settle_all() == [asked]

    def test_the_open_asks_of_a_client_are_its_own(self, asks: AskLedger) -> None:
        mine, answered, others = ask(asks, b"1"), ask(asks, b"2"), ask(asks, b"3", "bob")
        asks.settle(answered.id, "ann")
        assert asks.of("ann") == [mine]
        assert asks.of("bob") == [others]

    def test_an_ask_that_is_put_to_another_client_counts_for_that_one_alone(
        self, asks: AskLedger
    ) -> None:
        asked = ask(asks, b"1")
        moved = Ask(asked.id, asked.agent_id, asked.method, "bob", asked.frame)
        asks.add(moved)
        assert asks.settle(asked.id, "ann") is None
        assert asks.settle(asked.id, "bob") == moved

    def test_settling_all_leaves_nothing_open(self, asks: AskLedger) -> None:
        asked = [ask(asks, b"1"), ask(asks, b"2", "bob")]
        assert asks.settle_all() == asked
        assert asks.settle_all() == []
        assert asks.of("ann") == []
