"""What git sees of the relay's environment."""

from __future__ import annotations

import pytest

from acprelay.workspace.environment import git_environment


@pytest.mark.parametrize(
    "name",
    [
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"),
        *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_TRACE"),
        *("GIT_CONFIG_PARAMETERS", "GIT_EXTERNAL_DIFF", "GIT_PAGER"),
    ],
)
def test_what_turns_git_to_another_repository_does_not_pass(name: str) -> None:
    assert name not in git_environment({name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "SSH_AUTH_SOCK", "GIT_AUTHOR_NAME", "GIT_COMMITTER_EMAIL"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"),
        *("GIT_SSH_COMMAND",),
    ],
)
def test_identity_configuration_and_everybody_elses_pass(name: str) -> None:
    assert git_environment({name: "x"})[name] == "x"


def test_git_speaks_english_and_asks_nobody() -> None:
    env = git_environment({"LC_ALL": "de_DE.UTF-8", "GIT_TERMINAL_PROMPT": "1"})
    assert env["LC_ALL"] == "C"
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert env["GIT_OPTIONAL_LOCKS"] == "0"
