"""Cutting what lies in a region into events: quickly where that is right, and surely where it matters."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import assume, given, settings, strategies as st

from ml_dash.slabs.cutting import count, cut, split
from ml_dash.slabs.layout import MARK
from ml_dash.values.pack import pack, unpack
from tests.support.examples import many

MARKS_AS_A_NUMBER = int.from_bytes(MARK, "big")


def values() -> st.SearchStrategy[Any]:
    """Values of every kind, many of which have the bytes of a mark in them, at an end, or cut in two."""
    pieces = st.sampled_from([MARK, MARK[:1], MARK[:3], MARK[1:], b"\x93", b"\x00", b"x"])
    texts = st.binary(max_size=20) | st.lists(pieces, max_size=5).map(b"".join)
    numbers = st.integers(-(2**63), 2**63 - 1) | st.just(MARKS_AS_A_NUMBER) | st.floats(allow_nan=False)
    single = numbers | texts | st.text(max_size=10) | st.booleans() | st.none()
    return single | st.lists(single, max_size=4)


EVENTS = st.lists(
    st.builds(
        lambda number, time, fields: pack([number, time, fields]),
        st.integers(0, 300),
        st.integers(0, 2**63 - 1),
        st.dictionaries(st.text(max_size=8), values(), max_size=4),
    ),
    max_size=8,
)


def marked(events: list[bytes]) -> bytes:
    return b"".join(event + MARK for event in events)


@settings(max_examples=many(300))
@given(EVENTS, st.integers(0, 64), st.booleans())
def test_events_are_cut_as_they_were_put_whatever_is_in_them(
    events: list[bytes], zeros: int, is_ended: bool
) -> None:
    data = marked(events) + bytes(zeros)
    assert cut(data, is_ended=is_ended) == (events, len(data) - zeros)


@settings(max_examples=many(200))
@given(EVENTS.filter(bool), st.data())
def test_an_event_that_is_torn_at_any_byte_is_left_out_and_takes_no_other_along(
    events: list[bytes], data: st.DataObject
) -> None:
    """A copy does not go from front to back: what is there of it may be any part."""
    # Where a value's bytes are those of a mark, what is before it may be torn into something whole: see `layout`.
    assume(MARK not in events[-1])
    before = marked(events[:-1])
    last = bytearray(events[-1])
    start = data.draw(st.integers(0, len(last) - 1))
    stop = data.draw(st.integers(start + 1, len(last)))
    last[start:stop] = bytes(stop - start)

    found, _ = cut(before + bytes(last) + bytes(8), is_ended=False)

    assert found[: len(events) - 1] == events[:-1]
    assert found == events[:-1]


@settings(max_examples=many(200))
@given(EVENTS.filter(bool), st.data())
def test_the_marks_of_threads_may_come_late(events: list[bytes], data: st.DataObject) -> None:
    """Each thread copies an event, and then its mark; others come between the two."""
    pieces, late = b"", 0
    for event in events:
        pieces += event
        late += 1
        while late and data.draw(st.booleans()):
            pieces += MARK
            late -= 1
    marked_until = pieces.rfind(MARK)
    surely, _ = cut(pieces + MARK * late, is_ended=False)
    assert surely == events
    ended, size = cut(pieces, is_ended=True)
    assert (ended, size) == (events, len(pieces))
    if not late:
        assert marked_until == len(pieces) - len(MARK)


def test_a_mark_of_an_event_that_was_taken_before_comes_first() -> None:
    events = [pack([0, 1, {"n": n}]) for n in range(3)]
    data = MARK + marked(events)
    assert cut(data, is_ended=False) == (events, len(data))
    assert split(data) == events
    assert count(data) == 3
    assert count(MARK) == count(b"") == 0
    assert count(MARK + events[0]) == 1


@settings(max_examples=many(200))
@given(EVENTS)
def test_what_is_cut_wrongly_cannot_be_read(events: list[bytes]) -> None:
    """So the quick way is tried first: where it is wrong, some piece is no event."""
    pieces = split(marked(events))
    if pieces != events:
        with pytest.raises((ValueError, msgpack.UnpackException, TypeError)):
            list(map(unpack, pieces))


@settings(max_examples=many(100))
@given(EVENTS, st.integers(0, 5))
def test_events_are_counted_as_they_are_cut(events: list[bytes], alike: int) -> None:
    """By the quick look where all have one length, too."""
    events += [pack([0, 10**18, {"x": 0.5}])] * alike
    if split(marked(events)) == events:
        assert count(marked(events)) == len(events)
        if events:
            assert count(marked(events)[: -len(MARK)]) == len(events)


@settings(max_examples=many(200))
@given(st.binary(max_size=200))
def test_any_bytes_are_cut_without_an_error(data: bytes) -> None:
    """A file that somebody has changed takes nobody down."""
    for is_ended in (False, True):
        events, size = cut(data, is_ended=is_ended)
        assert size <= len(data)
        for event in events:
            with contextlib.suppress(Exception):
                unpack(event)


def test_deep_values_are_cut() -> None:
    """As deep as can be packed at all."""
    value: object = 1
    for _ in range(500):
        value = [value]
    event = msgpack.packb([0, 1, {"deep": value}])
    assert cut(event + MARK, is_ended=False)[0] == [event]
