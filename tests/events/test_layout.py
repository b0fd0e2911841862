"""Layouts: which packed rows are seen as numbers in fixed places, and which are not."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, strategies as st

from ml_dash.events.layout import Layout, parse_layout
from ml_dash.values.pack import pack

NOW = 1_700_000_000_000_000_000

WIDTHS: list[list[Any]] = [
    [0, 1, 64, 127],
    [-1, -16, -32],
    [128, 200, 255],
    [256, 40_000, 65_535],
    [65_536, 2**31, 2**32 - 1],
    [2**32, NOW, 2**63 - 1],
    [-33, -100, -128],
    [-129, -30_000, -32_768],
    [-32_769, -(2**31)],
    [-(2**31) - 1, -(2**63)],
    [0.0, -0.0, 1.5, float("inf"), float("nan")],
    [False, True],
]
"""Numbers that msgpack packs in one form, form by form."""

NO_NUMBERS: list[Any] = [None, "text", b"bytes", [1], [], {"a": 1}, {}, 2**63, 2**64 - 1]


def row(value: Any, *, series: int = 1, time: int = NOW, **more: Any) -> bytes:
    return pack([series, time, {"x": value, **more}])


def layout_of(event: bytes) -> Layout:
    layout = parse_layout(event)
    assert layout is not None
    return layout


def values(layout: Layout, *events: bytes) -> list[list[Any]]:
    """The times and then the values of every field, of events that are all of this layout."""
    records = layout.records(b"".join(events))
    assert layout.match(records).all()
    return [column.tolist() for column in layout.columns(records)]


@pytest.mark.parametrize("numbers", WIDTHS, ids=repr)
def test_numbers_of_one_form_share_a_layout(numbers: list[Any]) -> None:
    """And come out as they went in, with their types."""
    layout = layout_of(row(numbers[0]))
    found = values(layout, *(row(number, time=NOW + at) for at, number in enumerate(numbers)))

    assert found[0] == [NOW + at for at in range(len(numbers))]
    assert list(map(repr, found[1])) == list(map(repr, numbers))
    kind = {float: "f", int: "i", bool: "b"}[type(numbers[0])]
    assert layout.fields == (("x", kind),)


@pytest.mark.parametrize("numbers", WIDTHS, ids=repr)
def test_numbers_of_other_forms_are_not_of_the_layout(numbers: list[Any]) -> None:
    """Even where the rows have the same length."""
    layout = layout_of(row(numbers[0]))
    for others in WIDTHS:
        if others is numbers:
            continue
        for other in others:
            event = row(other)
            if len(event) == layout.length:
                assert not layout.match(layout.records(event)).any()


@pytest.mark.parametrize("numbers", WIDTHS, ids=repr)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_not_of_the_layout(numbers: list[Any], value: Any) -> None:
    """None, for instance, is one byte as a small int is."""
    layout = layout_of(row(numbers[0]))
    event = row(value)
    if len(event) == layout.length:
        assert not layout.match(layout.records(event)).any()


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_a_row_with_what_is_no_number_has_no_layout(value: Any) -> None:
    """Not even where the other fields are numbers."""
    assert parse_layout(row(value)) is None
    assert parse_layout(row(0.5, y=value)) is None


def test_unsigned_ints_beyond_int64_are_not_of_the_layout() -> None:
    """They have the form of an int64 that is positive, and are none."""
    layout = layout_of(row(2**63 - 1))

    assert not layout.match(layout.records(row(2**63))).any()
    assert not layout.match(layout.records(row(2**64 - 1))).any()


@pytest.mark.parametrize(
    "other",
    [
        row(0.5, series=2),
        pack([1, NOW, {"y": 0.5}]),
        pack([1, NOW, {"xx": 0.5}]),
        pack([1, NOW, {"x": 0.5, "y": 0.5}]),
        pack([1, 5, {"x": 0.5}]),
    ],
    ids=["series", "name", "longer name", "more fields", "a short time"],
)
def test_rows_of_another_series_or_with_other_fields_do_not_fit(other: bytes) -> None:
    """The names are among the constant bytes."""
    layout = layout_of(row(0.5))

    assert layout.fits(row(9.75, time=NOW + 5))
    assert not layout.fits(other)
    if len(other) == layout.length:
        assert not layout.match(layout.records(other)).any()


def test_the_order_of_the_fields_is_part_of_the_layout() -> None:
    """Rows with the same fields in another order are other bytes."""
    layout = layout_of(pack([1, NOW, {"a": 0.5, "b": 1.5}]))

    assert not layout.fits(pack([1, NOW, {"b": 1.5, "a": 0.5}]))


def test_a_match_is_said_of_each_record() -> None:
    """A batch may hold many of one layout and some of others."""
    layout = layout_of(row(1.5))
    events = [row(1.5), row(2.5, series=2), row(3.5), row(2**60), row(4.5)]
    records = layout.records(b"".join(events))

    assert layout.match(records).tolist() == [True, False, True, False, True]
    assert layout.columns(records[layout.match(records)])[1].tolist() == [1.5, 3.5, 4.5]


def test_a_row_without_fields_has_a_layout() -> None:
    """Its times are all there is."""
    layout = layout_of(pack([1, NOW, {}]))

    assert layout.fields == ()
    assert values(layout, pack([1, NOW, {}]), pack([1, NOW + 1, {}])) == [[NOW, NOW + 1]]


@pytest.mark.parametrize("fields", [15, 16, 17, 3000])
def test_a_row_of_many_fields_has_a_layout(fields: int) -> None:
    """Maps of more than 15 fields have another form."""
    event = pack([1, NOW, {f"f{number}": number / 2 for number in range(fields)}])

    found = values(layout_of(event), event)
    assert found[1:] == [[number / 2] for number in range(fields)]


@pytest.mark.parametrize(
    "event", [pack([1, NOW]), pack({"a": 1}), pack([1, NOW, [0.5]]), pack([1, 0.5, {"x": 1.5}])]
)
def test_what_is_no_event_has_no_layout(event: bytes) -> None:
    """Three items, of which the second is an int and the third a map."""
    assert parse_layout(event) is None


def test_an_event_whose_name_is_no_text_has_no_layout() -> None:
    """It goes the other way."""
    assert parse_layout(msgpack.packb([1, NOW, {5: 0.5}])) is None


@given(
    st.dictionaries(st.text(), st.floats() | st.integers(-(2**63), 2**63 - 1) | st.booleans(), max_size=20),
    st.integers(0, 70_000),
    st.integers(-(2**63), 2**63 - 1),
)
def test_any_row_of_numbers_has_a_layout_that_gives_them_back(
    fields: dict[str, Any], series: int, time: int
) -> None:
    """Names, types and bits."""
    event = pack([series, time, fields])
    layout = layout_of(event)

    assert layout.series_id == series
    assert [name for name, _ in layout.fields] == list(fields)
    found = values(layout, event, event)
    assert found[0] == [time, time]
    for column, value in zip(found[1:], fields.values(), strict=True):
        assert [type(item) for item in column] == [type(value)] * 2
        assert np.array(column).tobytes() == np.array([value, value]).tobytes()
