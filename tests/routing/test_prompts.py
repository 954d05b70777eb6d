"""Prompts as the other clients see them, and an agent's echo of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.prompts import EchoFilter, prompt_updates
from acprelay.wire import Envelope, peek

PLAIN = b'{"type":"text","text":"hello"}'
IMAGE = b'{"type":"image","data":"aGk=","mimeType":"image/png"}'
SPACED = b'{ "text" : "a\\u00e9\\/",  "type":"text","_meta":{"x":1.0,"x":2} }'
LINK = b'{"type":"resource_link","uri":"file:///{a},[b].py","name":"\\"}],{"}'
LONE = b'{"type":"text","text":"\\ud83d \\\\ud83d"}'
LATIN = '{"type":"text","text":"é 𝄞"}'.encode()

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # No lone surrogates: msgspec does not read them.
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner),
    max_leaves=8,
)
texts = st.text("ab", max_size=4)
text_blocks = st.builds(lambda text: {"type": "text", "text": text}, texts)
other_blocks = st.builds(lambda value: {"type": "image", "data": value}, json_values)


def asked(prompt: bytes) -> Envelope:
    """A prompt with these raw `prompt` params."""
    return peek(
        b'{"jsonrpc":"2.0","id":1,"method":"session/prompt",'
        b'"params":{"sessionId":"s:main","prompt":%b,"x":[{}]}}' % prompt
    )


def echo(content: bytes) -> bytes:
    """An agent's update with this raw content."""
    return b'{"sessionUpdate":"user_message_chunk","content":%b,"messageId":"own"}' % content


def said(text: str) -> bytes:
    """An agent's update with this text."""
    return echo(b'{"type":"text","text":%b}' % json.dumps(text).encode())


def filtering(*blocks: bytes | str) -> EchoFilter:
    """The filter while a prompt of these blocks runs: raw, or plain text."""
    raw = [
        each if isinstance(each, bytes) else json.dumps({"type": "text", "text": each}).encode()
        for each in blocks
    ]
    echoes = EchoFilter()
    echoes.begin(asked(b"[%b]" % b",".join(raw)))
    return echoes


# -- what the others see


@pytest.mark.parametrize("block", [PLAIN, IMAGE, SPACED, LINK, LONE, LATIN, b"{}"])
def test_a_block_is_shown_byte_for_byte(block: bytes) -> None:
    assert prompt_updates(asked(b"[%b]" % block), message_id="m1") == [
        b'{"sessionUpdate":"user_message_chunk","content":%b,"messageId":"m1"}' % block
    ]


@pytest.mark.parametrize("gap", [b"", b" ", b"\r\n\t "])
def test_every_block_is_an_update_in_order(gap: bytes) -> None:
    blocks = [LINK, LONE, PLAIN, SPACED, PLAIN, LATIN, IMAGE]
    prompt = gap + b"[" + gap + (gap + b"," + gap).join(blocks) + gap + b"]" + gap
    assert prompt_updates(asked(prompt), message_id="m") == [
        b'{"sessionUpdate":"user_message_chunk","content":%b,"messageId":"m"}' % block
        for block in blocks
    ]


def test_a_message_id_may_be_any_text() -> None:
    [update] = prompt_updates(asked(b"[{}]"), message_id='"é\\')
    assert json.loads(update)["messageId"] == '"é\\'


@pytest.mark.parametrize(
    "prompt",
    [
        b"[]",
        b"{}",
        b"null",
        b'"hello"',
        b"1",
        b"[[{}]]",
        b'["{"]',
        b"[%b,null]" % PLAIN,
        b"[1,%b]" % PLAIN,
    ],
)
def test_a_prompt_that_is_no_array_of_objects_shows_nothing(prompt: bytes) -> None:
    assert prompt_updates(asked(prompt), message_id="m") == []
    echoes = EchoFilter()
    echoes.begin(asked(prompt))
    assert not echoes.is_echo(echo(PLAIN))


