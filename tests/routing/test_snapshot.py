"""What a conversation's snapshot keeps, and what clients are given of it.

The updates and results have the shapes that published agents were seen to send, shortened.
"""

from __future__ import annotations

import json
import tracemalloc

import pytest
from acp import schema
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from acprelay.errors import StoreError
from acprelay.routing.snapshot import Snapshot

COMMANDS = (
    b'{"sessionUpdate":"available_commands_update","availableCommands":'
    b'[{"name":"plan","description":"Turn plan mode on.","input":null},'
    b'{"name":"mcp","description":"Show the servers","input":{"hint":"[reconnect]"}}]}'
)
# The Python SDK writes the kind last.
COMMANDS_KIND_LAST = (
    b'{"availableCommands": [{"name": "status", "description": "Show diagnostics"}],'
    b' "sessionUpdate": "available_commands_update"}'
)
MODE = b'{"sessionUpdate":"current_mode_update","currentModeId":"plan","_meta":{"by":"agent"}}'
USAGE = (
    b'{"sessionUpdate":"usage_update","used":20,"size":1000000,'
    b'"cost":{"amount":0.0024000000000000002,"currency":"USD"},"_meta":{"_claude/model":"m"}}'
)
PLAN = (
    b'{"sessionUpdate":"plan","entries":'
    b'[{"content":"Mend the roof","priority":"high","status":"in_progress"}]}'
)
INFO = (
    b'{"sessionUpdate":"session_info_update","title":"Mend the roof",'
    b'"updatedAt":"2026-11-22T06:38:09.887Z"}'
)
OPTIONS = (
    b'[{"id":"model","name":"Model","category":"model","type":"select","currentValue":"small",'
    b'"options":[{"value":"small","name":"S"},{"value":"large","name":"L"}]},'
    b'{"id":"mode","name":"Session Mode","category":"mode","type":"select","currentValue":"build",'
    b'"options":[{"value":"build","name":"build","description":"Executes tools."}]}]'
)
CONFIG = b'{"sessionUpdate":"config_option_update","configOptions":%b}' % OPTIONS
MODES = (
    b'{"availableModes":[{"id":"default","name":"Default","description":"Asks"},'
    b'{"id":"plan","name":"Plan"}],"currentModeId":"default"}'
)
MODELS = (
    b'{"availableModels":[{"modelId":"auto","name":"Auto"}, {"modelId":"opus[1m]","name":"O"}],'
    b' "currentModelId" : "auto"}'
)
OPENED = b'{"sessionId":"own","modes":%b,"models":%b,"configOptions":%b,"_meta":{"x":1}}' % (
    MODES,
    MODELS,
    OPTIONS,
)

MODELS_OF_UPDATES: dict[str, type[BaseModel]] = {
    "available_commands_update": schema.AvailableCommandsUpdate,
    "current_mode_update": schema.CurrentModeUpdate,
    "config_option_update": schema.ConfigOptionUpdate,
    "plan": schema.AgentPlanUpdate,
    "usage_update": schema.UsageUpdate,
    "session_info_update": schema.SessionInfoUpdate,
}


def observed(*updates: bytes) -> Snapshot:
    snapshot = Snapshot()
    for update in updates:
        assert snapshot.observe(json.loads(update)["sessionUpdate"], update)
    return snapshot


def opened(result: bytes = OPENED) -> Snapshot:
    snapshot = Snapshot()
    snapshot.open(result)
    return snapshot


def info(members: bytes) -> bytes:
    return b'{"sessionUpdate":"session_info_update"%b}' % members


def valid_updates(snapshot: Snapshot) -> list[bytes]:
    """The snapshot's updates, checked against the schema."""
    updates = snapshot.updates()
    for update in updates:
        MODELS_OF_UPDATES[json.loads(update)["sessionUpdate"]].model_validate_json(update)
    return updates


def members(snapshot: Snapshot) -> dict[str, bytes]:
    """The snapshot's members of a result, checked against the schema."""
    raw = {name: bytes(value) for name, value in snapshot.result_members().items()}
    whole = {name: json.loads(value) for name, value in raw.items()}
    schema.LoadSessionResponse.model_validate(whole)
    schema.ResumeSessionResponse.model_validate(whole)
    return raw


