"""The policy: the rules that answer permissions, and what they say of a tool call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acprelay.client.calls import Calls, Value


class RuleInfo(Value, frozen=True, kw_only=True):
    """A rule: all conditions that it has must hold.

    Attributes:
        action: What it says: `allow`, `reject` or `ask`.
        name: What explanations and audit logs call it.
        agent: Names of agents, as globs.
        role: Roles, likewise.
        kind: ACP's kinds of tool.
        path: Paths, as globs.
        command: Commands, likewise.
    """

    action: str
    name: str
    agent: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class PolicyInfo(Value, frozen=True, kw_only=True):
    """The policy of the relay.

    Attributes:
        rules: In their order; reject wins over ask, ask over allow.
        default: What is done where no rule applies.
    """

    rules: tuple[RuleInfo, ...]
    default: str


class ConsideredRule(Value, frozen=True, kw_only=True):
    """What one rule makes of a tool call.

    Attributes:
        rule: Its name, or `rule N`.
        action: What it says where it applies.
        applies: Whether it does.
        reason: Why, or why not.
    """

    rule: str
    action: str
    applies: bool
    reason: str


class Claimed(Value, frozen=True, kw_only=True):
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


class Explained(Value, frozen=True, kw_only=True):
    """What the policy says.

    Attributes:
        action: What would be done.
        reason: Why.
        rules: What each rule makes of it.
        claimed: What the tool call claims.
        rule: The rule that decides; None for the default.
        option_id: The option that would be chosen; None where people are asked.
    """

    action: str
    reason: str
    rules: tuple[ConsideredRule, ...]
    claimed: Claimed
    rule: str | None = None
    option_id: str | None = None


class _ExplainBody(Value, frozen=True, kw_only=True):
    tool_call: Mapping[str, Any]
    options: Sequence[Mapping[str, Any]] | None = None
    agent: str = ""
    role: str = "main"
    cwd: str = ""


class PolicyCalls(Calls):
    """What can be asked about the policy. All raise as `RelayClient` says."""

    async def get_policy(self) -> PolicyInfo:
        """Gives the rules that answer permissions."""
        return await self._api.get("/policy", PolicyInfo)

    async def explain_policy(
        self,
        tool_call: Mapping[str, Any],
        *,
        options: Sequence[Mapping[str, Any]] | None = None,
        agent: str = "",
        role: str = "main",
        cwd: str = "",
    ) -> Explained:
        """Tells what the policy would say of a tool call, and why; nothing is decided.

        Args:
            tool_call: ACP's `toolCall`.
            options: ACP's `options`.
            agent: The name of the agent that would ask.
            role: Its role.
            cwd: The session's directory, absolute.
        """
        body = _ExplainBody(tool_call=tool_call, options=options, agent=agent, role=role, cwd=cwd)
        return await self._api.post("/policy/explain", body, Explained)
