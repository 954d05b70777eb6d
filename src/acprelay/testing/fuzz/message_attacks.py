"""What is wrong with JSON-RPC: wrong types everywhere, depth, batches, bytes that are no text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

from acprelay.testing.fuzz.line import NO_UPGRADE, Opcode, Site, frame, noise

_METHODS = (
    *("initialize", "authenticate", "logout", "session/new", "session/load", "session/resume"),
    *("session/prompt", "session/cancel", "session/list", "session/close", "session/delete"),
    *("session/set_mode", "session/set_config_option", "session/fork", "$/cancel_request"),
    *("_acprelay/attach", "_acprelay/turns", "_acprelay/run", "_acprelay/cancel_turn"),
    *("_acprelay/open_group", "_acprelay/close_group", "_acprelay/revoke_invitations"),
    *("fs/read_text_file", "terminal/create", "_x/anything", "", "\ud800"),
)
_NAMES = ("jsonrpc", "id", "method", "params", "result", "error", "sessionId", "cwd", "_meta")
_INITIALIZE = b'{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":1}}'
_PING = b'{"jsonrpc":"2.0","id":"last","method":"session/list","params":{}}'

ALIVE = "alive"
"""The connection goes on, and what is right is answered."""


def value(random: Random, depth: int = 0) -> object:
    """A JSON value of any kind."""
    kind = random.randrange(9 if depth < 4 else 6)  # noqa: PLR2004 - deep enough for most
    simple: tuple[object, ...] = (
        *(None, True, -1, 10 ** random.randrange(30), random.random() * 1e308, "x\u0000é"),
        *("", "1", "s" * random.randrange(200)),
    )
    if kind < 6:  # noqa: PLR2004
        return random.choice(simple)
    if kind == 6:  # noqa: PLR2004
        return [value(random, depth + 1) for _ in range(random.randrange(4))]
    return {random.choice(_NAMES): value(random, depth + 1) for _ in range(random.randrange(5))}


def message(random: Random) -> bytes:
    """A message that is nearly one, or not at all."""
    body: dict[str, object] = {"jsonrpc": "2.0"}
    if random.random() < 0.8:  # noqa: PLR2004 - most have one
        body["id"] = value(random) if random.random() < 0.5 else random.randrange(1000)  # noqa: PLR2004
    body["method"] = random.choice(_METHODS) if random.random() < 0.9 else value(random)  # noqa: PLR2004
    body["params"] = value(random)
    for name in random.sample(list(body), random.randrange(2)):
        del body[name]
    said = json.dumps(body).encode()
    chance = random.random()
    if chance < 0.1:  # noqa: PLR2004
        place = random.randrange(len(said))
        said = said[:place] + noise(random, random.randrange(1, 5)) + said[place:]
    elif chance < 0.15:  # noqa: PLR2004
        said = said[: random.randrange(len(said))]
    elif chance < 0.2:  # noqa: PLR2004
        said = b"[" + said + b"," + said + b"]"
    return said


_CRAFTED = (
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"session/list","method":"x"}',
    b'{"jsonrpc":"2.0","id":' + b"9" * 100_000 + b',"method":"session/list"}',
    b'{"jsonrpc":"2.0","id":"' + b"x" * 500_000 + b'","method":"nothing"}',
    b'{"jsonrpc":"2.0","id":1e400,"method":"session/list"}',
    b'{"id":3,"method":"session/list","params":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    b'{"id":4,"method":"x","params":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    b"[" * 100_000,
    b"[]",
    b"null",
    b"",
    b"\xff\xfe\xfd",
    b'{"jsonrpc":"2.0","id":5,"method":"\xc3\x28"}',
    b'{"jsonrpc":"2.0","id":6,"method":"\xed\xa0\x80"}',
    b'{"id":7,"result":{}}',
    b'{"id":8,"error":{"code":"x"}}',
)


async def _tell(site: Site, messages: Sequence[bytes], opcode: int = Opcode.TEXT) -> str:
    """Says messages, and tells whether the connection still does what it is for."""
    async with site.line() as line:
        if not await line.upgrade():
            return NO_UPGRADE
        await line.say(frame(_INITIALIZE))
        for each in messages:
            await line.say(frame(each, opcode))
        await line.say(frame(_PING))
        while answer := await line.answer():
            if b'"last"' in answer:
                return ALIVE
        return await line.end()


async def crafted_messages(site: Site) -> Sequence[str]:
    """Messages that were thought out to hurt."""
    return [await _tell(site, _CRAFTED), await _tell(site, _CRAFTED, Opcode.BINARY)]


async def random_messages(site: Site) -> Sequence[str]:
    """Messages of which nearly everything may be anything."""
    return [await _tell(site, [message(site.random) for _ in range(200)]) for _ in range(5)]


async def random_bytes(site: Site) -> Sequence[str]:
    """Messages that are no JSON at all."""
    said = [noise(site.random, site.random.randrange(2_000)) for _ in range(100)]
    return [await _tell(site, said), await _tell(site, said, Opcode.BINARY)]
