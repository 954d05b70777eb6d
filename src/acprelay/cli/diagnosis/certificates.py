"""Looks at a certificate and its key. It judges nothing."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from acprelay.cli.diagnosis.directories import is_readable_by_others
from acprelay.cli.diagnosis.facts import TlsFacts

_SEQUENCE = 0x30
_VERSION = 0xA0
_UTC_TIME = 0x17
_LONG = 0x80
_CENTURY = 1950
"""A year of two digits lies from here on (RFC 5280, section 4.1.2.5.1)."""


def look_at_tls(certificate: Path, key: Path) -> TlsFacts:
    """Looks whether they can be read and belong together, and when the certificate ends."""
    trouble = _trouble(certificate, key)
    return TlsFacts(
        certificate=certificate,
        key=key,
        trouble=trouble,
        expires_at=None if trouble else _expiry(certificate),
        is_key_open=is_readable_by_others(key),
    )


def _trouble(certificate: Path, key: Path) -> str:
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            return f"cannot read {path}: {error.strerror or error}"
    try:
        # One with a password would else ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"cannot use {certificate} with the key {key}: {reason}"
    return ""


def _expiry(certificate: Path) -> float | None:
    """Reads when the first certificate of a file ends, in seconds since the epoch."""
    try:
        text = certificate.read_text("ascii", "replace")
        start = text.index("-----BEGIN CERTIFICATE-----")
        end = "-----END CERTIFICATE-----"
        pem = text[start : text.index(end, start) + len(end)]
        return not_after(ssl.PEM_cert_to_DER_cert(pem))
    except (OSError, ValueError, IndexError):
        return None


def not_after(der: bytes) -> float:
    """Reads when a certificate ends, in seconds since the epoch.

    Args:
        der: The certificate in DER (RFC 5280, section 4.1).

    Raises:
        ValueError: It is no certificate.
        IndexError: It is cut off.
    """
    inner = _content(_content(der, 0), 0)
    position = 0
    if inner[0] == _VERSION:
        position = _after(inner, position)
    for _ in range(3):  # the serial number, the algorithm, the issuer
        position = _after(inner, position)
    validity = _content(inner, position)
    end = _after(validity, 0)
    text = validity[_header(validity, end)[0] : _after(validity, end)].decode("ascii")
    if validity[end] == _UTC_TIME:
        year = int(text[:2]) + 1900
        text = f"{year if year >= _CENTURY else year + 100}{text[2:]}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _content(data: bytes, position: int) -> bytes:
    """Gives what stands in a sequence."""
    if data[position] != _SEQUENCE:
        raise ValueError("cannot read it: no sequence")
    start, length = _header(data, position)
    return data[start : start + length]


def _after(data: bytes, position: int) -> int:
    """Gives where the next value begins."""
    start, length = _header(data, position)
    return start + length


def _header(data: bytes, position: int) -> tuple[int, int]:
    """Gives where a value's content begins, and how long it is."""
    length = data[position + 1]
    start = position + 2
    if length < _LONG:
        return start, length
    digits = length - _LONG
    return start + digits, int.from_bytes(data[start : start + digits])
