"""Where tokens are kept: in a file of the state directory, or nowhere.

Secrets never come here, only their hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from acprelay.routing.access import Grant, Scope
from acprelay.routing.tokens import Token
from acprelay.storage.disk import Disk
from acprelay.storage.secrets import ListFile


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    name: str
    grants: list[Grant]
    group: str | None
    role: str | None
    digest: str
    created_at: float
    expires_at: float | None
    is_owners: bool


class TokenFile:
    """A `TokenStore` in a file, for its owner alone.

    Args:
        path: The file; its directory is there.
        disk: Writes it.
    """

    def __init__(self, *, path: Path, disk: Disk) -> None:
        self._file = ListFile(
            path=path,
            disk=disk,
            form=_Kept,
            what="the tokens",
            loss="everybody needs a new token then",
        )

    def load(self) -> Sequence[Token]:
        """Gives what was saved last, or nothing.

        Raises:
            ConfigError: The file cannot be read.
        """
        return [
            Token(
                id=each.id,
                name=each.name,
                grants=frozenset(each.grants),
                scope=Scope(group=each.group, role=each.role),
                digest=each.digest,
                created_at=each.created_at,
                expires_at=each.expires_at,
                is_owners=each.is_owners,
            )
            for each in self._file.load()
        ]

    def save(self, tokens: Sequence[Token]) -> None:
        """Keeps tokens in place of those before; returns once they are on the disk.

        Raises:
            Unavailable: They cannot be written; those before are still there.
        """
        self._file.save(
            [
                _Kept(
                    id=each.id,
                    name=each.name,
                    grants=sorted(each.grants),
                    group=each.scope.group,
                    role=each.scope.role,
                    digest=each.digest,
                    created_at=each.created_at,
                    expires_at=each.expires_at,
                    is_owners=each.is_owners,
                )
                for each in tokens
            ]
        )


class ForgetfulTokens:
    """A `TokenStore` for a relay that stores nothing."""

    def load(self) -> Sequence[Token]:
        """Gives nothing."""
        return []

    def save(self, tokens: Sequence[Token]) -> None:
        """Keeps nothing."""
