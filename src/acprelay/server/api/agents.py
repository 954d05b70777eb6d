"""`/agents`: which agents are offered, and whether they can be used."""

from __future__ import annotations

from typing import Any

from acprelay.errors import AgentError, NotFound
from acprelay.routing.access import Grant
from acprelay.routing.paging import page_of
from acprelay.runtime.agent_survey import AgentSurvey, AgentView
from acprelay.server.api.operations import Call, Nothing, Operation, Reach, Struct
from acprelay.server.api.pages import PageQuery
from acprelay.server.api.raw import raw


class Agent(Struct, frozen=True, kw_only=True):
    """An agent that is offered.

    Attributes:
        name: Its name.
        default: Whether it is taken where none is named.
        ready: How many of its processes wait for a session.
        initialize: Its latest answer to ACP's `initialize`, where one was started before.
    """

    name: str
    default: bool
    ready: int
    initialize: Any = None


class Agents(Struct, frozen=True, kw_only=True):
    """One page of a list of agents.

    Attributes:
        agents: In the order of their names.
        next_cursor: Where the next page begins; there is none without.
    """

    agents: list[Agent]
    next_cursor: str | None = None


class Probed(Struct, frozen=True, kw_only=True):
    """What came of trying an agent out.

    Attributes:
        name: Its name.
        start_s: How long it took to its answer, in seconds.
        initialize: Its answer to ACP's `initialize`.
    """

    name: str
    start_s: float
    initialize: Any


class AgentResource:
    """Serves `/agents`.

    Args:
        survey: Looks at agents.
    """

    def __init__(self, *, survey: AgentSurvey) -> None:
        self._survey = survey

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="listAgents",
                method="GET",
                path="/agents",
                summary="List the agents that are offered",
                tag="agents",
                query=PageQuery,
                result=Agents,
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._list,
                example=Agents(agents=[Agent(name="claude", default=True, ready=1)]),
            ),
            Operation(
                id="getAgent",
                method="GET",
                path="/agents/{agent}",
                summary="Show an agent",
                tag="agents",
                result=Agent,
                errors=(NotFound,),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._get,
            ),
            Operation(
                id="probeAgent",
                method="POST",
                path="/agents/{agent}/probe",
                summary="Try an agent out: start it, initialize it, and end it again",
                description="It opens no session, so nothing is asked of a model. Idempotent.",
                tag="agents",
                body=Nothing,
                result=Probed,
                errors=(NotFound, AgentError),
                grant=Grant.MANAGE,
                reach=Reach.RELAY,
                handler=self._probe,
            ),
        ]

    async def _list(self, call: Call[PageQuery, None]) -> Agents:
        page = page_of(
            self._survey.agents(),
            place=lambda each: (each.name,),
            shape=tuple[str],
            cursor=call.query.cursor,
            limit=call.query.limit,
        )
        return Agents(agents=list(map(_agent, page.entries)), next_cursor=page.next_cursor)

    async def _get(self, call: Call[Any, None]) -> Agent:
        return _agent(self._survey.agent(call.path["agent"]))

    async def _probe(self, call: Call[Any, Nothing]) -> Probed:
        name = call.path["agent"]
        probed = await self._survey.probe(name)
        return Probed(
            name=name,
            start_s=round(probed.start_s, 3),
            initialize=raw(probed.initialize_result),
        )


def _agent(view: AgentView) -> Agent:
    return Agent(
        name=view.name,
        default=view.is_default,
        ready=view.ready,
        initialize=None if view.described is None else raw(view.described),
    )
