"""What a policy decides, why, and which option carries it out."""

from __future__ import annotations

import json

import pytest

from acprelay.routing.policy import (
    Action,
    Policy,
    Rule,
    Subject,
    choose,
    refusal,
    subject_of,
)
from acprelay.routing.tool_calls import ToolCall

ALLOW, REJECT, ASK = Action.ALLOW, Action.REJECT, Action.ASK
CWD = "/home/me/project"


def subject(
    *,
    agent: str = "claude",
    role: str = "main",
    cwd: str = CWD,
    kind: str | None = None,
    paths: tuple[str, ...] = (),
    commands: tuple[str, ...] = (),
    title: str | None = None,
    whole: bool = True,
) -> Subject:
    return Subject(
        agent=agent,
        role=role,
        cwd=cwd,
        kind=kind,
        paths=paths,
        commands=commands,
        title=title,
        whole=whole,
    )


def allows(rule: Rule, about: Subject) -> bool:
    return Policy((rule,)).decide(about).action is ALLOW


def rejects(rule: Rule, about: Subject) -> bool:
    return Policy((rule,)).decide(about).action is REJECT


class TestPrecedence:
    @pytest.mark.requirement("policy.reject-wins")
    @pytest.mark.parametrize(
        ("actions", "decided"),
        [
            ([ALLOW], ALLOW),
            ([ALLOW, ASK], ASK),
            ([ASK, ALLOW], ASK),
            ([ALLOW, ASK, REJECT], REJECT),
            ([REJECT, ASK, ALLOW], REJECT),
            ([REJECT, ALLOW], REJECT),
        ],
    )
    def test_reject_wins_over_ask_and_ask_over_allow(
        self, actions: list[Action], decided: Action
    ) -> None:
        policy = Policy(tuple(Rule(action=action) for action in actions))
        assert policy.decide(subject()).action is decided

    @pytest.mark.parametrize("default", list(Action))
    def test_the_default_decides_where_no_rule_applies(self, default: Action) -> None:
        policy = Policy((Rule(action=ALLOW, agent=("gemini",)),), default)
        verdict = policy.decide(subject())
        assert (verdict.action, verdict.rule) == (default, None)
        assert verdict.reason == f"no rule applies, and the default is {default}"

    def test_an_empty_policy_asks(self) -> None:
        assert Policy().decide(subject()).action is ASK

    def test_of_rules_that_say_the_same_the_first_is_named(self) -> None:
        policy = Policy((Rule(action=ALLOW, name="a"), Rule(action=ALLOW, name="b")))
        assert policy.decide(subject()).rule == "a"

    def test_a_rule_without_a_name_goes_by_its_number(self) -> None:
        policy = Policy((Rule(action=ALLOW, name="a"), Rule(action=REJECT)))
        assert policy.decide(subject()).rule == "rule 2"


class TestNames:
    @pytest.mark.parametrize(
        ("pattern", "applies"),
        [("claude", True), ("cl*", True), ("*", True), ("Claude", False), ("claud", False)],
    )
    def test_agents_and_roles_are_globs(self, pattern: str, applies: bool) -> None:
        assert allows(Rule(action=ALLOW, agent=(pattern,)), subject(agent="claude")) is applies
        assert allows(Rule(action=ALLOW, role=(pattern,)), subject(role="claude")) is applies

    def test_one_of_several_names_is_enough(self) -> None:
        rule = Rule(action=ALLOW, agent=("gemini", "claude"))
        assert allows(rule, subject())

    @pytest.mark.parametrize("action", list(Action))
    def test_a_name_that_is_not_known_fits_not_even_a_star(self, action: Action) -> None:
        policy = Policy((Rule(action=action, agent=("*",)), Rule(action=action, role=("*",))))
        considered = policy.decide(subject(agent="", role="")).considered
        assert [each.applies for each in considered] == [False, False]
        assert [each.reason for each in considered] == [
            "the agent is not known",
            "the role is not known",
        ]


class TestKinds:
    def test_one_of_several_kinds_is_enough(self) -> None:
        rule = Rule(action=ALLOW, kind=("read", "search"))
        assert allows(rule, subject(kind="search"))
        assert not allows(rule, subject(kind="edit"))

    @pytest.mark.parametrize("action", list(Action))
    def test_a_kind_that_is_not_given_is_not_even_other(self, action: Action) -> None:
        (considered,) = Policy((Rule(action=action, kind=("other",)),)).decide(subject()).considered
        assert (considered.applies, considered.reason) == (False, "the kind is not given")