@pytest.mark.parametrize("params", [b"", b',"params":{}', b',"params":null', b',"params":[{}]'])
def test_a_request_without_a_prompt_shows_nothing(params: bytes) -> None:
    envelope = peek(b'{"id":1,"method":"session/prompt"%b}' % params)
    assert prompt_updates(envelope, message_id="m") == []


@given(blocks=st.lists(st.dictionaries(st.text(max_size=3), json_values, max_size=3), max_size=4))
def test_whatever_the_blocks_are_they_are_shown_as_they_are(blocks: list[dict[str, Any]]) -> None:
    raw = [json.dumps(block).encode() for block in blocks]
    updates = prompt_updates(asked(b"[ %b ]" % b" , ".join(raw)), message_id="m")
    assert updates == [
        b'{"sessionUpdate":"user_message_chunk","content":%b,"messageId":"m"}' % block
        for block in raw
    ]


# -- echoes of whole blocks


def test_each_block_is_an_echo_once_and_in_order() -> None:
    echoes = filtering(PLAIN, IMAGE, LINK)
    for block in (PLAIN, IMAGE, LINK):
        assert echoes.is_echo(echo(block))
        assert not echoes.is_echo(echo(block))


def test_a_block_that_the_prompt_has_twice_is_an_echo_twice() -> None:
    echoes = filtering(IMAGE, IMAGE)
    assert [echoes.is_echo(echo(IMAGE)) for _ in range(3)] == [True, True, False]


def test_a_block_that_comes_too_late_is_no_echo() -> None:
    echoes = filtering(IMAGE, LINK)
    assert echoes.is_echo(echo(LINK))
    assert not echoes.is_echo(echo(IMAGE))


def test_blocks_that_the_agent_leaves_out_are_passed_over() -> None:
    echoes = filtering("context", IMAGE, "hello")
    assert echoes.is_echo(said("hello"))
    assert not echoes.is_echo(said("context"))


@pytest.mark.parametrize(
    ("block", "repeated"),
    [
        (PLAIN, b'{ "text":"h\\u0065llo" , "type":"text" }'),
        (PLAIN, b'{"type":"text","text":"hello","annotations":null,"_meta":null}'),
        (b'{"type":"text","text":"a","_meta":null}', b'{"type":"text","text":"a"}'),
        (b'{"a":{"p":1.0,"q":[-0.0,1e2]}}', b'{"a":{"q":[0,100],"p":1}}'),
        (b'{"a":0.10}', b'{"a":1e-1}'),
        (b'{"a":123456789012345678901234567890}', b'{"a":123456789012345678901234567890}'),
        (LATIN, b'{"text":"\\u00e9 \\ud834\\udd1e","type":"text"}'),
    ],
)
def test_an_echo_may_be_spelled_in_another_way(block: bytes, repeated: bytes) -> None:
    assert filtering(block).is_echo(echo(repeated))
    assert filtering(repeated).is_echo(echo(block))


@pytest.mark.parametrize(
    ("block", "other"),
    [
        (b'{"a":true}', b'{"a":1}'),
        (b'{"a":false}', b'{"a":0}'),
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":{"b":null}}', b'{"a":{}}'),
        (b'{"a":1e999}', b"{}"),
        (b'{"a":1e999}', b'{"a":1e999}'),
        (IMAGE, b'{"type":"image","data":"aGk=","mimeType":"image/jpeg"}'),
        (PLAIN, b'{"type":"text","text":"hello","annotations":{"priority":1}}'),
        (PLAIN, b'{"type":"text","text":"hel","annotations":{"priority":1}}'),
        (PLAIN, b'{"type":"code","text":"hello"}'),
        (PLAIN, b'{"type":"text","text":["hello"]}'),
        (PLAIN, b'{"type":"text","text":""}'),
        (PLAIN, b'"hello"'),
        (PLAIN, b"[%b]" % PLAIN),
        (PLAIN, b"null"),
        (LONE, LONE),
    ],
)
def test_what_is_not_the_same_value_is_no_echo(block: bytes, other: bytes) -> None:
    assert not filtering(block).is_echo(echo(other))


