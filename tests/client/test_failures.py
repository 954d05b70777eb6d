"""What is said where a relay cannot be reached."""

from __future__ import annotations

import errno
import os
import socket
from unittest.mock import Mock

import aiohttp
import pytest

from acprelay.client.failures import unreachable


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "Name or service not known",
            "check the name in the address",
        ),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"),
            os.strerror(errno.ECONNREFUSED),
            "start a relay with: acprelay serve",
        ),
    ],
)
def test_a_connection_that_is_not_made_is_told_in_the_systems_words(
    error: OSError, reason: str, hint: str
) -> None:
    failed = aiohttp.ClientConnectorError(Mock(), error)
    told = unreachable("ws://relay.example/acp", failed, after_s=1.0)
    assert told.message == f"cannot reach a relay at ws://relay.example/acp: {reason}"
    assert told.hint == hint