class TestPaths:
    def test_all_that_is_named_must_fit_to_be_allowed_but_one_is_enough_to_be_rejected(
        self,
    ) -> None:
        both = subject(paths=(f"{CWD}/a", "/etc/passwd"))
        assert not allows(Rule(action=ALLOW, path=("**",)), both)
        assert allows(Rule(action=ALLOW, path=("**", "/etc/*")), both)
        assert rejects(Rule(action=REJECT, path=("/etc/*",)), both)
        assert rejects(Rule(action=REJECT, path=("**",)), both)
        assert not rejects(Rule(action=REJECT, path=("/usr/**",)), both)

    @pytest.mark.parametrize("action", list(Action))
    def test_a_call_that_names_no_path_fits_none(self, action: Action) -> None:
        (considered,) = Policy((Rule(action=action, path=("/**",)),)).decide(subject()).considered
        assert (considered.applies, considered.reason) == (False, "no path is named")

    @pytest.mark.parametrize("path", ["../secret", "/home/me/project/../secret", "a/../../secret"])
    def test_dots_lead_out_of_the_directory(self, path: str) -> None:
        assert not allows(Rule(action=ALLOW, path=("**",)), subject(paths=(path,)))
        assert rejects(Rule(action=REJECT, path=("/home/me/secret",)), subject(paths=(path,)))

    def test_a_relative_path_is_one_in_the_directory(self) -> None:
        assert allows(Rule(action=ALLOW, path=("src/*",)), subject(paths=("src/a",)))

    @pytest.mark.parametrize("path", ["~/.ssh/id", "$HOME/.ssh/id", "file:///etc/passwd", "a\0b"])
    def test_a_path_that_may_lead_elsewhere_keeps_every_rule_from_allowing(self, path: str) -> None:
        about = subject(paths=(f"{CWD}/a", path))
        verdict = Policy((Rule(action=ALLOW),)).decide(about)
        assert verdict.action is ASK
        assert verdict.considered[0].reason == f"where the path {path!r} leads is not plain"

    @pytest.mark.parametrize("cwd", ["", "relative"])
    def test_without_a_directory_no_path_is_allowed_and_any_may_be_rejected(self, cwd: str) -> None:
        about = subject(cwd=cwd, paths=("/a/.env",))
        assert not allows(Rule(action=ALLOW, path=("/**",)), about)
        assert rejects(Rule(action=REJECT, path=("**/.env",)), about)


class TestCommands:
    @pytest.mark.parametrize(
        ("pattern", "command", "allowed"),
        [
            ("git status", "git status", True),
            ("git *", "git status -s", True),
            ("git *", "git status; rm -rf /", False),
            ("git *", "git status | sh", False),
            ("git *", "git status & rm a", False),
            ("git *", "git status `rm a`", False),
            ("git *", "git status $(rm a)", False),
            ("git *", "git status =(rm a)", False),
            ("git *", "git status\nrm a", False),
            ("git *", "git status\rrm a", False),
            ("git *", "git diff > a", False),
            ("git *", "git apply < a", False),
            ("*", "a; b", False),
            ("a; b", "a; b", True),
            ("a; *", "a; b", False),
            ("a; *", "a; *", True),
            ("git *", "git log $HOME", True),
            ("git *", "rm a", False),
        ],
    )
    def test_what_may_be_two_commands_is_allowed_by_an_equal_pattern_only(
        self, pattern: str, command: str, allowed: bool
    ) -> None:
        rule = Rule(action=ALLOW, command=(pattern,))
        assert allows(rule, subject(commands=(command,))) is allowed

    @pytest.mark.parametrize(
        ("pattern", "command", "rejected"),
        [
            ("rm *", "rm -rf /", True),
            ("rm *", "cd /x && rm -rf y", True),
            ("rm *", "echo $(rm y)", True),
            ("rm", "ls | rm", True),
            ("*rm*", "a; b", False),
            ("a; b", "a; b", True),
            ("a;*", "a; b", True),
            ("*", ";", True),
            ("", ";", False),
            ("rm *", "echo rm", False),
        ],
    )
    def test_a_part_of_a_command_is_enough_to_be_rejected(
        self, pattern: str, command: str, rejected: bool
    ) -> None:
        rule = Rule(action=REJECT, command=(pattern,))
        assert rejects(rule, subject(commands=(command,))) is rejected

    def test_all_that_are_named_must_fit_to_be_allowed_but_one_is_enough_to_be_rejected(
        self,
    ) -> None:
        both = subject(commands=("git status", "rm a"))
        assert not allows(Rule(action=ALLOW, command=("git *",)), both)
        assert allows(Rule(action=ALLOW, command=("git *", "rm a")), both)
        assert rejects(Rule(action=REJECT, command=("rm *",)), both)

    @pytest.mark.parametrize("action", list(Action))
    @pytest.mark.parametrize(
        "about",
        [
            subject(kind="execute"),
            subject(kind="execute", title=""),
            subject(kind="edit", title="rm a"),
            subject(title="rm a"),
        ],
    )
    def test_a_call_that_names_no_command_fits_none(self, action: Action, about: Subject) -> None:
        (considered,) = Policy((Rule(action=action, command=("*",)),)).decide(about).considered
        assert (considered.applies, considered.reason) == (False, "no command is named")

    @pytest.mark.parametrize(
        ("pattern", "title", "allowed", "rejected"),
        [
            ("git status", "git status", True, True),
            ("git status", "`git status`", True, True),
            ("git status", " git status ", True, True),
            ("git *", "git status", False, True),
            ("git *", "`git status`", False, True),
            ("git *", "cd x; git status", False, True),
            ("a; b", "a; b", True, True),
            ("git *", "Terminal", False, False),
            ("`", "`", True, True),
        ],
    )
    def test_a_title_that_stands_for_the_command_is_allowed_by_an_equal_pattern_only(
        self, pattern: str, title: str, allowed: bool, rejected: bool
    ) -> None:
        about = subject(kind="execute", title=title)
        assert allows(Rule(action=ALLOW, command=(pattern,)), about) is allowed
        assert rejects(Rule(action=REJECT, command=(pattern,)), about) is rejected

    def test_a_command_that_is_named_leaves_the_title_to_people(self) -> None:
        about = subject(kind="execute", title="git status", commands=("rm a",))
        assert not allows(Rule(action=ALLOW, command=("git status",)), about)


