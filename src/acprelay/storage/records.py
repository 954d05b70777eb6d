"""Conversation records as JSON files.

`params` and `snapshot` are JSON already and are embedded as they are. Beside a record there may be
the one before it, until it is durable itself (`acprelay.storage.record_writer` says why).
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from acprelay.errors import InvalidKey, InvalidRequest, Unavailable
from acprelay.routing.records import ConversationRecord, Worktree
from acprelay.session.models import SessionKey
from acprelay.storage.disk import REMOVED_SUFFIX
from acprelay.wire.objects import mend, read_members

RECORD_NAME = "record.json"
FORMER_NAME = "record.json.former"
QUARANTINE_SUFFIX = ".damaged"

logger = logging.getLogger(__name__)


class _Stored(msgspec.Struct, kw_only=True):
    """A record, as its file has it."""

    format: Literal[1] = 1
    key: str
    agent: str
    cwd: str
    worktree: Worktree | None = None
    params: msgspec.Raw
    agent_session_id: str
    run: int
    snapshot: msgspec.Raw
    turn: str | None = None
    position: str | None = None
    title: str | None = None
    created_at: float
    updated_at: float


def conversation_directory(directory: Path, key: SessionKey) -> Path:
    """Where a conversation is kept below the directory of all."""
    return directory / conversation_name(key)


def conversation_name(key: SessionKey) -> str:
    """The path of a conversation's directory, from the directory of all."""
    return f"{key.session_id}/{key.role}"


def conversation_path(directory: str, key: SessionKey) -> str:
    """Does as `conversation_directory`, for what each new conversation waits for."""
    return f"{directory}/{conversation_name(key)}"


def encode_record(record: ConversationRecord) -> bytes:
    """Writes a record as JSON."""
    return msgspec.json.encode(
        _Stored(
            key=str(record.key),
            agent=record.agent,
            cwd=record.cwd,
            worktree=record.worktree,
            params=msgspec.Raw(record.params),
            agent_session_id=record.agent_session_id,
            run=record.run,
            snapshot=msgspec.Raw(record.snapshot),
            turn=record.turn,
            position=record.position,
            title=record.title,
            created_at=record.created_at,
            updated_at=record.updated_at,
        )
    )


def decode_record(data: bytes) -> ConversationRecord:
    """Reads a record back.

    Raises:
        msgspec.MsgspecError: It is no record.
        InvalidRequest: Neither is this.
        InvalidKey: Its key is none.
    """
    readable = mend(data)
    stored = msgspec.json.decode(readable, type=_Stored)
    params, snapshot = bytes(stored.params), bytes(stored.snapshot)
    if readable != data:  # msgspec does not read half characters; what has any is to stay
        members = read_members(data)
        params, snapshot = (data[slice(*members[name])] for name in ("params", "snapshot"))
    return ConversationRecord(
        key=SessionKey.parse(stored.key),
        agent=stored.agent,
        cwd=stored.cwd,
        worktree=stored.worktree,
        params=params,
        agent_session_id=stored.agent_session_id,
        run=stored.run,
        snapshot=snapshot,
        turn=stored.turn,
        position=stored.position,
        title=stored.title,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def put_leftovers_aside(path: str) -> None:
    """Puts a directory aside that a new conversation is to have.

    A relay that was killed as it founded a conversation may have left one, and so does a record
    that is damaged. The next conversation of the name must not begin with another one's history.

    Args:
        path: The conversation's.

    Raises:
        Unavailable: It cannot.
    """
    if not os.path.isdir(path):
        return
    directory = Path(path)
    aside = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}{QUARANTINE_SUFFIX}")
    try:
        directory.rename(aside)
    except OSError as error:
        raise Unavailable(
            f"cannot begin a conversation in {directory}: {error.strerror}",
            hint="move away what is there",
        ) from error
    logger.warning("cannot tell whose the log in %s is: it is put aside as %s", directory, aside)


def finish_removals(directory: Path) -> None:
    """Removes what a relay was removing when it was killed.

    Args:
        directory: Where each conversation has its directory, `<session id>/<role>`.
    """
    for path in directory.glob(f"*/*{REMOVED_SUFFIX}"):
        with suppress(OSError):  # the next start tries again
            shutil.rmtree(path)
        with suppress(OSError):  # something else is in it
            path.parent.rmdir()


def read_records(directory: Path) -> Iterator[ConversationRecord]:
    """Reads the records of all conversations; puts aside, and tells of, those that are none.

    Where a record is not whole, or missing, and the one before it is there, that one is given.

    Args:
        directory: Where each has its directory, `<session id>/<role>`.
    """
    names = (RECORD_NAME, FORMER_NAME)
    found = {path.parent for name in names for path in directory.glob(f"*/*/{name}")}
    for parent in sorted(found):
        record = _read_record(directory, parent / RECORD_NAME)
        if record is None:
            record = _read_record(directory, parent / FORMER_NAME)
        if record is None:
            logger.error("cannot list the conversation in %s: it has no record", parent)
        else:
            yield record


def _read_record(directory: Path, path: Path) -> ConversationRecord | None:
    """The record that a file has; None where there is none, which is told if there should be."""
    try:
        record = decode_record(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, RecursionError, InvalidRequest, InvalidKey, OSError) as error:
        _quarantine(path, error)
        return None
    if conversation_directory(directory, record.key) == path.parent:
        return record
    _quarantine(path, f"it is the record of {record.key}")
    return None


def _quarantine(path: Path, why: object) -> None:
    logger.error("cannot read the record %s: %s", path, why)
    try:
        path.replace(path.with_name(path.name + QUARANTINE_SUFFIX))
    except OSError as error:
        logger.error("cannot put %s aside: %s", path, error)  # noqa: TRY400 - says all there is
