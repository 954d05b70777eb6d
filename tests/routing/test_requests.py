"""What is in flight: the ids of both hops, and who is answered."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import InvalidRequest, LimitReached
from acprelay.routing.requests import Outstanding, RequestLedger
from acprelay.wire import peek

SAME_TO_CARELESS_EYES = [b"1", b'"1"', b"1.0", b"1e0", b"0", b"-0", b'""', b'"\\u0031"', b"null"]


@cache
def asked(client: str, request_id: bytes, method: str = "session/prompt") -> Outstanding:
    return Outstanding(client, peek(b'{"id":%b,"method":"%b"}' % (request_id, method.encode())))


def test_a_request_says_what_was_asked_under_which_id() -> None:
    request = asked("ann", b"1.0", "_x")
    assert (request.id, request.method) == (b"1.0", "_x")


class TestRequests:
    @pytest.fixture
    def requests(self) -> RequestLedger:
        return RequestLedger()

    @pytest.mark.requirement("identity.ids-come-back-as-sent")
    def test_ids_that_look_alike_stay_distinct_and_come_back_as_sent(
        self, requests: RequestLedger
    ) -> None:
        minted = [requests.add(asked("ann", request_id)) for request_id in SAME_TO_CARELESS_EYES]
        assert len(set(minted)) == len(minted)
        back = [requests.settle(name) for name in minted]
        assert [request.id for request in back if request] == SAME_TO_CARELESS_EYES

    @pytest.mark.requirement("identity.requests-travel-under-minted-ids")
    def test_two_clients_may_use_the_same_id(self, requests: RequestLedger) -> None:
        of_ann, of_bob = (requests.add(asked(name, b"1")) for name in ("ann", "bob"))
        assert requests.settle(of_bob) == asked("bob", b"1")
        assert requests.settle(of_ann) == asked("ann", b"1")

    def test_one_client_may_not_use_an_id_twice_at_a_time(self, requests: RequestLedger) -> None:
        minted = requests.add(asked("ann", b"1"))
        with pytest.raises(
            InvalidRequest, match="cannot take a second request with id 1"
        ) as caught:
            requests.add(asked("ann", b"1", "session/set_mode"))
        assert caught.value.hint == "choose an id that no request in flight has"
        assert requests.settle(minted) == asked("ann", b"1")

    @pytest.mark.parametrize(
        "request_id", [b'"' + "é".encode() * 60 + b'"', b'"' + b"x" * 78 + "é".encode() + b'"']
    )
    def test_a_long_id_is_cut_in_the_refusal_wherever_its_characters_end(
        self, requests: RequestLedger, request_id: bytes
    ) -> None:
        requests.add(asked("ann", request_id))
        with pytest.raises(InvalidRequest, match="cannot take a second request"):
            requests.add(asked("ann", request_id))

    def test_an_id_may_be_used_again_after_its_answer(self, requests: RequestLedger) -> None:
        first = requests.add(asked("ann", b"1"))
        requests.settle(first)
        assert requests.add(asked("ann", b"1")) != first

    def test_a_repeated_answer_settles_nothing(self, requests: RequestLedger) -> None:
        minted = requests.add(asked("ann", b"1"))
        requests.settle(minted)
        assert requests.settle(minted) is None

    @pytest.mark.parametrize("unknown", [b"2", b'"1"', b"1.0", b"01", b"null", b""])
    def test_an_answer_to_what_was_never_asked_settles_nothing(
        self, requests: RequestLedger, unknown: bytes
    ) -> None:
        assert requests.add(asked("ann", b"1")) == b"1"
        assert requests.settle(unknown) is None
        assert list(requests) == [asked("ann", b"1")]

    def test_minted_ids_keep_clear_of_those_that_the_relay_has_used(
        self, requests: RequestLedger
    ) -> None:
        requests.skip_to(7)
        assert requests.add(asked("ann", b"1")) == b"8"
        requests.skip_to(3)
        assert requests.add(asked("ann", b"2")) == b"9"

    def test_the_minted_id_is_known_while_the_request_is_in_flight(
        self, requests: RequestLedger
    ) -> None:
        minted = requests.add(asked("ann", b"1"))
        assert requests.minted("ann", b"1") == minted
        assert requests.minted("bob", b"1") is None
        assert requests.minted("ann", b'"1"') is None
        requests.settle(minted)
        assert requests.minted("ann", b"1") is None

    def test_there_is_room_again_for_whoever_is_answered(self) -> None:
        requests = RequestLedger(most=3, most_of_one=2)
        minted = [requests.add(asked("ann", request_id)) for request_id in (b"1", b"2")]
        with pytest.raises(LimitReached, match="a client's unanswered requests are limited to 2"):
            requests.check_room("ann")
        requests.check_room("bob")
        requests.settle(minted[0])
        requests.check_room("ann")

    def test_there_is_room_again_once_an_agent_is_gone(self) -> None:
        requests = RequestLedger(most=2, most_of_one=2)
        for name in ("ann", "bob"):
            requests.add(asked(name, b"1"))
        with pytest.raises(LimitReached, match="a session's unanswered requests are limited to 2"):
            requests.check_room("ann")
        requests.settle_all()
        requests.check_room("ann")

    def test_a_client_that_has_its_answer_has_room_although_the_agents_is_still_awaited(
        self,
    ) -> None:
        requests = RequestLedger(most_of_one=2)
        for request_id in (b"1", b"2"):
            requests.add(asked("ann", request_id))
        for _ in range(2):
            requests.release("ann", b"1")
        requests.check_room("ann")
        requests.add(asked("ann", b"1"))
        with pytest.raises(LimitReached):
            requests.check_room("ann")

    def test_settling_all_leaves_nothing_in_flight(self, requests: RequestLedger) -> None:
        due = [asked("bob", b"1"), asked("ann", b"2", "session/set_mode")]
        minted = [requests.add(request) for request in due]
        assert requests.settle_all() == due
        assert list(requests) == []
        assert [requests.settle(name) for name in minted] == [None, None]

    def test_the_original_is_known_to_its_client_alone_while_it_is_in_flight(
        self, requests: RequestLedger
    ) -> None:
        minted = requests.add(asked("ann", b'"a"'))
        assert requests.original(minted, "ann") == b'"a"'
        assert requests.original(minted, "bob") is None
        assert requests.original(b"7", "ann") is None
        requests.settle(minted)
        assert requests.original(minted, "ann") is None

    def test_a_released_id_may_be_used_again_while_the_agent_still_owes_an_answer(
        self, requests: RequestLedger
    ) -> None:
        first = requests.add(asked("ann", b"1"))
        requests.release("ann", b"1")
        assert requests.minted("ann", b"1") is None
        second = requests.add(asked("ann", b"1"))
        assert requests.settle(first) == asked("ann", b"1")
        assert requests.minted("ann", b"1") == second
        with pytest.raises(InvalidRequest):
            requests.check("ann", b"1")
        assert requests.settle(second) == asked("ann", b"1")
        requests.check("ann", b"1")

    def test_releasing_what_is_not_in_flight_changes_nothing(self, requests: RequestLedger) -> None:
        requests.add(asked("ann", b"1"))
        requests.release("bob", b"1")
        requests.release("ann", b'"1"')
        assert requests.minted("ann", b"1") == b"1"

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["ann", "bob"]),
                st.sampled_from(SAME_TO_CARELESS_EYES),
                st.sampled_from(["session/prompt", "session/set_mode"]),
                st.sampled_from(["ask", "answer", "release"]),
            )
        )
    )
    def test_the_two_ways_of_finding_a_request_always_agree(
        self, steps: list[tuple[str, bytes, str, str]]
    ) -> None:
        requests = RequestLedger()
        flying: dict[tuple[str, bytes], tuple[bytes, Outstanding]] = {}
        released: list[tuple[bytes, Outstanding]] = []
        used: set[bytes] = set()
        for client, request_id, method, step in steps:
            known = flying.get((client, request_id))
            request = asked(client, request_id, method)
            if step == "release":
                requests.release(client, request_id)
                released += [flying.pop((client, request_id))] if known else []
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
            assert sorted(map(id, requests)) == sorted(
                id(request) for _, request in [*flying.values(), *released]
            )
            for (name, original), (minted, _) in flying.items():
                assert requests.minted(name, original) == minted
        for minted, request in released:
            assert requests.settle(minted) is request
