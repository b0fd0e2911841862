"""Hundreds of stories in which client, network and server fail; see `tests.chaos.story`.

Environment:

==============  =======  ======================================================
variable        default  meaning
==============  =======  ======================================================
CHAOS_SEEDS     200      how many stories to tell
CHAOS_FIRST     0        the first one's seed
CHAOS_SEED      –        tell only this one, with its steps (``-s`` shows them)
==============  =======  ======================================================
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from tests.chaos.faults import Fault
from tests.chaos.servers import Program, host_of
from tests.chaos.story import Story
from tests.chaos.warm import Nursery
from tests.support.elsewhere import Elsewhere

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("silence")]

CHUNK = 2
"""Stories a test: small enough to be shared among several workers."""
ENOUGH = 60
"""Stories in which everything must have happened."""
EVENTS = (
    *("clients killed", "clients cancelled", "two clients", "syncs", "uploads"),
    *("servers killed", "servers stopped", "backups restored"),
)


def seeds() -> list[range]:
    """The seeds to run, in chunks."""
    if one := os.environ.get("CHAOS_SEED"):
        return [range(int(one), int(one) + 1)]
    first = int(os.environ.get("CHAOS_FIRST", "0"))
    stop = first + int(os.environ.get("CHAOS_SEEDS", "200"))
    return [range(start, min(start + CHUNK, stop)) for start in range(first, stop, CHUNK)]


@pytest.fixture(scope="module")
def seen() -> Iterator[Counter[str]]:
    """Counts what happens in all stories: a chaos in which nothing happens proves nothing."""
    seen: Counter[str] = Counter()
    yield seen
    if seen["stories"] >= ENOUGH:
        names = [*(fault.__name__ for fault in get_args(Fault)), *EVENTS]
        rare = {name: seen[name] for name in names if seen[name] < 2}
        assert not rare, f"{rare} in {seen['stories']} stories"


@pytest.mark.sample(100)
@pytest.mark.parametrize("chunk", seeds(), ids=lambda chunk: f"{chunk.start}-{chunk.stop - 1}")
def test_every_row_is_at_the_server_exactly_once_whatever_happens(
    chunk: range, tmp_path: Path, template: Path, nursery: Nursery, seen: Counter[str]
) -> None:
    """As far as it was logged it is there, in its writer's order; and the client's own account says the same."""
    with Elsewhere() as elsewhere:
        for seed in chunk:
            home = tmp_path / str(seed)
            host = host_of(seed, home, template, nursery)
            story = Story(seed, home, host, nursery, elsewhere, aloud=len(chunk) == 1)
            story.run()
            seen.update(story.seen, stories=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_it_is_so_with_the_command_that_users_start(seed: int, tmp_path: Path, nursery: Nursery) -> None:
    """The server is the real program: killed, and started again at the same port with the same data."""
    with Elsewhere() as elsewhere, closing(Program(tmp_path / "server")) as host:
        Story(seed, tmp_path, host, nursery, elsewhere).run()
