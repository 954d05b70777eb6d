"""Where invitations are kept: in a file of the state directory, or nowhere.

Tokens never come here, only their hashes. What an invitation is for is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from acprelay.errors import ConfigError, InvalidKey, Unavailable
from acprelay.routing.invitations import Invitation
from acprelay.session.models import SessionKey
from acprelay.storage.disk import Disk, replace_file


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
        self._path = path
        self._disk = disk

    def load(self) -> Sequence[Invitation]:
        """Gives what was saved last, or nothing.

        Raises:
            ConfigError: The file cannot be read.
        """
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=list[_Kept])
            return [
                Invitation(
                    key=SessionKey.parse(each.key), digest=each.digest, expires_at=each.expires_at
                )
                for each in kept
            ]
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, InvalidKey) as error:
            raise ConfigError(
                f"cannot read the invitations in {self._path}: {error}",
                hint="remove the file; agents that join later need new invitations then",
                path=str(self._path),
            ) from error

    def save(self, invitations: Sequence[Invitation]) -> None:
        """Keeps invitations in place of those before; returns once they are on the disk.

        Raises:
            Unavailable: They cannot be written; those before are still there.
        """
        kept = [
            _Kept(key=str(each.key), digest=each.digest, expires_at=each.expires_at)
            for each in invitations
        ]
        try:
            replace_file(self._disk, self._path, msgspec.json.encode(kept))
        except OSError as error:
            raise Unavailable(
                f"cannot keep an invitation: {error.strerror or error}",
                hint="look at the state directory's disk, then try again",
            ) from error


class ForgetfulInvitations:
    """An `InvitationStore` for a relay that stores nothing."""

    def load(self) -> Sequence[Invitation]:
        """Gives nothing."""
        return []

    def save(self, invitations: Sequence[Invitation]) -> None:
        """Keeps nothing."""