# -- echoes of text in pieces


@pytest.mark.parametrize(
    ("blocks", "chunks"),
    [
        (["hello"], ["he", "l", "lo"]),
        (["he", "llo"], ["hello"]),
        (["he", "llo"], ["h", "el", "lo"]),
        (["he", IMAGE, "llo"], ["hello"]),
        ([IMAGE, "he", LINK, "llo"], ["hel", "lo"]),
        (["", "a", "", "b", ""], ["ab"]),
        (["aa", "a"], ["a", "a", "a"]),
        (["a", "aa"], ["aa", "a"]),
        (["é𝄞"], ["é", "𝄞"]),
        ([b'{"type":"text","text":"ab","annotations":{"priority":1}}'], ["a", "b"]),
        (["ab", "abc"], ["abc"]),
    ],
)
def test_text_may_come_in_other_pieces(blocks: list[bytes | str], chunks: list[str]) -> None:
    echoes = filtering(*blocks)
    assert all(echoes.is_echo(said(chunk)) for chunk in chunks)
    assert not echoes.is_echo(said(chunks[0]))


@pytest.mark.parametrize(
    ("blocks", "chunk"),
    [
        (["hello"], "ello"),
        (["hello"], "hello!"),
        (["hello"], "Hello"),
        (["hello"], "hex"),
        (["he", "llo"], "he\nllo"),
        (["he", "llo"], "helloo"),
        (["hello"], ""),
        ([IMAGE], "a"),
    ],
)
def test_text_that_does_not_go_on_exactly_is_no_echo(blocks: list[bytes | str], chunk: str) -> None:
    echoes = filtering(*blocks)
    assert not echoes.is_echo(said(chunk))
    for block in blocks:
        assert echoes.is_echo(said(block) if isinstance(block, str) else echo(block))


def test_text_goes_on_where_it_stopped_whatever_comes_between() -> None:
    echoes = filtering("hello")
    assert echoes.is_echo(said("he"))
    assert not echoes.is_echo(said("[interrupted]"))
    assert not echoes.is_echo(said("he"))
    assert echoes.is_echo(said("llo"))


def test_after_a_part_of_a_block_the_next_one_may_come_whole() -> None:
    echoes = filtering("hello", IMAGE, "hello")
    assert echoes.is_echo(said("he"))
    assert echoes.is_echo(echo(IMAGE))
    assert not echoes.is_echo(said("llo"))
    assert echoes.is_echo(said("hello"))


def test_a_block_whose_text_has_begun_is_not_repeated_whole() -> None:
    echoes = filtering("hello")
    assert echoes.is_echo(said("he"))
    assert not echoes.is_echo(said("hello"))


def test_an_empty_text_is_an_echo_of_an_empty_block_only() -> None:
    echoes = filtering("a", "")
    assert echoes.is_echo(said(""))
    assert not echoes.is_echo(said(""))


# -- the prompt's time


def test_only_while_a_prompt_runs_there_are_echoes() -> None:
    echoes = EchoFilter()
    assert not echoes.is_echo(echo(PLAIN))
    echoes.begin(asked(b"[%b]" % PLAIN))
    assert echoes.is_echo(echo(PLAIN))
    echoes.end()
    assert not echoes.is_echo(echo(PLAIN))
    echoes.begin(asked(b"[%b]" % PLAIN))
    echoes.end()
    assert not echoes.is_echo(echo(PLAIN))


def test_the_next_prompt_takes_the_place_of_the_last_one() -> None:
    echoes = filtering("hello", "again")
    assert echoes.is_echo(said("hel"))
    echoes.begin(asked(b"[%b,%b]" % (IMAGE, PLAIN)))
    assert not echoes.is_echo(said("lo"))
    assert not echoes.is_echo(said("again"))
    assert echoes.is_echo(echo(IMAGE))
    assert echoes.is_echo(echo(PLAIN))


