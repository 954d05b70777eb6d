"""A transcript as people read it: tables of messages and lines."""

from __future__ import annotations

import pytest

from acprelay.cli.transcript_view import TranscriptView
from acprelay.client.acp_messages import JsonObject


def update(kind: str, **members: object) -> JsonObject:
    return {"method": "session/update", "params": {"update": {"sessionUpdate": kind, **members}}}


def said(kind: str, text: str) -> JsonObject:
    return update(f"{kind}_chunk", content={"type": "text", "text": text})


def marker(name: str, **params: object) -> JsonObject:
    return {"method": f"_acprelay/{name}", "params": params}


@pytest.mark.parametrize(
    ("messages", "lines"),
    [
        ([], []),
        ([said("agent_message", "Hel"), said("agent_message", "lo\n")], ["Hello"]),
        ([said("user_message", "a\nb"), said("agent_message", "c")], ["> a", "> b", "c"]),
        (
            [said("agent_thought", "hm\nso"), said("agent_message", "c")],
            ["[thought] hm", "so", "c"],
        ),
        ([said("agent_message", " \n")], []),
        ([update("agent_message_chunk", content={"type": "image"})], ["[image]"]),
        (
            [
                said("agent_message", "a"),
                update("tool_call", title="Edit"),
                said("agent_message", "b"),
            ],
            ["a", "[tool] Edit", "b"],
        ),
        ([update("tool_call_update", status="completed", title="E")], ["[tool] completed: E"]),
        ([update("tool_call_update", status="failed", toolCallId="c")], ["[tool] failed: c"]),
        ([update("tool_call_update", status="in_progress"), update("plan")], []),
        ([marker("turn_started", turn="t"), marker("turn_ended", stopReason="end_turn")], []),
        (
            [marker("turn_ended", outcome="ended", stopReason="cancelled")],
            ["[turn] ended: cancelled"],
        ),
        (
            [marker("turn_ended", outcome="failed", error={"message": "cannot"})],
            ["[turn] failed: cannot"],
        ),
        (
            [marker("turn_ended", outcome="interrupted")],
            ["[turn] interrupted: the relay ended in it, and its prompt is not sent again"],
        ),
        ([marker("turn_ended", outcome="failed")], ["[turn] failed: no reason is given"]),
        ([marker("notice", message="cannot write")], ["[notice] cannot write"]),
        ([{}, {"params": 3}, update("agent_message_chunk")], ["[None]"]),
    ],
)
def test_messages_are_told_in_lines(messages: list[JsonObject], lines: list[str]) -> None:
    view = TranscriptView()
    told = [line for message in messages for line in view.lines(message)]
    assert [*told, *view.rest()] == lines
