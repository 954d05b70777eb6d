"""How a turn looks: answer on standard output, the rest on standard error, questions answered."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator

import pytest

from acprelay.cli.permission_ways import RulePermission, TerminalPermission
from acprelay.cli.screen import Screen
from acprelay.cli.stdio import InputLines, Output
from acprelay.cli.turn_view import TurnView
from acprelay.client.acp_messages import PermissionOption, PermissionRequest, permission_request

Json = dict[str, object]

ONCE = PermissionOption("a", "Allow", "allow_once")
ALWAYS = PermissionOption("b", "Always", "allow_always")
REJECT = PermissionOption("c", "Reject", "reject_once")
NEVER = PermissionOption("d", "Never", "reject_always")
ALL = (ONCE, ALWAYS, REJECT, NEVER)


class FakeStream(io.StringIO):
    """Standard error: a terminal or not, as the test wants."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Stage:
    """A screen whose two streams the test reads; both count as one terminal where both are one."""

    def __init__(self, reading: int, output: Output) -> None:
        self._reading = reading
        self._output = output
        self.notes = FakeStream(terminal=True)

    def screen(
        self,
        *,
        output_is_terminal: bool = True,
        notes_are_terminal: bool = True,
        styled: bool = False,
    ) -> Screen:
        self.notes = FakeStream(terminal=notes_are_terminal)
        return Screen(
            output=self._output,
            output_is_terminal=output_is_terminal,
            notes=self.notes,
            styled=styled,
        )

    async def said(self) -> bytes:
        """Gives what is on standard output since the last call."""
        await self._output.drain()
        os.set_blocking(self._reading, False)
        try:
            return os.read(self._reading, 1 << 20)
        except BlockingIOError:
            return b""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    reading, writing = os.pipe()
    async with Output(descriptor=writing) as output:
        yield Stage(reading, output)
    os.close(writing)
    os.close(reading)


def message(text: str) -> Json:
    return {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}


