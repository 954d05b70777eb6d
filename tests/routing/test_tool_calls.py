"""Tool calls as merged from their updates: what they name, and how much of it is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.claims import MAX_NAMED, MAX_PATH
from acprelay.routing.tool_calls import MAX_ID, MAX_TITLE, TOOL_KINDS, ToolCall, ToolCalls

DEEP = b"[" * 200_000 + b"]" * 200_000


def announced(calls: ToolCalls, call_id: str = "1", /, **members: object) -> None:
    observed(calls, "tool_call", call_id, **members)


def updated(calls: ToolCalls, call_id: str = "1", /, **members: object) -> None:
    observed(calls, "tool_call_update", call_id, **members)


def observed(calls: ToolCalls, update: str, call_id: str, /, **members: object) -> None:
    calls.observe(json.dumps({"sessionUpdate": update, "toolCallId": call_id, **members}).encode())


def requested(calls: ToolCalls, call_id: str = "1", /, **members: object) -> ToolCall:
    return calls.merged(json.dumps({"toolCallId": call_id, **members}).encode())


def alone(**members: object) -> ToolCall:
    return requested(ToolCalls(), **members)


def diff(path: object) -> dict[str, object]:
    return {"type": "diff", "path": path, "oldText": None, "newText": "x"}


class TestMerging:
    @pytest.mark.requirement("policy.sees-the-merged-tool-call")
    def test_a_request_that_names_only_what_changed_has_the_rest_from_the_updates(self) -> None:
        calls = ToolCalls()
        announced(calls, kind="edit", title="Preparing…", rawInput={}, content=[], locations=[])
        updated(calls, rawInput={"file_path": "/p/a"}, title="Write a")
        updated(calls, content=[diff("/p/b")], locations=[{"path": "/p/c", "line": 3}])
        assert requested(calls, status="pending") == ToolCall(
            tool_call_id="1", kind="edit", title="Write a", paths=("/p/c", "/p/b", "/p/a")
        )

    def test_the_request_is_the_latest_update_and_is_not_kept(self) -> None:
        calls = ToolCalls()
        announced(calls, kind="edit", locations=[{"path": "/a"}])
        assert requested(calls, kind="delete", locations=[{"path": "/b"}]).paths == ("/b",)
        assert requested(calls) == ToolCall(tool_call_id="1", kind="edit", paths=("/a",))

    def test_a_request_for_a_call_that_was_never_announced_stands_for_itself(self) -> None:
        calls = ToolCalls()
        announced(calls, "other", kind="edit")
        assert requested(calls, kind="read") == ToolCall(tool_call_id="1", kind="read")

    @pytest.mark.parametrize("empty", [{"locations": []}, {"content": []}, {"rawInput": {}}])
    def test_a_collection_is_replaced_as_a_whole(self, empty: dict[str, object]) -> None:
        members = {
            "locations": [{"path": "/l"}],
            "content": [diff("/c")],
            "rawInput": {"path": "/r", "command": "make"},
        }
        calls = ToolCalls()
        announced(calls, **members)
        left = {**members, **empty}
        assert requested(calls, **empty) == alone(**left)

    def test_null_changes_nothing(self) -> None:
        members = {"kind": "edit", "title": "t", "locations": [{"path": "/a"}]}
        calls = ToolCalls()
        announced(calls, **members)
        updated(calls, **dict.fromkeys([*members, "content", "rawInput", "status"]))
        assert requested(calls) == alone(**members)

    def test_a_call_that_is_announced_twice_goes_on(self) -> None:
        calls = ToolCalls()
        announced(calls, kind="edit", title="Write", rawInput={})
        announced(calls, title="Write a", rawInput={"file_path": "/a"})
        assert requested(calls) == ToolCall(
            tool_call_id="1", kind="edit", title="Write a", paths=("/a",)
        )

    @pytest.mark.parametrize("status", ["completed", "failed"])
    def test_an_announcement_after_the_end_is_of_another_call(self, status: str) -> None:
        calls = ToolCalls()
        announced(calls, kind="read", locations=[{"path": "/a"}])
        updated(calls, status=status)
        announced(calls, title="again")
        assert requested(calls) == ToolCall(tool_call_id="1", title="again")

    def test_a_finished_call_that_is_updated_is_still_the_same(self) -> None:
        calls = ToolCalls()
        announced(calls, kind="execute", status="failed", rawInput={"command": "make"})
        updated(calls, status="in_progress")
        announced(calls, title="retry")
        assert requested(calls).commands == ("make",)

    def test_updates_about_something_else_change_nothing(self) -> None:
        calls = ToolCalls()
        observed(calls, "agent_message_chunk", "1", kind="edit")
        assert len(calls) == 0

    def test_calls_do_not_mix(self) -> None:
        calls = ToolCalls()
        announced(calls, "1", kind="edit")
        announced(calls, "2", kind="read")
        assert (requested(calls, "1").kind, requested(calls, "2").kind) == ("edit", "read")


@given(st.data())
def test_a_call_is_the_same_whether_told_at_once_or_in_parts(data: st.DataObject) -> None:
    members: dict[str, object] = {
        "kind": "execute",
        "title": "t",
        "locations": [{"path": "/l"}],
        "content": [diff("/c")],
        "rawInput": {"command": "make", "cwd": "/w"},
    }
    calls = ToolCalls()
    parts: list[dict[str, object]] = [{}, {}, {}, {}]
    for name, value in members.items():
        parts[data.draw(st.integers(0, 3), label=name)][name] = value
    announced(calls, **parts[0])
    updated(calls, **parts[1])
    updated(calls, **parts[2])
    assert requested(calls, **parts[3]) == alone(**members)


class TestPaths:
    @pytest.mark.parametrize(
        "name",
        [
            "path",
            "file_path",
            "filePath",
            "filepath",
            "abs_path",
            "notebook_path",
            "cwd",
            "workdir",
        ],
    )
    def test_well_known_members_of_the_raw_input_are_paths(self, name: str) -> None:
        assert alone(rawInput={name: "/a", "content": "/b"}).paths == ("/a",)

    def test_several_paths_are_all_named_once_each(self) -> None:
        call = alone(
            rawInput={"paths": ["/a", "/b", "/a"], "path": "/c", "filePath": None},
            locations=[{"path": "/a"}, {"path": "/d"}],
            content=[diff("/d"), diff("/e"), {"type": "content", "path": "/f"}],
        )
        assert set(call.paths) == {"/a", "/b", "/c", "/d", "/e"}
        assert len(call.paths) == 5
        assert call.whole

    def test_the_files_of_a_patch_are_paths_and_where_they_move_to(self) -> None:
        changes = {
            "/a": {"type": "add", "content": "x"},
            "/b": {"type": "update", "unified_diff": "…", "move_path": "/c"},
            "/d": {"type": "update", "move_path": None},
        }
        assert alone(rawInput={"changes": changes}).paths == ("/a", "/b", "/c", "/d")

    def test_changes_of_another_shape_name_nothing(self) -> None:
        assert alone(rawInput={"changes": ["x"]}) == alone()

    @pytest.mark.parametrize("raw_input", ["/a", ["/a"], 1, True])
    def test_a_raw_input_that_is_no_object_names_nothing(self, raw_input: object) -> None:
        assert alone(rawInput=raw_input) == alone()

    def test_an_empty_path_is_none(self) -> None:
        assert alone(locations=[{"path": ""}], rawInput={"path": ""}) == alone()

    def test_contents_without_a_path_name_nothing(self) -> None:
        content = [
            {"type": "content", "content": {"type": "text", "text": "/a"}},
            {"type": "terminal", "terminalId": "t"},
        ]
        assert alone(content=content) == alone()


class TestCommands:
    @pytest.mark.parametrize(
        ("raw_input", "command"),
        [
            ({"command": "echo a; uname", "timeout": 1}, "echo a; uname"),
            ({"cmd": "ls"}, "ls"),
            ({"command": " git status\n"}, "git status"),
            ({"command": ["git", "status"]}, "git status"),
            ({"command": ["git", "commit", "-m", "a b"]}, "git commit -m 'a b'"),
            ({"command": ["/bin/bash", "-lc", "echo a; uname"]}, "echo a; uname"),
            ({"command": ["sh", "-c", "ls"]}, "ls"),
            ({"command": ["bash", "-x", "ls"]}, "bash -x ls"),
            ({"command": ["bash", "-c", "ls", "a"]}, "bash -c ls a"),
            ({"command": ["/tmp/bash", "-c", "ls"]}, "/tmp/bash -c ls"),
            ({"command": "git", "args": ["log", "a b"]}, "git log 'a b'"),
            ({"command": "git", "args": []}, "git"),
            ({"command": "git status", "args": None}, "git status"),
            ({"command": "bash", "args": ["-lc", "ls | wc"]}, "ls | wc"),
            ({"command": "git", "args": "log -1"}, "git log -1"),
            ({"command": ["git"], "args": "log"}, "git log"),
            ({"command": ["git"], "args": ["log"]}, "git log"),
        ],
    )
    def test_a_command_is_one_text_as_it_would_be_typed(
        self, raw_input: dict[str, object], command: str
    ) -> None:
        call = alone(rawInput=raw_input)
        assert (call.commands, call.whole) == ((command,), True)

    @pytest.mark.parametrize("raw_input", [{"command": ""}, {"command": []}, {"command": " "}, {}])
    def test_an_empty_command_is_none(self, raw_input: dict[str, object]) -> None:
        assert alone(rawInput=raw_input) == alone()

    def test_both_commands_are_named_where_there_are_two(self) -> None:
        assert alone(rawInput={"command": "a", "cmd": "b"}).commands == ("a", "b")


class TestMalformed:
    @pytest.mark.parametrize(
        "members",
        [
            {"locations": {"path": "/a"}},
            {"locations": [{"path": "/a"}, {"path": 5}]},
            {"locations": [{"path": "/a"}, {}]},
            {"locations": ["/a"]},
            {"locations": "/a"},
            {"content": "x"},
            {"content": [{"type": "diff"}]},
            {"content": [{"type": "diff", "path": None}]},
            {"content": [{"type": "diff", "path": ["/a"]}]},
            {"content": [{"path": "/a"}]},
            {"rawInput": {"path": 5}},
            {"rawInput": {"path": {"path": "/a"}}},
            {"rawInput": {"paths": ["/a", 5]}},
            {"rawInput": {"command": {"line": "ls"}}},
            {"rawInput": {"command": "ls", "args": [5]}},
            {"rawInput": {"command": "ls", "args": {"all": True}}},
            {"rawInput": {"changes": {"/a": 5}}},
        ],
    )
    def test_what_cannot_be_read_makes_the_call_less_than_whole(
        self, members: dict[str, object]
    ) -> None:
        call = alone(kind="edit", **members)
        assert not call.whole
        assert call.kind == "edit"

    def test_a_later_update_that_can_be_read_makes_it_whole_again(self) -> None:
        calls = ToolCalls()
        announced(calls, locations="x", content="x", rawInput={"path": 5})
        assert not requested(calls).whole
        updated(calls, locations=[{"path": "/a"}], content=[])
        assert not requested(calls).whole
        assert requested(calls, rawInput={}) == ToolCall(tool_call_id="1", paths=("/a",))

    def test_an_update_that_cannot_be_read_does_not_leave_the_old_paths_standing(self) -> None:
        calls = ToolCalls()
        announced(calls, locations=[{"path": "/a"}])
        updated(calls, locations=[{"path": ["/etc/passwd"]}])
        assert requested(calls) == ToolCall(tool_call_id="1", whole=False)

    @pytest.mark.parametrize("kind", [5, "EDIT", "unknown", ["edit"], ""])
    def test_a_kind_that_is_none_of_the_protocols_is_none(self, kind: object) -> None:
        calls = ToolCalls()
        announced(calls, kind="read", title="t")
        assert requested(calls, kind=kind) == ToolCall(tool_call_id="1", title="t")

    @pytest.mark.parametrize("kind", TOOL_KINDS)
    def test_the_protocols_kinds_are_taken(self, kind: str) -> None:
        assert alone(kind=kind).kind == kind

    @pytest.mark.parametrize("title", [b"5", b'"\xff"', b"[]"])
    def test_a_title_that_is_no_string_is_none(self, title: bytes) -> None:
        call = ToolCalls().merged(b'{"toolCallId":"1","title":%b}' % title)
        assert call == ToolCall(tool_call_id="1")

    @pytest.mark.parametrize(
        "member",
        [
            b'"rawInput":{"\xff":1}',
            b'"rawInput":{"path":"/\xff"}',
            b'"locations":[{"path":"/\xff"}]',
            b'"content":[{"type":"diff","path":"/\xff"}]',
        ],
    )
    def test_what_is_no_utf_8_makes_the_call_less_than_whole(self, member: bytes) -> None:
        assert not ToolCalls().merged(b'{"toolCallId":"1",%b}' % member).whole

    @pytest.mark.parametrize(
        "raw",
        [
            None,
            b"",
            b"null",
            b"[]",
            b"5",
            b"{",
            b"\xff",
            DEEP,
            b'{"toolCallId":"1","rawInput":' + DEEP + b"}",
            b"{}",
            b'{"toolCallId":5}',
            b'{"toolCallId":""}',
            b'{"toolCallId":null}',
            json.dumps({"toolCallId": "x" * (MAX_ID + 1)}).encode(),
        ],
    )
    def test_a_request_without_a_readable_call_is_less_than_whole(self, raw: bytes | None) -> None:
        calls = ToolCalls()
        announced(calls, kind="read")
        call = calls.merged(raw)
        assert not call.whole
        assert call.kind is None

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"null",
            b"{}",
            DEEP,
            b'{"sessionUpdate":"tool_call"}',
            b'{"sessionUpdate":"tool_call","toolCallId":5}',
            b'{"sessionUpdate":5,"toolCallId":"1","kind":"edit"}',
            b'{"toolCallId":"1","kind":"edit"}',
        ],
    )
    def test_an_update_without_a_readable_call_changes_nothing(self, raw: bytes) -> None:
        calls = ToolCalls()
        calls.observe(raw)
        assert len(calls) == 0

    def test_escapes_of_lone_surrogates_are_read(self) -> None:
        raw = rb'{"toolCallId":"\udc00","kind":"edit","locations":[{"path":"/\ud83d/a"}]}'
        calls = ToolCalls()
        calls.observe(rb'{"sessionUpdate":"tool_call","title":"\ud83d",' + raw[1:])
        call = calls.merged(raw)
        assert (len(calls), call.kind, call.whole) == (1, "edit", True)
        assert (call.title, call.paths) == ("\ue03d", ("/\ue03d/a",))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
members = st.sampled_from(
    [
        "sessionUpdate",
        "toolCallId",
        "kind",
        "title",
        "status",
        "locations",
        "content",
        "rawInput",
        "path",
        "changes",
        "command",
        "args",
        "type",
    ]
)
odd_calls = st.dictionaries(members, json_values | st.dictionaries(members, json_values))


@given(odd_calls, st.sampled_from(["tool_call", "tool_call_update"]))
def test_no_json_makes_it_raise(odd: dict[str, object], update: str) -> None:
    calls = ToolCalls()
    raw = json.dumps({"sessionUpdate": update, "toolCallId": "1", **odd}).encode()
    calls.observe(raw)
    assert calls.merged(raw).title == calls.merged(raw).title


@given(st.binary())
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    calls = ToolCalls()
    calls.observe(raw)
    assert len(calls) == 0
    assert not calls.merged(raw).whole


class TestBounds:
    def test_only_the_latest_calls_are_kept(self) -> None:
        calls = ToolCalls(most=2)
        for call_id in "123":
            announced(calls, call_id, kind="edit")
        assert [requested(calls, call_id).kind for call_id in "123"] == [None, "edit", "edit"]

    def test_an_update_makes_a_call_one_of_the_latest(self) -> None:
        calls = ToolCalls(most=2)
        announced(calls, "1", kind="edit")
        announced(calls, "2", kind="edit")
        updated(calls, "1")
        announced(calls, "3")
        assert [requested(calls, call_id).kind for call_id in "12"] == ["edit", None]

    def test_finished_calls_are_forgotten_first(self) -> None:
        calls = ToolCalls(most=2)
        announced(calls, "1", kind="edit")
        announced(calls, "2", kind="edit", status="completed")
        announced(calls, "3", kind="edit")
        assert [requested(calls, call_id).kind for call_id in "123"] == ["edit", None, "edit"]

    def test_the_characters_of_all_calls_are_bounded(self) -> None:
        calls = ToolCalls(most_chars=10_000)
        for number in range(10):
            announced(calls, str(number), kind="edit", locations=[{"path": "/" + "a" * 3000}])
        kept = [number for number in range(10) if requested(calls, str(number)).kind]
        assert kept == [7, 8, 9]

    def test_what_was_forgotten_or_shrank_makes_room(self) -> None:
        calls = ToolCalls(most_chars=10_000)
        big = [{"path": "/" + "a" * 3000}]
        for _ in range(100):
            announced(calls, "1", kind="edit", locations=big)
            announced(calls, "2", kind="edit", locations=big)
            updated(calls, "2", locations=[], status="completed")
            announced(calls, "2", kind="edit", locations=big)
        assert [requested(calls, call_id).kind for call_id in "12"] == ["edit", "edit"]

    def test_a_call_that_is_larger_than_all_calls_may_be_is_not_kept(self) -> None:
        calls = ToolCalls(most_chars=1000)
        announced(calls, "1", kind="edit", locations=[{"path": "/" + "a" * 3000}])
        assert len(calls) == 0

    def test_contents_are_not_kept(self) -> None:
        calls = ToolCalls(most_chars=1000)
        text = "x" * 1_000_000
        content = [{"type": "diff", "path": "/a", "oldText": text, "newText": text}]
        announced(calls, content=content, rawInput={"file_path": "/a", "content": text})
        assert requested(calls).paths == ("/a",)

    def test_a_path_that_no_system_opens_is_left_out_and_said_to_be(self) -> None:
        long = "/" + "a" * MAX_PATH
        call = alone(locations=[{"path": "/a"}, {"path": long}, {"path": "/b"}])
        assert (call.paths, call.whole) == (("/a", "/b"), False)
        assert alone(locations=[{"path": long[:MAX_PATH]}]).whole

    def test_more_paths_than_can_be_looked_at_are_left_out_and_said_to_be(self) -> None:
        call = alone(locations=[{"path": f"/{number}"} for number in range(100_000)])
        assert not call.whole
        assert 0 < len(call.paths) < 3000

    def test_a_command_that_is_too_long_is_left_out_and_said_to_be(self) -> None:
        call = alone(rawInput={"command": "x" * (MAX_NAMED + 1)})
        assert (call.commands, call.whole) == ((), False)
        assert alone(rawInput={"command": "x" * MAX_NAMED}).whole

    def test_a_title_is_cut_and_says_so(self) -> None:
        assert alone(title="x" * 100_000).title == "x" * (MAX_TITLE - 1) + "…"
        assert alone(title="x" * MAX_TITLE).title == "x" * MAX_TITLE
