"""An experiment that several writers log to, and the memory of every row that they logged."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from ml_dash.pipeline.channel import Channel
from ml_dash.series import Kind, Series
from ml_dash.settings import Settings
from tests.support.looking import Found
from tests.support.rows import SERIES, Row, as_text, random_row
from tests.support.simulated_clock import SimulatedClock

RUNS = Series(Kind.RUN, None)
_SEGMENT_BYTES = (500, 4_000, 1 << 26)


class Entry(NamedTuple):
    """A row that was logged: who did, and as which of all rows."""

    row: Row
    writer: str
    order: int


class Book:
    """One experiment's journal under a root, and what is in it.

    Args:
        root: the directory that holds experiments.
        prefix: the experiment.
        rng: chance: what is logged, and by whom.
        writers: how many writers there are at first.
    """

    def __init__(self, root: Path, prefix: str, rng: random.Random, writers: int) -> None:
        self.root = root
        self.prefix = prefix
        self.directory = root / prefix
        self.entries: dict[int, Entry] = {}
        self._rng = rng
        self._clock = SimulatedClock()
        self._settings = Settings(segment_bytes=rng.choice(_SEGMENT_BYTES))
        self._channels: dict[str, Channel] = {}
        for _ in range(writers):
            self.add_writer()

    @property
    def journal(self) -> Path:
        """Where the segments lie."""
        return self.directory / "journal"

    @property
    def watermarks(self) -> dict[str, int]:
        """How many frames each writer has written."""
        return {name: channel.writer.written_seq for name, channel in self._channels.items()}

    def add_writer(self, name: str | None = None) -> None:
        """Begin another writer, with a name of its own unless one is given: its run starts."""
        name = (
            name
            or f"{self._clock.time_ns():016x}-{len(self._channels) + 1:x}-{self._rng.getrandbits(32):08x}"
        )
        channel = Channel(str(self.directory), name, self._settings, lambda: None, clock=self._clock)
        for series in SERIES:
            channel.series_id(*series)
        self._channels[name] = channel
        self._put_run(name, "start", "RUNNING")
        channel.write_queued()

    def write(self, frames: int, rows: int = 5) -> None:
        """Have writers, one after the other, write so many frames of up to so many rows."""
        for _ in range(frames):
            name, channel = self._rng.choice([*self._channels.items()])
            for _ in range(self._rng.randint(1, rows)):
                self._put_row(name, channel)
            channel.write_queued()

    def finish(self) -> None:
        """End all runs and close all files."""
        for name, channel in self._channels.items():
            self._put_run(name, "end", "COMPLETED")
            channel.write_queued()
            channel.close()

    def close(self) -> None:
        """Let go of the files, as a process does that is killed."""
        for channel in self._channels.values():
            channel.writer.abandon()

    def check(self, found: Found) -> None:
        """Assert that a server has every row that was written, once, and those of a writer in their order."""
        assert dict(found.watermarks) == self.watermarks
        seen: set[int] = set()
        for series, rows in found.rows.items():
            last: dict[str, int] = defaultdict(lambda: -1)
            for row in rows:
                entry = self.entries.get(row.time)
                assert entry, f"the server has a row that was never logged: {row}"
                assert entry.row == row, f"logged {entry.row}, the server has {row}"
                assert row.time not in seen, f"the server has this row twice: {row}"
                assert entry.order > last[entry.writer], f"{series}: {row} is not in its writer's order"
                last[entry.writer] = entry.order
                seen.add(row.time)
        lost = [entry for time, entry in self.entries.items() if time not in seen]
        assert not lost, (
            f"{len(lost)} of {len(self.entries)} rows are not at the server, the first: {lost[0]}"
        )

    def _put_row(self, name: str, channel: Channel) -> None:
        row, event = random_row(self._rng, self._clock, len(self.entries))
        channel.queue.put(event)
        self._remember(row, name)

    def _put_run(self, name: str, event: str, status: str) -> None:
        fields = {
            "event": event,
            "status": status,
            "handle": name,
            "host": "chaos",
            "pid": 1,
            "experiment": {"prefix": self.prefix},
            "error": None,
        }
        self._channels[name].put_control(fields)
        self._remember(Row(RUNS, self._clock.time_ns() - 1, as_text(fields)), name)

    def _remember(self, row: Row, writer: str) -> None:
        assert row.time not in self.entries
        self.entries[row.time] = Entry(row, writer, len(self.entries))
