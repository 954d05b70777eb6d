"""Where a relay listens and who is let in: options of `acprelay serve`."""

from __future__ import annotations

import argparse

from acprelay.cli.arguments.common import not_empty


def add_exposure(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    parser.add_argument(
        "--auth",
        action=argparse.BooleanOptionalAction,
        help="ask everybody for a token (the default), or let everybody on this machine do "
        "everything",
    )
    parser.add_argument(
        "--tls-cert", type=not_empty, metavar="FILE", help="serve TLS, with this certificate"
    )
    parser.add_argument(
        "--tls-key", type=not_empty, metavar="FILE", help="and this key; both in PEM"
    )
    parser.add_argument(
        "--public-url",
        action="append",
        default=[],
        metavar="URL",
        help="a further address under which clients and browsers come, such as that of a proxy; "
        "repeat it for more",
    )
    parser.add_argument(
        "--insecure-without-tls",
        action="store_true",
        help="listen on an address that others reach without TLS: for a proxy that speaks it",
    )
    parser.add_argument(
        "--insecure-without-auth",
        action="store_true",
        help="with --no-auth, listen on an address that others reach: they may run commands here",
    )
