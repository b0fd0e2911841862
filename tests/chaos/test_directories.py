"""Directories that are renamed, copied, removed and used again, and deletions at the server, between runs and syncs.

``CHAOS_DIRECTORIES`` stories (24); ``CHAOS_SEED`` tells only this one.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN, Seen, law
from tests.support.shell import invoke

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("silence")]

_ONE = os.environ.get("CHAOS_SEED")
SEEDS = [int(_ONE)] if _ONE else range(int(os.environ.get("CHAOS_DIRECTORIES", "24")))
NAMES = [f"chaos/{project}/{name}" for project in "ab" for name in ("one", "two", "deep/three")]


class Story:
    """What lies where on the disk, and what the server must have of it.

    Attributes:
        here: Numbers of the rows that lie in the directory of each name.
        there: Those that the server has under each name.
        deleted: Those that were deleted at the server under each name, and never come back to it.
    """

    def __init__(self, seed: int, home: Path, server: EmbeddedServer) -> None:
        self.rng = random.Random(seed)
        self.root = home / "root"
        self.server = server
        self.here: dict[str, set[int]] = {}
        self.there: defaultdict[str, set[int]] = defaultdict(set)
        self.deleted: defaultdict[str, set[int]] = defaultdict(set)
        self.steps: list[str] = []
        self._rows = 0
        self._objects: dict[str, Experiment] = {}

    def run(self) -> None:
        """A run of any name; of an object that had one before, now and then."""
        name = self.rng.choice(NAMES)
        exp = self._objects.get(name) if self.rng.random() < 0.5 else None
        if exp is None:
            exp = self._objects[name] = Experiment(name, dash_root=self.root, echo=False)
        with exp.run:
            for _ in range(self.rng.randint(1, 5)):
                exp.metrics("train").log(n=self._rows)
                self.here.setdefault(name, set()).add(self._rows)
                self._rows += 1
            law(exp)
            read = [row["data"]["n"] for row in exp.metrics("train").read(limit=10_000)["data"]]
            assert sorted(read) == sorted(self.here[name])
        self.steps.append(f"run {name}")

    def rename(self) -> None:
        pair = self._pair()
        if pair is not None:
            os.rename(self.root / pair[0], self.root / pair[1])
            self.here[pair[1]] = self.here.pop(pair[0])
            self.steps.append(f"rename {pair[0]} {pair[1]}")

    def copy(self) -> None:
        pair = self._pair()
        if pair is not None:
            shutil.copytree(self.root / pair[0], self.root / pair[1])
            self.here[pair[1]] = set(self.here[pair[0]])
            self.steps.append(f"copy {pair[0]} {pair[1]}")

    def remove(self) -> None:
        if self.here:
            name = self.rng.choice(sorted(self.here))
            shutil.rmtree(self.root / name)
            del self.here[name]
            self.steps.append(f"remove {name}")

    def delete(self) -> None:
        """Delete at the server what it has under a name."""
        names = sorted(name for name in NAMES if Seen(self.server, name).known)
        if names:
            name = self.rng.choice(names)
            seen = Seen(self.server, name)
            assert seen.api.request("DELETE", f"/experiments/{seen.record['id']}")[0] == 200
            self.deleted[name] |= self.there.pop(name, set())
            self.steps.append(f"delete {name}")

    def sync(self) -> None:
        self.steps.append("sync")
        done = invoke("sync", "--to", self.server.url, self.root)
        for name, rows in self.here.items():
            if rows - self.deleted[name] or name in self.there:
                self.there[name] |= rows - self.deleted[name]
            else:
                assert f"{name} was deleted" in done.err
        for name in NAMES:
            seen = Seen(self.server, name)
            found = seen.values("n") if seen.known else []
            assert sorted(found) == sorted(self.there[name]), (name, done.err, self.steps)

    def _pair(self) -> tuple[str, str] | None:
        """A name that has a directory, and one that has none."""
        taken, free = sorted(self.here), sorted(set(NAMES) - set(self.here))
        if not taken or not free:
            return None
        pair = self.rng.choice(taken), self.rng.choice(free)
        (self.root / pair[1]).parent.mkdir(parents=True, exist_ok=True)
        return pair


@pytest.mark.sample(40)
@pytest.mark.parametrize("seed", SEEDS)
def test_each_directory_is_the_experiment_of_its_place(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its rows, each once, and none of another one's; and what was deleted stays deleted."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    with EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN) as server:
        story = Story(seed, tmp_path, server)
        story.run()
        steps = (story.run, story.run, story.run, story.rename, story.copy, story.remove, story.sync)
        for _ in range(story.rng.randint(6, 16)):
            story.rng.choice((*steps, story.delete))()
        if story.here:
            story.sync()
