"""What a client that stops reading costs the relay and the other clients.

Run: `python benchmarks/slow_client.py`. It starts the relay as `acprelay serve` does, with an agent
that sends 500,000 updates of 300 bytes in one turn, and three clients that read; every other time,
a fourth one sleeps for ten seconds from the moment of the prompt and then reads. It prints by how
much the relay's memory grew, the rate of the three with and without the sleeper, and whether the
sleeper then got every update.

The agent and each client are processes of their own (this script, with a role for argument), and
the clients look at the bytes no closer than they must: a relay is measured, not a parser.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil

READERS = 3
MIB = 1024 * 1024
RELAY = "import sys; from acprelay.cli.main import main; sys.exit(main())"
UPDATE = b"agent_message_chunk"
SEQ = re.compile(rb'"seq":(\d+)')

Message = dict[str, Any]


# -- the agent


def be_agent() -> None:
    """Answers a prompt `COUNT SIZE` with so many updates, each a line of that size."""
    head = (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"slow","update":'
        b'{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"'
    )
    for line in sys.stdin.buffer:
        request = json.loads(line)
        result: Message = {}
        match request.get("method"):
            case "initialize":
                result = {"protocolVersion": 1}
            case "session/new":
                result = {"sessionId": "slow"}
            case "session/prompt":
                count, size = map(int, request["params"]["prompt"][0]["text"].split())
                tail = b"x" * (size - len(head) - 7 - 6) + b'"}}}}\n'
                for start in range(0, count, 200):
                    numbers = range(start, min(count, start + 200))
                    write(b"".join(b"%s%07d%s" % (head, number, tail) for number in numbers))
                result = {"stopReason": "end_turn"}
        if "id" in request:
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": result}
            write(json.dumps(answer).encode() + b"\n")


def write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


# -- a client


class Client:
    """A blocking WebSocket that parses frames only until the stream begins."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=120)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            "".encode()
        )
        self.unread = b""
        while b"\r\n\r\n" not in self.unread:
            self._fill()
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        assert b" 101 " in head, head
        self._last_id = 0

    def request(self, method: str, params: Message) -> Message:
        """Sends a request, and gives its result; skips what else comes."""
        request_id = self.begin(method, params)
        while True:
            message = json.loads(self._frame())
            if message.get("id") == request_id and "method" not in message:
                assert "result" in message, message
                result: Message = message["result"]
                return result

    def begin(self, method: str, params: Message) -> int:
        self._last_id += 1
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        data = json.dumps(message).encode()
        assert len(data) < 65_536
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        self.socket.sendall(b"\x81" + size + bytes(4) + data)  # a mask of zeros
        return self._last_id

    def _frame(self) -> bytes:
        header = self._take(2)
        size = header[1]
        if size == 126:
            size = int.from_bytes(self._take(2))
        elif size == 127:
            size = int.from_bytes(self._take(8))
        return self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self.unread) < size:
            self._fill()
        taken, self.unread = self.unread[:size], self.unread[size:]
        return taken

    def _fill(self) -> None:
        data = self.socket.recv(MIB)
        assert data, "the relay closed the connection"
        self.unread += data


def be_client(url: str, session_id: str, count: int, size: int, sleep_s: float) -> None:
    """Attaches; when told to go, prompts if it has opened the session, and reads the stream."""
    client = Client(url)
    client.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
    where = {"cwd": "/", "mcpServers": []}
    prompts = not session_id
    if prompts:
        session_id = client.request("session/new", where)["sessionId"]
    else:
        client.request("session/load", {"sessionId": session_id, **where})
    say(session_id)
    sys.stdin.readline()
    begun = time.monotonic()
    if prompts:
        blocks = [{"type": "text", "text": f"{count} {size}"}]
        client.begin("session/prompt", {"sessionId": session_id, "prompt": blocks})
    if sleep_s:
        time.sleep(sleep_s)
        say(json.dumps({"contiguous": read_closely(client, count)}))
    else:
        read(client, count)
        say(json.dumps({"seconds": time.monotonic() - begun}))
    sys.stdin.readline()


def read(client: Client, count: int) -> None:
    """Reads until so many updates came; counts them, and no more."""
    buffer = bytearray(MIB)
    view, edge = memoryview(buffer), len(UPDATE) - 1
    data = client.unread
    seen = data.count(UPDATE)
    kept = len(data[-edge:])
    buffer[:kept] = data[-edge:]
    while seen < count:
        got = client.socket.recv_into(view[kept:])
        assert got, "the relay closed the connection"
        end = kept + got
        seen += buffer.count(UPDATE, 0, end)
        kept = min(edge, end)
        buffer[:kept] = buffer[end - kept : end]


