"""`kill -9` in the middle of saves: whatever is listed afterwards is whole, and what was flushed is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.killing import ENV, KillingGround, moments
from tests.support.processes import Journal
from tests.support.victims import content

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 40


@pytest.fixture
def ground() -> Iterator[KillingGround]:
    """Has children of a warm process killed."""
    ground = KillingGround()
    yield ground
    ground.close()


def test_what_is_listed_after_a_kill_is_whole(ground: KillingGround, tmp_path: Path) -> None:
    """In order and without a gap, each with the content that its checksum says."""
    vouched = 0
    for turn, seconds in moments("files", KILLS, 0.25):
        report = ground.kill("files", tmp_path / str(turn), seconds, ENV)
        journal = Journal(tmp_path / str(turn))
        rows = journal.view.files()
        assert journal.view.index.damage == []
        assert [row["filename"] for row in rows] == [f"{step:06d}.bin" for step in range(len(rows))]
        for step, row in enumerate(rows):
            found = (journal.directory / "files" / row["checksum"][:2] / row["checksum"]).read_bytes()
            assert found == content(step)
            assert (hashlib.sha256(found).hexdigest(), len(found)) == (row["checksum"], row["sizeBytes"])
        flushed = report["flushed"].get("files", 0)
        assert len(rows) >= flushed
        vouched += flushed
    assert vouched, "no flush had ever returned: this has tested nothing"
