"""`/metrics`: what a relay measures, for Prometheus (OpenMetrics, or its older text).

Every relay has a registry of its own: several may run in one process. No label has more values than
the configuration or the code names: no session, no client and no path of a request is one. It
measures nothing itself, but for HTTP answers; the rest is told or counted elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import psutil
from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from acprelay.errors import RelayError
from acprelay.routing.access import Grant, lacking
from acprelay.routing.audit import Decider, Decision
from acprelay.routing.events import TurnEnded, TurnStarted
from acprelay.runtime.measurements import Census, Levels, Measures, Traffic
from acprelay.runtime.observation import Observer, Scene
from acprelay.server.principals import principal_of
from acprelay.server.problems import problem
from acprelay.server.turn_tally import TurnTally

PATH = "/metrics"

_LAG_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5)
_LOOP_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Metrics(Observer):
    """What one relay measures.

    Args:
        traffic: What has passed.

    Attributes:
        registry: What Prometheus is given.
        measures: What connections add to.
        levels: What there was when it was last looked at.
    """

    def __init__(self, *, traffic: Traffic) -> None:
        self.traffic = traffic
        self.measures = Measures(traffic=traffic, delivered=self.delivered)
        self.registry = CollectorRegistry()
        self.levels = LevelGauges()
        self.registry.register(self.levels)
        self.registry.register(_TrafficCounters(traffic))
        self._turns = TurnTally()
        self.registry.register(self._turns)
        self._decided = self._counter(
            "permissions_decided", "Permissions that were decided.", "by", "outcome"
        )
        self._decided_ways: dict[tuple[Decider, str], Counter] = {}
        self._restarts = self._counter("agent_restarts", "Agents restarted unasked.", "agent")
        self._starts = self._counter("agent_starts", "Agents' processes started.", "agent")
        self._failures = self._counter(
            "agent_start_failures", "Agents whose program could not be started.", "agent"
        )
        self._storage = self._counter("storage_errors", "Troubles of conversations' logs.", "code")
        self._lag_s = self._histogram(
            "delivery_lag_seconds",
            "From an agent's words being read to their being in a client's socket; a sample.",
            _LAG_S,
        )
        self._loop_s = self._histogram(
            "event_loop_lag_seconds", "How late the event loop wakes a task; a sample.", _LOOP_S
        )
        self._http = self._counter(
            "http_requests", "HTTP requests that were answered.", "route", "method", "status"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"acprelay_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> Histogram:
        return Histogram(f"acprelay_{name}", text, buckets=tuple(buckets), registry=self.registry)

    # -- what is told

    def turn_started(self, scene: Scene, turn: TurnStarted) -> None:  # noqa: ARG002
        """Counts it."""
        self._turns.started += 1

    def turn_ended(self, scene: Scene, turn: TurnEnded, *, lasted_s: float) -> None:  # noqa: ARG002
        """Counts it, with how long it took."""
        self._turns.end(turn.outcome, lasted_s)

    def permission_decided(self, scene: Scene, decision: Decision) -> None:  # noqa: ARG002
        """Counts it."""
        way = decision.by, "cancelled" if decision.option is None else "selected"
        counter = self._decided_ways.get(way)
        if counter is None:  # to look one up by its labels costs more than to count
            counter = self._decided_ways[way] = self._decided.labels(*map(str, way))
        counter.inc()

    def restarted(self, scene: Scene) -> None:
        """Counts it."""
        self._restarts.labels(scene.agent).inc()

    def storage_failed(self, scene: Scene, error: RelayError) -> None:  # noqa: ARG002
        """Counts it."""
        self._storage.labels(error.code).inc()

    def agent_started(self, name: str) -> None:
        """Counts an agent's process."""
        self._starts.labels(name).inc()

    def agent_failed(self, name: str) -> None:
        """Counts a process that could not be started."""
        self._failures.labels(name).inc()

    def delivered(self, lag_s: float) -> None:
        """Takes a sample of how long delivery took."""
        self._lag_s.observe(lag_s)

    def loop_woke(self, lag_s: float) -> None:
        """Takes a sample of how late the event loop was."""
        self._loop_s.observe(lag_s)

    async def answering(self, request: web.Request, response: web.StreamResponse) -> None:
        """Counts an HTTP answer when it begins; for `on_response_prepare`."""
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        method = request.method if request.method in _METHODS else "other"
        self._http.labels(route, method, str(response.status)).inc()


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class LevelGauges(Collector):
    """What there was when it was last looked at."""

    def __init__(self) -> None:
        self.latest: Levels | None = None

    def describe(self) -> Iterable[Metric]:
        """Names nothing beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Gives the gauges."""
        yield _gauge("open_files", "File descriptors of the relay.", psutil.Process().num_fds())
        seen = self.latest
        if seen is None:
            return
        runs = GaugeMetricFamily(
            "acprelay_sessions", "Sessions, which are runs of agents, by state.", labels=["state"]
        )
        for state, count in seen.runs.items():
            runs.add_metric([str(state).lower()], count)
        yield runs
        waiting = GaugeMetricFamily(
            "acprelay_queue_bytes", "What waits, and for what.", labels=["queue"]
        )
        waiting.add_metric(["lanes"], seen.lane_bytes)
        waiting.add_metric(["log"], seen.log_bytes)
        waiting.add_metric(["agent-stdin"], seen.stdin_bytes)
        yield waiting
        yield _gauge("conversations", "Conversations, dormant ones included.", seen.conversations)
        yield _gauge("turns_running", "Turns that run.", seen.turns)
        yield _gauge("prompts_queued", "Prompts behind turns that run.", seen.queued_prompts)
        yield _gauge(
            "permissions_waiting",
            "Permissions and other questions of agents that wait for clients.",
            seen.open_asks,
        )
        yield _gauge("connections", "Clients that are connected.", seen.connections)
        yield _gauge("attachments", "Clients in sessions, each in each.", seen.attachments)


class _TrafficCounters(Collector):
    def __init__(self, traffic: Traffic) -> None:
        self._flows = {
            ("agents", "in"): traffic.from_agents,
            ("agents", "out"): traffic.to_agents,
            ("clients", "in"): traffic.from_clients,
            ("clients", "out"): traffic.to_clients,
        }

    def describe(self) -> Iterable[Metric]:
        """Names nothing beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Gives the counters."""
        labels = ["side", "direction"]
        messages = CounterMetricFamily(
            "acprelay_messages", "Messages that have passed, as the relay sees it.", labels=labels
        )
        sizes = CounterMetricFamily(
            "acprelay_message_bytes", "Their bytes, as the relay sees it.", labels=labels
        )
        for (side, direction), flow in self._flows.items():
            messages.add_metric([side, direction], flow.messages)
            sizes.add_metric([side, direction], flow.size)
        yield messages
        yield sizes


class MetricsEndpoint:
    """Serves `/metrics` to who may observe everything.

    Args:
        metrics: What is measured.
        census: Tells what there is.
    """

    def __init__(self, *, metrics: Metrics, census: Census) -> None:
        self._metrics = metrics
        self._census = census

    async def handle(self, request: web.Request) -> web.Response:
        """Gives the metrics, in the format that is asked for."""
        principal = principal_of(request)
        if Grant.OBSERVE not in principal.grants or not principal.scope.is_everything:
            return problem(lacking(Grant.OBSERVE, "everything"))
        try:
            self._metrics.levels.latest = await self._census()
        except RelayError as error:
            return problem(error)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body: bytes = encode(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"acprelay_{name}", text, value=value)
