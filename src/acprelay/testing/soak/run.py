"""One soak from beginning to end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from acprelay.testing.soak.client import Client
from acprelay.testing.soak.driver import Driver
from acprelay.testing.soak.ledger import Fate
from acprelay.testing.soak.moves import Moves
from acprelay.testing.soak.observer import Auditor, Observer
from acprelay.testing.soak.relay import Relay, RelayFailed
from acprelay.testing.soak.report import Report
from acprelay.testing.soak.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        seed: Decides every choice, but not when it is made.
        clients: How many clients there are at a time, the one that prompts included.
        seconds: For how long new turns begin; None is no bound.
        steps: How many prompts are sent at most; None is no bound.
        rate: How many updates a second the agent is asked for, on average; 0 is no bound.
        updates: How many updates a turn has, on average.
        size: How large an update is, in bytes, on average.
        every: How many messages a client hears between two moves, on average.
        pause_s: The longest nap or absence of a client.
        patience_s: The soak is given up when nobody has heard anything for so long.
        ephemeral: Whether the relay keeps conversations in memory only.
        kill_relay: Whether the relay is killed now and then.
    """

    seed: int = 1
    clients: int = 4
    seconds: float | None = 30.0
    steps: int | None = None
    rate: int = 2000
    updates: int = 400
    size: int = 200
    every: int = 1500
    pause_s: float = 1.0
    patience_s: float = 60.0
    ephemeral: bool = False
    kill_relay: bool = False

    def moves(self, number: int) -> Moves:
        """The choices of one client; the one with number 0 prompts."""
        return Moves(
            random=Random(f"{self.seed}/{number}"),  # noqa: S311 - a soak keeps no secret
            every=self.every,
            longest_s=self.pause_s,
            drives=number == 0,
            kills=number == 0 and self.kill_relay,
        )


def _reason(group: ExceptionGroup[Exception]) -> Exception:
    """The one exception among those of the clients that says why all of them ended."""
    for error in group.exceptions:
        if isinstance(error, RelayFailed):
            return error
    return group


class Soak:
    """Carries a plan out.

    Args:
        plan: What is to be done.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def run(self) -> Report:
        """Runs to the end, and reports. Cancelling it leaves no process behind.

        Raises:
            RelayFailed: The relay does not start, or not again once it was killed.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with tempfile.TemporaryDirectory(prefix="acprelay-soak-") as folder:
            relay = Relay(folder=Path(folder), ephemeral=self._plan.ephemeral)
            async with relay:
                site = Site(
                    relay=relay, ephemeral=self._plan.ephemeral, opened=loop.create_future()
                )
                driver = self._driver(site, begun)
                observers = [
                    Observer(name=f"observer {number}", site=site, moves=self._plan.moves(number))
                    for number in range(1, self._plan.clients)
                ]
                await self._carry_out(site, [driver, *observers])
                await self._stop(site)
            return self._report(site, driver, loop.time() - begun)

    def _driver(self, site: Site, begun: float) -> Driver:
        plan, loop = self._plan, asyncio.get_running_loop()

        def is_time_up(prompts: int) -> bool:
            is_late = plan.seconds is not None and loop.time() - begun >= plan.seconds
            return is_late or (plan.steps is not None and prompts >= plan.steps)

        return Driver(
            name="driver",
            site=site,
            moves=plan.moves(0),
            updates=plan.updates,
            size=plan.size,
            rate=plan.rate,
            is_time_up=is_time_up,
        )

    async def _carry_out(self, site: Site, clients: Sequence[Client]) -> None:
        await self._live(site, clients)
        auditor = Auditor(name="auditor", site=site, moves=self._plan.moves(self._plan.clients))
        if site.opened.done():
            await self._live(site, [auditor])
        end = auditor.ear.stream.last
        for client in (*clients, auditor):
            if end is not None and not client.is_done:
                client.ear.stream.fall_short(end)
            client.ear.settle()

    async def _live(self, site: Site, clients: Sequence[Client]) -> None:
        """Lets clients live until all are done, or nothing has been heard for too long."""
        try:
            await self._watch_over(site, clients)
        except ExceptionGroup as group:
            raise _reason(group) from group

    async def _watch_over(self, site: Site, clients: Sequence[Client]) -> None:
        async with asyncio.TaskGroup() as group:
            living = {group.create_task(client.live()): client for client in clients}
            heard = -1
            while living and heard < site.ledger.heard:
                heard = site.ledger.heard
                done, _ = await asyncio.wait(living, timeout=self._plan.patience_s)
                for task in done:
                    del living[task]
                if done:
                    heard = -1
            for task, client in living.items():
                site.ledger.complain(f"{client.name} did not come to the end")
                task.cancel()

    async def _stop(self, site: Site) -> None:
        relay = site.relay
        try:
            await relay.stop()
        except RelayFailed as error:
            site.ledger.complain(str(error))
        for process in relay.left():
            site.ledger.complain(f"the agent's process {process.pid} is left")
        if "Traceback" in relay.log:
            site.ledger.complain(f"the relay logged an error:\n{relay.log[-2000:]}")

    def _report(self, site: Site, driver: Driver, seconds: float) -> Report:
        ledger, prompts = site.ledger, driver.prompts
        return Report(
            seed=self._plan.seed,
            clients=self._plan.clients,
            seconds=seconds,
            sent=site.history.written,
            counts=ledger.counts,
            replies_repeated=ledger.replies_repeated,
            asks_delivered=ledger.asks_delivered,
            asks_repeated=ledger.asks_repeated,
            permissions=dict(ledger.agent),
            prompts_sent=prompts.count(*Fate),
            prompts_answered=prompts.count(Fate.ANSWERED, Fate.ENDED),
            prompts_interrupted=prompts.count(Fate.INTERRUPTED),
            moves=dict(ledger.moves),
            relay_kills=site.relay.starts - 1,
            complaints=ledger.complaints,
        )
