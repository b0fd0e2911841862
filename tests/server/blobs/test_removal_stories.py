"""Random stories of one blob store: databases that are backed up, restored and copied, and collect all the time."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from ml_dash.server.blobs.names import part_name
from ml_dash.server.blobs.references import all_named
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.server.blobs.databases import Databases
from tests.support.stored import impatient, stored, trashed

_STEPS = (
    "store",
    "store",
    "store",
    "crash",
    "collect",
    "collect",
    "copy",
    "backup",
    "restore",
    "restart",
    "end",
)


class Story:
    """Several databases on one store, of which none knows of the others."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._databases = Databases(directory, None)
        self._where = str(directory / "blobs")
        self._rng = random.Random(seed)
        first = self._databases.new()
        self.live = {first: self._open(first)}
        self._backups: list[str] = []
        self.ever: set[str] = set()

    def step(self) -> None:
        """Do something to one of the databases."""
        url = self._rng.choice(list(self.live))
        what = self._rng.choice(_STEPS)
        store = self.live[url]
        if what == "store":
            data = self._rng.randbytes(32)
            store.transfers._store_whole("alice", hashlib.sha256(data).hexdigest(), data)
            store.keeper.advance()
        elif what == "crash":
            store.objects.put(part_name(), b"of a transaction that was never committed")
        elif what == "collect":
            impatient(store).collect()
        elif what == "copy" and len(self.live) < 3:
            self._begin(url)
        elif what == "backup":
            self._backups.append(self._databases.copy(url))
        elif what == "restore" and self._backups:
            self._end(url)
            self._begin(self._rng.choice(self._backups))
        elif what == "restart":
            self._end(url)
            self.live[url] = self._open(url)
        elif what == "end" and len(self.live) > 1:
            self._end(url)

    def check(self) -> None:
        """What a database in use names is in its place, and what any has ever named is not gone for good."""
        objects = next(iter(self.live.values())).objects
        there = stored(objects)
        for store in self.live.values():
            with store.database.read() as connection:
                named = set(all_named(connection))
            assert named <= there
            self.ever |= named
        assert self.ever <= there | trashed(objects)

    def close(self) -> None:
        for url in list(self.live):
            self._end(url)

    def _begin(self, source: str) -> None:
        url = self._databases.copy(source)
        self.live[url] = self._open(url)

    def _open(self, url: str) -> Store:
        return Store.open(ServerSettings(database=url, blobs=self._where))

    def _end(self, url: str) -> None:
        self.live.pop(url).close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_whatever_becomes_of_databases_nothing_that_one_names_is_removed(seed: int, tmp_path: Path) -> None:
    story = Story(tmp_path, seed)
    try:
        for _ in range(40):
            story.step()
            story.check()
    finally:
        story.close()
