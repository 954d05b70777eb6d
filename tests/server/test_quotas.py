"""What a principal holds is counted, and given back whatever happens."""

from __future__ import annotations

from typing import cast

import pytest

from acprelay.config import Limits
from acprelay.errors import LimitReached, Unauthorized
from acprelay.routing.access import LOCAL
from acprelay.routing.choosing import Choice
from acprelay.runtime.live_connections import LiveConnections
from acprelay.runtime.measurements import Measures, Traffic
from acprelay.runtime.system import RandomIds
from acprelay.server.http_connections import Connect, HttpConnections
from acprelay.server.quotas import Quota, Quotas


def test_each_holder_has_so_many_and_gets_back_what_it_gives() -> None:
    quota = Quota(limit="the streams of a principal", setting="streams", most=1)
    for _ in range(2):
        with quota.hold("ann"), quota.hold("bob"):
            with pytest.raises(LimitReached) as caught, quota.hold("ann"):
                pass
            assert caught.value.data["setting"] == "streams"
            assert caught.value.hint == "try again later, or raise limits.streams"


def test_what_fails_while_something_is_held_gives_it_back() -> None:
    quota = Quota(limit="the streams of a principal", setting="streams", most=1)
    with pytest.raises(KeyError), quota.hold("ann"):
        raise KeyError
    with quota.hold("ann"):
        pass


async def test_a_connection_that_is_refused_for_its_token_holds_no_place() -> None:
    class Client:
        def __init__(self, **_: object) -> None:
            pass

    live = LiveConnections(forsake=lambda _principal: None)
    await live.sever(LOCAL.id)
    limits = Limits(principal_connections=1)
    connections = HttpConnections(
        connect=cast("Connect", Client),
        ids=RandomIds(),
        limits=limits,
        quotas=Quotas.within(limits),
        connections=live,
        measures=Measures(traffic=Traffic(), delivered=lambda _lag_s: None),
    )
    for _ in range(2):
        with pytest.raises(Unauthorized):
            connections.open(LOCAL, Choice(agent="demo"))
