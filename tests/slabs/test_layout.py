"""The bytes of a slab: what is torn is told from what is whole."""

from __future__ import annotations

import importlib.util
import types
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ml_dash.series import Kind
from ml_dash.slabs.layout import (
    HEAD_BYTES,
    MARK,
    NAMES_AT,
    REGIONS_AT,
    REGIONS_MAX,
    TAKEN_AT,
    WRITTEN_AT,
    Head,
    Names,
    Taken,
    decode_head,
    decode_names,
    decode_taken,
    encode_head,
    encode_names,
    encode_taken,
    is_of_another_version,
    names_of,
    taken_at,
)
from tests.support.slabs import WRITER, SlabBench

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
    for at in (8, 9):
        data = bytearray(page((0, encode_head(HEAD))))
        data[at] ^= 1
        assert decode_head(bytes(data)) is None
        assert is_of_another_version(bytes(data))
    assert not is_of_another_version(page((0, encode_head(HEAD))))
    assert not is_of_another_version(bytes(HEAD_BYTES))
    assert not is_of_another_version(b"")


def other_layout(old: str, new: str) -> Any:
    """Return the module as another version of the package would have it."""
    spec = importlib.util.find_spec("ml_dash.slabs.layout")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert source.count(old) == 1, old
    module = types.ModuleType(spec.name)
    exec(compile(source.replace(old, new), spec.origin, "exec"), module.__dict__)
    return module


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('MARK = b"\\xc1\\x00\\xff\\x0a"', 'MARK = b"\\xc1\\x00\\xff\\x0b"'),
        ("HEAD_BYTES = 8192", "HEAD_BYTES = 12288"),
        ("NAMES_AT = 64, 192, 256, 1024", "NAMES_AT = 64, 192, 512, 1024"),
        ("SERIES_BYTES = 64 << 10", "SERIES_BYTES = 32 << 10"),
        ('_TAKEN = struct.Struct("<QQQQ")', '_TAKEN = struct.Struct("<QQQ")'),
        ("_TAKEN_BYTES = 64", "_TAKEN_BYTES = 48"),
        ('REGION = struct.Struct("<QQ")', 'REGION = struct.Struct(">QQ")'),
        ("    skip: int = 0\n", "    left: int = 0\n"),
        ("    inode: int\n", ""),
        ("_RULES = 2", "_RULES = 3"),
    ],
)  # fmt: skip
def test_whatever_changes_of_the_layout_makes_another_version_of_it(old: str, new: str) -> None:
    """Neither takes a slab of the other one for its own; nor did those take one that came before this was made so."""
    other = other_layout(old, new)
    theirs = bytearray(other.HEAD_BYTES + HEAD_BYTES)
    theirs[: len(other.encode_head(HEAD))] = other.encode_head(other.Head(*HEAD))
    ours = page((0, encode_head(HEAD))) + bytes(other.HEAD_BYTES)
    assert decode_head(bytes(theirs)) is None
    assert other.decode_head(ours) is None
    assert int.from_bytes(ours[8:10], "little") != 1


def test_the_bytes_of_a_slab_are_those_of_its_version(tmp_path: Path) -> None:
    """Where this fails they have changed: raise `_RULES`, unless the version has changed too, and note both here."""
    bench = SlabBench(tmp_path, regions=2)
    bench.log(*range(5))
    bench.channel.pump()
    bench.channel.series_id(Kind.METRIC, "é")
    bench.log(*range(5, 9))
    data = bytearray(bench.path.read_bytes())
    version = int.from_bytes(data[8:10], "little")
    data[8:64] = bytes(56)  # the version, the process, its birth and boot
    data[NAMES_AT:HEAD_BYTES] = bytes(HEAD_BYTES - NAMES_AT)  # where it is
    names = decode_names(bench.path.read_bytes())
    assert names == names_of(WRITER, str(bench.directory), "")._replace(device=0, inode=0)
    assert (hex(version), hex(zlib.crc32(data))) == ("0xfeb0", "0x497ee833")


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


NAMES = st.builds(Names, st.text(max_size=30), st.binary(max_size=3000), WORDS, WORDS, st.text(max_size=100))


@given(NAMES, st.data())
def test_names_are_read_as_they_were_written_or_not_at_all(names: Names, data: st.DataObject) -> None:
    written = encode_names(names)
    whole = bytearray(page((NAMES_AT, written)))
    assert decode_names(bytes(whole)) == names
    whole[NAMES_AT + data.draw(st.integers(0, len(written) - 1))] ^= data.draw(st.integers(1, 255))
    assert decode_names(bytes(whole)) is None


def test_names_that_are_too_long_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_names(names_of("writer", "/" + "x" * (HEAD_BYTES - NAMES_AT), ""))
