"""The client of the relay that a command talks to, as its options say."""

from __future__ import annotations

import argparse

from acprelay.cli.credentials import own_reach
from acprelay.client import RelayClient


def open_client(arguments: argparse.Namespace) -> RelayClient:
    """Gives the client of the relay that is meant; it connects to nothing before it is entered.

    Args:
        arguments: With `url`, `token_file` and `ca_file`.

    Raises:
        ConfigError: The address, the token or the certificates cannot be used, or it is not clear
            which relay is meant.
    """
    reach = own_reach(arguments)
    return RelayClient(reach.url, token=reach.token, tls=reach.tls)
