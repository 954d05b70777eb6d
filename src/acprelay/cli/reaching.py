"""The relay that a command talks to, as its options say."""

from __future__ import annotations

import argparse

from acprelay.client import RelayClient


def open_client(arguments: argparse.Namespace) -> RelayClient:
    """Gives the client of the relay that is meant; it connects to nothing by itself.

    Args:
        arguments: With `url`.

    Raises:
        ConfigError: The address cannot be used.
    """
    return RelayClient(arguments.url)
