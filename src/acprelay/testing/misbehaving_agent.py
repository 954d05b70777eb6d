"""A program that does to its parent what real agents do on their bad days.

Run it as an agent's command, with the steps it is to take, in order:

    python -m acprelay.testing.misbehaving_agent ignore-term child=own-session linger

or with the name of one thing that goes wrong, which stands for a few steps:

    python -m acprelay.testing.misbehaving_agent answers-twice

Of ACP it speaks as much as such an agent has to. It needs POSIX, and no package but this one.
`--help` lists the steps and the names.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from acprelay.testing.misbehaving_acp import AcpSide
from acprelay.testing.misbehaviours import MISBEHAVIOURS

_STEPS = """\
usage: python -m acprelay.testing.misbehaving_agent STEP...
       python -m acprelay.testing.misbehaving_agent NAME

The steps are taken in order; after the last one the program exits with status 0. In what `say`,
`begin` and `repeat` write, $id is the id of the request that came last, $first that of the first
one, and $session the session's.

  at=METHOD         serve ACP up to such a request or notification, which is not answered
  answer, answer=JSON  answer the request that came last, as is due or with this result
  hear=TEXT         read up to a line that has TEXT in it, and answer nothing
  serve             serve ACP up to the end of stdin
  frame=KIND        from here on, write lines in another way; KIND is content-length,
                    length-prefix or utf-16

  hold=PATH         connect to the Unix socket PATH and keep the connection open, as do all
                    children from here on: its end proves that all of them are gone
  tell=TEXT         write TEXT and a newline to that connection
  say=TEXT          write TEXT and a newline to stdout
  begin=TEXT        write TEXT and no newline to stdout
  repeat=TEXT       write TEXT and a newline to stdout for ever
  complain=TEXT     write TEXT and a newline to stderr
  moan=TEXT         write TEXT and a newline to stderr for ever
  bytes=HEX         write the bytes to stdout
  prose             write a banner that is not JSON to stdout
  lines=N           write N numbered JSON lines to stdout
  fill=TEXT         write such lines until stdout takes no more, then write TEXT like tell=TEXT
  flood             write such lines for ever
  huge-line=N       write one line of N bytes to stdout
  unended-line=N    write N bytes and no newline to stdout
  nested=N          write an update with N lists in each other to stdout
  echo              copy stdin to stdout, line by line, up to its end
  until-eof         read stdin to its end and forget it
  await-signal      wait for SIGUSR1
  linger            wait for ever, and never read stdin
  ignore-term       ignore SIGTERM, as do all children from here on
  farewell=TEXT     on SIGTERM, write TEXT and a newline to stdout, then exit
  respawn=KIND      on SIGTERM, start such a child, then exit
  child=KIND        start a child that holds all of this and waits for ever; KIND is
                    group, own-group, own-session, or orphan (own session, and no parent)
  bare-child=KIND   the same, with an empty environment
  close-stdin, close-stdout, close-stderr
  exit=STATUS       exit
  die=SIGNAL        send the signal, such as SIGKILL, to itself

A name stands for steps, and for what the agent does in them:

