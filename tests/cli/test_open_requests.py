"""Which requests are still unanswered, read off the messages that pass."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.cli.open_requests import OpenRequests
from acprelay.errors import RelayUnreachable

GONE = RelayUnreachable("cannot reach it", hint="start it", url="ws://h")


@pytest.mark.parametrize(
    ("sent", "waiting"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"m"}', [b"1"]),
        (b'{"method":"m","params":{"id":2},"id": "a b" }', [b'"a b"']),
        (b'{"id":null,"method":"m"}', [b"null"]),
        (b'{"method":"m"}', []),
        (b'{"id":1,"result":{}}', []),
        (b'{"id":1,"error":{}}', []),
        (b'[{"id":1,"method":"m"}]', []),
        (b"no json", []),
        (b'{"id":1,"method":5}', []),
        (b'{"id":1,"method":"\xff"}', []),
        (b"[" * 5000 + b"]" * 5000, []),
    ],
)
def test_only_a_request_waits_for_an_answer(sent: bytes, waiting: list[bytes]) -> None:
    requests = OpenRequests()
    requests.sent(sent)
    assert len(requests) == len(waiting)
    ids = [json.loads(line)["id"] for line in requests.refuse_all(GONE)]
    assert ids == [json.loads(request_id) for request_id in waiting]
    assert len(requests) == 0


@pytest.mark.parametrize(
    ("received", "answered"),
    [
        (b'{"id":1,"result":null}', True),
        (b'{"error":{"code":1,"message":""},"id": 1}', True),
        (b'{"id":1.0,"result":null}', False),
        (b'{"id":"1","result":null}', False),
        (b'{"id":1,"method":"session/request_permission"}', False),
        (b'{"method":"session/update","params":{"id":1}}', False),
        (b"no json", False),
    ],
)
def test_an_answer_is_known_by_the_very_id(received: bytes, answered: bool) -> None:
    requests = OpenRequests()
    requests.sent(b'{"id":1,"method":"m"}')
    requests.received(received)
    assert len(requests) == (0 if answered else 1)


@given(st.lists(st.integers() | st.text(), unique_by=json.dumps), st.data())
def test_what_is_sent_and_not_answered_is_refused_in_its_order(
    ids: list[int | str], data: st.DataObject
) -> None:
    requests = OpenRequests()
    for request_id in ids:
        requests.sent(json.dumps({"id": request_id, "method": "m"}).encode())
    answered = data.draw(st.sets(st.sampled_from(ids))) if ids else set()
    for request_id in answered:
        requests.received(json.dumps({"id": request_id, "result": {}}).encode())
    refused = [json.loads(line) for line in requests.refuse_all(GONE)]
    assert [message["id"] for message in refused] == [i for i in ids if i not in answered]


def test_a_refusal_says_why_and_what_to_do() -> None:
    requests = OpenRequests()
    requests.sent(b'{"id":7,"method":"initialize"}')
    (line,) = requests.refuse_all(GONE)
    message = json.loads(line)
    assert isinstance(message["error"].pop("code"), int)
    assert message == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {
            "message": "cannot reach it",
            "data": {
                "code": "relay_unreachable",
                "retryable": True,
                "hint": "start it",
                "url": "ws://h",
            },
        },
    }


async def test_one_can_wait_until_all_are_answered() -> None:
    requests = OpenRequests()
    async with asyncio.timeout(30):
        await requests.all_answered()
        requests.sent(b'{"id":1,"method":"m"}')
        requests.sent(b'{"id":2,"method":"m"}')
        waiting = asyncio.get_running_loop().create_task(requests.all_answered())
        requests.received(b'{"id":2,"result":null}')
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        requests.received(b'{"id":1,"result":null}')
        await waiting
