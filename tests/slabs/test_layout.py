"""The bytes of a slab: what is torn is told from what is whole."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from ml_dash.slabs.layout import (
    HEAD_BYTES,
    MARK,
    NAMES_AT,
    REGIONS_AT,
    REGIONS_MAX,
    TAKEN_AT,
    WRITTEN_AT,
    Head,
    Taken,
    decode_head,
    decode_names,
    decode_taken,
    encode_head,
    encode_names,
    encode_taken,
    taken_at,
)

HEAD = Head(16, 1 << 18, 1234, 10**18, bytes(range(16)))
WORDS = st.integers(0, 2**64 - 1)


def page(*parts: tuple[int, bytes]) -> bytes:
    data = bytearray(HEAD_BYTES)
    for at, part in parts:
        data[at : at + len(part)] = part
    return bytes(data)


def test_the_parts_of_the_head_do_not_overlap() -> None:
    assert len(encode_head(HEAD)) <= TAKEN_AT
    assert taken_at(7) != taken_at(8)
    assert max(map(taken_at, (0, 1))) + len(encode_taken(Taken(1, 1, 1))) <= WRITTEN_AT
    assert WRITTEN_AT + 8 <= REGIONS_AT
    assert REGIONS_AT + 16 * REGIONS_MAX <= NAMES_AT


def test_a_mark_has_no_border() -> None:
    """Else an event that ends in some of its bytes would be cut short by a search."""
    assert not any(MARK.endswith(MARK[:size]) for size in range(1, len(MARK)))


def test_a_head_is_read_as_it_was_written() -> None:
    assert decode_head(page((0, encode_head(HEAD)))) == HEAD
    assert decode_head(encode_head(HEAD)) is None, "the file is cut short"
    assert decode_head(bytes(HEAD_BYTES)) is None


@pytest.mark.parametrize(("regions", "region_bytes"), [(0, 4096), (1, 4096), (33, 4096), (16, 1000)])
def test_a_head_that_no_slab_of_ours_has_is_refused(regions: int, region_bytes: int) -> None:
    wrong = HEAD._replace(regions=regions, region_bytes=region_bytes)
    assert decode_head(page((0, encode_head(wrong)))) is None


def test_a_slab_of_another_version_is_refused() -> None:
    data = bytearray(page((0, encode_head(HEAD))))
    data[8] += 1
    assert decode_head(bytes(data)) is None


@given(st.builds(Taken, WORDS, WORDS, WORDS, WORDS), st.integers(0, 35), st.integers(1, 255))
def test_an_entry_with_a_torn_byte_is_none_and_the_other_one_holds(
    taken: Taken, torn: int, change: int
) -> None:
    other = taken._replace(frame=taken.frame ^ 1)
    data = bytearray(
        page((taken_at(taken.frame), encode_taken(taken)), (taken_at(other.frame), encode_taken(other)))
    )
    assert decode_taken(bytes(data)) == sorted([taken, other])
    data[taken_at(taken.frame) + torn] ^= change
    assert decode_taken(bytes(data)) == [other]


@given(st.binary(min_size=1, max_size=HEAD_BYTES - NAMES_AT - 8), st.data())
def test_names_are_read_as_they_were_written_or_not_at_all(names: bytes, data: st.DataObject) -> None:
    whole = bytearray(page((NAMES_AT, encode_names(names))))
    assert decode_names(bytes(whole)) == names
    whole[NAMES_AT + data.draw(st.integers(0, 7 + len(names)))] ^= data.draw(st.integers(1, 255))
    assert decode_names(bytes(whole)) is None


def test_names_that_are_too_long_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_names(bytes(HEAD_BYTES - NAMES_AT - 7))
