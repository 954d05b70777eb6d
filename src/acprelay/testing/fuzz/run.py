"""One fuzz run from beginning to end."""

from __future__ import annotations

import asyncio
import re
import resource
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psutil

from acprelay.testing.fuzz.attacks import ATTACKS, Attack
from acprelay.testing.fuzz.line import NO_UPGRADE, Site
from acprelay.testing.fuzz.report import Report, Usage
from acprelay.testing.fuzz.witness import Disturbed, Witness, newcomer
from acprelay.testing.soak.connection import Connection
from acprelay.testing.soak.relay import Relay, RelayFailed

_GROWTH = 32 << 20
_SETTLE_S = 20.0
_LOOK_S = 0.1
_ATTACK_S = 120.0
_PAUSE_S = 0.05
_SPARE_DESCRIPTORS = 200
_REFUSALS = frozenset({"401", NO_UPGRADE})
"""What strangers may be told in place of anything else."""

_ODD = re.compile(r"Traceback|Exception|\b(ERROR|CRITICAL)\b")

_CONFIGURATION = """\
[limits]
handshake-s = 1
keep-alive-s = 3
greeting-s = 2
body-s = 1
max-frame = 1048576
handshakes = 128
streams = 50
history-bytes = 262144
"""
"""Short deadlines and low bounds, so that a run need not be long to reach them.

What the witness is told is kept up to a bound, which is reached in the first round.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        seed: Decides every choice.
        rounds: How often each attack is made, at least.
        seconds: For how long new rounds begin.
        crowd: How many connections a crowd has.
        strangers: Whether the relay asks everybody for a token, which those who abuse it do not
            have.
        growth: How much the relay's memory may grow, in bytes, after the first round.
    """

    seed: int = 1
    rounds: int = 2
    seconds: float = 0.0
    crowd: int = 1000
    strangers: bool = False
    growth: int = _GROWTH


class Fuzz:
    """Carries a plan out.

    Args:
        plan: What is to be done.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._outcomes: dict[str, Counter[str]] = {attack.name: Counter() for attack in ATTACKS}
        self._complaints: list[str] = []
        self._newcomers = 0
        self._token: str | None = None
        self._usages: list[Usage] = []

    async def run(self) -> Report:
        """Runs to the end, and reports. Cancelling it leaves no process behind.

        Raises:
            RelayFailed: The relay does not start.
        """
        _make_room(self._plan.crowd)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with tempfile.TemporaryDirectory(prefix="acprelay-fuzz-") as name:
            folder = Path(name)
            configuration = folder / "config.toml"
            configuration.write_text(_CONFIGURATION)
            auth = ("--auth",) if self._plan.strangers else ()
            options = ("--config", str(configuration), *auth)
            relay = Relay(folder=folder, ephemeral=not self._plan.strangers, options=options)
            async with relay:
                if self._plan.strangers:
                    self._token = (folder / "state/owner-token").read_text().strip()
                witness = await self._abuse(relay, begun)
                await self._stop(relay)
        return Report(
            seed=self._plan.seed,
            seconds=loop.time() - begun,
            outcomes=self._outcomes,
            turns=witness.turns,
            newcomers=self._newcomers,
            usages=tuple(self._usages),
            growth=self._plan.growth,
            complaints=tuple(self._complaints),
        )

    async def _abuse(self, relay: Relay, begun: float) -> Witness:
        loop, plan = asyncio.get_running_loop(), self._plan
        parts = urlsplit(relay.url)
        chance = Random(plan.seed)  # noqa: S311 - a fuzz run keeps no secret
        site = Site(
            host=parts.hostname or "", port=parts.port or 0, random=chance, crowd=plan.crowd
        )
        connection = await Connection.open(relay.url, token=self._token)
        witness = Witness(connection)
        try:
            await witness.greet()
            await witness.turn()
            before = _usage(relay)
            self._usages.append(before)
            rounds = 0
            while rounds < plan.rounds or loop.time() - begun < plan.seconds:
                for attack in chance.sample(ATTACKS, len(ATTACKS)):
                    await self._attack(attack, site, witness, relay)
                self._usages.append(await self._settled(relay, before))
                rounds += 1
        except Disturbed as error:
            self._complaints.append(f"before all: {error}")
        finally:
            await connection.close()
        return witness

    async def _attack(self, attack: Attack, site: Site, witness: Witness, relay: Relay) -> None:
        """Makes an attack, during and after which the witness works, and a new client does."""
        try:
            async with self._watched(witness), asyncio.timeout(_ATTACK_S):
                seen = await attack.run(site)
            await witness.turn()
            await newcomer(relay.url, token=self._token)
            self._newcomers += 1
        except Disturbed as error:
            self._complaints.append(f"{attack.name}: {error}")
            return
        except TimeoutError:
            self._complaints.append(f"{attack.name}: it was not over within {_ATTACK_S:g} s")
            return
        self._outcomes[attack.name].update(seen)
        known = attack.allowed | _REFUSALS if self._plan.strangers else attack.allowed
        odd = sorted(set(seen) - known)
        if odd:
            self._complaints.append(f"{attack.name}: the relay took it with {', '.join(odd)}")

    @asynccontextmanager
    async def _watched(self, witness: Witness) -> AsyncIterator[None]:
        """Has the witness work for as long as the context lasts.

        Raises:
            Disturbed: It could not.
        """
        over = asyncio.Event()

        async def work() -> None:
            while not over.is_set():
                await witness.turn()
                await asyncio.sleep(_PAUSE_S)

        work_task = asyncio.get_running_loop().create_task(work())
        try:
            yield
        finally:
            over.set()
            await work_task

    async def _settled(self, relay: Relay, before: Usage) -> Usage:
        """What the relay has once it has let go of what it can, or has had time enough to."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SETTLE_S
        while True:
            usage = _usage(relay)
            if usage.descriptors <= before.descriptors or loop.time() >= until:
                return usage
            await asyncio.sleep(_LOOK_S)

    async def _stop(self, relay: Relay) -> None:
        try:
            await relay.stop()
        except RelayFailed as error:
            self._complaints.append(str(error))
        odd = [line for line in relay.log.splitlines() if _ODD.search(line)]
        if odd:
            self._complaints.append(f"the relay logged {len(odd)} errors, the first: {odd[0]}")


def _usage(relay: Relay) -> Usage:
    process = psutil.Process(relay.pid)
    return Usage(rss=process.memory_info().rss, descriptors=process.num_fds())


def _make_room(crowd: int) -> None:
    """Lets this process have as many connections as a crowd does, and its children after it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = crowd + _SPARE_DESCRIPTORS
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
