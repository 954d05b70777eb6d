"""TLS by certificate files, and what clients of the relay make of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from tests.server.test_identity import bearer

from acprelay.client.websocket import open_socket
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig, Tls
from acprelay.errors import ConfigError, RelayUnreachable
from acprelay.server.tls import tls_context

PATIENCE_S = 30.0


class Files(NamedTuple):
    """What a relay serves TLS with, and the certificate that leads to it."""

    tls: Tls
    authority: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = directory / "relay.crt", directory / "relay.key"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(directory / "ca.crt")
    return Files(Tls(certificate=certificate, key=key), directory / "ca.crt")


@pytest.fixture
async def relay(files: Files) -> AsyncIterator[RunningRelay]:
    async with open_relay(RelayConfig(port=0, tls=files.tls)) as running:
        yield running


def locked(key: bytes) -> bytes:
    """A key with a password."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )


def trusting(files: Files) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files.authority))


@pytest.mark.requirement("edges.tls")
async def test_a_relay_with_a_certificate_serves_tls_alone(
    relay: RunningRelay, files: Files
) -> None:
    assert relay.base_url.startswith("https://127.0.0.1:")
    assert relay.url == f"wss{relay.base_url.removeprefix('https')}/acp"
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as http:
        async with http.get(f"{relay.base_url}/healthz", ssl=trusting(files)) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"http{relay.base_url.removeprefix('https')}/healthz")


@pytest.mark.requirement("edges.tls")
async def test_a_client_checks_the_certificate(relay: RunningRelay, files: Files) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(RelayUnreachable, match="certificate cannot be trusted") as caught:
            async with open_socket(relay.url, token=relay.owner_token):
                raise AssertionError("it was trusted")
        assert "--ca-file" in caught.value.hint
        async with open_socket(relay.url, token=relay.owner_token, tls=trusting(files)) as socket:
            await socket.send(b'{"jsonrpc":"2.0","id":1,"method":"session/list"}')
            assert b'"id":1' in await socket.receive()


async def test_who_mixes_up_tls_and_none_is_told_which_address_to_write(
    relay: RunningRelay, files: Files
) -> None:
    async with asyncio.timeout(PATIENCE_S), open_relay(RelayConfig(port=0)) as plain:
        for url, hint in (
            (relay.url.replace("wss:", "ws:"), "at https:// or wss://"),
            (plain.url.replace("ws:", "wss:"), "write http:// or ws://"),
        ):
            with pytest.raises(RelayUnreachable) as caught:
                async with open_socket(url, token=None, tls=trusting(files)):
                    raise AssertionError("it was reached")
            assert hint in caught.value.hint
            assert "SSL" not in caught.value.message
            assert "permitted" not in caught.value.message


async def test_over_tls_the_cookie_is_for_tls_and_own_pages_are_those_of_https(
    relay: RunningRelay, files: Files
) -> None:
    url = relay.login_url()
    assert url is not None
    assert url.startswith(relay.base_url)
    plain = f"http{relay.base_url.removeprefix('https')}"
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as http:
        for origin, status in ((plain, 403), (relay.base_url, 303)):
            async with http.post(
                url, headers={"Origin": origin}, ssl=trusting(files), allow_redirects=False
            ) as answer:
                assert answer.status == status
                assert ("Secure" in answer.headers.get("Set-Cookie", "")) == (status == 303)


async def test_versions_of_tls_before_1_2_are_not_served(files: Files) -> None:
    assert tls_context(files.tls).minimum_version == ssl.TLSVersion.TLSv1_2


async def test_behind_a_proxy_its_address_is_one_of_the_relays_own() -> None:
    config = RelayConfig(port=0, public_urls=("https://relay.example.org/",))
    async with asyncio.timeout(PATIENCE_S), open_relay(config) as relay:
        url = relay.login_url()
        assert url is not None
        assert url.startswith("https://relay.example.org/login/")
        path = url.removeprefix("https://relay.example.org")
        own = {"Host": "relay.example.org", "Origin": "https://relay.example.org"}
        async with aiohttp.ClientSession() as http:
            for wrong in ({"Host": "relay.example.com"}, {"Origin": "http://relay.example.org"}):
                async with http.post(relay.base_url + path, headers={**own, **wrong}) as answer:
                    assert answer.status == 403
            async with http.post(
                relay.base_url + path, headers=own, allow_redirects=False
            ) as answer:
                assert answer.status == 303
                assert "Secure" in answer.headers["Set-Cookie"]
            headers = {**own, **bearer(relay.owner_token)}
            async with http.post(
                f"{relay.base_url}/api/v1/login-links", json={}, headers=headers
            ) as answer:
                assert (await answer.json())["url"].startswith("https://relay.example.org/login/")


@pytest.mark.requirement("edges.tls")
@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        ("none", "key", "cannot read '.*none': No such file"),
        ("crt", "none", "cannot read '.*none': No such file"),
        ("crt", "crt", "no certificate or no key in PEM"),
        ("key", "key", "no certificate or no key in PEM"),
        ("crt", "other", "the key belongs to another certificate"),
        ("crt", "locked", "cannot use the key of the certificate: it has a password"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_starts(
    files: Files, tmp_path: Path, certificate: str, key: str, reason: str
) -> None:
    other = trustme.CA().issue_cert("localhost").private_key_pem
    other.write_to_path(tmp_path / "other")
    (tmp_path / "locked").write_bytes(locked(other.bytes()))
    (tmp_path / "crt").write_bytes(files.tls.certificate.read_bytes())
    (tmp_path / "key").write_bytes(files.tls.key.read_bytes())
    with pytest.raises(ConfigError, match=reason) as caught:
        tls_context(Tls(certificate=tmp_path / certificate, key=tmp_path / key))
    assert caught.value.hint