class TestUpdates:
    def test_at_first_there_is_nothing_to_tell(self) -> None:
        snapshot = Snapshot()
        assert snapshot.updates() == []
        assert snapshot.result_members() == {}
        assert snapshot.title is None
        assert Snapshot.load(b"{}").updates() == []

    def test_clients_get_what_the_agent_wrote_in_one_order_whatever_came_first(self) -> None:
        snapshot = observed(INFO, USAGE, PLAN, CONFIG, MODE, COMMANDS)
        assert valid_updates(snapshot) == [COMMANDS, MODE, CONFIG, PLAN, USAGE, INFO]

    @pytest.mark.parametrize(
        ("earlier", "later"),
        [
            (COMMANDS, COMMANDS_KIND_LAST),
            (MODE, MODE.replace(b"plan", b"default")),
            (CONFIG, b'{"sessionUpdate":"config_option_update","configOptions":[]}'),
            (PLAN, b'{"sessionUpdate":"plan","entries":[]}'),
            (USAGE, b'{"sessionUpdate":"usage_update","used":0,"size":200000}'),
        ],
    )
    def test_the_latest_of_a_kind_is_kept(self, earlier: bytes, later: bytes) -> None:
        assert valid_updates(observed(earlier, later)) == [later]

    @pytest.mark.parametrize(
        "kind", ["agent_message_chunk", "tool_call", "tool_call_update", "user_message_chunk", ""]
    )
    def test_other_kinds_are_none_of_its_own(self, kind: str) -> None:
        snapshot = observed(PLAN)
        assert not snapshot.observe(kind, b'{"entries":[],"availableCommands":[]}')
        assert snapshot.updates() == [PLAN]

    @pytest.mark.parametrize(
        ("kept", "update"),
        [
            (COMMANDS, b'{"sessionUpdate":"available_commands_update"}'),
            (COMMANDS, b'{"sessionUpdate":"available_commands_update","availableCommands":null}'),
            (COMMANDS, b'{"sessionUpdate":"available_commands_update","availableCommands":{}}'),
            (MODE, b'{"sessionUpdate":"current_mode_update","currentModeId":7}'),
            (CONFIG, b'{"sessionUpdate":"config_option_update","configOptions":"x"}'),
            (PLAN, b'{"sessionUpdate":"plan","entries":[],"entries":[]}'),
            (USAGE, b'{"sessionUpdate":"usage_update","used":"20"}'),
        ],
    )
    def test_an_update_without_what_it_is_about_changes_nothing(
        self, kept: bytes, update: bytes
    ) -> None:
        assert observed(kept, update).updates() == [kept]


class TestInfo:
    def test_what_an_update_leaves_out_stays(self) -> None:
        snapshot = observed(INFO, info(b',"updatedAt":"2026-11-23T00:00:00"'))
        assert snapshot.title == "Mend the roof"
        assert valid_updates(snapshot) == [
            info(b',"title":"Mend the roof","updatedAt":"2026-11-23T00:00:00"')
        ]

    def test_a_title_that_is_cleared_is_told_to_be_none(self) -> None:
        snapshot = observed(INFO, info(b',"title":null'))
        assert snapshot.title is None
        assert valid_updates(snapshot) == [
            info(b',"title":null,"updatedAt":"2026-11-22T06:38:09.887Z"')
        ]

    def test_what_agents_add_for_the_moment_is_not_kept(self) -> None:
        meta = b',"_meta":{"codex":{"threadStatus":{"type":"active","activeFlags":[]}}}'
        assert observed(info(meta)).updates() == []
        assert observed(INFO, info(meta)).updates() == [INFO]

    @pytest.mark.parametrize("members", [b',"title":7', b',"title":["x"]', b',"updatedAt":{}'])
    def test_members_of_another_type_change_nothing(self, members: bytes) -> None:
        assert observed(INFO, info(members)).updates() == [INFO]

    def test_a_title_is_text_that_can_be_written(self) -> None:
        title = "caf\u00e9 \\ud83d\\ude00 \\ud83d.".encode()
        assert observed(info(b',"title":"%b"' % title)).title == "caf\u00e9 \U0001f600 ?."


