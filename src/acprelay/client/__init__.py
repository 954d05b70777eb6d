"""A client of a relay, for programs: everything that its API offers, and conversations.

It stands by itself: importing it starts nothing, and brings in nothing of the relay but its errors.
"""

from __future__ import annotations

from acprelay.client.acp_messages import PermissionOption, PermissionRequest
from acprelay.client.conversation import START, Answer, Conversation, Entry
from acprelay.client.groups import Group, Opened, OpenedGroup, Refusal, Role
from acprelay.client.permissions import Answered, PermissionInfo
from acprelay.client.relay_client import RelayClient
from acprelay.client.sessions import RunReport, Session, SessionDetail, Usage, WorktreeInfo
from acprelay.client.transcripts import TranscriptEntry
from acprelay.client.turns import Prompted, Queued, Running, Turns

__all__ = [
    "START",
    "Answer",
    "Answered",
    "Conversation",
    "Entry",
    "Group",
    "Opened",
    "OpenedGroup",
    "PermissionInfo",
    "PermissionOption",
    "PermissionRequest",
    "Prompted",
    "Queued",
    "Refusal",
    "RelayClient",
    "Role",
    "RunReport",
    "Running",
    "Session",
    "SessionDetail",
    "TranscriptEntry",
    "Turns",
    "Usage",
    "WorktreeInfo",
]
