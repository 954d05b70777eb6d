"""A client of a relay, for programs: everything that its API offers, and conversations.

It stands by itself: importing it starts nothing, and brings in nothing of the relay but its errors.
"""

from __future__ import annotations

from acprelay.client.acp_messages import PermissionOption, PermissionRequest
from acprelay.client.agents import Agent, Probed
from acprelay.client.conversation import START, Answer, Conversation, Entry
from acprelay.client.events import LOST, RelayEvent
from acprelay.client.groups import Group, Opened, OpenedGroup, Refusal, Role
from acprelay.client.invitations import Invited
from acprelay.client.own_relays import find_token
from acprelay.client.permissions import Answered, PermissionInfo
from acprelay.client.policy import Claimed, ConsideredRule, Explained, PolicyInfo, RuleInfo
from acprelay.client.relay import RelayInfo
from acprelay.client.relay_client import RelayClient
from acprelay.client.sessions import RunReport, Session, SessionDetail, Usage, WorktreeInfo
from acprelay.client.tokens import LoginLink, NewToken, Token
from acprelay.client.transcripts import TranscriptEntry
from acprelay.client.turns import Prompted, Queued, Running, Turns
from acprelay.client.worktrees import ChangedFile, MergeOutcome, WorktreeDetail, WorktreeState

__all__ = [
    "LOST",
    "START",
    "Agent",
    "Answer",
    "Answered",
    "ChangedFile",
    "Claimed",
    "ConsideredRule",
    "Conversation",
    "Entry",
    "Explained",
    "Group",
    "Invited",
    "LoginLink",
    "MergeOutcome",
    "NewToken",
    "Opened",
    "OpenedGroup",
    "PermissionInfo",
    "PermissionOption",
    "PermissionRequest",
    "PolicyInfo",
    "Probed",
    "Prompted",
    "Queued",
    "Refusal",
    "RelayClient",
    "RelayEvent",
    "RelayInfo",
    "Role",
    "RuleInfo",
    "RunReport",
    "Running",
    "Session",
    "SessionDetail",
    "Token",
    "TranscriptEntry",
    "Turns",
    "Usage",
    "WorktreeDetail",
    "WorktreeInfo",
    "WorktreeState",
    "find_token",
]