"""
USAGE = _STEPS + "".join(f"  {name:26}{it.does}\n" for name, it in MISBEHAVIOURS.items())

_PROSE = "Starting up...\nWARNING: this is \x1b[33mnot\x1b[0m JSON\n> "


class MisbehavingAgent:
    """Takes steps.

    Args:
        program: The path of this file, for children that replace themselves by it.
    """

    def __init__(self, *, program: str) -> None:
        self._program = program
        self._held: socket.socket | None = None
        self._frame: Callable[[bytes], bytes] = _as_line
        self._acp = AcpSide(say=self._write_message)
        self._steps: dict[str, Callable[[str], None]] = {
            "hold": self._hold,
            "tell": lambda text: self._connection().sendall(f"{text}\n".encode()),
            "at": self._acp.serve_until,
            "answer": self._acp.answer,
            "hear": self._acp.hear,
            "serve": lambda _: self._acp.serve_until(None),
            "frame": self._choose_frame,
            "say": lambda text: self._write_message(self._acp.filled(text)),
            "begin": lambda text: _write(1, self._acp.filled(text)),
            "repeat": lambda text: _repeat(1, self._acp.filled(text)),
            "complain": lambda text: _write(2, f"{text}\n".encode()),
            "moan": lambda text: _repeat(2, text.encode()),
            "bytes": lambda digits: _write(1, bytes.fromhex(digits)),
            "prose": lambda _: _write(1, _PROSE.encode()),
            "lines": lambda count: _number_lines(int(count)),
            "fill": self._fill,
            "flood": lambda _: _number_lines(sys.maxsize),
            "huge-line": lambda size: _write(1, b'"' + b"x" * (int(size) - 2) + b'"\n'),
            "unended-line": lambda size: _begin_line(int(size)),
            "nested": self._nest,
            "echo": lambda _: _echo(),
            "until-eof": lambda _: _read_to_the_end(),
            "await-signal": lambda _: _await_signal(),
            "linger": lambda _: _linger(),
            "ignore-term": lambda _: _on_term(signal.SIG_IGN),
            "farewell": lambda text: _on_term(lambda *_: _leave(f"{text}\n".encode())),
            "respawn": lambda kind: _on_term(lambda *_: self._respawn(kind)),
            "child": lambda kind: self._start_child(kind, bare=False),
            "bare-child": lambda kind: self._start_child(kind, bare=True),
            "close-stdin": lambda _: os.close(0),
            "close-stdout": lambda _: os.close(1),
            "close-stderr": lambda _: os.close(2),
            "exit": lambda status: os._exit(int(status)),
            "die": lambda name: os.kill(os.getpid(), signal.Signals[name]),
        }

    def take(self, step: str) -> None:
        """Takes one step.

        Raises:
            KeyError: There is no such step.
        """
        name, _, argument = step.partition("=")
        self._steps[name](argument)

    def _choose_frame(self, kind: str) -> None:
        self._frame = _FRAMES[kind]

    def _write_message(self, message: bytes) -> None:
        _write(1, self._frame(message))

    def _nest(self, depth: str) -> None:
        lists = "[" * int(depth) + "]" * int(depth)
        update = f'{{"sessionUpdate":"agent_message_chunk","content":{lists}}}'
        params = f'{{"sessionId":"$session","update":{update}}}'
        self.take(f'say={{"jsonrpc":"2.0","method":"session/update","params":{params}}}')

    def _hold(self, path: str) -> None:
        self._held = socket.socket(socket.AF_UNIX)
        self._held.connect(path)
        self._held.set_inheritable(True)

    def _fill(self, text: str) -> None:
        os.set_blocking(1, False)
        try:
            _number_lines(sys.maxsize)
        except BlockingIOError:  # so short a line is taken whole or not at all
            os.set_blocking(1, True)
        self._connection().sendall(f"{text}\n".encode())

    def _connection(self) -> socket.socket:
        if self._held is None:
            sys.exit("cannot tell anybody: take the step hold=PATH first")
        return self._held

    def _respawn(self, kind: str) -> None:
        self._start_child(kind, bare=False)
        os._exit(0)

    def _start_child(self, kind: str, *, bare: bool) -> None:
        """Starts a child, and returns once it is what it is to be."""
        settled, settling = os.pipe()  # closed by exec, or by hand
        child = os.fork()
        if child == 0:
            os.close(settled)
            self._become_child(kind, bare=bare, settling=settling)
        os.close(settling)
        os.read(settled, 1)
        os.close(settled)
        if kind == "orphan":
            os.waitpid(child, 0)

    def _become_child(self, kind: str, *, bare: bool, settling: int) -> NoReturn:
        if kind == "own-group":
            os.setpgid(0, 0)
        elif kind in {"own-session", "orphan"}:
            os.setsid()
        if kind == "orphan" and os.fork():
            os._exit(0)
        if bare:
            os.execve(sys.executable, [sys.executable, "-I", self._program, "linger"], {})  # noqa: S606 - no shell is the point
        os.close(settling)
        _linger()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _begin_line(size: int) -> None:
    while size:
        piece = min(size, 65_536)
        _write(1, b"x" * piece)
        size -= piece


def _repeat(fd: int, text: bytes) -> NoReturn:
    several = (text + b"\n") * 100
    while True:
        _write(fd, several)


def _as_line(message: bytes) -> bytes:
    return message + b"\n"


_FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "content-length": lambda message: b"Content-Length: %d\r\n\r\n%b" % (len(message), message),
    "length-prefix": lambda message: len(message).to_bytes(4, "big") + message,
    "utf-16": lambda message: f"{message.decode()}\n".encode("utf-16"),
}


def _number_lines(count: int) -> None:
    for number in range(count):
        _write(1, b'{"line":%d}\n' % number)


def _echo() -> None:
    for line in sys.stdin.buffer:
        _write(1, line)


def _read_to_the_end() -> None:
    while os.read(0, 65_536):
        pass


def _await_signal() -> None:
    signal.sigwait({signal.SIGUSR1})


def _linger() -> NoReturn:
    while True:
        signal.pause()


def _on_term(action: signal.Handlers | Callable[..., None]) -> None:
    signal.signal(signal.SIGTERM, action)


def _leave(last_words: bytes) -> NoReturn:
    _write(1, last_words)
    os._exit(0)


def _spelled_out(steps: Sequence[str]) -> list[str]:
    """Replaces names by the steps that they stand for."""
    meant = ((name,) if name not in MISBEHAVIOURS else MISBEHAVIOURS[name].steps for name in steps)
    return [step for group in meant for step in group]


def main(steps: Sequence[str]) -> int:
    """Takes the steps, and gives the exit status."""
    if "--help" in steps:
        _write(1, USAGE.encode())
        return 0
    if not steps:
        _write(2, USAGE.encode())
        return 2
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # one that comes early waits
    agent = MisbehavingAgent(program=__file__)
    try:
        for step in _spelled_out(steps):
            agent.take(step)
    except KeyError as unknown:
        _write(2, f"cannot take the step {unknown}\n{USAGE}".encode())
        return 2
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
