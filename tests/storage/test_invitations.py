"""Invitations in a file: whole, for its owner alone, and without a token."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tests.storage.conftest import FakeDisk

from acprelay.errors import ConfigError, Unavailable
from acprelay.routing.invitations import Invitation, digest_of
from acprelay.session.models import SessionKey
from acprelay.storage.disk import SystemDisk
from acprelay.storage.invitations import ForgetfulInvitations, InvitationFile

KEPT = [
    Invitation(key=SessionKey("a", "main"), digest=digest_of("secret"), expires_at=1.5),
    Invitation(key=SessionKey("b", "db"), digest=digest_of("other"), expires_at=2e9),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "invitations.json"


@pytest.mark.requirement("joining.tokens-outlive-the-relay", "access.tokens-are-stored-hashed")
def test_what_was_saved_last_is_loaded_and_nobody_else_may_read_it(path: Path) -> None:
    file = InvitationFile(path=path, disk=SystemDisk())
    assert file.load() == []
    file.save(KEPT[:1])
    file.save(KEPT)
    assert InvitationFile(path=path, disk=SystemDisk()).load() == KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"secret" not in path.read_bytes()


def test_a_disk_that_is_full_costs_nothing_that_was_there(path: Path) -> None:
    disk = FakeDisk()
    file = InvitationFile(path=path, disk=disk)
    file.save(KEPT[:1])
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(Unavailable, match="cannot keep the invitations: No space left"):
        file.save(KEPT)
    assert file.load() == KEPT[:1]


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b'[{"key":"a","digest":"d","expires_at":1}]', b'[{"key":"a:b"}]', b"\xff"],
)
def test_a_file_that_cannot_be_read_keeps_a_relay_from_starting(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot read the invitations in") as caught:
        InvitationFile(path=path, disk=SystemDisk()).load()
    assert "remove the file" in caught.value.hint


def test_a_relay_that_stores_nothing_forgets_them() -> None:
    store = ForgetfulInvitations()
    store.save(KEPT)
    assert store.load() == []