class TestEveryCondition:
    @pytest.mark.requirement("policy.matches-what-a-rule-names")
    def test_all_conditions_must_hold(self) -> None:
        about = subject(kind="execute", paths=(CWD,), commands=("make test",))
        whole = {
            "agent": ("claude",),
            "role": ("main",),
            "kind": ("execute",),
            "path": ("**",),
            "command": ("make *",),
        }
        assert allows(Rule(action=ALLOW, name="", **whole), about)
        for name in whole:
            broken = {**whole, name: ("nothing",)}
            assert not allows(Rule(action=ALLOW, name="", **broken), about)
            assert not rejects(Rule(action=REJECT, name="", **broken), about)


class TestWhatIsNotWhole:
    def test_it_is_never_allowed_but_may_be_rejected(self) -> None:
        about = subject(paths=("/etc/passwd",), whole=False)
        assert not allows(Rule(action=ALLOW), about)
        assert rejects(Rule(action=REJECT, path=("/etc/*",)), about)

    def test_a_default_that_allows_asks(self) -> None:
        verdict = Policy(default=ALLOW).decide(subject(whole=False))
        assert verdict.action is ASK
        assert verdict.reason == (
            "no rule applies, and what the default allows is asked: "
            "a part of the tool call is malformed or too large"
        )


class TestExplanations:
    def test_each_rule_says_why_it_applies_or_not(self) -> None:
        policy = Policy(
            (
                Rule(action=ALLOW, name="reads", kind=("read", "search"), path=("**",)),
                Rule(action=REJECT, name="system", path=("/etc/**",)),
                Rule(action=ALLOW, agent=("gemini",)),
                Rule(action=ASK, name="always"),
                Rule(action=ALLOW, name="all of it", agent=("c*",), role=("m*",), path=("/**",)),
                Rule(action=ALLOW, command=("git *",)),
                Rule(action=ALLOW, command=("rm a | b",)),
                Rule(action=REJECT, command=("rm *",)),
            )
        )
        about = subject(kind="edit", paths=("src/a",), commands=("git a; b",))
        verdict = policy.decide(about)
        assert [
            (each.rule, each.action, each.applies, each.reason) for each in verdict.considered
        ] == [
            ("reads", ALLOW, False, "the kind is edit, not read or search"),
            ("system", REJECT, False, "no path fits"),
            ("rule 3", ALLOW, False, "the agent is 'claude', not gemini"),
            ("always", ASK, True, "it has no condition"),
            (
                "all of it",
                ALLOW,
                True,
                "the agent is 'claude', the role is 'main', every path fits",
            ),
            (
                "rule 6",
                ALLOW,
                False,
                "the command 'git a; b' does not fit (shell metacharacters are allowed in an equal "
                "pattern only)",
            ),
            (
                "rule 7",
                ALLOW,
                False,
                "the command 'git a; b' does not fit (shell metacharacters are allowed in an equal "
                "pattern only)",
            ),
            ("rule 8", REJECT, False, "no command fits"),
        ]
        assert verdict.reason == "'always' says ask: it has no condition"

    def test_a_title_that_does_not_fit_is_told_as_one(self) -> None:
        policy = Policy((Rule(action=ALLOW, command=("git *",)),))
        (considered,) = policy.decide(subject(kind="execute", title="`git status`")).considered
        assert considered.reason == (
            "the title 'git status', which stands for the command, equals no pattern"
        )

    def test_what_an_agent_wrote_is_quoted_in_one_line_and_cut(self) -> None:
        path = "/" + "\x1b[2J\n" * 1000
        policy = Policy((Rule(action=REJECT, path=("/**",)),))
        reason = policy.decide(subject(paths=(path,))).reason
        assert reason.isprintable()
        assert len(reason) < 700


