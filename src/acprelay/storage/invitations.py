"""Where invitations are kept: in a file of the state directory, or nowhere.

Tokens never come here, only their hashes. What an invitation is for is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from acprelay.errors import InvalidKey
from acprelay.routing.invitations import Invitation
from acprelay.session.models import SessionKey
from acprelay.storage.disk import Disk
from acprelay.storage.secrets import ListFile


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    digest: str
    expires_at: float


class InvitationFile:
    """An `InvitationStore` in a file, for its owner alone.

    Args:
        path: The file; its directory is there.
        disk: Writes it.
    """

    def __init__(self, *, path: Path, disk: Disk) -> None:
        self._file = ListFile(
            path=path,
            disk=disk,
            form=_Kept,
            what="the invitations",
            loss="agents that join later need new invitations then",
        )

    def load(self) -> Sequence[Invitation]:
        """Gives what was saved last, or nothing.

        Raises:
            ConfigError: The file cannot be read.
        """
        try:
            return [
                Invitation(
                    key=SessionKey.parse(each.key), digest=each.digest, expires_at=each.expires_at
                )
                for each in self._file.load()
            ]
        except InvalidKey as error:
            raise self._file.unreadable(error) from error

    def save(self, invitations: Sequence[Invitation]) -> None:
        """Keeps invitations in place of those before; returns once they are on the disk.

        Raises:
            Unavailable: They cannot be written; those before are still there.
        """
        self._file.save(
            [
                _Kept(key=str(each.key), digest=each.digest, expires_at=each.expires_at)
                for each in invitations
            ]
        )


class ForgetfulInvitations:
    """An `InvitationStore` for a relay that stores nothing."""

    def load(self) -> Sequence[Invitation]:
        """Gives nothing."""
        return []

    def save(self, invitations: Sequence[Invitation]) -> None:
        """Keeps nothing."""
