"""What a policy says of the permissions that one agent asks for.

A referee knows what the agent has told of its tool calls, and whose they are. It does not know
clients, nor what becomes of its rulings.
"""

from __future__ import annotations

from typing import NamedTuple

from acprelay.routing.permissions import PermissionRequest
from acprelay.routing.policy import Policy, Subject, Verdict, choose, subject_of
from acprelay.routing.tool_calls import ToolCalls


class Ruling(NamedTuple):
    """What is to be done about a permission request.

    Attributes:
        subject: What it is about.
        verdict: What the policy says of it.
        option_id: The option that carries that out; None where people are to be asked.
    """

    subject: Subject
    verdict: Verdict
    option_id: str | None


class Referee:
    """Decides, or leaves it to people.

    Args:
        policy: The rules.
        agent: The agent's name in the catalog.
        role: Its role.
        cwd: The conversation's directory, absolute.
    """

    def __init__(self, *, policy: Policy, agent: str, role: str, cwd: str) -> None:
        self._policy = policy
        self._agent = agent
        self._role = role
        self._cwd = cwd
        self._tool_calls = ToolCalls()

    def observe(self, update: bytes) -> None:
        """Takes note of an update that is about a tool call; of any other it does not.

        Args:
            update: The raw value of `params.update`.
        """
        self._tool_calls.observe(update)

    def forget(self) -> None:
        """Forgets every tool call: the agent is gone, and another one gives ids of its own."""
        self._tool_calls = ToolCalls()

    def rule(self, request: PermissionRequest) -> Ruling:
        """Rules on a request, by all that is known of its tool call."""
        tool_call = self._tool_calls.merged(request.tool_call)
        subject = subject_of(tool_call, agent=self._agent, role=self._role, cwd=self._cwd)
        verdict = self._policy.decide(subject)
        return Ruling(subject, verdict, choose(request.options, verdict.action))
