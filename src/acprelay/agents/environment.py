"""The environment of what the relay starts: an allowlist, never a copy of the relay's.

Agents, and the commands of their terminals, run what a model asks for, and show what they see. So a
variable passes only for a reason:

- *Who and where*: without `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `TMPDIR` and the XDG
  directories a program does not find its tools, its login or its caches.
- *How to print*: `LANG`, `LC_*`, `TZ`, `TERM`.
- *Whom to trust*: files with certificates. A company's TLS proxy fails every call to a model
  without.
- *How to get out*: proxy variables, for the same reason, but only where they hold no credentials
  (`http://user:password@host`); those must be named in the catalog entry.

Everything else, API keys and `SSH_AUTH_SOCK` included, passes only where the catalog entry names
it. Variables that start with `ACPRELAY_` are the relay's own and never pass; `AgentSpec` refuses to
name them.

Pure: the relay's environment is an argument. This module starts no process.
"""

from __future__ import annotations

from collections.abc import Mapping

from acprelay.agents.models import MARKER, AgentSpec

_ALLOWED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR"),
        *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"),
        *("XDG_RUNTIME_DIR", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS"),
        *("LANG", "TZ", "TERM"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("NODE_EXTRA_CA_CERTS",),
    }
)
_ALLOWED_PREFIX = "LC_"
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})


def allowed(parent: Mapping[str, str]) -> dict[str, str]:
    """Picks what every child may see.

    Args:
        parent: The relay's environment.
    """
    return {name: value for name, value in parent.items() if _passes(name, value)}


def child_environment(parent: Mapping[str, str], *, spec: AgentSpec, run: str) -> dict[str, str]:
    """Chooses what an agent's process sees.

    What the catalog entry names wins over the allowlist, and its values over what it passes on.

    Args:
        parent: The relay's environment.
        spec: The catalog entry.
        run: The value of the marker variable, unique to this run of the agent.
    """
    named = {name: parent[name] for name in spec.pass_env if name in parent}
    return {**allowed(parent), **named, **spec.env, MARKER: run}


def _passes(name: str, value: str) -> bool:
    if name.upper() in _PROXIES:  # programs read both spellings
        return "@" not in value
    return name in _ALLOWED or name.startswith(_ALLOWED_PREFIX)
