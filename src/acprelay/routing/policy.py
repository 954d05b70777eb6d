"""Decides what an agent may do without people being asked: rules over what a tool call claims.

Reject wins over ask, ask over allow, in whatever order the rules stand. What is missing satisfies
no rule, and what cannot be read whole is never allowed: a policy errs towards asking. Kinds, paths
and commands are the agent's claim; nothing here, or anywhere in the relay, holds an agent to it.
This module touches no file and knows neither clients nor who is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import msgspec

from acprelay.routing import conditions
from acprelay.routing.conditions import Finding
from acprelay.routing.globs import is_placed
from acprelay.routing.tool_calls import ToolCall


class Action(StrEnum):
    """What a rule, or a policy, says about a tool call."""

    ALLOW = "allow"
    REJECT = "reject"
    ASK = "ask"


_OPTION_KINDS = {Action.ALLOW: "allow_once", Action.REJECT: "reject_once"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A condition per fact, all of which must hold, and what then is done.

    A condition without a value is none; of several values one must fit. `agent`, `role`, `path` and
    `command` are globs (see `routing.globs`).

    Attributes:
        action: What the rule says.
        name: What explanations and audit logs call it.
        agent: Names of agents.
        role: Roles.
        kind: ACP's kinds of tool.
        path: Paths, absolute or relative to the conversation's directory. To allow, they must fit
            every path that the call names; to reject or ask, one.
        command: Commands. To allow, they must fit every command that the call names, whole, and one
            that has shell metacharacters only where pattern and command are equal; to reject or
            ask, one command or one part of it between metacharacters.
    """

    action: Action
    name: str = ""
    agent: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class Subject(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a policy decides about: a tool call, whose it is and where.

    Attributes:
        agent: The agent's name in the catalog; empty where it is not known.
        role: The role of the agent in its group; empty where it is not known.
        cwd: The conversation's directory, absolute; empty where it is not known.
        kind: See `ToolCall`, as for all that follow.
        paths: As the agent wrote them.
        commands: Each as one text.
        title: For people.
        tool_call_id: The agent's id of it.
        whole: Whether that is all that the call names.
    """

    agent: str
    role: str
    cwd: str
    kind: str | None = None
    paths: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    title: str | None = None
    tool_call_id: str | None = None
    whole: bool = True


def subject_of(tool_call: ToolCall, *, agent: str, role: str, cwd: str) -> Subject:
    """Gives what there is to decide about a tool call."""
    return Subject(
        agent=agent,
        role=role,
        cwd=cwd,
        kind=tool_call.kind,
        paths=tool_call.paths,
        commands=tool_call.commands,
        title=tool_call.title,
        tool_call_id=tool_call.tool_call_id,
        whole=tool_call.whole,
    )


class Considered(msgspec.Struct, frozen=True, gc=False):
    """What one rule made of a subject.

    Attributes:
        rule: Its name, or `rule N`.
        action: What it says where it applies.
        applies: Whether it does.
        reason: Why, or why not.
    """

    rule: str
    action: Action
    applies: bool
    reason: str


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What a policy decided.

    Attributes:
        action: What is to be done.
        rule: The rule that decided, by its name or as `rule N`; None for the default.
        reason: Why, in one line; what it quotes of the agent's is escaped and cut.
        considered: What each rule made of it, in the policy's order.
    """

    action: Action
    rule: str | None
    reason: str
    considered: tuple[Considered, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules, and what is done where none applies.

    Attributes:
        rules: In any order; of two that say the same, the first one is named as the reason.
        default: What is done where no rule applies.
    """

    rules: tuple[Rule, ...] = ()
    default: Action = Action.ASK

    def decide(self, subject: Subject) -> Verdict:
        """Decides; the same for the same subject, in time linear in its size."""
        examination = _Examination(subject)
        considered = tuple(
            examination.consider(rule, rule.name or f"rule {number}")
            for number, rule in enumerate(self.rules, start=1)
        )
        for action in (Action.REJECT, Action.ASK, Action.ALLOW):
            for each in considered:
                if each.applies and each.action is action:
                    reason = f"{each.rule!r} says {action}: {each.reason}"
                    return Verdict(action, each.rule, reason, considered)
        if self.default is Action.ALLOW and examination.obstacle:
            reason = (
                f"no rule applies, and what the default allows is asked: {examination.obstacle}"
            )
            return Verdict(Action.ASK, None, reason, considered)
        reason = f"no rule applies, and the default is {self.default}"
        return Verdict(self.default, None, reason, considered)


class _Examination:
    """One subject, and what rules make of it."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    @cached_property
    def obstacle(self) -> str:
        """Says why nothing can be allowed; empty where something can."""
        if not self._subject.whole:
            return "a part of the tool call is malformed or too large"
        for path in self._subject.paths:
            if not is_placed(path, cwd=self._subject.cwd):
                return f"where the path {conditions.shown(path)} leads is not plain"
        return ""

    def consider(self, rule: Rule, label: str) -> Considered:
        if rule.action is Action.ALLOW and self.obstacle:
            return Considered(label, rule.action, False, self.obstacle)
        findings = list(self._findings(rule))
        failed = [finding.reason for finding in findings if not finding.holds]
        reasons = failed[:1] or [finding.reason for finding in findings] or ["it has no condition"]
        return Considered(label, rule.action, not failed, ", ".join(reasons))

    def _findings(self, rule: Rule) -> Iterator[Finding]:
        subject = self._subject
        every = rule.action is Action.ALLOW
        if rule.agent:
            yield conditions.name("agent", subject.agent, rule.agent)
        if rule.role:
            yield conditions.name("role", subject.role, rule.role)
        if rule.kind:
            yield conditions.kind(subject.kind, rule.kind)
        if rule.path:
            yield conditions.path(subject.paths, rule.path, cwd=subject.cwd, every=every)
        if rule.command and not subject.commands and subject.kind == "execute" and subject.title:
            yield conditions.title(subject.title, rule.command, every=every)
        elif rule.command:
            yield conditions.command(subject.commands, rule.command, every=every)


def choose(options: bytes | None, action: Action) -> str | None:
    """Chooses the answer to a permission request that carries out an action, for this once.

    Never an option that decides for more than this call, and none whose id is offered under another
    kind as well.

    Args:
        options: The raw JSON of the request's `params.options`; None where there is none.
        action: What was decided.

    Returns:
        The first fitting option's id. None where people have to be asked: that is the action, or no
        option fits.
    """
    if action is Action.ASK:
        return None
    kind = _OPTION_KINDS[action]
    offered: dict[str, set[str]] = {}
    for option_id, option_kind in _read_options(options or b""):
        offered.setdefault(option_id, set()).add(option_kind)
    return next((option_id for option_id, kinds in offered.items() if kinds == {kind}), None)


def refusal(options: bytes | None) -> str | None:
    """Chooses the answer that refuses, where nobody answers in time.

    Returns:
        As `choose`; None where only the outcome `cancelled` refuses.
    """
    return choose(options, Action.REJECT)


def _read_options(raw: bytes) -> Iterator[tuple[str, str]]:
    try:
        options = json.loads(raw.decode())  # an id is given back as it is, lone surrogates included
    except (ValueError, RecursionError):
        return
    for option in options if isinstance(options, list) else ():
        if isinstance(option, dict) and isinstance(option.get("optionId"), str):
            yield option["optionId"], str(option.get("kind"))
