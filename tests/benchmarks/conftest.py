from __future__ import annotations

import pytest

from benchmarks.building import CannotBuild, LoadTools, build, find_compiler
from benchmarks.places import CACHE


@pytest.fixture(scope="session")
def tools() -> LoadTools:
    try:
        find_compiler()
    except CannotBuild as error:
        pytest.skip(str(error))
    CACHE.mkdir(exist_ok=True)
    return build(CACHE)
