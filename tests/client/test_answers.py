"""What a server answers is told to be too much before it is decoded, and is believed only where it makes sense."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from ml_dash import shapes
from ml_dash.client.answers import checked, decoded, shown
from ml_dash.client.api import Client
from ml_dash.client.blob_api import BlobClient
from ml_dash.client.download import Frames
from ml_dash.client.transport import Answer, NotMlDashError
from ml_dash.errors import RemoteError
from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame
from ml_dash.journal.objects import CONTAINERS_MAX, to_msgpack
from ml_dash.protocol import JSON, MSGPACK
from ml_dash.query.pages import page
from tests.client.canned import Canned
from tests.support.one_server import Call
from tests.support.view_journals import SECOND, TRAIN

MANY = CONTAINERS_MAX + 10
BOMBS = {
    "lists": (MSGPACK, b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY),
    "dicts": (MSGPACK, b"\xdd" + MANY.to_bytes(4, "big") + b"\x80" * MANY),
    "claims": (MSGPACK, b"\xdd\xff\xff\xff\xff" * 900 + bytes(1000)),
    "JSON": (JSON, b"[" + b"[]," * MANY + b"[]]"),
    "nested JSON": (JSON, b"[" * 900 + b"]" * 900),
    "nested": (MSGPACK, b"\x91" * 900 + b"\x90"),
}


SLOWLY_WEIGHED = {"lists", "dicts"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOWLY_WEIGHED else []) for name in BOMBS]
)
def test_what_would_become_many_times_its_size_is_no_answer(name: str, call: Call) -> None:
    """A kibibyte of a compressed answer can be a mebibyte of lists, and these 64 MiB of objects."""
    kind, body = BOMBS[name]
    answer = Answer(200, {"content-type": kind}, body)
    tracemalloc.start()
    try:
        assert decoded(answer) is None
        assert tracemalloc.get_traced_memory()[1] < 10 * len(body) + (8 << 20)
    finally:
        tracemalloc.stop()
    with pytest.raises(NotMlDashError, match="is not an ML-Dash server"):
        call(Client(Canned(answer)).find("a/b/c"))


def test_an_answer_is_checked_and_given_as_it_came() -> None:
    rows: list[dict[str, Any]] = [{"index": 0, "createdAt": "2026", "data": {"x": b"\xff", "\ud800": 2**70}}]
    answer = {**page(rows, 0, 1, has_more=False), "later": "fields"}
    assert checked("http://a", answer, shapes.Rows) is answer
    changes: list[dict[str, Any]] = [
        {"total": None},
        {"data": {}},
        {"data": [[]]},
        {"hasMore": 1},
        {"total": -1},
    ]
    for change in changes:
        with pytest.raises(RemoteError, match=r"http://a answers .* does not understand \(.*install a newer"):
            checked("http://a", {**answer, **change}, shapes.Rows)
    with pytest.raises(RemoteError, match="does not understand"):
        checked("http://a", {**answer, "\ud800": 1}, shapes.Rows)


def test_little_is_shown_of_what_is_large_or_deep() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert len(shown({"a": deep, "b": "x" * 10**7, "c": list(range(10**6))})) <= 200


def test_a_blob_is_sent_once_however_often_a_server_asks_for_it(call: Call) -> None:
    lacking = {"lacking": ["1" * 64] * 1000}
    line = Canned(Answer(200, {"content-type": MSGPACK}, to_msgpack(lacking)))
    assert call(BlobClient(Client(line), "exp_1").which_missing({"1" * 64: 5, "2" * 64: 5})) == ["1" * 64]


@pytest.mark.slow
def test_objects_in_an_answer_of_frames_are_counted_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = [Column(field, "o", None, [[[]] * 60_000]) for field in "xy"]
    raw = encode_frame(1, [Block(TRAIN, [SECOND], columns)])
    Frames().add(raw)
    monkeypatch.setattr("ml_dash.client.download.READ_CONTAINERS_MAX", 100_000)
    with pytest.raises(
        RemoteError, match=r"frame 1 of the server's answer makes no sense: .*lists and dicts"
    ):
        Frames().add(raw)