def thought(text: str) -> Json:
    return {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": text}}


def tool(kind: str, **members: object) -> Json:
    return {"sessionUpdate": kind, "toolCallId": "1", **members}


async def _show(stage: Stage, *updates: Json, **ways: bool) -> tuple[bytes, str]:
    """Gives what standard output and standard error hold once these updates are shown."""
    view = TurnView(screen=stage.screen(**ways))
    for update in updates:
        await view.show(update)
    await view.finish()
    return await stage.said(), stage.notes.getvalue()


async def test_a_pipe_gets_the_agents_text_and_nothing_else(stage: Stage) -> None:
    said = await _show(
        stage,
        thought("hm"),
        message("one\r\n\x1b[31m"),
        {"sessionUpdate": "plan", "entries": []},
        tool("tool_call", title="Write"),
        message("two \u00e9"),
        output_is_terminal=False,
        notes_are_terminal=False,
    )
    assert said == ("one\r\n\x1b[31mtwo \u00e9".encode(), "")


async def test_text_that_has_no_utf8_is_written_as_an_escape(stage: Stage) -> None:
    said, _notes = await _show(stage, message("a\ud800b"), output_is_terminal=False)
    assert said == b"a\\ud800b"


async def test_a_terminal_gets_harmless_text_and_a_last_newline(stage: Stage) -> None:
    said, notes = await _show(stage, message("\x1b[31mred"), message("dish"))
    assert (said, notes) == (b"^[[31mreddish\n", "")


async def test_a_note_begins_on_a_line_of_its_own_and_leaves_the_answer_alone(stage: Stage) -> None:
    said, notes = await _show(
        stage, message("one"), tool("tool_call", title="Write"), message("two\n"), thought("hm")
    )
    assert said == b"one\ntwo\n"
    assert notes == "  tool        Write\n  thought     hm\n"


async def test_the_chunks_of_a_thought_are_one_line(stage: Stage) -> None:
    _said, notes = await _show(
        stage, thought("I th"), thought("ink\nso"), message("x"), thought(" ")
    )
    assert notes == "  thought     I think so\n"


async def test_a_note_is_harmless_and_cut_at_the_end_of_the_line_unless_it_is_important(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = stage.screen()
    await screen.note("thought", "\x1b[2J" + "x" * 100)
    await screen.note("permission", "x" * 100, important=True)
    cut, whole = stage.notes.getvalue().splitlines()
    assert cut == "  thought     ^[[2J" + "x" * 20 + "…"
    assert whole == "  permission  " + "x" * 100


async def test_a_plan_is_shown_as_how_far_it_is(stage: Stage) -> None:
    entries = [
        {"content": "Look", "status": "completed"},
        {"content": "Change", "status": "in_progress"},
        {"content": "Check", "status": "pending"},
    ]
    done = [{"content": "Look", "status": "completed"}]
    _said, notes = await _show(
        stage,
        {"sessionUpdate": "plan", "entries": entries},
        {"sessionUpdate": "plan", "entries": done},
        {"sessionUpdate": "plan", "entries": None},
    )
    assert notes == (
        "  plan        1 of 3 done: Change\n  plan        1 of 1 done\n  plan        0 of 0 done\n"
    )


async def test_a_tool_call_is_shown_when_it_begins_and_when_it_ends(stage: Stage) -> None:
    _said, notes = await _show(
        stage,
        tool("tool_call", title="Write", status="pending"),
        tool("tool_call_update", status="in_progress"),
        tool("tool_call_update", status="completed"),
        {"sessionUpdate": "tool_call_update", "toolCallId": "2", "status": "failed"},
    )
    assert notes == (
        "  tool        Write\n  tool        Write: completed\n  tool        a tool call: failed\n"
    )


async def test_content_that_is_no_text_is_named(stage: Stage) -> None:
    image: Json = {"sessionUpdate": "agent_message_chunk", "content": {"type": "image"}}
    assert await _show(stage, image) == (b"", "  content     image\n")


async def test_updates_that_are_not_for_reading_show_nothing(stage: Stage) -> None:
    shown = await _show(
        stage,
        {"sessionUpdate": "available_commands_update", "availableCommands": []},
        {"sessionUpdate": "unheard_of"},
        {},
    )
    assert shown == (b"", "")


async def test_notes_are_dimmed_where_that_is_wanted_and_questions_are_not(stage: Stage) -> None:
    screen = stage.screen(styled=True)
    await screen.note("plan", "x")
    await screen.note("permission", "y", important=True)
    assert stage.notes.getvalue() == "  \x1b[2mplan        x\x1b[0m\n  permission  y\n"


async def test_a_warning_is_said_whatever_standard_error_is(stage: Stage) -> None:
    screen = stage.screen(notes_are_terminal=False, output_is_terminal=False)
    await screen.say("text")
    await screen.warn("rejected 'Write'")
    assert stage.notes.getvalue() == "acprelay: rejected 'Write'\n"
    assert await stage.said() == b"text"


def request(*options: PermissionOption, **tool_call: object) -> PermissionRequest:
    return PermissionRequest(tool_call={"title": "Write", **tool_call}, options=options)


@pytest.mark.parametrize(
    ("verdict", "options", "chosen"),
    [
        ("allow", ALL, ONCE),
        ("allow", (NEVER, ALWAYS, ONCE), ONCE),
        ("allow", (REJECT, ALWAYS), ALWAYS),
        ("allow", (REJECT,), None),
        ("reject", ALL, REJECT),
        ("reject", (ONCE, NEVER), NEVER),
        ("reject", (ONCE, ALWAYS), None),
        ("reject", (), None),
    ],
)
async def test_a_rule_chooses_for_this_once_where_it_can(
    stage: Stage,
    verdict: str,
    options: tuple[PermissionOption, ...],
    chosen: PermissionOption | None,
) -> None:
    rule = RulePermission(screen=stage.screen(), verdict=verdict)
    assert await rule(request(*options)) == chosen
    assert stage.notes.getvalue() == f"  {verdict + 'ed':<12}Write\n"


async def test_a_rule_with_a_reason_says_it_in_logs_too(stage: Stage) -> None:
    screen = stage.screen(notes_are_terminal=False)
    rule = RulePermission(screen=screen, verdict="reject", reason="no terminal")
    assert await rule(request(*ALL)) == REJECT
    assert stage.notes.getvalue() == "acprelay: rejected 'Write': no terminal\n"


@pytest.mark.parametrize(
    ("typed", "chosen", "questions"),
    [
        (b"1\n", ONCE, 1),
        (b" 4 \n", NEVER, 1),
        (b"y\n", ONCE, 1),
        (b"N\n", REJECT, 1),
        (b"0\n5\nyes\n\n\xff\n2\n", ALWAYS, 6),
        (b"", REJECT, 1),
        (b"what", REJECT, 2),
    ],
)
async def test_a_person_chooses_by_number_or_by_y_and_n_and_the_end_of_the_input_rejects(
    stage: Stage, typed: bytes, chosen: PermissionOption, questions: int
) -> None:
    reading, writing = os.pipe()
    os.write(writing, typed)
    os.close(writing)
    asking = TerminalPermission(screen=stage.screen(), lines=InputLines(descriptor=reading))
    assert await asking(request(*ALL)) == chosen
    os.close(reading)
    assert stage.notes.getvalue().count(": ") == questions


async def test_the_question_shows_what_it_is_about_and_what_can_be_chosen(stage: Stage) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"1\n")
    asking = TerminalPermission(screen=stage.screen(), lines=InputLines(descriptor=reading))
    locations = [{"path": "/w/\x1b[1m"}, {"path": 5}, None]
    raw_input = {"command": "é" * 1000}
    await asking(request(ONCE, REJECT, locations=locations, rawInput=raw_input))
    assert stage.notes.getvalue() == (
        "  permission  Write\n"
        "              /w/^[[1m\n"
        '              {"command": "' + "é" * 286 + "…\n"
        "              1) Allow\n"
        "              2) Reject\n"
        "              your choice: "
    )
    os.close(writing)
    os.close(reading)


def test_a_permission_request_is_read_from_params_of_any_shape() -> None:
    params = {"toolCall": {"title": ""}, "options": [{"optionId": "a"}, None]}
    assert permission_request(params).title == "a tool call"
    assert permission_request(params).options == (
        PermissionOption("a", "None", "None"),
        PermissionOption("None", "None", "None"),
    )