class TestOpening:
    def test_a_result_tells_modes_models_and_config_options(self) -> None:
        snapshot = opened()
        assert members(snapshot) == {"modes": MODES, "models": MODELS, "configOptions": OPTIONS}
        assert valid_updates(snapshot) == [
            b'{"sessionUpdate":"current_mode_update","currentModeId":"default"}',
            CONFIG,
        ]

    @pytest.mark.parametrize(
        "result",
        [
            b"null",
            b"{}",
            b"[]",
            b'{"sessionId":"0"}',
            b'{"modes":null,"models":null,"configOptions":null}',
            b'{"modes":[],"models":[],"configOptions":{}}',
            b'{"modes":{"currentModeId":null},"models":{}}',
            b'{"modes":"default","models":"auto","configOptions":"x"}',
            b'{"configOptions":[],"configOptions":[]}',
        ],
    )
    def test_what_a_result_does_not_tell_stays_as_it_was(self, result: bytes) -> None:
        snapshot = opened()
        before = snapshot.dump()
        snapshot.open(result)
        assert snapshot.dump() == before
        assert opened(result).updates() == []
        assert opened(result).result_members() == {}

    def test_a_later_run_starts_from_what_its_result_tells(self) -> None:
        snapshot = opened()
        snapshot.observe("current_mode_update", MODE)
        snapshot.open(OPENED)
        assert members(snapshot)["modes"] == MODES

    def test_modes_are_given_with_the_mode_that_is_current(self) -> None:
        snapshot = opened()
        snapshot.observe("current_mode_update", MODE)
        assert members(snapshot)["modes"] == MODES.replace(b':"default"}', b':"plan"}')
        assert valid_updates(snapshot)[0] == MODE

    def test_config_options_are_given_as_the_latest_update_has_them(self) -> None:
        snapshot = opened()
        snapshot.observe(
            "config_option_update",
            b'{"sessionUpdate":"config_option_update", "configOptions" : [ ]}',
        )
        assert members(snapshot)["configOptions"] == b"[ ]"

    def test_a_mode_without_known_modes_is_only_told_as_an_update(self) -> None:
        assert members(observed(MODE)) == {}


class TestModes:
    def test_a_mode_that_a_client_set_is_an_update_for_the_others(self) -> None:
        snapshot = opened()
        update = snapshot.mode_was_set(b'{"sessionId":"s","modeId":"plan"}')
        assert update == b'{"sessionUpdate":"current_mode_update","currentModeId":"plan"}'
        assert update in valid_updates(snapshot)
        assert b'"currentModeId":"plan"' in members(snapshot)["modes"]

    def test_a_mode_that_the_agent_has_told_itself_is_no_update(self) -> None:
        snapshot = opened()
        snapshot.observe("current_mode_update", MODE)
        assert snapshot.mode_was_set(b'{"modeId":"pl\\u0061n"}') is None
        assert valid_updates(snapshot)[0] == MODE

    def test_a_mode_may_be_set_before_any_is_known(self) -> None:
        assert Snapshot().mode_was_set('{"modeId":"é\\ud83d"}'.encode()) == (
            b'{"sessionUpdate":"current_mode_update","currentModeId":"\\u00e9\\ud83d"}'
        )

    @pytest.mark.parametrize("params", [b"{}", b"null", b"[]", b'{"modeId":7}', b'{"modeId":null}'])
    def test_params_that_name_no_mode_change_nothing(self, params: bytes) -> None:
        snapshot = opened()
        before = snapshot.dump()
        assert snapshot.mode_was_set(params) is None
        assert snapshot.dump() == before


