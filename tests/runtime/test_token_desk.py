"""The desk that issues tokens, takes them back, and tells who shows one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

import pytest

from acprelay.errors import Forbidden, NotFound, Unauthorized, Unavailable
from acprelay.routing.access import LOCAL, Grant, Principal, Scope
from acprelay.routing.logins import SESSION_S
from acprelay.routing.tokens import Token, TokenWish
from acprelay.runtime.token_desk import TokenDesk
from acprelay.storage.secrets import MemorySecret

PATIENCE_S = 30.0

OBSERVER = TokenWish(name="phone", grants=frozenset({Grant.OBSERVE}), scope=Scope(group="g"))


class FakeStore:
    """A store of tokens that can fail."""

    def __init__(self) -> None:
        self.kept: Sequence[Token] = ()
        self.error: Exception | None = None

    def load(self) -> Sequence[Token]:
        return self.kept

    def save(self, tokens: Sequence[Token]) -> None:
        if self.error is not None:
            raise self.error
        self.kept = tuple(tokens)


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


class FakeIds:
    def __init__(self) -> None:
        self._numbers = count(1)

    def mint(self) -> str:
        return f"id{next(self._numbers)}"


class FakeConnections:
    """Connections that end when they are told to."""

    def __init__(self) -> None:
        self.severed: list[str] = []
        self.logins: list[tuple[str, str | None]] = []
        self.is_asked = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def sever(self, principal_id: str) -> int:
        self.is_asked.set()
        await self.may_end.wait()
        self.severed.append(principal_id)
        return 1

    async def sever_login(self, principal_id: str, login: str) -> int:
        self.logins.append((principal_id, login))
        return 1


class World:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.clock = FakeClock()
        self.connections = FakeConnections()
        self.owners = MemorySecret()
        self.ids = FakeIds()
        self._secrets = count(1)
        self.desk = self.another()

    def another(self) -> TokenDesk:
        """The desk of the relay that comes next."""
        return TokenDesk(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            mint=lambda: f"secret{next(self._secrets)}",
            connections=self.connections,
        )


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_start_makes_a_token_for_the_owner_and_later_ones_keep_it(
    world: World,
) -> None:
    first = await world.desk.recover(world.owners)
    assert world.desk.authenticate(first).manages_everything
    assert world.owners.load() == first
    desk = world.another()
    assert await desk.recover(world.owners) == first
    assert desk.authenticate(first).manages_everything


@pytest.mark.parametrize("found", [None, "", "acpr_id1_wrong", "nonsense"])
async def test_where_the_owners_file_does_not_match_a_new_token_replaces_the_old_one(
    world: World, found: str | None
) -> None:
    first = await world.desk.recover(world.owners)
    owners = MemorySecret()
    if found is not None:
        owners.save(found)
    desk = world.another()
    second = await desk.recover(owners)
    assert second != first
    assert owners.load() == second
    assert desk.authenticate(second).manages_everything
    with pytest.raises(Unauthorized):
        desk.authenticate(first)
    assert len(world.store.kept) == 1


async def test_anothers_token_in_the_owners_file_does_not_make_it_the_owners(world: World) -> None:
    await world.desk.recover(world.owners)
    issued = await world.desk.create(OBSERVER, creator=LOCAL)
    owners = MemorySecret()
    owners.save(issued.text)
    desk = world.another()
    assert await desk.recover(owners) != issued.text


async def test_a_token_outlives_the_relay(world: World) -> None:
    await world.desk.recover(world.owners)
    issued = await world.desk.create(OBSERVER, creator=LOCAL)
    desk = world.another()
    await desk.recover(world.owners)
    principal = desk.authenticate(issued.text)
    assert principal == Principal(
        id=issued.token.id, name="phone", grants=frozenset({Grant.OBSERVE}), scope=Scope(group="g")
    )


async def test_a_token_that_cannot_be_stored_is_none(world: World) -> None:
    world.store.error = Unavailable("cannot keep the tokens: full", hint="make room")
    with pytest.raises(Unavailable):
        await world.desk.create(OBSERVER, creator=LOCAL)
    assert world.desk.list() == []


async def test_the_list_tells_when_a_token_was_shown_last_and_no_secret(world: World) -> None:
    issued = await world.desk.create(OBSERVER, creator=LOCAL)
    assert [each.last_used_at for each in world.desk.list()] == [None]
    world.clock.time += 5
    world.desk.authenticate(issued.text)
    [listed] = world.desk.list()
    assert listed.last_used_at == world.clock.time
    assert "secret1" not in repr(listed) + repr(issued)


@pytest.mark.requirement("access.revoking-ends-live-connections")
async def test_revoking_returns_once_the_connections_of_the_token_have_ended(world: World) -> None:
    issued = await world.desk.create(OBSERVER, creator=LOCAL)
    world.connections.may_end.clear()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        revoking = group.create_task(world.desk.revoke([issued.token.id]))
        await world.connections.is_asked.wait()
        with pytest.raises(Unauthorized):
            world.desk.authenticate(issued.text)
        assert not revoking.done()
        world.connections.may_end.set()
    assert world.connections.severed == [issued.token.id]


async def test_a_token_that_cannot_be_forgotten_on_the_disk_is_taken_back_all_the_same(
    world: World,
) -> None:
    issued = await world.desk.create(OBSERVER, creator=LOCAL)
    world.store.error = Unavailable("cannot keep the tokens: full", hint="make room")
    with pytest.raises(Unavailable):
        await world.desk.revoke([issued.token.id])
    with pytest.raises(Unauthorized):
        world.desk.authenticate(issued.text)
    assert world.connections.severed == [issued.token.id]


async def test_of_several_tokens_none_is_taken_back_if_one_is_unknown(world: World) -> None:
    issued = await world.desk.create(OBSERVER, creator=LOCAL)
    with pytest.raises(NotFound, match="'nobody'"):
        await world.desk.revoke([issued.token.id, "nobody"])
    assert world.desk.authenticate(issued.text).id == issued.token.id


@pytest.mark.requirement("access.tokens-end")
async def test_a_token_whose_time_is_over_loses_its_connections(world: World) -> None:
    wish = TokenWish(name="a", grants=OBSERVER.grants, expires_at=world.clock.time + 10)
    issued = await world.desk.create(wish, creator=LOCAL)
    await world.desk.keep_house()
    assert world.connections.severed == []
    world.clock.time += 10
    assert world.desk.list() == []
    await world.desk.keep_house()
    assert world.connections.severed == [issued.token.id]
    with pytest.raises(Unauthorized):
        world.desk.authenticate(issued.text)


async def test_a_token_that_ends_makes_none_that_lasts_longer(world: World) -> None:
    ends = world.clock.time + 10
    wish = TokenWish(name="a", grants=frozenset({Grant.MANAGE}), expires_at=ends)
    creator = (await world.desk.create(wish, creator=LOCAL)).token.principal
    assert (await world.desk.create(OBSERVER, creator=creator)).token.expires_at == ends


async def test_a_browser_is_who_its_code_was_made_for_until_the_token_ends(world: World) -> None:
    issued = await world.desk.create(OBSERVER, creator=LOCAL)
    login = world.desk.offer_login(issued.token.principal)
    assert world.desk.can_log_in(login.code)
    session = world.desk.log_in(login.code)
    assert world.desk.recognize(session) == issued.token.principal
    assert not world.desk.can_log_in(login.code)
    await world.desk.revoke([issued.token.id])
    with pytest.raises(Unauthorized, match="logged in no longer"):
        world.desk.recognize(session)


async def test_a_browser_that_logs_out_is_nobody(world: World) -> None:
    await world.desk.recover(world.owners)
    session = world.desk.log_in(world.desk.offer_owners_login().code)
    assert world.desk.recognize(session).manages_everything
    await world.desk.log_out(session)
    with pytest.raises(Unauthorized):
        world.desk.recognize(session)


@pytest.mark.requirement("access.logins-end-with-their-connections")
async def test_what_a_browser_is_connected_with_ends_with_its_logout_and_with_its_time(
    world: World,
) -> None:
    await world.desk.recover(world.owners)
    sessions = [world.desk.log_in(world.desk.offer_owners_login().code) for _ in range(2)]
    known = [world.desk.recognize(session) for session in sessions]
    assert known[0].login != known[1].login
    await world.desk.log_out(sessions[0])
    assert world.connections.logins == [(known[0].id, known[0].login)]
    world.clock.time += SESSION_S
    await world.desk.keep_house()
    assert world.connections.logins == [(each.id, each.login) for each in known]
    assert world.connections.severed == []


async def test_nobody_logs_in_for_a_token_that_is_not_there(world: World) -> None:
    with pytest.raises(Forbidden, match="no token that it could stand for"):
        world.desk.offer_login(LOCAL)
    with pytest.raises(Forbidden, match="the owner's token was revoked"):
        world.desk.offer_owners_login()
