"""The client offers what the relay's API does: every operation, and every member."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from acprelay.client import RelayClient
from acprelay.client.calls import Value
from acprelay.server.api.operations import Struct, Taken

OTHER_NAMES = {"Role": "RoleBody"}
"""What is called otherwise here, as programs write it."""


NEEDED = {"acprelay.errors", "acprelay.directories"}


def tree(cls: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in cls.__subclasses__():
        yield each
        yield from tree(each)


def members(cls: type[msgspec.Struct]) -> dict[str, bool]:
    """The members of a struct as they are in JSON, and whether they have to be there."""
    return {field.encode_name: field.required for field in msgspec.structs.fields(cls)}


THEIRS = {cls.__name__: cls for base in (Struct, Taken) for cls in tree(base)}
OURS = {
    OTHER_NAMES.get(cls.__name__, cls.__name__).lstrip("_"): cls
    for cls in tree(Value)
    if cls.__module__.startswith("acprelay.client")
}


@pytest.mark.requirement("embedding.client-has-every-operation")
async def test_every_operation_of_the_api_is_a_method_of_its_name(client: RelayClient) -> None:
    document = await client.get_openapi()
    operations = {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    missing = [name for name in operations if not callable(getattr(client, snake(name), None))]
    assert len(operations) > 10
    assert missing == []


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_every_value_that_the_api_gives_is_one_here() -> None:
    given = {cls.__name__ for cls in tree(Struct)}
    assert given - OURS.keys() == set()


@pytest.mark.parametrize("name", sorted(OURS.keys() & THEIRS.keys()))
def test_a_value_has_the_members_that_the_api_gives_it(name: str) -> None:
    ours, theirs = members(OURS[name]), members(THEIRS[name])
    assert ours.keys() <= theirs.keys()
    assert ours.keys() == theirs.keys() or name.endswith("Body")
    # What the relay may leave out has to be something here nevertheless.
    assert {each for each, required in ours.items() if required} <= {
        each for each, required in theirs.items() if required
    }


def test_every_method_says_what_it_does() -> None:
    silent = [
        name
        for name, method in inspect.getmembers(RelayClient, callable)
        if not name.startswith("_") and not inspect.getdoc(method)
    ]
    assert silent == []


def test_the_client_brings_in_nothing_of_the_relay_but_its_errors() -> None:
    script = (
        "import sys, acprelay.client\n"
        "print(*sorted(n for n in sys.modules if n.startswith('acprelay.')))\n"
        "import threading; assert threading.active_count() == 1"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    others = [
        name
        for name in done.stdout.split()
        if not name.startswith("acprelay.client")
        and name not in ("acprelay.errors", "acprelay.directories")
    ]
    assert others == []