def read_closely(client: Client, count: int) -> bool:
    """Reads until so many updates came; tells whether the log's numbers had no gap."""
    rest, seqs, seen = client.unread, [], 0
    while seen < count:
        data = client.socket.recv(MIB)
        assert data, "the relay closed the connection"
        rest += data
        cut = max(0, rest.rfind(b'"seq":'))  # what follows may not be whole yet
        seqs += [int(seq) for seq in SEQ.findall(rest[:cut])]
        seen += rest[:cut].count(UPDATE)
        rest = rest[cut:]
    seqs += [int(seq) for seq in SEQ.findall(rest)]
    return seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# -- the measurement


class Result(NamedTuple):
    """One run: the readers' rates in updates a second, the relay's memory in bytes."""

    rates: list[float]
    rss_before: int
    rss_max: int
    is_complete: bool


class Watch(threading.Thread):
    """Samples a process's memory until it is told to stop."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__()
        self._process = process
        self._stopped = threading.Event()
        self.before = self.most = process.memory_info().rss

    def run(self) -> None:
        while not self._stopped.wait(0.01):
            self.most = max(self.most, self._process.memory_info().rss)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "a program has ended"
    return line


def measure(options: argparse.Namespace, *, with_sleeper: bool) -> Result:
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory())
        where = ["--ephemeral"] if options.ephemeral else ["--state-dir", state]
        agent = shlex.join([sys.executable, str(Path(__file__).resolve()), "--role", "agent"])
        relay = stack.enter_context(
            program(
                "-c",
                RELAY,
                "serve",
                "--no-auth",
                "--no-config",
                "--port",
                "0",
                *where,
                "--agent",
                f"slow={agent}",
            )
        )
        found = re.search(r"ws://\S+", hear(relay))
        assert found is not None
        clients: list[subprocess.Popen[str]] = []
        session_id = ""
        for number in range(READERS + with_sleeper):
            sleep_s = options.sleep if number == READERS else 0.0
            role = ("--role", "client", "--url", found[0], f"--session={session_id}")
            bounds = ("--count", str(options.count), "--size", str(options.size))
            client = stack.enter_context(program(__file__, *role, *bounds, "--sleep", str(sleep_s)))
            session_id = hear(client)
            clients.append(client)
        watch = Watch(psutil.Process(relay.pid))
        watch.start()
        try:
            for client in reversed(clients):  # the first one prompts
                tell(client)
            rates = [
                options.count / json.loads(hear(each))["seconds"] for each in clients[:READERS]
            ]
            complete = [json.loads(hear(each))["contiguous"] for each in clients[READERS:]]
        finally:
            watch.stop()
        return Result(rates, watch.before, watch.most, all(complete))


def report(without: list[Result], having: list[Result]) -> None:
    for name, results in (("three readers", without), ("three readers, one asleep", having)):
        rates = [rate for result in results for rate in result.rates]
        grown = max(result.rss_max - result.rss_before for result in results)
        before = max(result.rss_before for result in results)
        print(f"{name}")
        print(f"  relay's memory before       {before / MIB:10.1f} MB")
        print(f"  relay's memory at most      {max(r.rss_max for r in results) / MIB:10.1f} MB")
        print(f"  grown by                    {grown / MIB:10.1f} MB")
        print(f"  updates a second, median    {statistics.median(rates):10,.0f}")
    medians = [
        statistics.median(rate for result in results for rate in result.rates)
        for results in (having, without)
    ]
    print(f"rate of the others with the sleeper: {medians[0] / medians[1]:.2f} of that without")
    complete = all(result.is_complete for result in having)
    print(f"the sleeper then got every update: {'yes' if complete else 'NO'}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a client that stops reading costs.")
    parser.add_argument("--count", type=int, default=500_000, help="updates in the turn")
    parser.add_argument("--size", type=int, default=300, help="bytes of each")
    parser.add_argument("--sleep", type=float, default=10.0, help="how long the sleeper sleeps")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each kind, by turns")
    parser.add_argument("--ephemeral", action="store_true", help="keep the log in memory only")
    parser.add_argument("--role", choices=("agent", "client"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--session", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "agent":
        be_agent()
    elif options.role == "client":
        be_client(options.url, options.session, options.count, options.size, options.sleep)
    else:
        without, having = [], []
        for _ in range(options.rounds):
            without.append(measure(options, with_sleeper=False))
            having.append(measure(options, with_sleeper=True))
        print(f"{options.count:,} updates of {options.size} bytes, {options.rounds} rounds")
        report(without, having)


if __name__ == "__main__":
    main()
