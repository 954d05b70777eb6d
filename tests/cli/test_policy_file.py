"""Policy files: what is taken, and how everything else is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from acprelay.cli.policy_file import parse_policy, read_policy
from acprelay.cli.toml_file import MAX_SIZE
from acprelay.errors import ConfigError
from acprelay.routing.policy import Action, Policy, Rule

PAGE = Path(__file__).parents[2] / "docs/permissions.md"


def refused(text: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_policy(text, source="policy.toml")
    assert caught.value.data["code"] == "config_error"
    assert caught.value.fields["policy"] == "policy.toml"
    return caught.value


def test_a_rule_has_strings_or_lists_of_them() -> None:
    text = b"""
    default = "reject"
    [[rule]]
    name = "reads"
    action = "allow"
    agent = "claude"
    role = ["main", "db"]
    kind = ["read", "search"]
    path = "**"
    command = ["git *"]
    [[rule]]
    action = "ask"
    """
    assert parse_policy(text, source="policy.toml") == Policy(
        (
            Rule(
                action=Action.ALLOW,
                name="reads",
                agent=("claude",),
                role=("main", "db"),
                kind=("read", "search"),
                path=("**",),
                command=("git *",),
            ),
            Rule(action=Action.ASK),
        ),
        Action.REJECT,
    )


def test_an_empty_file_asks_always() -> None:
    assert parse_policy(b"", source="policy.toml") == Policy()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            b'rules = "x"',
            "cannot use the policy 'policy.toml': the key 'rules' is not known",
            "did you mean 'rule'? choose one of default, rule",
        ),
        (
            b'default = "alow"',
            "cannot use the policy 'policy.toml': the default 'alow' is not known",
            "did you mean 'allow'? choose one of allow, reject, ask",
        ),
        (
            b"default = true",
            "cannot use the policy 'policy.toml': 'default' is no string",
            "choose one of allow, reject, ask",
        ),
        (
            b'[rule]\naction = "ask"',
            "cannot use the policy 'policy.toml': 'rule' is no list of tables",
            "begin each rule with [[rule]]",
        ),
        (
            b"rule = [1]",
            "cannot use the policy 'policy.toml': 'rule' is no list of tables",
            "begin each rule with [[rule]]",
        ),
        (
            b'[[rule]]\naction = "ask"\n[[rule]]\nkind = "read"',
            "cannot use 'rule 2' of the policy 'policy.toml': it has no action",
            "write action = one of allow, reject, ask",
        ),
        (
            b'[[rule]]\nname = "x"\naction = "deny"',
            "cannot use 'x' of the policy 'policy.toml': the action 'deny' is not known",
            "choose one of allow, reject, ask",
        ),
        (
            b'[[rule]]\naction = ["ask"]',
            "cannot use 'rule 1' of the policy 'policy.toml': 'action' is no string",
            "choose one of allow, reject, ask",
        ),
        (
            b'[[rule]]\nname = "x"\naction = "ask"\npaths = "a"',
            "cannot use 'x' of the policy 'policy.toml': the key 'paths' is not known",
            "did you mean 'path'? choose one of name, action, agent, role, kind, path, command",
        ),
        (
            b'[[rule]]\naction = "ask"\nkind = ["read", "write"]',
            "cannot use 'rule 1' of the policy 'policy.toml': the kind 'write' is not known",
            "choose one of read, edit, delete, move, search, execute, think, fetch, switch_mode, "
            "other",
        ),
        (
            b'[[rule]]\naction = "ask"\nkind = "Execute"',
            "cannot use 'rule 1' of the policy 'policy.toml': the kind 'Execute' is not known",
            "did you mean 'execute'? choose one of read, edit, delete, move, search, execute, "
            "think, fetch, switch_mode, other",
        ),
        *(
            (
                b'[[rule]]\naction = "ask"\nagent = ' + value,
                "cannot use 'rule 1' of the policy 'policy.toml': 'agent' is neither a string nor "
                "a list of strings, or one is empty",
                "write agent with a value, or leave it out to let every agent pass",
            )
            for value in (b"[]", b'""', b"5", b'["a", 5]', b'["a", ""]', b"{a = 1}")
        ),
        (
            b'[[rule]]\naction = "ask"\nname = 5',
            "cannot use 'rule 1' of the policy 'policy.toml': its name is no string",
            'write name = "…"',
        ),
        (
            b'[[rule]]\nname = "x"\naction = "ask"\n[[rule]]\nname = "x"\naction = "reject"',
            "cannot use 'x' of the policy 'policy.toml': another rule has the same name",
            "give each a name of its own",
        ),
        (
            b'[[rule]]\nname = "rule 2"\naction = "ask"\n[[rule]]\naction = "reject"',
            "cannot use 'rule 2' of the policy 'policy.toml': another rule has the same name",
            "give each a name of its own",
        ),
        (
            b'[[rule]]\naction = "reject"\npath = "../**"',
            "cannot use 'rule 1' of the policy 'policy.toml': the path '../**' leads out of its "
            "directory",
            "write the absolute path",
        ),
        (
            b'[[rule]]\naction = "reject"\npath = ["a", "~/.ssh/**"]',
            "cannot use 'rule 1' of the policy 'policy.toml': the path '~/.ssh/**' is relative to "
            "no directory",
            "write the absolute path; neither ~ nor variables are expanded",
        ),
        (
            b'[[rule]]\naction = "allow"\npath = "**"',
            "cannot use 'rule 1' of the policy 'policy.toml': it allows by path alone, and so any "
            "command that runs in such a directory",
            'add kind, such as kind = ["read", "edit"], or command',
        ),
    ],
)
def test_what_no_policy_says_is_refused_with_the_rule_and_a_remedy(
    text: bytes, message: str, hint: str
) -> None:
    error = refused(text)
    assert (error.message, error.hint) == (message, hint)


def test_the_error_about_a_rule_names_it_for_programs_too() -> None:
    assert refused(b'[[rule]]\nname = "x"').fields["rule"] == "x"
    assert refused(b'default = "x"').fields["rule"] is None


@pytest.mark.parametrize("text", [b"default = ", b"\xff", b"a = " + b"[" * 100_000, b"[[rule]"])
def test_what_is_no_toml_is_refused(text: bytes) -> None:
    error = refused(text)
    assert error.message.startswith("cannot read the policy 'policy.toml': ")
    assert error.hint == "write it in TOML"


def test_a_long_word_is_cut() -> None:
    assert len(refused(b"x" * 100_000 + b" = 1").message) < 200


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b'default = "reject"')
    assert read_policy(path) == Policy(default=Action.REJECT)


@pytest.mark.parametrize("name", ["missing", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read the policy .+: .+") as caught:
        read_policy(tmp_path / name)
    assert caught.value.hint == "name a file that there is"


def test_a_file_that_never_ends_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        read_policy(Path("/dev/zero"))
    assert caught.value.message == (
        f"cannot read the policy '/dev/zero': it has more than {MAX_SIZE} bytes"
    )


def test_the_rules_on_the_page_for_users_can_be_used() -> None:
    (rules,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(parse_policy(rules.encode(), source="page").rules) == 6
