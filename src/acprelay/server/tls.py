"""TLS, by certificate files. What is served over it is not known here."""

from __future__ import annotations

import ssl

from acprelay.config import Tls
from acprelay.errors import ConfigError

_HINT = "name the certificate, with those that lead to a known one, and its key, both in PEM"


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Reads a certificate and its key; serves TLS 1.2 and later.

    Raises:
        ConfigError: They cannot be read, or do not belong together.
    """
    for path in (tls.certificate, tls.key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"cannot read {str(path)!r}: {error.strerror or error}", hint=_HINT, path=str(path)
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"cannot serve TLS with {str(tls.certificate)!r} and {str(tls.key)!r}: "
            f"{_reason(error)}",
            hint=_HINT,
            path=str(tls.certificate),
        ) from error
    return context


def _no_password() -> str:
    raise ConfigError(
        "cannot use the key of the certificate: it has a password",
        hint="give a key without one, in a file that only the relay's user can read",
    )


def _reason(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate"
    return "one of them is no certificate or no key in PEM"
