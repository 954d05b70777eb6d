"""What is kept of a conversation besides its log."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey


def record() -> ConversationRecord:
    return ConversationRecord(
        key=SessionKey("s", "main"),
        agent="coder",
        cwd="/home/me",
        params=b"{}",
        agent_session_id="own",
        created_at=1.0,
        updated_at=2.0,
    )


def test_a_new_one_is_in_its_first_run_and_in_no_turn() -> None:
    made = record()
    assert (made.run, made.snapshot, made.turn, made.title) == (1, b"{}", None, None)


def test_it_is_a_value() -> None:
    assert record() == record()
    with pytest.raises(AttributeError):
        record().run = 2  # type: ignore[misc]  # that is what must not be possible


@pytest.mark.parametrize(
    ("params", "added"),
    [
        (b"{}", ()),
        (b'{"additionalDirectories":[]}', ()),
        (b'{"cwd":"/x","additionalDirectories":["/a","/b"]}', ("/a", "/b")),
        (b'{"additionalDirectories":null}', ()),
        (b'{"additionalDirectories":"/a"}', ()),
        (b'{"additionalDirectories":["/a",1]}', ()),
        (b'{"additionalDirectories":["a","/b","","/c\\u0000","~/d"]}', ("/b",)),
        (b"null", ()),
    ],
)
def test_its_roots_are_its_directory_and_what_its_client_has_added(
    params: bytes, added: tuple[str, ...]
) -> None:
    kept = replace(record(), params=params)
    assert kept.workdir == "/home/me"
    assert kept.roots == ("/home/me", *added)


@pytest.mark.parametrize("cwd", ["", ".", "home/me", "~", "/a\0b"])
def test_a_directory_that_is_no_absolute_path_is_no_root(cwd: str) -> None:
    assert replace(record(), cwd=cwd).roots == ()
