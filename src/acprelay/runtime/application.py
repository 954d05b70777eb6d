"""What somebody shows who dials in, before anything is known to be true of it."""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.session.models import SessionKey
from acprelay.wire.link_greeting import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What somebody shows who dials in.

    Attributes:
        key: The role.
        token: The token; None without.
        claim: The link that is taken up; None for a new one.
        is_resumable: Whether the WebSocket speaks the link's subprotocol.
    """

    key: SessionKey
    token: str | None
    claim: Claim | None
    is_resumable: bool
