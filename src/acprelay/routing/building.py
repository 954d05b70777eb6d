"""Puts the parts of a conversation's router together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from acprelay.routing.agent_link import AgentLink
from acprelay.routing.agent_output import AgentOutput
from acprelay.routing.asks import Asks
from acprelay.routing.choosing import JOINED
from acprelay.routing.client_access import ClientAccess
from acprelay.routing.client_requests import ClientRequests
from acprelay.routing.conversation import Conversation
from acprelay.routing.log import PublicLog
from acprelay.routing.outsiders import Outsiders
from acprelay.routing.policy import Policy
from acprelay.routing.presence import Presence
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import RequestLedger
from acprelay.routing.service_asks import ServiceAsks
from acprelay.routing.service_modes import NOT_SERVED, Services
from acprelay.routing.snapshot import Snapshot
from acprelay.routing.turn_taking import TurnTaking
from acprelay.routing.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds in every conversation.

    Attributes:
        max_frame: The most bytes that one message may have.
        most_queued: How many prompts may wait behind the one that runs.
        most_clients: How many clients may be connected to a conversation.
        most_asks: How many requests of an agent may be unanswered in a conversation.
        most_requests: How many requests of clients may be.
        most_requests_of_one: How many of them may be of one client.
        cancel_answer_s: How long a cancelled turn's owner waits for the agent before the relay
            answers.
        cancel_end_s: How long an agent may go on with a cancelled turn before its run is ended.
        permission_s: How long a permission waits for an answer before it is refused.
        elicitation_s: How long an elicitation waits.
        linger_s: How long an attachment outlives its connection.
        stall_s: How long what waits for an agent may wait untouched before that is told.
        silence_s: How long an agent may be silent in a turn before that is told.
        restarts: How many runs in a row are begun unasked after an agent's process has ended, for
            each agent by name; none where it is not named.
        policy: Decides about permissions before anybody is asked.
        services: Who serves files and terminals to agents.
    """

    max_frame: int = 64 * 1024 * 1024
    most_queued: int = 16
    most_clients: int = 100
    most_asks: int = 256
    most_requests: int = 4096
    most_requests_of_one: int = 256
    cancel_answer_s: float = 10.0
    cancel_end_s: float = 30.0
    permission_s: float = 3600.0
    elicitation_s: float = 600.0
    linger_s: float = 300.0
    stall_s: float = 30.0
    silence_s: float = 300.0
    restarts: Mapping[str, int] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    services: Services = NOT_SERVED


def build_conversation(
    *,
    public_id: str,
    prefix: str,
    agent: str,
    role: str,
    cwd: str,
    log: PublicLog,
    snapshot: Snapshot,
    rules: Rules,
) -> Conversation:
    """Builds the router of one conversation, which no run serves yet.

    Args:
        public_id: The session's id as clients know it.
        prefix: Begins the ids of turns and asks; never used before.
        agent: The agent's name in the catalog.
        role: The session's role.
        cwd: The directory that the agent works in.
        log: The conversation's public log.
        snapshot: What its agent has told of its state.
        rules: What holds in every conversation.
    """
    publisher = Publisher(public_id=public_id, log=log)
    ledger = RequestLedger(most=rules.most_requests, most_of_one=rules.most_requests_of_one)
    link = AgentLink()
    asks = Asks(
        prefix=prefix,
        publisher=publisher,
        to_agent=link.send,
        policy=rules.policy,
        agent=agent,
        role=role,
        cwd=cwd,
        permission_s=rules.permission_s,
        elicitation_s=rules.elicitation_s,
        most_open=rules.most_asks,
    )
    turns = TurnTaking(
        prefix=prefix,
        turns=Turns(
            most_queued=rules.most_queued,
            answer_s=rules.cancel_answer_s,
            end_s=rules.cancel_end_s,
        ),
        publisher=publisher,
        requests=ledger,
        link=link,
        asks=asks,
    )
    served = rules.services.elsewhere if agent == JOINED else rules.services
    services = ServiceAsks(services=served, link=link, most_open=rules.most_asks)
    output = AgentOutput(
        agent=agent,
        publisher=publisher,
        requests=ledger,
        turns=turns,
        asks=asks,
        services=services,
        snapshot=snapshot,
        link=link,
        max_frame=rules.max_frame,
    )
    presence = Presence(
        publisher=publisher,
        asks=asks,
        snapshot=snapshot,
        most=rules.most_clients,
        linger_s=rules.linger_s,
    )
    access = ClientAccess(publisher=publisher, turns=turns)
    requests = ClientRequests(
        publisher=publisher, ledger=ledger, link=link, turns=turns, access=access
    )
    return Conversation(
        publisher=publisher,
        requests=requests,
        link=link,
        turns=turns,
        asks=asks,
        services=services,
        agent=output,
        presence=presence,
        snapshot=snapshot,
        access=access,
        outsiders=Outsiders(publisher=publisher, requests=requests, turns=turns, asks=asks),
    )
