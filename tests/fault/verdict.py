"""What has to hold of a relay that follows one that was killed, whenever that was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.fault.nursery import Death

from acprelay.storage.batches import (
    BATCH_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    parse_batch_header,
)
from acprelay.wire.sse import messages

Message = dict[str, Any]


def written(deaths: Iterable[Death], session_id: str) -> list[str]:
    """The log of a session, as far as the operating system has taken it, over several lives."""
    place = "/".join(["conversations", *session_id.split(":")])
    entries: list[str] = []
    known: set[str] = set()
    for path, data in (each for death in deaths for each in death.all("written")):
        if place in path and path.endswith(".segment"):
            rest = bytes.fromhex(data)
            if path not in known:
                rest = rest[SEGMENT_HEADER_BYTES:]
                known.add(path)
            while rest:
                size = parse_batch_header(rest[:BATCH_HEADER_BYTES]).size
                end = BATCH_HEADER_BYTES + size
                entries += [each.decode() for each in messages(rest[BATCH_HEADER_BYTES:end])]
                rest = rest[end:]
    return entries


def known_to_clients(deaths: Sequence[Death], agents: Path) -> dict[str, Any]:
    """What the next life is to be told: who was there, and where clients had come to."""
    session_id = first_told(deaths, "opened")
    seen = dict(entries_shown(deaths, session_id))
    return {
        "agents": [path.name for path in agents.iterdir()],
        "session": session_id,
        "positions": {name: position(json.loads(entry)) for name, entry in seen.items()},
        "tokens": dict(told(deaths, "token")),
    }


def judge(deaths: Sequence[Death], heir: Death) -> None:
    """Holds what an heir has found against what was done before.

    Args:
        deaths: The lives before, all of one relay after the other.
        heir: The life of the one that is left to end in good order.
    """
    assert heir.last("failed") is None
    assert heir.status == 0
    assert heir.all("left") == [[]]
    listed = heir.last("listed")
    session_id = first_told(deaths, "opened")
    if session_id is not None:
        assert session_id in listed
    if told(deaths, "deleted"):
        assert first_told(deaths, "doomed") not in listed
    logs = dict(heir.all("loaded"))
    for each, log in logs.items():
        kept = written(deaths, each)
        assert log[: len(kept)] == kept
        judge_log([json.loads(entry) for entry in log])
    assert all(turns == {"running": None, "queued": []} for turns in heir.all("turns"))
    assert [each["stopReason"] for each in heir.all("went on")] == ["end_turn"] * len(listed)
    if session_id is not None:
        judge_clients(deaths, heir, logs[session_id], written(deaths, session_id))
    judge_tokens(deaths, heir)


def judge_that_all_is_kept(deaths: Sequence[Death], heir: Death) -> None:
    """Holds what an heir has found against what was shown, by relays that were not killed."""
    assert heir.all("left") == [[]]
    session_id = first_told(deaths, "opened")
    logs = dict(heir.all("loaded"))
    if session_id is not None:
        log = logs[session_id]
        judge_log([json.loads(entry) for entry in log])
        seen = [entry for _, entry in entries_shown(deaths, session_id)]
        assert seen == [log[stamp(json.loads(entry))["seq"] - 1] for entry in seen]
    assert [each["stopReason"] for each in heir.all("went on")] == ["end_turn"] * len(logs)


def judge_log(log: list[Message]) -> None:
    """Holds a log, as it was loaded, against what may stand in any."""
    stamps = [entry["params"]["_meta"]["acprelay"] for entry in log]
    assert [stamp["seq"] for stamp in stamps] == list(range(1, len(log) + 1))
    started = [entry["params"]["turn"] for entry in of_method(log, "_acprelay/turn_started")]
    ends = of_method(log, "_acprelay/turn_ended")
    ended = Counter(entry["params"]["turn"] for entry in ends)
    assert all(ended[turn] == 1 for turn in started), "a turn's end is missing, or told twice"
    for entry in ends:
        if entry["params"]["turn"] not in started:  # what began it was lost, and its end is told
            assert entry["params"]["outcome"] == "interrupted"


def judge_clients(deaths: Sequence[Death], heir: Death, log: list[str], kept: list[str]) -> None:
    """Holds what clients were shown against what they get who come back."""
    session_id = first_told(deaths, "opened")
    last: dict[str, int] = {}
    lost: dict[str, bool] = {}
    for name, entry in entries_shown(deaths, session_id):
        shown = stamp(json.loads(entry))
        last[name] = shown["seq"]
        lost[name] = shown["seq"] > len(kept) or (
            # Where the end of a generation was lost, the next one counts on from what is left.
            stamp(json.loads(kept[shown["seq"] - 1]))["generation"] != shown["generation"]
        )
        assert lost[name] or entry == kept[shown["seq"] - 1]
    for name, what in heir.all("returned"):
        if lost[name]:
            assert what == "cursor_expired"
        else:
            assert [each for each in what if is_entry(each)] == log[last[name] :]


def judge_tokens(deaths: Sequence[Death], heir: Death) -> None:
    """Holds whom the heir lets in against what was answered before."""
    status = dict(heir.all("let in"))
    if "kept" in status:
        assert status["kept"] == 200
    if told(deaths, "revoked"):
        assert status["revoked"] == 401
    if told(deaths, "invited") and not told(deaths, "revoking"):
        assert dict(heir.all("invitations"))[first_told(deaths, "opened")] == 1


def told(deaths: Iterable[Death], name: str) -> list[Any]:
    return [value for death in deaths for value in death.all(name)]


def first_told(deaths: Iterable[Death], name: str) -> Any:
    return next(iter(told(deaths, name)), None)


def entries_shown(deaths: Iterable[Death], session_id: str | None) -> list[tuple[str, str]]:
    """The entries of a session's log that clients were shown, each with the client's name."""
    return [
        (name, payload)
        for name, payload in told(deaths, "shown")
        if is_entry(payload) and json.loads(payload)["params"]["sessionId"] == session_id
    ]


def is_entry(payload: str) -> bool:
    return "seq" in stamp(json.loads(payload))


def stamp(message: Message) -> Message:
    added: Message = message.get("params", {}).get("_meta", {}).get("acprelay", {})
    return added


def position(entry: Message) -> str:
    return f"{stamp(entry)['generation']}:{stamp(entry)['seq']}"


def of_method(log: list[Message], method: str) -> list[Message]:
    return [entry for entry in log if entry["method"] == method]
