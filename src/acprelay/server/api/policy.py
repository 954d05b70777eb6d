"""`/policy`: the rules that answer permissions, and what they say of a tool call."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from acprelay.routing.access import Grant
from acprelay.routing.policy import Policy, Rule, Verdict, choose, subject_of
from acprelay.routing.tool_calls import ToolCall, ToolCalls
from acprelay.server.api.operations import Call, Operation, Reach, Struct, Taken

Action = Literal["allow", "reject", "ask"]
_Name = Annotated[str, msgspec.Meta(max_length=200)]


class RuleInfo(Struct, frozen=True, kw_only=True):
    """A rule: all conditions that it has must hold.

    Attributes:
        action: What it says.
        name: What explanations and audit logs call it.
        agent: Names of agents, as globs.
        role: Roles, likewise.
        kind: ACP's kinds of tool.
        path: Paths, as globs.
        command: Commands, likewise.
    """

    action: Action
    name: str
    agent: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class PolicyInfo(Struct, frozen=True, kw_only=True):
    """The policy of the relay.

    Attributes:
        rules: In their order; reject wins over ask, ask over allow.
        default: What is done where no rule applies.
    """

    rules: list[RuleInfo]
    default: Action


class ExplainBody(Taken, frozen=True, kw_only=True):
    """A permission that an agent might ask for.

    Attributes:
        tool_call: ACP's `toolCall`.
        options: ACP's `options`.
        agent: The agent's name.
        role: Its role.
        cwd: The session's directory, absolute.
    """

    tool_call: dict[str, Any]
    options: list[dict[str, Any]] | None = None
    agent: _Name = ""
    role: _Name = "main"
    cwd: Annotated[str, msgspec.Meta(max_length=4096)] = ""


class ConsideredRule(Struct, frozen=True, kw_only=True):
    """What one rule makes of it.

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


class Claimed(Struct, frozen=True, kw_only=True):
    """What the tool call claims, as far as rules look at it.

    Attributes:
        whole: Whether that is all that it names.
        paths: Paths.
        commands: Commands.
        kind: ACP's kind of tool.
        title: Its title.
    """

    whole: bool
    paths: tuple[str, ...]
    commands: tuple[str, ...]
    kind: str | None = None
    title: str | None = None


class Explained(Struct, frozen=True, kw_only=True):
    """What the policy says.

    Attributes:
        action: What would be done.
        reason: Why.
        rules: What each rule makes of it.
        claimed: What the tool call claims.
        rule: The rule that decides; none for the default.
        option_id: The option that would be chosen; without, people are asked.
    """

    action: Action
    reason: str
    rules: list[ConsideredRule]
    claimed: Claimed
    rule: str | None = None
    option_id: str | None = None


class PolicyResource:
    """Serves `/policy`.

    Args:
        policy: The relay's.
    """

    def __init__(self, *, policy: Policy) -> None:
        self._policy = policy

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="getPolicy",
                method="GET",
                path="/policy",
                summary="Show the rules that answer permissions",
                tag="policy",
                result=PolicyInfo,
                grant=Grant.OBSERVE,
                reach=Reach.RELAY,
                handler=self._get,
            ),
            Operation(
                id="explainPolicy",
                method="POST",
                path="/policy/explain",
                summary="Tell what the policy would say of a tool call, and why",
                description="Nothing is asked, decided or recorded. Idempotent.",
                tag="policy",
                body=ExplainBody,
                result=Explained,
                grant=Grant.OBSERVE,
                reach=Reach.RELAY,
                handler=self._explain,
                body_example=ExplainBody(
                    tool_call={
                        "toolCallId": "call-1",
                        "kind": "execute",
                        "rawInput": {"command": "make test"},
                    },
                    agent="claude",
                    cwd="/home/me/project",
                ),
            ),
        ]

    async def _get(self, _call: Call[Any, None]) -> PolicyInfo:
        return PolicyInfo(
            rules=list(map(_rule, self._policy.rules)), default=self._policy.default.value
        )

    async def _explain(self, call: Call[Any, ExplainBody]) -> Explained:
        body = call.body
        tool_call = ToolCalls().merged(msgspec.json.encode(body.tool_call))
        verdict = self._policy.decide(
            subject_of(tool_call, agent=body.agent, role=body.role, cwd=body.cwd)
        )
        options = None if body.options is None else msgspec.json.encode(body.options)
        return _explained(tool_call, verdict, choose(options, verdict.action))


def _rule(rule: Rule) -> RuleInfo:
    return RuleInfo(
        action=rule.action.value,
        name=rule.name,
        agent=rule.agent,
        role=rule.role,
        kind=rule.kind,
        path=rule.path,
        command=rule.command,
    )


def _explained(call: ToolCall, verdict: Verdict, option_id: str | None) -> Explained:
    return Explained(
        action=verdict.action.value,
        reason=verdict.reason,
        rules=[
            ConsideredRule(
                rule=each.rule,
                action=each.action.value,
                applies=each.applies,
                reason=each.reason,
            )
            for each in verdict.considered
        ],
        claimed=Claimed(
            whole=call.whole,
            paths=call.paths,
            commands=call.commands,
            kind=call.kind,
            title=call.title,
        ),
        rule=verdict.rule,
        option_id=option_id,
    )
