"""A relay that another program can host: what runs sessions, and the HTTP application before it.

A relay is a context: entering it takes up what is stored, leaving it ends every session, every
process and every connection. It does not listen; whoever mounts its application does.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType

from aiohttp import web

from acprelay.client import RelayClient
from acprelay.compose import parts
from acprelay.compose.api import api_operations
from acprelay.compose.runtime import Runtime, open_runtime
from acprelay.config import RelayConfig, origin_of
from acprelay.errors import ConfigError
from acprelay.runtime.client_connection import ClientConnection
from acprelay.runtime.draining import Draining
from acprelay.runtime.groups import Groups
from acprelay.runtime.invitation_requests import InvitationRequests
from acprelay.runtime.measurements import Traffic
from acprelay.runtime.system import RandomIds
from acprelay.runtime.token_desk import TokenDesk
from acprelay.server.acp import AcpEndpoint
from acprelay.server.agents import AgentEndpoint
from acprelay.server.app import ACP_ROUTE, make_app
from acprelay.server.authentication import Identity
from acprelay.server.http_connections import HttpConnections
from acprelay.server.login import LOGIN_PATH
from acprelay.server.metrics import Metrics
from acprelay.server.principals import Authenticate, everybody
from acprelay.server.quotas import Quotas
from acprelay.server.streamable_http import StreamableHttp

_STOPPING = "the relay is stopping"
_KEEP_ALIVE_S = 15.0


class RunningRelay:
    """A relay that runs; listening is somebody else's.

    Attributes:
        app: Its HTTP application, to be served as it is, or mounted: `parent.add_subapp(…)`.
        agents: The agents that it offers, the default one first.
        groups: Opens and ends sessions of its agents without a connection.
        draining: Has it begin nothing new, and waits for the turns that run.
        tokens: Issues tokens and takes them back; None where it does without.
        owner_token: A token that may do everything; None where it does without.
    """

    def __init__(
        self,
        *,
        app: web.Application,
        agents: tuple[str, ...],
        groups: Groups,
        draining: Draining,
        tokens: TokenDesk | None,
        owner_token: str | None,
        public_origin: str | None,
        serving: AsyncExitStack,
    ) -> None:
        self.app = app
        self.agents = agents
        self.groups = groups
        self.draining = draining
        self.tokens = tokens
        self.owner_token = owner_token
        self._public_origin = public_origin
        self._serving = serving
        self._dismissing = asyncio.Lock()
        self._origin: str | None = None

    def listens_at(self, origin: str) -> None:
        """Takes note of where its application, or the one it is mounted in, can be reached.

        Args:
            origin: Scheme, host and port: `http://127.0.0.1:8080`.
        """
        self._origin = origin.rstrip("/")

    @property
    def base_url(self) -> str:
        """The address of its HTTP server, with the path that it is mounted at.

        Raises:
            ConfigError: Nobody has said where it listens.
        """
        if self._origin is None:
            raise ConfigError(
                "cannot tell the address of a relay that does not listen by itself",
                hint='say it, with relay.listens_at("http://127.0.0.1:8080")',
            )
        return self._origin + str(self.app.router[ACP_ROUTE].url_for()).removesuffix("/acp")

    @property
    def url(self) -> str:
        """The WebSocket address for ACP clients. Raises as `base_url` does."""
        return "ws" + self.base_url.removeprefix("http") + "/acp"

    @property
    def public_url(self) -> str:
        """The address under which browsers come. Raises as `base_url` does."""
        return self._public_origin or self.base_url

    def login_url(self) -> str | None:
        """Gives an address that logs the owner's browser in, once and for some minutes.

        None where the relay does without tokens. Raises as `base_url` does.

        Raises:
            Forbidden: The owner's token was revoked.
        """
        if self.tokens is None:
            return None
        return f"{self.public_url}{LOGIN_PATH}/{self.tokens.offer_owners_login().code}"

    def client(self, *, token: str | None = None, tls: ssl.SSLContext | None = None) -> RelayClient:
        """Gives a client of this relay, to be entered; it comes in by the relay's address.

        Args:
            token: Says who asks; None for the owner, where the relay itself knows tokens.
            tls: Which certificates are trusted; None for those of the system.

        Raises:
            ConfigError: Nobody has said where the relay listens.
        """
        return RelayClient(self.base_url, token=token or self.owner_token, tls=tls)

    async def dismiss(self) -> None:
        """Ends every session, tells clients why, and lets go of them; returns once that is done.

        Whoever listens calls it before the server is shut down, or leaves it to the shutdown of the
        application. Idempotent.

        Raises:
            AgentError: A process of an agent survives.
        """
        async with self._dismissing:
            await self._serving.aclose()


class Relay:
    """A relay inside another program. Several may run in one process.

    Entering it gives a `RunningRelay`. Cancelling the body is safe: leaving the context ends what
    it began.

    Args:
        config: What it is started with; `host` and `port` are for relays that listen themselves.
        authenticate: Tells who makes a request, in place of the relay's own authentication.

    Raises:
        ConfigError: On entering: the state directory cannot be used.
    """

    def __init__(self, config: RelayConfig, *, authenticate: Authenticate | None = None) -> None:
        self._config = config
        self._authenticate = authenticate
        self._metrics = Metrics(traffic=Traffic())
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> RunningRelay:
        async with AsyncExitStack() as stack:
            runtime = await open_runtime(
                stack,
                self._config,
                metrics=self._metrics,
                with_tokens=self._config.auth and self._authenticate is None,
            )
            relay = await self._open_edges(stack, runtime)
            self._stack = stack.pop_all()
        return relay

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def _open_edges(self, stack: AsyncExitStack, runtime: Runtime) -> RunningRelay:
        quotas = Quotas.within(self._config.limits)
        acp = self._acp(runtime, quotas)
        agents = AgentEndpoint(dial_ins=runtime.dial_ins, limits=self._config.limits)
        origins = tuple(origin_of(url) for url in self._config.public_urls)
        public_origin = origins[0] if origins else None
        tokens = runtime.tokens
        own = everybody if tokens is None else Identity(desk=tokens)
        app = make_app(
            acp=acp,
            agents=agents,
            api=api_operations(
                runtime, self._config, public_origin=public_origin, streams=quotas.streams
            ),
            manager=runtime.manager,
            authenticate=self._authenticate or own,
            logins=tokens,
            public_origins=origins,
            limits=self._config.limits,
            is_draining=lambda: runtime.draining.has_begun,
            metrics=self._metrics,
            census=runtime.census,
        )
        serving = AsyncExitStack()
        relay = RunningRelay(
            app=app,
            agents=runtime.agents,
            groups=runtime.groups,
            draining=runtime.draining,
            tokens=tokens,
            owner_token=runtime.owner_token,
            public_origin=public_origin,
            serving=serving,
        )
        stack.push_async_callback(relay.dismiss)
        app.on_shutdown.append(lambda _: relay.dismiss())
        serving.callback(runtime.feed.close)
        serving.push_async_callback(acp.close)
        serving.push_async_callback(agents.close)
        await serving.enter_async_context(runtime.prewarming)
        # Ended over their links, which are there until then.
        serving.push_async_callback(runtime.dial_ins.aclose)
        # Left first: clients learn what becomes of their requests while they are connected.
        serving.push_async_callback(runtime.host.aclose, reason=_STOPPING)
        return relay

    def _acp(self, runtime: Runtime, quotas: Quotas) -> AcpEndpoint:
        limits = self._config.limits
        connections = runtime.connections
        connect = partial(
            ClientConnection,
            limits=limits,
            host=runtime.host,
            pool=runtime.source,
            groups=runtime.groups,
            invitations=InvitationRequests(desk=runtime.desk, dial_ins=runtime.dial_ins),
            clients=runtime.clients,
            measures=self._metrics.measures,
            rates=parts.message_rates(limits),
        )
        over_http = HttpConnections(
            connect=connect,
            ids=RandomIds(),
            limits=limits,
            quotas=quotas,
            connections=connections,
            measures=self._metrics.measures,
        )
        agents = runtime.source.names
        return AcpEndpoint(
            agents=agents,
            connect=connect,
            http=StreamableHttp(
                agents=agents,
                connections=over_http,
                limits=limits,
                quotas=quotas,
                keep_alive_s=_KEEP_ALIVE_S,
            ),
            ids=RandomIds(),
            limits=limits,
            quotas=quotas,
            connections=connections,
            measures=self._metrics.measures,
        )
