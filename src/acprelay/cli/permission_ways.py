"""Answering an agent's permission requests: by a person at a terminal, or by rule.

Each way is an `OnPermission` of `acp_client`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from acprelay.cli.screen import Screen
from acprelay.cli.stdio import InputLines
from acprelay.cli.terminal import cut
from acprelay.client.acp_messages import PermissionOption, PermissionRequest

_INPUT_WIDTH = 300
_SHORT = {"y": "allow_once", "n": "reject_once"}


class RulePermission:
    """Always allows, or always rejects, for this once where that is offered.

    Args:
        screen: Where the decision is shown.
        verdict: `allow` or `reject`.
        reason: Said on standard error with each decision, whatever that is; where it is empty, the
            decision is shown on a terminal only.
    """

    def __init__(self, *, screen: Screen, verdict: str, reason: str = "") -> None:
        self._screen = screen
        self._verdict = verdict
        self._reason = reason

    async def __call__(self, request: PermissionRequest) -> PermissionOption | None:
        """Answers; None where no option fits the verdict."""
        option = _of_kind(request, f"{self._verdict}_once", f"{self._verdict}_always")
        if self._reason:
            await self._screen.warn(f"{self._verdict}ed {request.title!r}: {self._reason}")
        else:
            await self._screen.note(f"{self._verdict}ed", request.title)
        return option


class TerminalPermission:
    """Asks the person at the terminal.

    Args:
        screen: Where the question is shown.
        lines: What the person types.
    """

    def __init__(self, *, screen: Screen, lines: InputLines) -> None:
        self._screen = screen
        self._lines = lines

    async def __call__(self, request: PermissionRequest) -> PermissionOption | None:
        """Answers; the end of the input rejects. Cancelling withdraws the question."""
        await self._show(request)
        await self._screen.ask("your choice: ")
        async for line in self._lines:
            option = _chosen(request, line.decode(errors="replace").strip().lower())
            self._screen.answered()
            if option is not None:
                return option
            await self._screen.ask(f"a number from 1 to {len(request.options)}: ")
        return _of_kind(request, "reject_once", "reject_always")

    async def _show(self, request: PermissionRequest) -> None:
        await self._screen.note("permission", request.title, important=True)
        for path in _paths(request):
            await self._screen.note("", path, important=True)
        if raw_input := request.tool_call.get("rawInput"):
            shown = json.dumps(raw_input, ensure_ascii=False)
            await self._screen.note("", cut(shown, width=_INPUT_WIDTH), important=True)
        for number, option in enumerate(request.options, start=1):
            await self._screen.note("", f"{number}) {option.name}", important=True)


def _chosen(request: PermissionRequest, word: str) -> PermissionOption | None:
    if word in _SHORT:
        return _of_kind(request, _SHORT[word])
    numbered = {str(number): option for number, option in enumerate(request.options, start=1)}
    return numbered.get(word)


def _of_kind(request: PermissionRequest, *kinds: str) -> PermissionOption | None:
    for kind in kinds:
        for option in request.options:
            if option.kind == kind:
                return option
    return None


def _paths(request: PermissionRequest) -> Iterator[str]:
    locations = request.tool_call.get("locations")
    for location in locations if isinstance(locations, list) else ():
        if isinstance(location, dict) and isinstance(location.get("path"), str):
            yield location["path"]
