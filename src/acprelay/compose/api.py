"""Puts together the control API: what its operations need, and which ones there are."""

from __future__ import annotations

from acprelay.compose import parts
from acprelay.compose.runtime import Runtime
from acprelay.config import RelayConfig
from acprelay.runtime.agent_survey import AgentSurvey
from acprelay.runtime.inspection import Inspection
from acprelay.runtime.system import MonotonicClock, SystemClock
from acprelay.server.api.agents import AgentResource
from acprelay.server.api.catalog import Resource, all_operations
from acprelay.server.api.events import EventResource
from acprelay.server.api.groups import GroupResource
from acprelay.server.api.invitations import InvitationResource
from acprelay.server.api.operations import Operation
from acprelay.server.api.permissions import PermissionResource
from acprelay.server.api.policy import PolicyResource
from acprelay.server.api.relay import RelayResource
from acprelay.server.api.sessions import SessionResource
from acprelay.server.api.tokens import TokenResource
from acprelay.server.api.transcripts import TranscriptResource
from acprelay.server.api.turns import TurnResource
from acprelay.server.api.worktrees import WorktreeResource
from acprelay.server.quotas import Quota


def api_operations(
    runtime: Runtime, config: RelayConfig, *, public_origin: str | None, streams: Quota
) -> tuple[Operation, ...]:
    """Gives every operation of a relay's control API.

    Args:
        runtime: What it tells of and acts on.
        config: What the relay is started with.
        public_origin: Where browsers come in, if not where the relay listens.
        streams: Bounds how many event streams each principal has open.
    """
    inspection = Inspection(host=runtime.host, manager=runtime.manager)
    survey = AgentSurvey(
        pool=runtime.pool,
        launcher=runtime.launcher,
        deadline_s=config.limits.start_s,
        clock=MonotonicClock(),
    )
    resources: list[Resource] = [
        GroupResource(
            groups=runtime.groups, inspection=inspection, connections=runtime.connections
        ),
        SessionResource(inspection=inspection),
        TranscriptResource(inspection=inspection),
        TurnResource(inspection=inspection),
        PermissionResource(inspection=inspection),
        PolicyResource(policy=config.policy),
        AgentResource(survey=survey),
        InvitationResource(desk=runtime.desk, dial_ins=runtime.dial_ins),
        WorktreeResource(desk=parts.worktree_desk(), inspection=inspection),
        EventResource(feed=runtime.feed, streams=streams, connections=runtime.connections),
        TokenResource(desk=runtime.tokens, clock=SystemClock(), public_origin=public_origin),
        RelayResource(
            draining=runtime.draining,
            inspection=inspection,
            limits=config.limits,
            clock=SystemClock(),
        ),
    ]
    return all_operations(resources)