@pytest.mark.parametrize(
    "update",
    [
        b"",
        b"user_message_chunk",
        b'"user_message_chunk"',
        b'["user_message_chunk"]',
        b'{"sessionUpdate":"agent_message_chunk","content":%b}' % PLAIN,
        b'{"sessionUpdate":"agent_message_chunk","content":%b,"x":"user_message_chunk"}' % PLAIN,
        b'{"sessionUpdate":["user_message_chunk"],"content":%b}' % PLAIN,
        b'{"sessionUpdate":"user_message_chunk"}',
        echo(PLAIN)[:-1],
        echo(PLAIN) + b"{}",
        echo(b'{"type":"text","text":"hello\xff"}'),
        echo(b'{"type":"text","text":"hello","\xff":null}'),
        echo(b'{"type":"text","text":"hello\\ud83d"}'),
        echo(b'{"type":"text","text":"hello","_meta":%b}' % (b"[" * 100_000 + b"]" * 100_000)),
        echo(b'{"type":"text","text":"hello","_meta":NaN}'),
        echo(b'{"type":"text","text":"hello","_meta":1e999}'),
        echo(b'{"type":"text","text":"hello","_meta":%b}' % (b"9" * 5000)),
        b"\xef\xbb\xbf" + echo(PLAIN),
    ],
)
def test_what_cannot_be_read_or_is_something_else_is_no_echo(update: bytes) -> None:
    echoes = filtering(PLAIN)
    assert not echoes.is_echo(update)
    assert echoes.is_echo(echo(PLAIN))


def test_blocks_that_cannot_be_read_do_not_keep_others_from_being_recognised() -> None:
    echoes = filtering(LONE, b'{"a":1e999}', PLAIN)
    assert echoes.is_echo(echo(PLAIN))


@given(garbage=st.binary(max_size=40))
def test_no_bytes_are_too_odd(garbage: bytes) -> None:
    echoes = filtering(PLAIN)
    assert not echoes.is_echo(garbage)
    assert not echoes.is_echo(garbage + b"user_message_chunk")
    echoes.is_echo(b'{"sessionUpdate":"user_message_chunk","content":%b}' % garbage)


# -- any prompt, any agent


@pytest.mark.requirement("sharing.echoes-do-not-double")
@given(blocks=st.lists(text_blocks | other_blocks, max_size=5))
def test_a_whole_echo_is_recognised_block_by_block_and_only_once(
    blocks: list[dict[str, Any]],
) -> None:
    raw = [json.dumps(block).encode() for block in blocks]
    echoes = filtering(*raw)
    again = [json.dumps(block, ensure_ascii=False, sort_keys=True).encode() for block in blocks]
    assert all(echoes.is_echo(echo(block)) for block in again)
    assert not any(echoes.is_echo(echo(block)) for block in again)


@given(texts=st.lists(texts, max_size=5), sizes=st.lists(st.integers(1, 5), max_size=30))
def test_a_whole_echo_is_recognised_however_its_text_is_cut(
    texts: list[str], sizes: list[int]
) -> None:
    whole = "".join(texts)
    echoes = filtering(*texts)
    for size in [*sizes, len(whole)]:
        if whole:
            assert echoes.is_echo(said(whole[:size]))
            whole = whole[size:]
    assert not echoes.is_echo(said("a"))
    assert not echoes.is_echo(said("b"))


@given(
    blocks=st.lists(text_blocks | st.just({"type": "image"}), max_size=4),
    chunks=st.lists(text_blocks | st.just({"type": "image"}), max_size=12),
)
def test_what_is_recognised_as_echo_is_a_part_of_the_prompt(
    blocks: list[dict[str, Any]], chunks: list[dict[str, Any]]
) -> None:
    echoes = filtering(*(json.dumps(block).encode() for block in blocks))
    taken = [chunk for chunk in chunks if echoes.is_echo(echo(json.dumps(chunk).encode()))]
    left = iter("".join(block.get("text", "#") for block in blocks))
    for letter in "".join(chunk.get("text", "#") for chunk in taken):
        assert letter in left  # the iterator goes on behind it: a subsequence
