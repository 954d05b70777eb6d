"""Later runs of conversations: created once the one before is gone, and restored by their agents.

What waits for such a run learns of its failure through the conversation's driver. This module opens
no conversation, and decides nothing about the lifecycle.
"""

from __future__ import annotations

import asyncio
from functools import partial

from acprelay.errors import InvalidTransition, NotRestorable, RelayError, SessionNotFound
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.background import Background
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.creations import Creations
from acprelay.runtime.run_lifecycle import RunLifecycle
from acprelay.session.models import Handle, SessionKey, SessionSpec
from acprelay.wire import Envelope


class FurtherRuns:
    """Begins runs for conversations that have none.

    Args:
        runs: Creates and ends runs.
        creations: Keeps account of those that are being created.
        background: Owns the tasks.
    """

    def __init__(self, *, runs: RunLifecycle, creations: Creations, background: Background) -> None:
        self._runs = runs
        self._creations = creations
        self._background = background

    def begin(self, driver: ConversationDriver, run: AgentRun) -> None:
        """Begins a run; `run_opened` or `run_over` of the conversation's driver follows."""
        self._creations.start(self._renew(driver, run), name=f"further run of {driver.key}")

    async def _renew(self, driver: ConversationDriver, run: AgentRun) -> None:
        try:
            self._creations.check_open()
            record = driver.record
            spec = SessionSpec(
                session_id=record.key.session_id,
                role=record.key.role,
                agent=record.agent,
                cwd=record.cwd,
            )
            handle = await self._runs.create_next(
                spec, sponsor=driver.sponsor, count=partial(_count, driver, run)
            )
            if handle is None:
                return
            self._background.start(
                self._restore(driver, run, handle), name=f"restoration of {run.key}"
            )
        except asyncio.CancelledError:
            driver.run_over(run, run.why_over)
            raise
        except RelayError as error:
            driver.run_over(run, error)
        except Exception:
            driver.run_over(run, _defect())
            raise

    async def _restore(
        self, driver: ConversationDriver, run: AgentRun, handle: Handle[AgentRun, object]
    ) -> None:
        try:
            _check_restored(run.key, await run.start(handle))
        except asyncio.CancelledError:
            driver.run_over(run, run.why_over)
            raise
        except (InvalidTransition, SessionNotFound):
            driver.run_over(run, run.why_over)
        except RelayError as error:
            driver.run_over(run, error)
            await self._runs.terminate(run.key, reason=error.message)
        except Exception:
            driver.run_over(run, _defect())
            await self._runs.terminate(run.key, reason="the relay failed")
            raise
        finally:
            handle.spawn_task = None


def _count(driver: ConversationDriver, run: AgentRun) -> int | None:
    return driver.keeper.count_run() if driver.awaits(run) else None


def _defect() -> RelayError:
    return RelayError("cannot take the session up again", hint="see the relay's log")


def _check_restored(key: SessionKey, answer: Envelope) -> None:
    if answer.is_error:
        reason = (answer.member("error") or b"")[:500].decode(errors="replace")
        raise NotRestorable(key=str(key), reason=f"its agent answered {reason}")
