"""What holds for every policy and every tool call."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from acprelay.routing.policy import Action, Policy, Rule, Subject, choose
from acprelay.routing.tool_calls import ToolCall, ToolCalls

STRICTNESS = (Action.ALLOW, Action.ASK, Action.REJECT)

NAMES = ["claude", "gemini", "main"]
KINDS = ["read", "edit", "execute"]
PATHS = ["/p/a", "/p/src/b", "/etc/passwd", "a", "../x", "~/y", "/p/../etc/z"]
COMMANDS = ["git status", "git log; rm a", "rm a", "ls > a", "`"]


def some(values: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


rules = st.builds(
    Rule,
    action=st.sampled_from(list(Action)),
    agent=some([*NAMES, "*", "c*"]),
    role=some([*NAMES, "*"]),
    kind=some(KINDS),
    path=some([*PATHS, "**", "/**", "src/*", "/etc/*"]),
    command=some([*COMMANDS, "*", "git *", "rm *"]),
)
subjects = st.builds(
    Subject,
    agent=st.sampled_from([*NAMES, ""]),
    role=st.sampled_from([*NAMES, ""]),
    cwd=st.sampled_from(["/p", ""]),
    kind=st.none() | st.sampled_from(KINDS),
    paths=some(PATHS),
    commands=some(COMMANDS),
    title=st.none() | st.sampled_from(COMMANDS),
    whole=st.booleans(),
)
policies = st.builds(Policy, st.lists(rules, max_size=4).map(tuple), st.sampled_from(list(Action)))


def strictness(policy: Policy, subject: Subject) -> int:
    return STRICTNESS.index(policy.decide(subject).action)


def without(subject: Subject, condition: str) -> Subject:
    match condition:
        case "agent":
            return structs.replace(subject, agent="")
        case "role":
            return structs.replace(subject, role="")
        case "kind":
            return structs.replace(subject, kind=None)
        case "path":
            return structs.replace(subject, paths=())
        case _:
            return structs.replace(subject, commands=(), title=None)


@pytest.mark.requirement("policy.missing-fields-never-allow")
@given(rules, subjects, st.sampled_from(["agent", "role", "kind", "path", "command"]))
def test_what_a_rule_speaks_of_and_a_call_lacks_keeps_the_rule_from_applying(
    rule: Rule, subject: Subject, condition: str
) -> None:
    (considered,) = Policy((rule,)).decide(without(subject, condition)).considered
    assert not (getattr(rule, condition) and considered.applies)


@given(policies, subjects, st.data())
def test_the_order_of_rules_decides_nothing(
    policy: Policy, subject: Subject, data: st.DataObject
) -> None:
    shuffled = tuple(data.draw(st.permutations(policy.rules)))
    reordered = Policy(shuffled, policy.default)
    assert reordered.decide(subject).action is policy.decide(subject).action


@pytest.mark.requirement("policy.reject-wins")
@given(policies, subjects)
def test_a_rule_that_rejects_and_applies_is_final(policy: Policy, subject: Subject) -> None:
    verdict = policy.decide(subject)
    rejected = any(each.applies for each in verdict.considered if each.action is Action.REJECT)
    if rejected:
        assert verdict.action is Action.REJECT


@given(policies, rules, subjects)
def test_another_rule_that_rejects_never_lets_more_happen(
    policy: Policy, rule: Rule, subject: Subject
) -> None:
    stricter = Policy((*policy.rules, replace(rule, action=Action.REJECT)), policy.default)
    assert strictness(stricter, subject) >= strictness(policy, subject)


@given(policies, rules, subjects)
def test_another_rule_that_asks_never_allows_what_was_not_allowed(
    policy: Policy, rule: Rule, subject: Subject
) -> None:
    asking = Policy((*policy.rules, replace(rule, action=Action.ASK)), policy.default)
    if asking.decide(subject).action is Action.ALLOW:
        assert policy.decide(subject).action is Action.ALLOW


@given(policies, subjects)
def test_what_is_not_whole_is_never_allowed(policy: Policy, subject: Subject) -> None:
    assert policy.decide(structs.replace(subject, whole=False)).action is not Action.ALLOW


@given(some(["**", "/etc/*", "src/*", "a"]), subjects, st.sampled_from(PATHS))
def test_naming_another_path_never_makes_a_rule_allow(
    patterns: tuple[str, ...], subject: Subject, path: str
) -> None:
    policy = Policy((Rule(action=Action.ALLOW, path=(*patterns, "b")),))
    more = structs.replace(subject, paths=(*subject.paths, path))
    if subject.paths and policy.decide(more).action is Action.ALLOW:
        assert policy.decide(subject).action is Action.ALLOW


@given(subjects, st.sampled_from([";", "|", "&", "`", "$(", "\n", "\r", ">", "<", "("]))
def test_a_second_command_behind_an_allowed_one_is_not_allowed(
    subject: Subject, metacharacter: str
) -> None:
    policy = Policy((Rule(action=Action.ALLOW, command=("*", "git *")),))
    injected = structs.replace(subject, commands=(f"git status {metacharacter} rm a",))
    assert policy.decide(injected).action is Action.ASK


@given(policies, subjects)
def test_the_verdict_names_a_rule_that_applies_and_says_what_it_says(
    policy: Policy, subject: Subject
) -> None:
    verdict = policy.decide(subject)
    named = [each for each in verdict.considered if each.rule == verdict.rule]
    assert [(each.action, each.applies) for each in named[:1]] == (
        [(verdict.action, True)] if verdict.rule else []
    )
    assert len(verdict.considered) == len(policy.rules)


@pytest.mark.requirement("policy.chooses-for-once")
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "optionId": st.sampled_from("abc"),
                "kind": st.sampled_from(
                    ["allow_once", "allow_always", "reject_once", "reject_always", "new"]
                ),
            }
        )
    ),
    st.sampled_from(list(Action)),
)
def test_what_is_chosen_is_offered_for_this_once_and_for_nothing_else(
    offered: list[dict[str, str]], action: Action
) -> None:
    chosen = choose(json.dumps(offered).encode(), action)
    kinds = {option["kind"] for option in offered if option["optionId"] == chosen}
    assert kinds == (set() if chosen is None else {f"{action}_once"})


@pytest.mark.requirement("policy.missing-fields-never-allow")
@given(st.sets(st.sampled_from(["kind", "locations", "rawInput"])))
def test_a_request_without_a_member_is_not_allowed_by_a_rule_that_needs_it(
    missing: set[str],
) -> None:
    members = {
        "kind": "execute",
        "locations": [{"path": "/p/src"}],
        "rawInput": {"command": "make test"},
    }
    left = {name: value for name, value in members.items() if name not in missing}
    call: ToolCall = ToolCalls().merged(json.dumps({"toolCallId": "1", **left}).encode())
    rule = Rule(action=Action.ALLOW, kind=("execute",), path=("src",), command=("make *",))
    subject = Subject(
        agent="claude",
        role="main",
        cwd="/p",
        kind=call.kind,
        paths=call.paths,
        commands=call.commands,
        whole=call.whole,
    )
    assert (Policy((rule,)).decide(subject).action is Action.ALLOW) is (not missing)
