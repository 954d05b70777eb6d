from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from acp import schema
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import InvalidParams
from acprelay.routing.listing import Listed, list_sessions
from acprelay.routing.recency import Place

FIRST = Listed(
    session_id="s:main",
    cwd="/w",
    title="Mend the roof",
    updated_at=1_700_000_000.25,
    agent="coder",
    group="s",
    role="main",
    is_live=True,
)
AN_ID = st.text(alphabet="abc", min_size=1, max_size=3)
A_TIME = st.one_of(st.sampled_from([1.5e9, 1.5e9 + 1 / 3]), st.floats(0, 4e9))


def listed(session_id: str, updated_at: float, cwd: str = "/w") -> Listed:
    return replace(FIRST, session_id=session_id, updated_at=updated_at, cwd=cwd)


def place(entry: Listed) -> Place:
    return -entry.updated_at, entry.session_id


def source(entries: Iterable[Listed]) -> Callable[[Place | None], Iterator[Listed]]:
    """Gives them as whoever has them does: in order, from a place on."""
    ordered = sorted(entries, key=place)
    return lambda after: (each for each in ordered if after is None or place(each) > after)


def ids(result: dict[str, Any]) -> list[str]:
    schema.ListSessionsResponse.model_validate(json.loads(json.dumps(result)))
    return [entry["sessionId"] for entry in result["sessions"]]


def after(result: dict[str, Any]) -> bytes:
    return json.dumps({"cursor": result["nextCursor"]}).encode()


def test_a_session_is_listed_with_what_acp_and_the_relay_say_of_it() -> None:
    assert list_sessions(source([FIRST]), None) == {
        "sessions": [
            {
                "sessionId": "s:main",
                "cwd": "/w",
                "title": "Mend the roof",
                "updatedAt": "2023-11-14T22:13:20.250Z",
                "_meta": {
                    "acprelay": {"agent": "coder", "group": "s", "role": "main", "live": True}
                },
            }
        ]
    }


def test_a_session_without_a_title_is_listed_without_one() -> None:
    (entry,) = list_sessions(source([replace(FIRST, title=None, is_live=False)]), b"{}")["sessions"]
    assert "title" not in entry
    assert entry["_meta"]["acprelay"]["live"] is False


def test_there_may_be_nothing_to_list() -> None:
    assert list_sessions(source([]), b"null") == {"sessions": []}


def test_the_session_that_changed_last_comes_first_and_equals_come_by_id() -> None:
    entries = [listed("b", 1.0), listed("z", 3.0), listed("a", 1.0), listed("y", 2.0)]
    assert ids(list_sessions(source(entries), b"{}")) == ["z", "y", "a", "b"]


def test_sessions_of_another_directory_are_left_out() -> None:
    entries = [listed("a", 1.0, "/w"), listed("b", 2.0, "/w/x"), listed("c", 3.0, "/")]
    assert ids(list_sessions(source(entries), b'{"cwd":"/w"}')) == ["a"]
    assert ids(list_sessions(source(entries), b'{"cwd":null,"cursor":null,"_meta":{}}')) == [
        "c",
        "b",
        "a",
    ]


def test_a_page_that_holds_the_rest_has_no_cursor() -> None:
    entries = [listed("a", 2.0), listed("b", 1.0)]
    assert "nextCursor" not in list_sessions(source(entries), None, page=2)
    result = list_sessions(source(entries), None, page=1)
    assert ids(result) == ["a"]
    result = list_sessions(source(entries), after(result), page=1)
    assert ids(result) == ["b"]
    assert "nextCursor" not in result


def test_the_directory_holds_for_every_page() -> None:
    entries = [listed(name, 1.0, cwd) for name, cwd in ("a/", "b-", "c/", "d/")]
    result = list_sessions(source(entries), b'{"cwd":"/"}', page=2)
    params = json.dumps({"cwd": "/", "cursor": result["nextCursor"]}).encode()
    assert ids(result) + ids(list_sessions(source(entries), params, page=2)) == ["a", "c", "d"]


def test_no_more_is_looked_at_than_a_page_takes() -> None:
    looked_at: list[str] = []

    def endless(_: Place | None) -> Iterator[Listed]:
        for number in itertools.count():
            looked_at.append(f"s{number}")
            yield listed(looked_at[-1], 1e9 - number)

    assert len(list_sessions(endless, None, page=3)["sessions"]) == 3
    assert looked_at == ["s0", "s1", "s2", "s3"]


@given(
    before=st.dictionaries(AN_ID, A_TIME),
    between=st.lists(st.dictionaries(AN_ID, st.none() | A_TIME, max_size=4)),
    page=st.integers(1, 4),
)
def test_what_stays_as_it_was_is_listed_once_however_the_list_changes_between_pages(
    before: dict[str, float], between: list[dict[str, float | None]], page: int
) -> None:
    entries = {name: listed(name, updated_at) for name, updated_at in before.items()}
    changed: set[str] = set()
    seen: list[str] = []
    result = list_sessions(source(entries.values()), None, page=page)
    changing = iter(between)
    while True:
        assert len(result["sessions"]) <= page
        seen += ids(result)
        if "nextCursor" not in result:
            break
        changes = next(changing, {})
        changed |= changes.keys()
        for name, updated_at in changes.items():
            entries.pop(name, None)
            if updated_at is not None:
                entries[name] = listed(name, updated_at)
        result = list_sessions(source(entries.values()), after(result), page=page)
    stayed = [name for name in seen if name not in changed]
    expected = sorted(before.keys() - changed, key=lambda name: (-before[name], name))
    assert stayed == expected


@pytest.mark.parametrize(
    "params",
    [
        b"[]",
        b"1",
        b'{"cwd":1}',
        b'{"cursor":{}}',
        b'{"cwd":"\\ud800"}',
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_malformed_params_are_refused(params: bytes) -> None:
    with pytest.raises(InvalidParams, match=r"^cannot list sessions: ") as caught:
        list_sessions(source([FIRST]), params)
    assert caught.value.hint == "session/list takes params.cwd and params.cursor, both strings"


def encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "2",
        "é",
        "not base64!",
        "+/+/",
        encoded(b"[1.0]"),
        encoded(b'[1.0,"a",2]'),
        encoded(b'["a",1.0]'),
        encoded(b'[NaN,"a"]'),
        encoded(b'[1.0,"\xff"]'),
        encoded(b'{"a":1}'),
        encoded(b"[" * 100_000),
    ],
)
def test_a_cursor_that_was_not_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidParams, match=r"^cannot go on from cursor ") as caught:
        list_sessions(source([FIRST]), json.dumps({"cursor": cursor}).encode())
    assert len(caught.value.message) < 150