class TestConfigOptions:
    LARGE = OPTIONS.replace(b'"small","opt', b'"large","opt')
    SET = b'{"sessionId":"s","configId":"model","value":"large"}'

    def test_an_option_that_a_client_set_is_an_update_for_the_others(self) -> None:
        snapshot = opened()
        update = snapshot.config_was_set(self.SET, b'{"configOptions":%b}' % self.LARGE)
        assert update == CONFIG.replace(OPTIONS, self.LARGE)
        assert update in valid_updates(snapshot)
        assert members(snapshot)["configOptions"] == self.LARGE

    @pytest.mark.parametrize(
        "told", [LARGE, json.dumps(json.loads(LARGE), sort_keys=True).encode()]
    )
    def test_options_that_the_agent_has_told_itself_are_no_update(self, told: bytes) -> None:
        update = b'{"sessionUpdate":"config_option_update","configOptions":%b}' % self.LARGE
        snapshot = observed(update)
        assert snapshot.config_was_set(self.SET, b'{"configOptions":%b}' % told) is None
        assert snapshot.updates() == [update]

    @pytest.mark.parametrize("result", [b"null", b"{}", b'{"configOptions":null}', b"[]"])
    def test_where_the_result_does_not_tell_the_option_changes_in_what_is_known(
        self, result: bytes
    ) -> None:
        snapshot = opened()
        assert snapshot.config_was_set(self.SET, result) == CONFIG.replace(OPTIONS, self.LARGE)
        assert snapshot.config_was_set(self.SET, result) is None

    def test_true_and_one_are_different_values(self) -> None:
        option = b'{"configOptions":[{"id":"b","name":"B","type":"boolean","currentValue":%b}]}'
        snapshot = opened(option % b"1")
        assert snapshot.config_was_set(b'{"configId":"b","value":true}', option % b"true")

    @pytest.mark.parametrize(
        "params",
        [
            b"null",
            b"{}",
            b"[1]",
            b'{"configId":"model"}',
            b'{"value":"large"}',
            b'{"configId":"other","value":"large"}',
            b'{"configId":["model"],"value":"large"}',
            b'{"configId":"model","value":1e999}',
            b'{"configId":"model","value":%b}' % (b"1" * 5000),
        ],
    )
    def test_params_that_set_nothing_change_nothing(self, params: bytes) -> None:
        snapshot = opened()
        before = snapshot.dump()
        assert snapshot.config_was_set(params, b"{}") is None
        assert snapshot.dump() == before
        assert Snapshot().config_was_set(params, b"{}") is None

    def test_a_value_that_nests_too_deeply_is_not_kept(self) -> None:
        nested = b"[" * 100_000 + b"]" * 100_000
        snapshot = opened()
        params = b'{"configId":"model","value":%b}' % nested
        assert snapshot.config_was_set(params, b"{}") is None
        assert snapshot.config_was_set(self.SET, b'{"configOptions":%b}' % nested) is None
        assert members(snapshot)["configOptions"] == OPTIONS

    @pytest.mark.parametrize("options", [b"[1]", b"[null]", b"[[]]", b'["x"]', b"[{}]"])
    def test_a_list_of_something_else_is_left_alone(self, options: bytes) -> None:
        snapshot = opened(b'{"configOptions":%b}' % options)
        assert snapshot.config_was_set(self.SET, b"{}") is None

    def test_options_that_cannot_be_compared_are_taken_for_changed(self) -> None:
        options = b'[{"id":"x","currentValue":%b}]' % (b"1" * 5000)
        snapshot = opened(b'{"configOptions":%b}' % options)
        other = options.replace(b'"x"', b'"y"')
        assert snapshot.config_was_set(self.SET, b'{"configOptions":%b}' % options) is None
        assert snapshot.config_was_set(self.SET, b'{"configOptions":%b}' % other) == (
            b'{"sessionUpdate":"config_option_update","configOptions":%b}' % other
        )


class TestModels:
    def test_a_model_that_a_client_set_is_given_with_the_models(self) -> None:
        snapshot = opened()
        snapshot.model_was_set(b'{"sessionId":"s","modelId":"opus[1m]"}')
        assert members(snapshot)["models"] == MODELS.replace(b': "auto"', b': "opus[1m]"')

    @pytest.mark.parametrize("params", [b"null", b"{}", b'{"modelId":1}'])
    def test_params_that_name_no_model_change_nothing(self, params: bytes) -> None:
        snapshot = opened()
        snapshot.model_was_set(params)
        assert members(snapshot)["models"] == MODELS

    def test_a_model_without_known_models_is_not_kept(self) -> None:
        snapshot = Snapshot()
        snapshot.model_was_set(b'{"modelId":"x"}')
        assert snapshot.result_members() == {}


class TestStoring:
    def test_what_was_stored_comes_back_as_the_same_bytes(self) -> None:
        snapshot = observed(COMMANDS_KIND_LAST, MODE, CONFIG, PLAN, USAGE, INFO)
        snapshot.open(OPENED)
        snapshot.observe("current_mode_update", MODE)
        again = Snapshot.load(snapshot.dump())
        assert again.updates() == snapshot.updates()
        assert again.result_members() == snapshot.result_members()
        assert again.dump() == snapshot.dump()
        assert again.title == "Mend the roof"

    def test_a_kind_that_is_not_kept_here_is_not_loaded(self) -> None:
        stored = b'{"updates":{"plan":%b,"later_update":{"x":1}},"later":[]}' % PLAN
        assert Snapshot.load(stored).updates() == [PLAN]

    def test_lone_surrogates_are_stored_as_the_agent_wrote_them(self) -> None:
        plan = b'{"sessionUpdate":"plan","entries":[{"content":"\\ud83d"}]}'
        snapshot = observed(plan, info(b',"title":"\\ude00"'))
        assert Snapshot.load(snapshot.dump()).updates() == [plan, info(b',"title":"\\ude00"')]

    @pytest.mark.parametrize(
        "raw", [b"", b"null", b"[]", b'{"updates":[]}', b'{"updates":{"plan"}}', b'{"a":1,"a":1}']
    )
    def test_what_is_no_snapshot_cannot_be_loaded(self, raw: bytes) -> None:
        with pytest.raises(StoreError, match=r"^cannot read what was stored") as caught:
            Snapshot.load(raw)
        assert caught.value.hint

    def test_what_was_kept_can_be_loaded_however_deep_it_nests(self) -> None:
        kept = []
        for depth in (*range(1, 1200, 7), 100_000):
            plan = b'{"sessionUpdate":"plan","entries":%b%b}' % (b"[" * depth, b"]" * depth)
            snapshot = Snapshot()
            snapshot.observe("plan", plan)
            snapshot.open(b'{"modes":{"currentModeId":"a","x":%b' % plan + b"}}")
            assert Snapshot.load(snapshot.dump()).updates() == snapshot.updates()
            kept.append(len(snapshot.updates()))
        assert kept[:20] == [2] * 20
        assert kept[-1] == 0


