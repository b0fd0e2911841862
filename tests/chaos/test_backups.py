"""A run with files goes on while its server is stopped, and restored from backups that are older than what it has sent.

``CHAOS_BACKUPS`` stories (16); ``CHAOS_SEED`` tells only this one.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from ml_dash.storage.blobs import markers
from tests.support.seen import TOKEN, Seen, law, until

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("silence")]

_ONE = os.environ.get("CHAOS_SEED")
SEEDS = [int(_ONE)] if _ONE else range(int(os.environ.get("CHAOS_BACKUPS", "16")))
_LARGE = 9 << 20  # sent in two parts


class Days:
    """The days of one run and its server."""

    def __init__(self, seed: int, home: Path) -> None:
        self.rng = random.Random(seed)
        self.home = home
        self.data = home / "server"
        self.prefix = f"chaos/backups{seed}/run"
        self.server = EmbeddedServer(data=self.data, admin_token=TOKEN).start()
        self.exp = Experiment(self.prefix, dash_url=self.server.url, dash_root=home / "root", echo=False)
        self.backups = 0
        self.rows = 0
        self.saved: dict[str, str] = {}

    def log(self) -> None:
        for _ in range(self.rng.randint(1, 20)):
            self.exp.metrics("train").log(step=self.rows)
            self.rows += 1

    def save(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            large = self.rng.random() < 0.15
            # the same contents again, now and then, under this name or another one
            content = bytes([self.rng.randint(0, 3)]) * (_LARGE if large else self.rng.randint(0, 2))
            name = f"{len(self.saved)}.bin"
            self.saved[name] = self.exp.files.save_blob(content, to=name)["checksum"]

    def arrive(self) -> None:
        # A row first: a server that is sent nothing is asked after ten minutes only whether it has still what it had.
        self.log()
        seen = Seen(self.server, self.prefix)
        until(lambda: seen.has(self.rows), "all rows at the server that is there now")
        until(lambda: self.exp.flush(30).pending == 0, "nothing pending")
        self.check()

    def back_up(self) -> None:
        self.server.stop()
        shutil.copytree(self.data, self.home / f"backup{self.backups}")
        self.backups += 1
        self.server.start()

    def restore(self) -> None:
        if not self.backups:
            return
        self.server.stop()
        shutil.rmtree(self.data)
        shutil.copytree(self.home / f"backup{self.rng.randrange(self.backups)}", self.data)
        self.server.start()

    def check(self) -> None:
        """What is not pending is at the server, rows and contents."""
        seen = Seen(self.server, self.prefix)
        assert seen.values("step") == list(range(self.rows))
        there = {row["filename"]: row for row in seen.get("files")["data"]}
        assert {name: row["checksum"] for name, row in there.items()} == self.saved
        assert all(row["available"] for row in there.values())

    def tell(self) -> None:
        steps = (self.log, self.save, self.save, self.arrive, self.back_up, self.restore, self.restore)
        with self.exp.run:
            for _ in range(self.rng.randint(4, 12)):
                self.rng.choice(steps)()
                law(self.exp)
            self.arrive()
        assert self.exp.status().dropped == {}
        assert markers(self.exp.directory) == []


@pytest.mark.sample(16)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_pending_is_at_the_server_whichever_backup_that_is(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The law holds at each step, and in the end every row and every content is there once."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    days = Days(seed, tmp_path)
    try:
        days.tell()
    finally:
        days.server.stop()
