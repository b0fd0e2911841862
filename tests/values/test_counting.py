"""A body is told to be too much before it is decoded, by what it would become, and no text is taken for values."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import JSON, MSGPACK
from ml_dash.server.http.bodies import VALUES_MAX
from ml_dash.server.runner import EmbeddedServer
from ml_dash.values.counting import TooManyValuesError, count_json, count_msgpack
from tests.support.serving import TOKEN, Client

MANY = 1_100_000
BOMBS = {
    "lists": b"[" + b"[]," * MANY + b"[]]",
    "dicts": b"[" + b"{}," * MANY + b"{}]",
    "numbers": b"[" + b"1," * MANY + b"1]",
    "nested": b"[" * MANY + b"]" * MANY,
    "texts": b"[" + b'"",' * MANY + b'""]',
    "texts that do not end": b'","' * MANY,
    "keys": b"{" + b",".join(b'"%x":1' % number for number in range(MANY)) + b"}",
    "behind a text with a quote": rb'["\\",' + b"[]," * MANY + b"[]]",
    "behind a text with an escaped quote": rb'["\"[\\\"",' + b"[]," * MANY + b"[]]",
}
PACKED_BOMBS = {
    "lists": b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY,
    "lists of lists": b"\xdc\x10\x00" + (b"\xdc\x01\x00" + b"\x90" * 256) * 4096,
    "dicts": b"\xdc\x10\x00" + (b"\xdc\x01\x00" + b"\x80" * 256) * 4096,
    "pairs": b"\xdc\x10\x00" + (b"\xde\x00\x80" + b"".join(bytes([key, 1]) for key in range(128))) * 4096,
    "a length that is not there": b"\xdd\xff\xff\xff\xff\x90",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_json_that_would_become_many_values_is_told_without_decoding_it(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooManyValuesError, match="262,144 values"):
            count_json(body, VALUES_MAX)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(body) + (8 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", PACKED_BOMBS.values(), ids=PACKED_BOMBS)
def test_msgpack_that_would_become_many_values_is_told_without_keeping_them(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooManyValuesError, match="262,144 values"):
            count_msgpack(body, VALUES_MAX)
        assert tracemalloc.get_traced_memory()[1] < 40 * VALUES_MAX
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "value",
    [
        {"readme": "a, [b], {c}: " * 80_000},
        {"readme": '"quoted", ' * 80_000},
        {"readme": "\\" * 300_000 + '",[' * 100_000},
        {"values": list(range(VALUES_MAX - 10))},
        {"values": [{"a": {}, "b": [1, "x"]}] * 1000},
        [],
        "",
    ],
    ids=["commas", "quotes", "backslashes", "many", "mixed", "empty", "nothing"],
)
def test_what_has_few_values_is_few_whatever_its_texts_hold(value: Any) -> None:
    def values(of: Any) -> int:
        if isinstance(of, dict):
            return 1 + sum(1 + values(item) for item in of.values())
        return 1 + sum(map(values, of)) if isinstance(of, list) else 1

    assert count_msgpack(to_msgpack(value), VALUES_MAX) == values(value)
    # a value with a comma or a bracket before it; keys have neither
    assert (
        values(value) // 2
        <= count_json(json.dumps(value).encode(), VALUES_MAX)
        <= max(VALUES_MAX, 2 * values(value))
    )


@pytest.fixture
def server(tmp_path: Any) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as running:
        yield running


@pytest.mark.parametrize(("kind", "pack"), [(JSON, None), (MSGPACK, to_msgpack)], ids=["json", "msgpack"])
def test_a_body_of_too_many_values_is_refused_with_what_to_do(
    kind: str, pack: Callable[[Any], bytes] | None, server: EmbeddedServer
) -> None:
    body = {"prefix": "alice/p/x", "metadata": {"values": [0] * MANY}}
    sent = json.dumps(body).encode() if pack is None else pack(body)

    answer = Client(server.url, TOKEN).ask("POST", "/experiments", sent, headers={"Content-Type": kind})

    assert answer.status == 400
    assert "262,144 values" in answer.error["message"]