NAMES = st.sampled_from(
    [
        *("sessionUpdate", "availableCommands", "currentModeId", "configOptions", "entries"),
        *("used", "title", "updatedAt", "modes", "models", "currentModelId", "modeId"),
        *("modelId", "configId", "value", "id", "currentValue", "_meta"),
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters())
    | st.sampled_from(["plan", "model", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
RAW = JSON.map(lambda value: json.dumps(value).encode())


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([*MODELS_OF_UPDATES, "tool_call"]), RAW, RAW),
            st.tuples(st.sampled_from(["open", "mode", "config", "model"]), RAW, RAW),
        ),
        max_size=8,
    )
)
def test_whatever_peers_write_a_snapshot_can_be_given_and_stored(
    steps: list[tuple[str, bytes, bytes]],
) -> None:
    snapshot = Snapshot()
    for step, raw, result in steps:
        if step == "open":
            snapshot.open(raw)
        elif step == "mode":
            snapshot.mode_was_set(raw)
        elif step == "config":
            snapshot.config_was_set(raw, result)
        elif step == "model":
            snapshot.model_was_set(raw)
        else:
            assert snapshot.observe(step, raw) == (step != "tool_call")
    again = Snapshot.load(snapshot.dump())
    assert again.updates() == snapshot.updates()
    assert again.result_members() == snapshot.result_members()
    assert (snapshot.title or "").encode() == (again.title or "").encode()
    for raw in (*snapshot.updates(), *map(bytes, snapshot.result_members().values())):
        json.loads(raw)


OBSERVED = [
    ("plan", b'{"sessionUpdate":"plan","entries":[1]}'),
    ("plan", b'{"sessionUpdate":"plan","entries":[2]}'),
    ("plan", b'{"sessionUpdate":"plan","entries":{}}'),
    ("plan", b'{"sessionUpdate":"plan","entries":[' + b"[" * 2000 + b"]" * 2000 + b"]}"),
    ("usage_update", b'{"sessionUpdate":"usage_update","used":1}'),
    ("usage_update", b'{"sessionUpdate":"usage_update"}'),
    ("session_info_update", b'{"sessionUpdate":"session_info_update","title":"a"}'),
    ("session_info_update", b'{"sessionUpdate":"session_info_update","updatedAt":"now"}'),
    ("session_info_update", b'{"sessionUpdate":"session_info_update","title":null}'),
    ("session_info_update", b'{"sessionUpdate":"session_info_update","title":1}'),
    ("agent_message_chunk", b"{}"),
]


@given(st.lists(st.sampled_from(OBSERVED), max_size=150))
def test_what_is_read_late_is_what_would_be_read_at_once(
    observed: list[tuple[str, bytes]],
) -> None:
    late, prompt = Snapshot(), Snapshot()
    for kind, update in observed:
        assert late.observe(kind, update) is prompt.observe(kind, update)
        prompt.updates()
    assert late.updates() == prompt.updates()
    assert late.dump() == prompt.dump()


@pytest.mark.parametrize(("count", "size"), [(10_000, 10), (100, 300_000)])
def test_what_is_not_read_yet_takes_little_memory(count: int, size: int) -> None:
    snapshot, entries = Snapshot(), b""
    tracemalloc.start()
    try:
        for number in range(count):
            entries = b"%d," % number + b'"%b"' % (b"x" * size)
            snapshot.observe("plan", b'{"sessionUpdate":"plan","entries":[%b]}' % entries)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1024 * 1024
    assert snapshot.updates() == [b'{"sessionUpdate":"plan","entries":[%b]}' % entries]
