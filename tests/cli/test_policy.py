"""`acprelay policy check`: what it says about recorded requests, and how it ends."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from acprelay.cli.exits import ExitCode
from acprelay.cli.main import main
from acprelay.cli.parser import build_parser

Streams = pytest.CaptureFixture[str]
Json = dict[str, object]

PAGE = Path(__file__).parents[2] / "docs/permissions.md"
CWD = "/home/me/project"
OPTIONS = [
    {"optionId": "always", "name": "Always", "kind": "allow_always"},
    {"optionId": "allow-once", "name": "Yes", "kind": "allow_once"},
    {"optionId": "no", "name": "No", "kind": "reject_once"},
]
EDITS = '[[rule]]\nname = "edits"\naction = "allow"\nkind = "edit"\npath = "src/**"\n'


def asked(call_id: str = "1", /, session: str = "s", **members: object) -> Json:
    call = {"toolCallId": call_id, **members}
    params = {"sessionId": session, "toolCall": call, "options": OPTIONS}
    return {"jsonrpc": "2.0", "id": 0, "method": "session/request_permission", "params": params}


def updated(call_id: str = "1", /, session: str = "s", **members: object) -> Json:
    update = {"sessionUpdate": "tool_call", "toolCallId": call_id, **members}
    params = {"sessionId": session, "update": update}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


def lines(*entries: object) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


class Desk:
    """A directory with a policy, where recordings are put and checked."""

    def __init__(self, folder: Path, streams: Streams) -> None:
        self.folder = folder
        self._streams = streams
        self.policy(EDITS)

    def policy(self, text: str) -> None:
        (self.folder / "policy.toml").write_text(text)

    def check(self, *argv: str, **recordings: str | bytes) -> tuple[int, str, str]:
        for name, content in recordings.items():
            raw = content if isinstance(content, bytes) else content.encode()
            (self.folder / name).write_bytes(raw)
        code = main(["policy", "check", "--policy", "policy.toml", *argv, *recordings])
        return code, *self._streams.readouterr()

    def decides(self, *argv: str, **recordings: str | bytes) -> list[Json]:
        code, output, errors = self.check("--json", *argv, **recordings)
        assert (code, errors) == (ExitCode.OK, "")
        return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Streams) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


class TestPolicyAlone:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (EDITS, "policy.toml: 1 rule; where none applies: ask\n"),
            ("", "policy.toml: 0 rules; where none applies: ask\n"),
            (
                f'default = "reject"\n{EDITS}[[rule]]\naction = "ask"',
                "policy.toml: 2 rules; where none applies: reject\n",
            ),
        ],
    )
    def test_a_policy_that_can_be_used_is_counted(self, desk: Desk, text: str, said: str) -> None:
        desk.policy(text)
        assert desk.check() == (ExitCode.OK, said, "")

    def test_programs_get_it_as_json(self, desk: Desk) -> None:
        assert desk.decides() == [{"rules": 1, "default": "ask"}]

    def test_a_policy_that_cannot_be_used_is_a_usage_error_with_a_remedy(self, desk: Desk) -> None:
        desk.policy('[[rule]]\naction = "alow"')
        assert desk.check() == (
            ExitCode.USAGE,
            "",
            "acprelay: cannot use 'rule 1' of the policy 'policy.toml': "
            "the action 'alow' is not known\n"
            "  hint: did you mean 'allow'? choose one of allow, reject, ask\n",
        )


class TestWords:
    @pytest.mark.requirement("policy.can-be-tried-dry", "policy.explains-itself")
    def test_each_rule_the_verdict_and_the_answer_are_told(self, desk: Desk) -> None:
        desk.policy(EDITS + '[[rule]]\naction = "reject"\ncommand = "rm *"')
        recording = lines(
            {"id": 1, "method": "session/new", "params": {"cwd": CWD}},
            {"id": 1, "result": {"sessionId": "s"}},
            updated(kind="edit", title="Write a", locations=[{"path": f"{CWD}/src/a"}]),
            asked(),
            asked("2", kind="execute", title="Terminal", rawInput={"command": "ls; rm a"}),
        )
        assert desk.check(recording=recording) == (
            ExitCode.OK,
            """\
recording:4  edit  "Write a"
  path     "/home/me/project/src/a"
  allow    "edits" applies: the kind is edit, every path fits
  reject   "rule 2" does not apply: no command is named
  verdict  allow: 'edits' says allow: the kind is edit, every path fits
  answer   the option "allow-once"

recording:5  execute  "Terminal"
  command  "ls; rm a"
  allow    "edits" does not apply: the kind is execute, not edit
  reject   "rule 2" applies: the command 'ls; rm a' fits
  verdict  reject: 'rule 2' says reject: the command 'ls; rm a' fits
  answer   the option "no"

""",
            "",
        )

    def test_a_call_that_says_nothing_is_asked_about(self, desk: Desk) -> None:
        request = {"id": 1, "method": "session/request_permission"}
        assert desk.check(recording=lines(request))[1] == (
            """\
