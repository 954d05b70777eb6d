"""Looks at a conversation's run for whoever asks how it does: `_acprelay/run`.

It joins what the conversation, the session manager and the agent know; `routing.run_report` writes
the answer. Nothing is started for it.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from acprelay.routing.run_report import RunFacts, run_result
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.run_lifecycle import RunLifecycle
from acprelay.session.models import Session
from acprelay.session.ports import Clock


async def inspect_run(
    driver: ConversationDriver, *, runs: RunLifecycle, clock: Clock
) -> dict[str, Any]:
    """Makes the answer. Cancelling is safe.

    What its processes use is read in a thread, together with all others who ask meanwhile.

    Raises:
        StoreError: The session store is out of reach.
    """
    found = await runs.find(driver.key)
    facts = None if found is None else await _facts(*found)
    return run_result(
        session_id=str(driver.key),
        agent=driver.record.agent,
        latest_run=driver.record.run,
        standing=driver.supervisor.standing(),
        facts=facts,
        now=clock.now(),
    )


async def _facts(session: Session, run: AgentRun | None) -> RunFacts:
    usage = None if run is None else await run.measure()
    return RunFacts(
        state=str(session.state).lower(),
        run=session.run,
        started_at=session.created_at,
        heard_at=session.last_heartbeat_at or session.activated_at or session.created_at,
        pid=None if run is None else run.pid,
        usage=None if usage is None else astuple(usage),
    )
