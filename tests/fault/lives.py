"""What relays live through before and after they are killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
from tests.fault.failpoints import Failpoints
from tests.fault.nursery import Diary, Life
from tests.server.clients import AcpClient
from tests.server.peers import Message, WebSocketPeer, connect, request_http

from acprelay.agents.models import AgentSpec
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig
from acprelay.errors import RelayError, Unavailable

AGENT = Path(__file__).with_name("mortal_agent.py")
YES = {"outcome": {"outcome": "selected", "optionId": "yes"}}


def config(life: Life) -> RelayConfig:
    """A relay of one life."""
    folder = Path(life.folder)
    argv = (sys.executable, "-S", "-E", str(AGENT), str(folder / "agents"))
    return RelayConfig(
        port=0, state_dir=folder / "state", agents=(AgentSpec(name="mortal", argv=argv),)
    )


class Witness(AcpClient):
    """A client that tells all it is shown."""

    def __init__(self, peer: WebSocketPeer, *, name: str, diary: Diary) -> None:
        super().__init__(peer)
        self._name = name
        self._diary = diary

    async def receive(self) -> Message:
        payload = await self.peer.receive()
        self._diary.tell("shown", [self._name, payload.decode()])
        message: Message = json.loads(payload)
        return message


async def witness(relay: RunningRelay, name: str, diary: Diary) -> Witness:
    headers = {"Authorization": f"Bearer {relay.owner_token}"}
    client = Witness(await connect(relay.url, headers=headers), name=name, diary=diary)
    await client.initialize()
    return client


def lives(pid: int) -> bool:
    """Whether a process runs; one that whoever inherited it has not reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def where(session_id: str) -> Message:
    return {"sessionId": session_id, "cwd": "/", "mcpServers": []}


async def first(life: Life, diary: Diary, _: Failpoints) -> None:
    """Something of everything that is stored, up to a kill with an open ask and a queue."""
    async with open_relay(config(life)) as relay:
        tell = diary.tell
        author = await witness(relay, "author", diary)
        watcher = await witness(relay, "watcher", diary)
        session_id = await author.new_session()
        tell("opened", session_id)
        async with relay.client() as owner:
            kept = await owner.create_token("kept", grants=["observe"])
            tell("token", ["kept", kept.token])
            revoked = await owner.create_token("revoked", grants=["observe"])
            tell("token", ["revoked", revoked.token])
            await owner.invite(session_id)
            tell("invited")
        await watcher.result("session/load", where(session_id))
        assert (await author.prompt(session_id, "one"))["result"]
        asking = await author.begin_prompt(session_id, "ask-two")
        ask = await watcher.until("session/request_permission")
        await watcher.send({"id": ask["id"], "result": YES})
        assert (await author.answer_to(asking))["result"]
        await watcher.until("_acprelay/turn_ended")
        async with relay.client() as owner:
            await owner.revoke_token(revoked.id)
            tell("revoked")
        doomed = await author.new_session()
        tell("doomed", doomed)
        await author.result("session/delete", {"sessionId": doomed})
        tell("deleted")
        await author.begin_prompt(session_id, "ask-three")
        await watcher.until("session/request_permission")
        await author.begin_prompt(session_id, "four")
        turns = await author.result("_acprelay/turns", {"sessionId": session_id})
        assert turns["running"]
        assert turns["queued"]
        tell("end")
        os.kill(os.getpid(), signal.SIGKILL)


async def next_one(life: Life, diary: Diary, _: Failpoints) -> None:
    """Looks at all that is left, goes on with it, and ends in good order."""
    tell = diary.tell
    async with open_relay(config(life)) as relay:
        tell("left", [pid for pid in life.known.get("agents", []) if lives(int(pid))])
        client = await witness(relay, "client", diary)
        listed = await client.result("session/list", {})
        sessions = [each["sessionId"] for each in listed["sessions"]]
        tell("listed", sessions)
        for session_id in sessions:
            tell("loaded", [session_id, await history(relay, session_id)])
        for name, position in life.known.get("positions", {}).items():
            tell("returned", [name, await return_to(relay, life.known["session"], position)])
        for name, token in life.known.get("tokens", {}).items():
            headers = {"Authorization": f"Bearer {token}"}
            answer = await request_http(relay.base_url, "/api/v1/sessions", headers=headers)
            tell("let in", [name, answer.status])
        for session_id in sessions:
            tell("revoking")
            async with relay.client() as owner:
                tell("invitations", [session_id, await owner.revoke_invitations(session_id)])
            await client.result("session/load", where(session_id))
            tell("turns", await client.result("_acprelay/turns", {"sessionId": session_id}))
            tell("went on", (await client.prompt(session_id, "again"))["result"])
        client.peer.abort()  # a closing handshake would be waited for


async def steady(life: Life, diary: Diary, disk: Failpoints) -> None:
    """Goes on whatever the disk does, which is well again before the end."""
    try:
        async with open_relay(config(life)) as relay:
            author = await witness(relay, "author", diary)
            opened = await author.ask("session/new", {"cwd": "/", "mcpServers": []})
            if "error" in opened:
                diary.tell("refused", opened["error"])
                return
            session_id = opened["result"]["sessionId"]
            diary.tell("opened", session_id)
            assert (await author.prompt(session_id, "one"))["result"]
            async with relay.client() as owner:
                try:
                    await owner.create_token("token", grants=["observe"])
                except Unavailable as error:
                    diary.tell("refused", {"message": error.message, "data": error.data})
            asking = await author.begin_prompt(session_id, "ask-two")
            ask = await author.until("session/request_permission")
            await author.send({"id": ask["id"], "result": YES})
            assert (await author.answer_to(asking))["result"]
            # A barrier: it is answered behind what the log has by then.
            await author.result("_acprelay/turns", {"sessionId": session_id})
            author.peer.abort()
            disk.heal()
    except RelayError as error:
        diary.tell("refused", {"message": error.message, "data": error.data})


async def history(relay: RunningRelay, session_id: str) -> list[str]:
    """The log, by a load of a client of its own, and whatever else that client is told."""
    shown: list[str] = []
    headers = {"Authorization": f"Bearer {relay.owner_token}"}
    client = AcpClient(await connect(relay.url, headers=headers))
    await client.initialize()
    request = await client.begin("session/load", where(session_id))
    while True:
        payload = (await client.peer.receive()).decode()
        if json.loads(payload).get("id") == request:
            break
        shown.append(payload)
    # What an attachment is to get comes before the answer to what is asked next.
    request = await client.begin("session/list", {})
    shown += await until_answer(client, request)
    client.peer.abort()
    return shown


async def until_answer(client: AcpClient, request: int) -> list[str]:
    shown: list[str] = []
    while True:
        payload = (await client.peer.receive()).decode()
        if json.loads(payload).get("id") == request:
            return shown
        shown.append(payload)


async def return_to(relay: RunningRelay, session_id: str, position: str) -> Any:
    """What somebody gets who was shown the log up to a position: the rest, or an error's code."""
    headers = {"Authorization": f"Bearer {relay.owner_token}"}
    client = AcpClient(await connect(relay.url, headers=headers))
    await client.initialize()
    answer = await client.ask("_acprelay/attach", {"sessionId": session_id, "after": position})
    if "error" in answer:
        client.peer.abort()
        return answer["error"]["data"]["code"]
    # A barrier: it is answered behind what the attachment is to get.
    request = await client.begin("_acprelay/turns", {"sessionId": session_id})
    shown = await until_answer(client, request)
    client.peer.abort()
    return shown
