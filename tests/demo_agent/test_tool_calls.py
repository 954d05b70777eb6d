"""Tool calls of the demo agent: asked about, carried out, confined to the session's directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.demo_agent.conftest import Answer, DemoClient, Json

pytestmark = pytest.mark.process


def _statuses(*messages: Json | Answer) -> list[object]:
    """Gives the statuses of the tool call's updates."""
    updates: list[Json] = []
    for message in messages:
        if isinstance(message, dict):
            params = message["params"]
            assert isinstance(params, dict)
            updates.append(params["update"])
        else:
            updates += message.updates
    return [u["status"] for u in updates if str(u["sessionUpdate"]).startswith("tool_call")]


async def test_a_permitted_tool_call_goes_from_pending_over_in_progress_to_completed(
    client: DemoClient,
) -> None:
    client.prompt(1, "/tool Look around")
    call = await client.update("tool_call")
    question = await client.question()
    assert question["id"] == 0
    params = question["params"]
    assert isinstance(params, dict)
    assert params["toolCall"]["toolCallId"] == "call-1"
    assert params["toolCall"]["title"] == "Look around"
    assert [(option["optionId"], option["kind"]) for option in params["options"]] == [
        ("allow", "allow_once"),
        ("always", "allow_always"),
        ("reject", "reject_once"),
    ]
    client.choose(question, "allow")
    answer = await client.answer(1)
    assert _statuses(call, answer) == ["pending", "in_progress", "completed"]
    assert answer.result == {"stopReason": "end_turn"}


@pytest.mark.parametrize(
    "reply",
    [
        {"result": {"outcome": {"outcome": "selected", "optionId": "reject"}}},
        {"result": {"outcome": {"outcome": "selected", "optionId": "never offered"}}},
        {"result": {"outcome": {"outcome": "selected", "optionId": ["allow"]}}},
        {"result": {"outcome": "allow"}},
        {"result": {}},
        {"result": None},
        {"error": {"code": -32601, "message": "Method not found"}},
    ],
)
async def test_without_permission_the_tool_call_fails_and_the_turn_goes_on(
    client: DemoClient, reply: Json
) -> None:
    client.prompt(1, "/write file.txt text", "/think next")
    question = await client.question()
    client.send({"id": question["id"], **reply})
    answer = await client.answer(1)
    assert _statuses(answer) == ["failed"]
    assert answer.kinds[-1] == "agent_thought_chunk"
    assert answer.result == {"stopReason": "end_turn"}
    assert list(client.cwd.iterdir()) == []


async def test_a_tool_call_that_is_rejected_fails(client: DemoClient) -> None:
    client.prompt(1, "/tool")
    client.choose(await client.question(), "reject")
    answer = await client.answer(1)
    assert _statuses(answer) == ["failed"]
    assert answer.text == "The permission was not given; nothing is changed.\n"


async def test_only_the_first_answer_counts(client: DemoClient) -> None:
    client.prompt(1, "/write file.txt text")
    question = await client.question()
    client.choose(question, "reject")
    client.choose(question, "allow")
    assert _statuses(await client.answer(1)) == ["failed"]


async def test_an_answer_with_another_type_of_id_is_no_answer(client: DemoClient) -> None:
    client.prompt(1, "/tool")
    question = await client.question()
    for stranger in ("0", 0.0, False, None):
        client.send(
            {"id": stranger, "result": {"outcome": {"outcome": "selected", "optionId": "reject"}}}
        )
    client.choose(question, "allow")
    assert _statuses(await client.answer(1)) == ["in_progress", "completed"]


async def test_always_asks_no_more_for_that_kind_in_that_session(client: DemoClient) -> None:
    client.prompt(1, "/write one.txt 1")
    client.choose(await client.question(), "always")
    await client.answer(1)
    assert _statuses(await client.ask("/write two.txt 2")) == [
        "pending",
        "in_progress",
        "completed",
    ]

    client.prompt(2, "/tool")
    client.choose(await client.question(), "allow")
    await client.answer(2)

    other = await client.new_session(client.cwd)
    client.prompt(3, "/write three.txt 3", session=other)
    client.choose(await client.question(), "reject")
    await client.answer(3)
    assert sorted(path.name for path in client.cwd.iterdir()) == ["one.txt", "two.txt"]


async def test_in_mode_auto_nothing_is_asked(client: DemoClient) -> None:
    await client.call(1, "session/set_mode", sessionId="demo-1", modeId="auto")
    answer = await client.ask("/tool", "/write file.txt text")
    assert _statuses(answer) == ["pending", "in_progress", "completed"] * 2
    assert (client.cwd / "file.txt").read_bytes() == b"text\n"


