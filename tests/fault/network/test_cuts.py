"""Connections that are cut at any byte: clients that come back lose, repeat and reorder nothing."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fault.network.site import Site, delete_session, open_session
from tests.fault.network.wanderer import Loader, Reader, Wanderer
from tests.fault.network.weather import Cut, Forecast, Weather
from tests.server.http_clients import HttpClient

pytestmark = pytest.mark.process

PATIENCE_S = 60.0
PROMPT = "first\n/stream 20 60\n/tool\n/stream 3 3000\n/tool again\n/stream 20 60"
END_TURN = {"stopReason": "end_turn"}


class Journey(NamedTuple):
    """What a client meets.

    Attributes:
        first: The weather on its first connection, once it has prompted.
        others: That of the connections that follow; in the end it is fine.
    """

    first: Weather
    others: list[Forecast]


def weather(most: int) -> st.SearchStrategy[Weather]:
    """Weather that cuts within so many bytes."""
    return st.builds(
        Weather,
        slice_bytes=st.sampled_from([1, 7, 1000, 65_536]),
        cut_after=st.integers(0, most),
        cut=st.sampled_from(Cut),
    )


JOURNEYS = st.builds(
    Journey,
    first=weather(20_000),
    others=st.lists(st.builds(Forecast, up=weather(3000), down=weather(22_000)), max_size=4),
)


@pytest.mark.requirement("network.cuts-lose-nothing")
@settings(max_examples=30, deadline=None)
@given(journey=JOURNEYS)
def test_a_client_that_takes_up_its_attachment_gets_all_of_it_once_and_in_order(
    place: Site, journey: Journey
) -> None:
    client, observer = asyncio.run(take_turn(place, journey))
    assert client.returns
    expect_whole(client, observer)


async def take_turn(place: Site, journey: Journey) -> tuple[Wanderer, Wanderer]:
    """Sends a client on a journey in a turn, beside one that stays."""
    async with place.proxy() as proxy, asyncio.timeout(PATIENCE_S):
        url = place.through(place.relay.url)
        client = Wanderer(url=url, session_id=place.session_id, proxy=proxy)
        observer = Wanderer(url=place.relay.url, session_id=place.session_id, proxy=proxy)
        await observer.arrive()
        await client.arrive()
        await client.prompt(PROMPT)
        await client.until("_acprelay/turn_started")
        proxy.turn(Forecast(down=journey.first))
        proxy.expect(*journey.others)
        await client.until_answered()
        await observer.until("_acprelay/turn_ended")
        client.leave()
        observer.leave()
    return client, observer


def expect_whole(client: Wanderer | Reader, observer: Wanderer) -> None:
    """Compares what a client has with what one has that stayed."""
    assert [reply["result"] for reply in client.replies] == [END_TURN]
    assert client.entries == [entry for entry in observer.entries if not entry.is_prompt]
    assert len(set(client.asked)) == 2


@pytest.mark.requirement("network.cuts-lose-nothing")
@pytest.mark.parametrize(
    "slow",
    [
        Weather(slice_bytes=500, latency_s=0.002, jitter_s=0.01),
        Weather(slice_bytes=1000, bytes_per_s=50_000),
        Weather(slice_bytes=1),
    ],
    ids=["late and uneven", "narrow", "byte by byte"],
)
async def test_a_slow_line_costs_nothing_but_time(place: Site, slow: Weather) -> None:
    client, observer = await take_turn(place, Journey(slow, []))
    assert client.returns == 0
    expect_whole(client, observer)


@pytest.mark.requirement("network.cuts-lose-nothing")
@settings(max_examples=10, deadline=None)
@given(journey=JOURNEYS)
def test_a_client_that_loads_again_has_the_whole_history_once_and_in_order(
    place: Site, journey: Journey
) -> None:
    asyncio.run(load_again(place, journey))


async def load_again(place: Site, journey: Journey) -> None:
    """Sends a client that knows ACP alone on a journey, in a session of its own."""
    session_id = await open_session(place.relay)
    async with place.proxy() as proxy, asyncio.timeout(PATIENCE_S):
        url = place.through(place.relay.url)
        client = Loader(url=url, session_id=session_id, proxy=proxy)
        await client.arrive()
        await client.prompt(PROMPT)
        await client.until("_acprelay/turn_started")
        proxy.turn(Forecast(down=journey.first))
        proxy.expect(*journey.others)
        await client.until_ended()
        afterwards = Loader(url=place.relay.url, session_id=session_id, proxy=proxy)
        await afterwards.arrive()
        for each in (client, afterwards):
            each.leave()
    await delete_session(place.relay, session_id)
    assert client.returns
    assert client.entries == afterwards.entries
    assert [entry.seq for entry in client.entries] == list(range(1, len(client.entries) + 1))


@pytest.mark.requirement("network.cuts-lose-nothing")
@settings(max_examples=20, deadline=None)
@given(journey=JOURNEYS)
def test_a_stream_of_events_goes_on_with_exactly_what_came_after_the_last_one(
    place: Site, journey: Journey
) -> None:
    asyncio.run(read_on(place, journey))


async def read_on(place: Site, journey: Journey) -> None:
    """Sends a client over Streamable HTTP on a journey."""
    with ExitStack() as stack:
        http = stack.enter_context(HttpClient(place.relay.base_url))
        streams = stack.enter_context(HttpClient(place.through(place.relay.base_url)))
        async with place.proxy() as proxy, asyncio.timeout(PATIENCE_S):
            client = Reader(http=http, streams=streams, session_id=place.session_id, proxy=proxy)
            observer = Wanderer(url=place.relay.url, session_id=place.session_id, proxy=proxy)
            await client.arrive()
            await observer.arrive()
            proxy.expect(Forecast(down=journey.first), *journey.others)
            await client.prompt(PROMPT)
            await observer.until("_acprelay/turn_ended")
            observer.leave()
            await http.leave()
    assert client.returns
    expect_whole(client, observer)
    assert len(client.asked) == 2
