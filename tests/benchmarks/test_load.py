"""The load client and its agent, and one run of everything that matters, quickly."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.building import LoadTools
from benchmarks.places import PROJECT, SOURCES

pytestmark = pytest.mark.process

AGENT = """
import json, sys
PARAMS = '{"sessionId":"s","update":"@@%09d@@"}'
UPDATE = '{"jsonrpc":"2.0","method":"session/update","params":' + PARAMS + "}"
for line in sys.stdin:
    asked = json.loads(line)
    result = {"sessionId": "s"}
    if asked["method"] == "session/prompt":
        print("\\n".join(UPDATE % number for number in NUMBERS))
        result = {"stopReason": "end_turn", "_meta": {"sent": SENT}}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


def load(tools: LoadTools, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [tools.load, "--limit-s", "20", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return dict(json.loads(done.stdout))


def agent_that_sends(numbers: list[int], sent: int) -> str:
    program = AGENT.replace("NUMBERS", repr(numbers)).replace("SENT", str(sent))
    return shlex.join([sys.executable, "-c", program])


@pytest.mark.parametrize(
    ("numbers", "lost", "repeated"),
    [
        ([0, 1, 2, 3], 0, 0),
        ([0, 1, 3], 1, 0),
        ([0, 1, 1, 2, 3], 0, 1),
        ([0, 1, 2], 1, 0),
        ([1, 2, 3], 1, 0),
        ([0, 2, 1, 3], 1, 1),
    ],
)
def test_what_is_lost_or_comes_twice_is_counted(
    tools: LoadTools, numbers: list[int], lost: int, repeated: int
) -> None:
    said = load(tools, "stream", "--agent", agent_that_sends(numbers, sent=4))
    assert (said["lost"], said["repeated"]) == (lost, repeated)
    assert said["deliveries"] == len(numbers)


def prompt(text: str) -> str:
    params = {"prompt": [{"type": "text", "text": text}]}
    asked = {"jsonrpc": "2.0", "id": "7", "method": "session/prompt", "params": params}
    return f"{json.dumps(asked)}\n"


def test_the_agent_sends_what_a_prompt_asks_for(tools: LoadTools) -> None:
    done = subprocess.run(
        [tools.agent],
        input=prompt("n=3 size=300"),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    *updates, answer = done.stdout.splitlines()
    assert [len(update) for update in updates] == [300, 300, 300]
    assert json.loads(answer) == {
        "jsonrpc": "2.0",
        "id": "7",
        "result": {"stopReason": "end_turn", "_meta": {"sent": 3}},
    }


@pytest.mark.parametrize("unanswered", [0, 1])
def test_a_mixed_turn_ends_only_once_what_it_asked_is_answered(
    tools: LoadTools, unanswered: int
) -> None:
    shapes = (SOURCES / "shapes.ndjson").read_text().splitlines()
    with subprocess.Popen(
        [tools.agent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(prompt(f"n={len(shapes)} mixed"))
        agent.stdin.flush()
        said = [json.loads(agent.stdout.readline()) for _ in shapes]
        asks = [message["id"] for message in said if "id" in message]
        for ask in asks[unanswered:]:
            agent.stdin.write(f'{{"jsonrpc":"2.0","id":"{ask}","result":{{}}}}\n')
        agent.stdin.close()
        rest = agent.stdout.read()
    assert asks
    assert ("stopReason" in rest) == (unanswered == 0)


def test_permissions_of_a_mixed_turn_are_answered(tools: LoadTools) -> None:
    said = load(tools, "stream", "--agent", str(tools.agent), "--mixed", "--count", "1000")
    assert (said["sent"], said["deliveries"], said["lost"]) == (1000, 1000, 0)


def test_every_shape_is_a_message_of_the_session_with_one_number() -> None:
    for line in (SOURCES / "shapes.ndjson").read_text().splitlines():
        message = json.loads(line)
        assert message["method"] in ("session/update", "session/request_permission")
        assert message["params"]["sessionId"] == "$SESSION"
        assert line.count("@@000000000@@") == 1
        assert ("id" in message) == (message["method"] == "session/request_permission")


def test_an_agent_that_ends_at_once_is_told_in_a_line(tools: LoadTools) -> None:
    done = subprocess.run(
        [tools.load, "stream", "--agent", "exit 3"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("load: cannot ")


def test_a_turn_that_never_ends_is_given_up(tools: LoadTools) -> None:
    done = subprocess.run(
        [tools.load, "stream", "--agent", "cat >/dev/null", "--limit-s", "1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "load: cannot finish in time\n")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing")
@pytest.mark.parametrize("where", ["0", "{ port: 0 }", "0, () => {}", "{ port: 0, host: '::' }"])
def test_a_program_without_a_choice_is_held_to_loopback(where: str) -> None:
    program = (
        f"const server = require('node:http').createServer().listen({where});"
        "server.on('listening', () => { console.log(server.address().address); server.close(); });"
    )
    done = subprocess.run(
        ["node", "--require", SOURCES / "loopback.cjs", "-e", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "127.0.0.1\n"


def test_a_quick_run_measures_the_relay_and_writes_what_came(
    tools: LoadTools, tmp_path: Path
) -> None:
    assert tools.load.exists()
    out = tmp_path / "results.json"
    options = ["--quick", "--only", "stream,attach", "--peers", "", "--json", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert results["failures"] == []
    for measure in ("stream", "attach"):
        assert results["medians"][measure]["acprelay"]["lost"] == 0, measure
    assert "What must be reached" in done.stdout


def test_a_run_that_is_ended_leaves_no_process(tools: LoadTools, tmp_path: Path) -> None:
    options = ["--only", "stream", "--peers", "", "--json", str(tmp_path / "results.json")]
    assert tools.agent.exists()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *options, "--rounds", "100"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        run.stdout.readline()  # it is at work
        children = psutil.Process(run.pid).children(recursive=True)
        run.terminate()
        assert run.wait(60) == 130
    assert children
    assert psutil.wait_procs(children, timeout=30)[1] == []