def test_a_subject_is_the_tool_call_with_whose_it_is_and_where() -> None:
    call = ToolCall(
        tool_call_id="1", kind="edit", title="t", paths=("a",), commands=("b",), whole=False
    )
    assert subject_of(call, agent="claude", role="main", cwd=CWD) == Subject(
        agent="claude",
        role="main",
        cwd=CWD,
        kind="edit",
        paths=("a",),
        commands=("b",),
        title="t",
        tool_call_id="1",
        whole=False,
    )


def options(*offered: tuple[str, str]) -> bytes:
    return json.dumps(
        [{"optionId": option_id, "name": "…", "kind": kind} for option_id, kind in offered]
    ).encode()


class TestOptions:
    USUAL = options(
        ("always", "allow_always"),
        ("once", "allow_once"),
        ("once more", "allow_once"),
        ("never", "reject_always"),
        ("no", "reject_once"),
    )

    @pytest.mark.requirement("policy.chooses-for-once")
    def test_the_first_option_that_decides_for_this_once_is_chosen(self) -> None:
        assert choose(self.USUAL, ALLOW) == "once"
        assert choose(self.USUAL, REJECT) == "no"
        assert refusal(self.USUAL) == "no"

    def test_asking_chooses_nothing(self) -> None:
        assert choose(self.USUAL, ASK) is None

    @pytest.mark.requirement("policy.chooses-for-once")
    def test_an_option_that_decides_for_good_is_never_chosen(self) -> None:
        offered = options(("a", "allow_always"), ("b", "reject_always"))
        assert [choose(offered, action) for action in Action] == [None, None, None]
        assert refusal(offered) is None

    def test_an_id_that_is_offered_under_two_kinds_is_never_chosen(self) -> None:
        offered = options(("a", "allow_once"), ("a", "allow_always"), ("b", "allow_once"))
        assert choose(offered, ALLOW) == "b"

    def test_an_id_that_is_offered_twice_under_one_kind_is_one_option(self) -> None:
        assert choose(options(("a", "allow_once"), ("a", "allow_once")), ALLOW) == "a"

    @pytest.mark.parametrize("action", list(Action))
    @pytest.mark.parametrize(
        "raw",
        [
            None,
            b"",
            b"null",
            b"{}",
            b'"allow_once"',
            b"[]",
            b"[1, null, [], {}]",
            b'[{"optionId":1,"kind":"allow_once"},{"optionId":1,"kind":"reject_once"}]',
            b'[{"optionId":"a"},{"optionId":"b","kind":["allow_once"]}]',
            b'[{"optionId":"a","kind":"ALLOW_ONCE"},{"optionId":"a","kind":"REJECT_ONCE"}]',
            b'[{"optionId":"a","kind":"allow_once"',
            b'[{"optionId":"\xff","kind":"allow_once"},{"optionId":"\xff","kind":"reject_once"}]',
            b"[" * 200_000 + b"]" * 200_000,
        ],
    )
    def test_malformed_options_are_none(self, raw: bytes | None, action: Action) -> None:
        assert choose(raw, action) is None

    def test_malformed_options_do_not_hide_the_others(self) -> None:
        raw = b'[1,{"optionId":"a","kind":{}},{"optionId":"b","kind":"allow_once"}]'
        assert choose(raw, ALLOW) == "b"

    @pytest.mark.parametrize("option_id", ["", "é", "\ud800", "a\nb", '"'])
    def test_an_id_is_given_back_as_it_is(self, option_id: str) -> None:
        assert choose(options((option_id, "allow_once")), ALLOW) == option_id
