"""A slab: filled by many threads, ended while they write, released, and used again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ml_dash.slabs.layout import MARK
from ml_dash.slabs.slab import Chunk, Slab
from ml_dash.values.pack import pack, unpack
from tests.support.slabs import collect

WRITER = "0123456789abcdef-1f-00000001"


@pytest.fixture
def slab(tmp_path: Path) -> Slab:
    return Slab(str(tmp_path), WRITER, "/somewhere", 0, regions=3, region_bytes=4096)


def event(number: int) -> bytes:
    return pack([0, number, {"n": number}])


def fill(slab: Slab, number: int) -> int:
    """Put events until the region is full; return the number of the next one."""
    while True:
        try:
            slab.write(event(number) + MARK)
        except ValueError:
            return number
        number += 1


def collected(slab: Slab) -> list[Chunk]:
    chunks: list[Chunk] = []
    while (found := collect(slab, chunks[-1] if chunks else None)) is not None:
        if not chunks or found[0] is not chunks[-1]:
            chunks.append(found[0])
    return chunks


def numbers(chunks: list[Chunk]) -> list[int]:
    return [unpack(event)[1] for chunk in chunks for event in chunk.cut()]


def test_regions_are_filled_one_after_the_other_released_and_used_again(slab: Slab) -> None:
    number, seen = 0, 0
    for _ in range(10):
        number = fill(slab, number)
        assert slab.advance()
        number = fill(slab, number)
        chunks = collected(slab)
        found = numbers(chunks)
        assert found == list(range(seen, number))
        assert sum(chunk.rows for chunk in chunks) == len(found)
        seen = number
        slab.release(chunks[-1].generation, chunks[-1].end)
        assert slab.advance()
    assert collected(slab) == []
    assert not slab.has_more


def test_a_slab_that_is_full_says_so_until_a_region_is_released(slab: Slab) -> None:
    number = fill(slab, 0)
    assert slab.advance()
    number = fill(slab, number)
    assert slab.advance()
    number = fill(slab, number)
    assert not slab.advance()
    assert not slab.advance()
    (first, *_) = collected(slab)
    slab.release(first.generation, first.end)
    assert slab.advance()
    assert fill(slab, number) > number


def test_a_region_that_is_ended_while_others_write_has_each_event_once(tmp_path: Path) -> None:
    """Those who come too late get an error, and put theirs elsewhere."""
    for turn in range(20):
        slab = Slab(str(tmp_path), f"{turn:016x}-1f-00000001", "/somewhere", 0)
        taken: list[list[int]] = [[] for _ in range(4)]
        begun = threading.Barrier(5)

        def write(thread: int, slab: Slab, taken: list[list[int]], begun: threading.Barrier) -> None:
            begun.wait()
            put = slab.write
            for number in range(thread, 100_000, 4):
                try:
                    put(event(number))
                    taken[thread].append(number)
                    put(MARK)
                except ValueError:
                    return

        threads = [threading.Thread(target=write, args=(each, slab, taken, begun)) for each in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        slab.end()
        for thread in threads:
            thread.join()

        found = numbers(collected(slab))
        assert sorted(found) == sorted(number for mine in taken for number in mine)
        for each in range(4):
            assert [number for number in found if number % 4 == each] == taken[each]
        slab.remove()


def test_a_chunk_goes_on_with_what_has_come_since(slab: Slab) -> None:
    slab.write(event(0) + MARK)
    (chunk,) = collected(slab)
    slab.write(event(1))
    found = collect(slab, chunk)
    assert found == (chunk, 1)
    slab.write(MARK)
    assert collect(slab, chunk) == (chunk, 0)
    assert (chunk.rows, numbers([chunk])) == (2, [0, 1])
    slab.write(event(2) + MARK)
    after = collect(slab, None)
    assert after is not None
    assert (after[1], numbers([after[0]])) == (1, [2])


def test_a_slab_that_is_left_is_released_when_all_of_it_is(slab: Slab) -> None:
    slab.write(event(0) + MARK)
    slab.leave()
    with pytest.raises(ValueError, match="out of range"):
        slab.write(event(1))
    states = [slab.is_released]
    (chunk,) = collected(slab)
    slab.release(chunk.generation, chunk.end)
    states.append(slab.is_released)
    assert states == [False, True]
    slab.remove()
    assert not Path(slab.path).exists()