async def test_a_permitted_write_is_shown_as_a_diff_and_really_happens(client: DemoClient) -> None:
    target = client.cwd / "deep" / "file.txt"
    diff = {"type": "diff", "path": str(target), "newText": "some  text é\n"}
    client.prompt(1, "/write deep/file.txt some  text é")
    question = await client.question()
    params = question["params"]
    assert isinstance(params, dict)
    assert params["toolCall"]["kind"] == "edit"
    assert params["toolCall"]["content"] == [diff]
    assert params["toolCall"]["locations"] == [{"path": str(target)}]
    assert not target.exists()

    client.choose(question, "allow")
    answer = await client.answer(1)
    assert answer.updates[-2]["content"] == [diff]
    assert target.read_bytes() == "some  text é\n".encode()
    assert answer.text == "Wrote deep/file.txt.\n"


async def test_a_file_is_replaced_and_an_absolute_path_below_the_directory_is_one_too(
    client: DemoClient,
) -> None:
    target = client.cwd / "file.txt"
    target.write_text("a much longer text than before\n")
    answer = await client.ask("/mode auto", f"/write {target} short")
    assert _statuses(answer)[-1] == "completed"
    assert target.read_bytes() == b"short\n"


async def test_a_link_that_stays_in_the_directory_is_followed(client: DemoClient) -> None:
    (client.cwd / "real").mkdir()
    (client.cwd / "link").symlink_to("real")
    answer = await client.ask("/mode auto", "/write link/file.txt text")
    assert _statuses(answer)[-1] == "completed"
    assert (client.cwd / "real" / "file.txt").read_bytes() == b"text\n"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "sub/../../outside.txt",
        "{outside}/outside.txt",
        "/outside.txt",
        "directory-link/outside.txt",
        "file-link",
        "dangling-link",
        "loop",
        ".",
        "..",
        "directory",
        "pipe",
        "nul\0byte",
        "lone\ud800surrogate",
        "n" * 5000,
    ],
)
async def test_a_path_that_leaves_the_directory_or_is_no_file_is_refused_without_a_question(
    client: DemoClient, tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    victim = outside / "victim"
    victim.write_text("untouched")
    _lay_traps(client.cwd, outside)

    answer = await client.ask(f"/write {path.format(outside=outside)} text")
    assert _statuses(answer) == ["pending", "failed"]
    assert answer.text.startswith("The file is not written: cannot write")
    assert answer.result == {"stopReason": "end_turn"}
    assert [(found.name, found.read_text()) for found in outside.iterdir()] == [
        ("victim", "untouched")
    ]
    assert not (client.cwd.parent / "outside.txt").exists()


def _lay_traps(cwd: Path, outside: Path) -> None:
    (cwd / "directory-link").symlink_to(outside)
    (cwd / "file-link").symlink_to(outside / "victim")
    (cwd / "dangling-link").symlink_to(outside / "created")
    (cwd / "loop").symlink_to("loop")
    (cwd / "directory").mkdir()
    os.mkfifo(cwd / "pipe")


async def test_a_write_that_fails_is_told_as_failed(client: DemoClient) -> None:
    (client.cwd / "file").write_text("")
    answer = await client.ask("/mode auto", "/write file/below.txt text")
    assert _statuses(answer) == ["pending", "in_progress", "failed"]
    assert answer.text.startswith("The file is not written: ")


async def test_a_link_put_in_the_files_place_after_the_question_is_not_followed(
    client: DemoClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    victim = tmp_path_factory.mktemp("outside") / "victim"
    victim.write_text("untouched")
    client.prompt(1, "/write file.txt text")
    question = await client.question()
    (client.cwd / "file.txt").symlink_to(victim)
    client.choose(question, "allow")
    assert _statuses(await client.answer(1)) == ["in_progress", "failed"]
    assert victim.read_text() == "untouched"


# --- what it asks its client for


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"result": {"content": "é"}}, '{"result":{"content":"é"}}\n'),
        ({"error": {"code": 1, "message": "no"}}, '{"error":{"code":1,"message":"no"}}\n'),
    ],
)
async def test_it_asks_its_client_for_anything_and_says_the_answer(
    client: DemoClient, reply: Json, said: str
) -> None:
    client.prompt(1, '/ask fs/read_text_file {"path": "/a b", "line": 2}')
    asked = await client.until(lambda message: message.get("method") == "fs/read_text_file")
    assert asked["params"] == {"sessionId": "demo-1", "path": "/a b", "line": 2}
    client.send({"id": asked["id"], **reply})
    assert (await client.answer(1)).text == said


async def test_an_ask_is_given_up_with_its_turn(client: DemoClient) -> None:
    client.prompt(1, '/ask terminal/output {"terminalId": "t"}', "never said")
    asked = await client.until(lambda message: message.get("method") == "terminal/output")
    client.notify("session/cancel", sessionId="demo-1")
    withdrawn = await client.until(lambda message: message.get("method") == "$/cancel_request")
    assert withdrawn["params"] == {"requestId": asked["id"]}
    assert (await client.answer(1)).result == {"stopReason": "cancelled"}


@pytest.mark.parametrize("line", ["/ask", "/ask fs/x []", "/ask fs/x {", "/ask fs/x x"])
async def test_what_cannot_be_asked_is_told(client: DemoClient, line: str) -> None:
    answer = await client.ask(line)
    assert "/ask METHOD [PARAMS]" in answer.text
