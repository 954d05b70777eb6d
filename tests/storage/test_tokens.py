"""Tokens in files: whole, for their owner alone, and the secrets of all but one left out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.storage.conftest import FakeDisk

from acprelay.errors import ConfigError, Unavailable
from acprelay.routing.access import Grant, Scope
from acprelay.routing.tokens import Token, digest_of
from acprelay.storage.disk import SystemDisk
from acprelay.storage.secrets import MemorySecret, SecretFile
from acprelay.storage.tokens import ForgetfulTokens, TokenFile

KEPT = [
    Token(
        id="a",
        name="phöne",
        grants=frozenset({Grant.OBSERVE, Grant.PROMPT}),
        scope=Scope(group="g", role="r"),
        digest=digest_of("hidden"),
        created_at=1.5,
        expires_at=2e9,
    ),
    Token(
        id="b",
        name="owner",
        grants=frozenset({Grant.MANAGE}),
        scope=Scope(),
        digest=digest_of("other"),
        created_at=2.5,
        is_owners=True,
    ),
]


@pytest.mark.requirement("access.tokens-are-stored-hashed")
def test_what_was_saved_last_is_loaded_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    file = TokenFile(path=path, disk=SystemDisk())
    assert file.load() == []
    file.save(KEPT[:1])
    file.save(KEPT)
    assert TokenFile(path=path, disk=SystemDisk()).load() == KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"hidden" not in path.read_bytes()


def test_a_disk_that_is_full_costs_nothing_that_was_there(tmp_path: Path) -> None:
    disk = FakeDisk()
    file = TokenFile(path=tmp_path / "tokens.json", disk=disk)
    file.save(KEPT[:1])
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(Unavailable, match="cannot keep the tokens: No space left"):
        file.save(KEPT)
    assert file.load() == KEPT[:1]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"id":"a"}]', b"\xff"])
def test_a_file_that_cannot_be_read_keeps_a_relay_from_starting(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot read the tokens in") as caught:
        TokenFile(path=path, disk=SystemDisk()).load()
    assert "remove the file" in caught.value.hint


def test_a_directory_in_their_place_keeps_a_relay_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.mkdir()
    with pytest.raises(ConfigError) as caught:
        TokenFile(path=path, disk=SystemDisk()).load()
    assert caught.value.message == f"cannot read the tokens in {path}: Is a directory"


def test_a_relay_that_stores_nothing_forgets_them() -> None:
    store = ForgetfulTokens()
    store.save(KEPT)
    assert store.load() == []
    secret = MemorySecret()
    assert secret.load() is None
    secret.save("a")
    assert secret.load() == "a"


def test_a_secret_is_readable_by_its_owner_alone_whatever_the_umask_and_what_was_left(
    tmp_path: Path,
) -> None:
    path = tmp_path / "owner-token"
    left = path.with_name(path.name + ".new")
    left.write_text("left by a crash")
    left.chmod(0o666)
    file = SecretFile(path=path, disk=SystemDisk())
    before = os.umask(0)
    try:
        file.save("hidden")
    finally:
        os.umask(before)
    assert file.load() == "hidden"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not left.exists()


def test_a_secret_that_others_could_have_read_is_none_any_more(tmp_path: Path) -> None:
    path = tmp_path / "owner-token"
    file = SecretFile(path=path, disk=SystemDisk())
    assert file.load() is None
    file.save("hidden")
    path.chmod(0o640)
    assert file.load() is None
    file.save("another")
    assert (file.load(), path.stat().st_mode & 0o777) == ("another", 0o600)


def test_a_secret_is_not_read_through_a_link(tmp_path: Path) -> None:
    path = tmp_path / "owner-token"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot use the file"):
        SecretFile(path=path, disk=SystemDisk()).load()


def test_a_secret_that_cannot_be_written_is_an_error_that_does_not_tell_it(tmp_path: Path) -> None:
    disk = FakeDisk()
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ConfigError, match=r"cannot use the file .*: No space left") as caught:
        SecretFile(path=tmp_path / "owner-token", disk=disk).save("hidden")
    assert "hidden" not in str(caught.value.data) + caught.value.message
