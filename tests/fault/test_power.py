"""A power cut, which may cost the end of a log and spare the record that was stored behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fault.house import House
from tests.fault.nursery import Nursery
from tests.fault.verdict import entries_shown, first_told, judge_log, of_method, position, written

from acprelay.storage.batches import (
    BATCH_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    encode_batch_header,
    parse_batch_header,
)
from acprelay.storage.records import decode_record, encode_record
from acprelay.wire.websocket import walk

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery") / "log") as it:
        yield it


def batches_of_one(segment: bytes) -> list[bytes]:
    """The batches of a segment, as a relay writes them that hands over each entry by itself."""
    batches: list[bytes] = []
    place = SEGMENT_HEADER_BYTES
    while place < len(segment):
        begin = place + BATCH_HEADER_BYTES
        place = begin + parse_batch_header(segment[place:begin]).size
        for frame, _, end in walk(segment[begin:place]):
            entry = segment[begin + frame : begin + end]
            batches.append(encode_batch_header(len(batches) + 1, 1, entry) + entry)
    return batches


def test_a_turn_whose_beginning_or_end_a_power_cut_has_cost_has_ended_interrupted(
    nursery: Nursery, tmp_path: Path
) -> None:
    before = House(tmp_path / "before", nursery)
    death = before.live("first")
    session_id = first_told([death], "opened")
    place = Path("state", "conversations", *session_id.split(":"))
    shown = [json.loads(entry) for _, entry in entries_shown([death], session_id)]
    running = of_method(shown, "_acprelay/turn_started")[-1]["params"]["turn"]
    record = tmp_path / "before" / place / "record.json"
    stored = decode_record(record.read_bytes())
    record.write_bytes(encode_record(replace(stored, turn=running, position=position(shown[-1]))))
    [segment] = (tmp_path / "before" / place).glob("*.segment")
    header = segment.read_bytes()[:SEGMENT_HEADER_BYTES]
    batches = batches_of_one(segment.read_bytes())
    for left in range(len(batches) + 1):
        house = before.copy(tmp_path / f"{left}")
        cut = tmp_path / f"{left}" / place / segment.name
        cut.write_bytes(b"".join([header, *batches[:left]]))
        heir = house.live("next")
        [[_, loaded]] = heir.all("loaded")
        log = [json.loads(entry) for entry in loaded]
        judge_log(log)
        last = of_method(log, "_acprelay/turn_ended")[-1]["params"]
        assert (last["turn"], last["outcome"]) == (running, "interrupted")
        assert loaded[:left] == written([death], session_id)[:left]
        assert heir.all("turns") == [{"running": None, "queued": []}]
        assert [each["stopReason"] for each in heir.all("went on")] == ["end_turn"]
