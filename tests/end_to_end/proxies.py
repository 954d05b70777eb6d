"""Reverse proxies as docs/http.md configures them, with HTTP/2 and TLS, in front of a relay."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.ports import kept_port
from tests.server.peers import PATIENCE_S

DOCS = Path(__file__).parents[2] / "docs"

Configure = Callable[[str, int, Path], tuple[str, ...]]
"""Writes a proxy's configuration for an upstream, a port and a directory; gives its command."""


def shown(language: str) -> str:
    """The configuration that the page on HTTP shows."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (DOCS / "http.md").read_text(), re.DOTALL)
    return str(found)


def caddy(upstream: str, port: int, folder: Path) -> tuple[str, ...]:
    """Caddy, which keeps to itself what it would do for the whole machine."""
    site = shown("caddyfile").replace("127.0.0.1:8137", upstream)
    own = f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {folder}/cert.pem {folder}/key.pem"
    site = site.replace("relay.example {", own)
    options = (
        "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n"
    )
    (folder / "Caddyfile").write_text(options + site)
    return ("caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile")


def nginx(upstream: str, port: int, folder: Path) -> tuple[str, ...]:
    """nginx, with all that it writes in the directory."""
    site = shown("nginx").replace("127.0.0.1:8137", upstream)
    site = site.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    site = site.replace("/etc/ssl/relay.example.pem", f"{folder}/cert.pem")
    site = site.replace("/etc/ssl/relay.example.key", f"{folder}/key.pem")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{site}}}\n"
    )
    return ("nginx", "-e", "stderr", "-p", str(folder), "-c", f"{folder}/nginx.conf")


PROXIES = [
    pytest.param(
        configure,
        id=configure.__name__,
        marks=pytest.mark.skipif(
            shutil.which(configure.__name__) is None or shutil.which("openssl") is None,
            reason=f"{configure.__name__} or openssl is not installed; your system has packages",
        ),
    )
    for configure in (caddy, nginx)
]


def certify(folder: Path) -> ssl.SSLContext:
    """Makes a certificate for localhost; gives what trusts it alone."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    return ssl.create_default_context(cafile=folder / "cert.pem")


@asynccontextmanager
async def proxied(configure: Configure, base_url: str, folder: Path) -> AsyncIterator[str]:
    """Runs a proxy; gives the address without its scheme."""
    with kept_port() as port, (folder / "proxy.log").open("wb") as log:
        command = configure(urlsplit(base_url).netloc, port, folder)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(folder)}
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, env=environment
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await _listens(port):
                    assert process.returncode is None, (folder / "proxy.log").read_text()
            yield f"localhost:{port}/acp"
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True
