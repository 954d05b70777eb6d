"""`acprelay policy check`: what a policy would decide for recorded permission requests, and why."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from acprelay.cli.exits import ExitCode
from acprelay.cli.policy_file import read_policy
from acprelay.cli.recordings import RecordedRequest, read_requests
from acprelay.cli.terminal import harmless
from acprelay.errors import ConfigError
from acprelay.routing.policy import Policy, Verdict, choose, subject_of

_STANDARD_INPUT = "-"


def command(arguments: argparse.Namespace) -> int:
    """Checks a policy, and what it decides.

    Returns:
        0, once everything is decided, whatever that is.

    Raises:
        ConfigError: The policy or a recording cannot be used.
    """
    policy = read_policy(Path(arguments.policy))
    if not arguments.requests:
        _print(_summary(arguments, policy))
        return ExitCode.OK
    for name in arguments.requests:
        for request in read_requests(name, _read(name)):
            verdict = _decide(arguments, policy, request)
            option = choose(request.options, verdict.action)
            if arguments.json:
                _print(json.dumps(_as_json(request, verdict, option)))
            else:
                _print("\n".join(_in_words(request, verdict, option)) + "\n")
    return ExitCode.OK


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == _STANDARD_INPUT else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot read the recording {name!r}: {reason}", hint="- stands for standard input"
        ) from None


def _decide(arguments: argparse.Namespace, policy: Policy, request: RecordedRequest) -> Verdict:
    cwd = request.cwd if arguments.cwd is None else str(Path(arguments.cwd).absolute())
    return policy.decide(
        subject_of(
            request.tool_call,
            agent=arguments.agent,
            role=arguments.role,
            cwd=str(Path.cwd()) if cwd is None else cwd,
        )
    )


def _summary(arguments: argparse.Namespace, policy: Policy) -> str:
    if arguments.json:
        return json.dumps({"rules": len(policy.rules), "default": policy.default})
    rules = "1 rule" if len(policy.rules) == 1 else f"{len(policy.rules)} rules"
    return f"{arguments.policy}: {rules}; where none applies: {policy.default}"


def _as_json(request: RecordedRequest, verdict: Verdict, option: str | None) -> dict[str, object]:
    call = request.tool_call
    return {
        "source": request.source,
        "toolCall": {
            "toolCallId": call.tool_call_id,
            "kind": call.kind,
            "title": call.title,
            "paths": call.paths,
            "commands": call.commands,
            "whole": call.whole,
        },
        "rules": [
            {
                "rule": each.rule,
                "action": each.action,
                "applies": each.applies,
                "reason": each.reason,
            }
            for each in verdict.considered
        ],
        "action": verdict.action,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "optionId": option,
    }


def _in_words(request: RecordedRequest, verdict: Verdict, option: str | None) -> Iterator[str]:
    call = request.tool_call
    yield f"{request.source}  {call.kind or 'no kind'}  {_quoted(call.title or 'no title')}"
    for path in call.paths:
        yield f"  path     {_quoted(path)}"
    for text in call.commands:
        yield f"  command  {_quoted(text)}"
    if not call.whole:
        yield "  a part of the tool call is malformed or too large"
    for each in verdict.considered:
        answer = "applies" if each.applies else "does not apply"
        yield f"  {each.action:<7}  {_quoted(each.rule)} {answer}: {harmless(each.reason)}"
    yield f"  verdict  {verdict.action}: {harmless(verdict.reason)}"
    yield f"  answer   {_answer(verdict, option)}"


def _answer(verdict: Verdict, option: str | None) -> str:
    if option is not None:
        return f"the option {_quoted(option)}"
    if verdict.action == "ask":
        return "people are asked"
    return f"people are asked: no option to {verdict.action} this once is offered"


def _quoted(text: str) -> str:
    """Quotes what somebody else wrote in one line, as JSON does."""
    return harmless(json.dumps(text, ensure_ascii=False))


def _print(text: str) -> None:
    """Writes text, with escapes for what standard output cannot carry."""
    encoding = sys.stdout.encoding
    print(text.encode(encoding, "backslashreplace").decode(encoding))
