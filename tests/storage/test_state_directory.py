"""The state directory: whose it is, where it is, and what it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acprelay.errors import ConfigError
from acprelay.storage import StateDirectory, default_state_directory
from acprelay.storage.disk import replace_file
from acprelay.storage.secrets import SecretFile
from acprelay.storage.state_directory import HeldDisk

HOLDER = """
import sys
from pathlib import Path
from acprelay.storage import StateDirectory
with StateDirectory(Path(sys.argv[1])) as state:
    print(state.id, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"HOME": "/home/ann"}, "/home/ann/.local/state/acprelay"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/var/x"}, "/var/x/acprelay"),
        ({"XDG_STATE_HOME": "/var/x"}, "/var/x/acprelay"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "x"}, "/home/ann/.local/state/acprelay"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": ""}, "/home/ann/.local/state/acprelay"),
    ],
)
def test_the_default_is_where_the_desktop_specification_says(
    environ: dict[str, str], path: str
) -> None:
    assert default_state_directory(environ) == Path(path)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_a_home_there_is_no_default(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="HOME is not set"):
        default_state_directory(environ)


def test_it_is_made_with_those_above_it_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with StateDirectory(path) as state:
        assert state.path == path
        modes = [each.stat().st_mode & 0o777 for each in (path.parent, path)]
        assert modes == [0o700, 0o700]
        files = {each.name: each.stat().st_mode & 0o777 for each in path.iterdir()}
        assert files == {"lock": 0o600, "relay-id": 0o600}
        assert (path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_names_of_those_that_were_made_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink())
    )
    path = tmp_path / "a" / "b"
    for named in ([tmp_path, tmp_path / "a"], []):
        synced.clear()
        with StateDirectory(path):
            assert [each for each in synced if not each.is_relative_to(path)] == named


def test_it_keeps_its_id(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        with StateDirectory(tmp_path / "one") as state:
            ids.append(state.id)
    with StateDirectory(tmp_path / "two") as state:
        ids.append(state.id)
    assert len(ids[0]) == 32
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 32])
def test_an_id_that_is_none_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "relay-id").write_bytes(content)
    with StateDirectory(tmp_path) as state:
        assert len(state.id) == 32
        assert (tmp_path / "relay-id").read_text() == state.id + "\n"


@pytest.mark.requirement("lifecycle.state-directory-has-one-relay")
@pytest.mark.process
def test_another_relay_is_refused_until_the_first_has_ended_however_it_ended(
    tmp_path: Path,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        held = holder.stdout.readline().strip()
        with pytest.raises(ConfigError) as caught, StateDirectory(tmp_path):
            pass
        holder.kill()
    assert caught.value.message == (
        f"cannot use the state directory {tmp_path}: another relay has it"
    )
    assert caught.value.hint == (
        f"end process {holder.pid}, or name another directory with --state-dir"
    )
    with StateDirectory(tmp_path) as state:
        assert state.id == held


def test_two_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)
    with first:
        (tmp_path / "lock").write_text("")
        with pytest.raises(ConfigError) as caught:
            second.__enter__()
        assert caught.value.hint.startswith("end another process, or")
    with second:
        pass


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ConfigError, match=r"^cannot use the state directory"):
        StateDirectory(path / "state").__enter__()
    with pytest.raises(ConfigError, match=r"^cannot use the state directory"):
        StateDirectory(path).__enter__()


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_one_with_a_file_where_conversations_are_to_be_is_refused(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    conversations = tmp_path / "conversations"
    make(conversations)
    with pytest.raises(ConfigError, match=r"^cannot use the state .*'conversations' in it is no"):
        StateDirectory(tmp_path).__enter__()
    conversations.unlink()
    with StateDirectory(tmp_path):
        pass


def test_one_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="everybody may write to it"):
        StateDirectory(tmp_path).__enter__()


def test_one_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The one who runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="cannot use the state directory") as caught:
        StateDirectory(tmp_path).__enter__()
    assert "--state-dir" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    state = tmp_path / "state"
    state.mkdir()
    (state / "lock").symlink_to(victim)
    with pytest.raises(ConfigError):
        StateDirectory(state).__enter__()
    assert victim.read_text() == "mine"


def test_what_is_at_the_path_of_a_directory_that_is_held_is_looked_at_each_time(
    tmp_path: Path,
) -> None:
    path, aside = tmp_path / "state", tmp_path / "aside"
    with StateDirectory(path) as directory:
        disk = HeldDisk(directory)
        disk.check()
        path.rename(aside)
        for put in (path.exists, path.touch, path.unlink, path.mkdir, (path / "lock").touch):
            put()
            with pytest.raises(OSError, match="another one is in its place") as caught:
                disk.check()
            assert caught.value.filename == str(path)
        (path / "lock").unlink()
        path.rmdir()
        aside.rename(path)
        disk.check()


def test_nothing_is_written_to_a_directory_that_is_no_longer_held(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateDirectory(path) as directory:
        disk = HeldDisk(directory)
        path.rename(tmp_path / "aside")
        path.mkdir()
        with pytest.raises(OSError, match="another one is in its place"):
            replace_file(disk, path / "file", b"data")
        with pytest.raises(ConfigError, match="another one is in its place"):
            SecretFile(path=path / "secret", disk=disk).save("secret")
    assert list(path.iterdir()) == []
