"""Thousands of uploads in which everything goes wrong. See `tests.support.upload_story` for what is told and checked.

==============  =======  =======================================================
variable        default  meaning
==============  =======  =======================================================
UPLOAD_SEEDS    1000     how many stories to tell
UPLOAD_FIRST    0        the first one's seed
UPLOAD_SEED     –        tell only this one, with all its steps (``-s`` shows them)
==============  =======  =======================================================
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.support.faulty_line import FAULTS
from tests.support.upload_story import Story

pytestmark = pytest.mark.simulation

CHUNK = 10
"""Stories a test: small enough to be shared among several workers."""


def seeds() -> list[range]:
    """The seeds to run, in chunks."""
    if one := os.environ.get("UPLOAD_SEED"):
        return [range(int(one), int(one) + 1)]
    first = int(os.environ.get("UPLOAD_FIRST", "0"))
    stop = first + int(os.environ.get("UPLOAD_SEEDS", "1000"))
    return [range(start, min(start + CHUNK, stop)) for start in range(first, stop, CHUNK)]


@pytest.fixture(autouse=True)
def only_what_is_asked_for(request: pytest.FixtureRequest) -> None:
    """Who asks for one story wants no other one."""
    if "UPLOAD_SEED" in os.environ and "chunk" not in request.fixturenames:
        pytest.skip("UPLOAD_SEED asks for one story")


@pytest.mark.sample(100)
@pytest.mark.parametrize("chunk", seeds(), ids=lambda chunk: f"{chunk.start}-{chunk.stop - 1}")
def test_the_server_has_exactly_what_was_written(chunk: range) -> None:
    """Whatever happens on the way: each row once, in order, and every one accounted for."""
    for seed in chunk:
        Story(seed, aloud=len(chunk) == 1).run()


def test_a_byte_that_changes_twice_spoils_no_frame_that_was_never_written() -> None:
    """It was in a header, whose number is none after the first time."""
    Story(500510).run()


def test_what_is_said_of_an_experiment_may_be_missing_from_a_backup_that_lacks_no_frame() -> None:
    """One from the moment between the birth of the experiment and that: the next to come says it."""
    Story(501148).run()


def test_an_uploader_that_has_to_ask_what_the_server_has_goes_on_from_there() -> None:
    """Of all writers, in pages: the line had damaged a name, and its disk a frame that the server has."""
    Story(5000658).run()


@pytest.mark.slow
def test_every_kind_of_fault_comes_often() -> None:
    """A simulation in which nothing happens proves nothing."""
    seen: Counter[str] = Counter()
    for seed in range(240):
        story = Story(seed)
        story.run()
        seen += story.seen

    rare = {name: seen[name] for name in (*FAULTS, *Story.EVENTS) if seen[name] < 5}
    assert not rare, f"{rare} in 240 stories"


def test_a_seed_tells_the_same_story_every_time() -> None:
    """Otherwise a failing seed could not be looked into."""
    one, other = Story(4711), Story(4711)
    one.run()
    other.run()

    assert one.steps == other.steps
    assert one.seen == other.seen
