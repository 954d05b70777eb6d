"""A state directory, and the relays that live on it one after another."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.fault.nursery import Death, Life, Nursery
from tests.fault.verdict import judge, judge_that_all_is_kept, known_to_clients


class House:
    """A folder with a state directory, and the relays that have lived in it."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self._folder = folder
        self._nursery = nursery
        self._deaths: list[Death] = []
        (folder / "agents").mkdir(parents=True)

    def live(self, script: str, **ends: float) -> Death:
        """Has a relay live, and maybe die."""
        known = known_to_clients(self._deaths, self._folder / "agents")
        life = Life(script=script, folder=str(self._folder), known=known)
        for name, value in ends.items():
            setattr(life, name, value)
        death = self._nursery.live(life)
        assert death.last("failed") is None, death.last("failed")
        self._deaths.append(death)
        return death

    def judge(self) -> None:
        """Lets another relay live, and holds what it finds against what has happened."""
        before = list(self._deaths)
        judge(before, self.live("next"))

    def judge_that_all_is_kept(self) -> None:
        """The same, where nobody was killed: the log has all that anybody was shown."""
        before = list(self._deaths)
        heir = self.live("next")
        judge_that_all_is_kept(before, heir)

    def copy(self, folder: Path) -> House:
        """The same, somewhere else."""
        shutil.copytree(self._folder, folder)
        copied = House.__new__(House)
        copied._folder, copied._nursery = folder, self._nursery
        copied._deaths = list(self._deaths)
        return copied