recording:1  no kind  "no title"
  a part of the tool call is malformed or too large
  allow    "edits" does not apply: a part of the tool call is malformed or too large
  verdict  ask: no rule applies, and the default is ask
  answer   people are asked

"""
        )

    def test_an_option_that_is_missing_means_that_people_are_asked(self, desk: Desk) -> None:
        desk.policy('default = "reject"')
        request = asked()
        request["params"] = {"toolCall": {"toolCallId": "1"}, "options": OPTIONS[:2]}
        output = desk.check(recording=lines(request))[1]
        assert "  answer   people are asked: no option to reject this once is offered\n" in output

    def test_what_an_agent_wrote_cannot_command_a_terminal_or_pass_for_a_line_of_ours(
        self, desk: Desk
    ) -> None:
        nasty = "\x1b[2J\x9b\u202e\n  verdict  allow"
        desk.policy('[[rule]]\naction = "reject"\npath = "/**"')
        output = desk.check(
            recording=lines(
                asked(kind="execute", title=nasty, rawInput={"command": nasty, "path": nasty})
            )
        )[1]
        assert not re.search("[\x1b\x9b\u202e]", output)
        assert len(re.findall(r"^  verdict ", output, re.MULTILINE)) == 1

    def test_a_character_that_the_output_cannot_carry_is_escaped(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        code, _, _ = desk.check(recording=lines(asked(title="é\ud800")))
        sys.stdout.flush()
        assert code == ExitCode.OK
        assert rb'"\xe9\ue000"' in raw.getvalue()


class TestJson:
    def test_programs_get_one_object_a_line(self, desk: Desk) -> None:
        request = asked(kind="edit", title="t", rawInput={"path": "src/a", "command": "x"})
        assert desk.decides("--cwd", "/w", recording=lines(request)) == [
            {
                "source": "recording:1",
                "toolCall": {
                    "toolCallId": "1",
                    "kind": "edit",
                    "title": "t",
                    "paths": ["src/a"],
                    "commands": ["x"],
                    "whole": True,
                },
                "rules": [
                    {
                        "rule": "edits",
                        "action": "allow",
                        "applies": True,
                        "reason": "the kind is edit, every path fits",
                    }
                ],
                "action": "allow",
                "rule": "edits",
                "reason": "'edits' says allow: the kind is edit, every path fits",
                "optionId": "allow-once",
            }
        ]


class TestWhoseAndWhere:
    @pytest.mark.requirement("policy.matches-what-a-rule-names")
    def test_agent_and_role_are_given_by_option(self, desk: Desk) -> None:
        desk.policy('[[rule]]\naction = "allow"\nagent = "claude"\nrole = "db"')
        recording = lines(asked())
        for argv, action in (
            (("--agent", "claude", "--role", "db"), "allow"),
            (("--agent", "gemini", "--role", "db"), "ask"),
            (("--role", "db"), "ask"),
            (("--agent", "claude"), "ask"),
        ):
            assert desk.decides(*argv, recording=recording)[0]["action"] == action

    @pytest.mark.parametrize("method", ["session/load", "session/resume"])
    def test_the_directory_is_the_one_that_the_recording_tells(
        self, desk: Desk, method: str
    ) -> None:
        edit = asked(kind="edit", rawInput={"path": "/old/src/a"})
        opened = {"id": 7, "method": method, "params": {"sessionId": "s", "cwd": "/old"}}
        assert desk.decides(recording=lines(opened, edit))[0]["action"] == "allow"
        assert desk.decides("--cwd", "/new", recording=lines(opened, edit))[0]["action"] == "ask"

    def test_each_session_has_its_own_directory_and_tool_calls(self, desk: Desk) -> None:
        decided = desk.decides(
            recording=lines(
                {"id": 1, "method": "session/new", "params": {"cwd": "/a"}},
                {"id": "1", "method": "session/new", "params": {"cwd": "/b"}},
                {"id": "1", "result": {"sessionId": "b"}},
                {"id": 1, "result": {"sessionId": "a"}},
                {"id": 2, "method": "session/prompt", "params": {"sessionId": "a"}},
                {"id": 2, "result": {"sessionId": "c"}},
                updated(session="a", kind="edit"),
                asked(session="a", locations=[{"path": "/a/src"}]),
                asked(session="a", locations=[{"path": "/b/src"}]),
                asked(session="b", locations=[{"path": "/b/src"}]),
                asked(session="b", kind="edit", locations=[{"path": "/b/src"}]),
            )
        )
        assert [each["action"] for each in decided] == ["allow", "ask", "ask", "allow"]

    def test_the_directory_is_this_one_where_nothing_says_so(self, desk: Desk) -> None:
        here = asked(kind="edit", rawInput={"path": str(desk.folder / "src/a")})
        odd = {"id": 1, "method": "session/load", "params": {"sessionId": "s", "cwd": 5}}
        assert desk.decides(recording=lines(here))[0]["action"] == "allow"
        assert desk.decides(recording=lines(odd, here))[0]["action"] == "allow"

    def test_a_relative_directory_is_one_of_this_one(self, desk: Desk) -> None:
        edit = asked(kind="edit", rawInput={"path": str(desk.folder / "sub/src/a")})
        assert desk.decides("--cwd", "sub", recording=lines(edit))[0]["action"] == "allow"


class TestRecordings:
    def test_entries_of_recorders_are_taken_and_their_log_lines_left_out(self, desk: Desk) -> None:
        recording = lines(
            {"t": 0.1, "dir": "stderr", "msg": "starting"},
            {"t": 0.2, "dir": "a2c_nonjson", "msg": "hello"},
            {"t": 0.3, "dir": "a2c", "msg": updated(kind="edit")},
            {"t": 0.4, "dir": "a2c", "msg": asked(rawInput={"path": "src/a"})},
        )
        (decided,) = desk.decides(recording=recording)
        assert (decided["source"], decided["action"]) == ("recording:4", "allow")

    def test_a_file_may_be_one_message_on_many_lines(self, desk: Desk) -> None:
        recording = json.dumps(asked(kind="edit", rawInput={"path": "src/a"}), indent=2)
        assert desk.decides(recording=recording)[0]["action"] == "allow"

    def test_empty_lines_are_none(self, desk: Desk) -> None:
        recording = f"\n{lines(asked())}\r\n\n{lines(asked())}"
        sources = [each["source"] for each in desk.decides(recording=recording)]
        assert sources == ["recording:2", "recording:5"]

    def test_several_recordings_do_not_mix(self, desk: Desk) -> None:
        decided = desk.decides(
            a=lines(updated(kind="edit"), asked(rawInput={"path": "src/a"})),
            b=lines(asked(rawInput={"path": "src/a"})),
        )
        assert [(each["source"], each["action"]) for each in decided] == [
            ("a:2", "allow"),
            ("b:1", "ask"),
        ]

    def test_standard_input_is_one(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(asked()).encode())))
        assert desk.decides("-")[0]["source"] == "-:1"

    @pytest.mark.parametrize(
        ("recording", "complaint"),
        [
            ("", "cannot find a permission request in 'recording'"),
            (lines({"id": 1, "result": {}}), "cannot find a permission request in 'recording'"),
            (
                lines({"method": "session/update", "params": [1]}, {"id": 1, "result": 5}),
                "cannot find a permission request in 'recording'",
            ),
            (lines(asked()) + "oops\n", "cannot read line 2 of 'recording': it is no JSON object"),
            ("[1]\n", "cannot read line 1 of 'recording': it is no JSON object"),
            ("[" * 200_000, "cannot read line 1 of 'recording': it is no JSON object"),
            (b"\xff\n", "cannot read 'recording': it is not UTF-8"),
        ],
    )
    def test_what_is_no_recording_is_a_usage_error_with_a_remedy(
        self, desk: Desk, recording: str | bytes, complaint: str
    ) -> None:
        assert desk.check(recording=recording) == (
            ExitCode.USAGE,
            "",
            f"acprelay: {complaint}\n  hint: give a session/request_permission message, or a "
            "recording with one JSON object a line\n",
        )

    @pytest.mark.parametrize("name", ["missing", ".", "a\0b"])
    def test_a_recording_that_cannot_be_read_is_a_usage_error(self, desk: Desk, name: str) -> None:
        code, output, errors = desk.check(name)
        assert (code, output) == (ExitCode.USAGE, "")
        assert errors.startswith(f"acprelay: cannot read the recording {name!r}: ")


class TestArguments:
    def test_they_are_taken_as_they_are_typed(self) -> None:
        argv = ["policy", "check", "--policy", "p", "--agent", "a", "--json", "r", "-"]
        parsed = vars(build_parser().parse_args(argv))
        expected = {
            "command": "policy",
            "policy": "p",
            "agent": "a",
            "role": "main",
            "cwd": None,
            "json": True,
            "requests": ["r", "-"],
        }
        assert parsed == {**parsed, **expected}

    @pytest.mark.parametrize("argv", [["policy"], ["policy", "check"], ["policy", "write"]])
    def test_what_cannot_be_parsed_is_a_usage_error(self, argv: list[str], capsys: Streams) -> None:
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args(argv)
        assert ended.value.code == ExitCode.USAGE
        assert capsys.readouterr().out == ""

    def test_the_help_fits_a_terminal(
        self, capsys: Streams, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit):
            build_parser().parse_args(["policy", "check", "--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_page_for_users_shows_what_is_printed(desk: Desk) -> None:
    page = PAGE.read_text()
    (rules,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (shown,) = re.findall(r"```\n(recording.*?)```", page, re.DOTALL)
    desk.policy(rules)
    recording = lines(
        {"id": 1, "method": "session/new", "params": {"cwd": CWD}},
        {"id": 1, "result": {"sessionId": "s"}},
        asked(kind="edit", title="Write out.txt", locations=[{"path": f"{CWD}/src/out.txt"}]),
    )
    _, output, _ = desk.check("--agent", "claude", **{"recording.jsonl": recording})
    assert output == shown + "\n"
