"""The params of the relay's own requests about invitations."""

from __future__ import annotations

import msgspec

from acprelay.errors import InvalidParams
from acprelay.session.models import SessionKey

_DAY_S = 24 * 3600.0
MOST_S = 366 * _DAY_S
"""For how long an invitation may be good."""


class InviteParams(msgspec.Struct, frozen=True):
    """`_acprelay/invite` and `_acprelay/revoke_invitations`.

    Attributes:
        group: The session id of the group.
        role: The role there.
        ttl_s: For how long the token lets an agent in.
    """

    group: str
    role: str = "main"
    ttl_s: float = _DAY_S

    @property
    def key(self) -> SessionKey:
        """The role's key.

        Raises:
            InvalidKey: A part does not match its pattern.
        """
        return SessionKey(self.group, self.role)


def read_invite(params: bytes | None) -> InviteParams:
    """Reads the params of either request.

    Raises:
        InvalidParams: They are malformed.
        InvalidKey: The group or the role does not match its pattern.
    """
    try:
        read = msgspec.json.decode(params or b"null", type=InviteParams)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot read the params: {error}",
            hint="params.group is a session id; params.role a name; params.ttl_s a number",
        ) from error
    if not 0 < read.ttl_s <= MOST_S:
        raise InvalidParams(
            f"cannot invite for {read.ttl_s:g} s",
            hint=f"give params.ttl_s more than 0 and no more than {MOST_S:.0f}",
        )
    _ = read.key
    return read
