"""Stories of uploads in which everything goes wrong, and always in the same way: one seed is one story.

Writers log to one experiment, uploaders come, go, and work side by side, the line and the server fail, the server is
restored from backups, the disk loses bytes. At the end all is well for a while, and then the server must have
exactly the rows that were written: each once, in order, but for those in frames that it refuses and that the disk has
lost. What is simulated is the time, the line, the server and the disk; client, sender and uploader are the real ones.

To tell a story again, with all its steps: ``UPLOAD_SEED=123 pytest tests/upload/test_upload_stories.py``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from ml_dash.client.api import Client
from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.writer import JournalWriter
from ml_dash.series import Kind, Series
from ml_dash.tokens.token import Token
from ml_dash.upload.task import Target
from ml_dash.upload.uploader import Uploader
from tests.support.faulty_line import FaultyLine, Weather
from tests.support.journals import MemoryDisk
from tests.support.virtual_time import VirtualClock, VirtualLoop
from tests.support.watermark_server import StoredExperiment, StoredWriter, WatermarkServer

__all__ = ["Story", "StoryError"]

_T = TypeVar("_T")

PREFIX = "alice/vision/resnet"
SECRET = "mld_" + "5" * 40
OLD_SECRET = "mld_" + "4" * 40
_LONG = 1800.0
"""Seconds after which all must be well again."""
_POLL = 60.0


class StoryError(AssertionError):
    """A promise was broken, in the story of this seed."""


class _Disk(MemoryDisk):
    """As the real one, it has its own error for a file that is not there; and it lists fast."""

    def list(self, directory: str) -> list[str]:
        start = len(directory) + 1
        inside = [path[start:] for path in self.files if path.startswith(directory + "/")]
        return sorted(name for name in inside if "/" not in name)

    def remove(self, path: str) -> None:
        if path not in self.files:
            raise FileNotFoundError(path)
        super().remove(path)


class _Written:
    """What a writer wrote: rows by the number of their frame, and how many of these count as logged."""

    def __init__(self, journal: JournalWriter | None) -> None:
        self.journal = journal
        self.frames: dict[int, list[tuple[int, dict[str, Any]]]] = {}
        self.counted: dict[int, int] = {}


class Story:
    """One story.

    Args:
        seed: which.
        aloud: whether to print every step.

    Attributes:
        steps: what happened, for people.
        seen: how often each thing happened.
    """

    EVENTS = (
        "kills",
        "restored",
        "full",
        "bad tokens",
        "rot",
        "torn",
        "side by side",
        "malformed",
        "rejected",
        "lost",
    )

    def __init__(self, seed: int, *, aloud: bool = False) -> None:
        self.seed = seed
        self.steps: list[str] = []
        self._seen: Counter[str] = Counter()
        self._aloud = aloud
        self._rng = rng = random.Random(seed)
        self._loop = VirtualLoop()
        self._clock = VirtualClock(self._loop)
        self._disk = _Disk()
        self._server = WatermarkServer()
        self._tokens = [Token(SECRET)]
        self._line = FaultyLine(self._server, rng, self._token, is_loopback=rng.random() < 0.8)
        self._writers: dict[str, _Written] = {}
        self._spoiled: set[tuple[str, int]] = set()
        self._malformed: set[tuple[str, int]] = set()
        self._unsaid = False
        self._malformed_share = rng.choice((0.0, 0.0, 0.05, 0.3))
        self._uploaders: list[tuple[Uploader, asyncio.Task[None]]] = []
        self._backups: list[dict[str, StoredExperiment]] = [{}]
        self._serial = 0
        self._server.malformed = lambda writer, seq: (writer, seq) in self._malformed
        self._server.limit = rng.choice((300, 1000, 64 << 20))
        if rng.random() < 0.5:
            self._server.token = SECRET

    @property
    def seen(self) -> Counter[str]:
        """How often each thing happened."""
        return self._line.seen + self._seen

    def run(self) -> None:
        """Tell the story.

        Raises:
            StoryError: A promise was broken.
        """
        quiet = logging.getLogger("ml_dash")
        before, quiet.disabled = quiet.disabled, not self._aloud
        try:
            self._loop.run_until_complete(self._tell())
        except Exception as error:
            raise StoryError(self._report(error)) from error
        finally:
            quiet.disabled = before
            self._loop.close()

    # --- the story

    async def _tell(self) -> None:
        self._start_writer()
        self._start_uploader()
        for _ in range(self._rng.randrange(5, 60)):
            await self._rng.choice(_ACTIONS)(self)
        await self._end()

    async def _end(self) -> None:
        """Let everything work again, wait, and look."""
        self._step("the end: all is well")
        self._line.weather = Weather({})
        self._server.full = False
        self._tokens[:] = [Token(SECRET)]
        self._server.limit = max(self._server.limit, 1000)
        for written in self._writers.values():
            if written.journal:
                written.journal.close()
        if not self._alive:
            self._start_uploader()
        uploader, _ = self._alive[-1]
        uploader.nudge()
        await asyncio.sleep(_LONG)
        state = uploader.state
        assert state.online, f"still offline after a time in which all was well: {state}"
        self._check_server()
        self._check_account(uploader)
        self._seen["rejected"] += sum(state.rejected_rows.values())
        self._seen["lost"] += state.lost_frames
        for one, task in self._alive:
            one.stop()
            await asyncio.wait_for(task, _LONG)
        await self._stay_the_same()

    async def _stay_the_same(self) -> None:
        """Whoever comes later finds nothing to do."""
        rows = self._server.backup()
        self._start_uploader()
        await asyncio.sleep(_LONG)
        if self._unsaid and not rows[PREFIX].about:
            rows[PREFIX].about.update(self._server.experiments[PREFIX].about)
        assert self._server.backup() == rows, (
            "an uploader that has nothing to do has changed what the server has"
        )
        self._check_account(self._alive[-1][0])
        for _, task in self._alive:
            task.cancel()
            await asyncio.wait([task])

    # --- what is checked

    def _check_server(self) -> None:
        stored = self._server.experiments[PREFIX]
        for id_, written in self._writers.items():
            if not written.frames:
                continue
            writer = stored.writers.get(id_, StoredWriter())
            excused = {seq for of, seq in self._spoiled | self._malformed if of == id_}
            assert writer.empty <= excused, (
                f"{id_}: {sorted(writer.empty - excused)} were sent empty for nothing"
            )
            expected = [
                row for seq, rows in sorted(written.frames.items()) if seq not in writer.empty for row in rows
            ]
            last = max(written.frames)
            if writer.watermark != last:  # the last ones may be damaged, and nothing behind them proves it
                tail = {(id_, seq) for seq in range(writer.watermark + 1, last + 1)}
                assert tail <= self._spoiled, f"{id_}: {writer.watermark} of {last} frames arrived"
                expected = [
                    row
                    for seq, rows in sorted(written.frames.items())
                    if seq not in writer.empty and seq <= writer.watermark
                    for row in rows
                ]
            assert repr(writer.rows) == repr(expected), f"{id_}: other rows than were written"

    def _check_account(self, uploader: Uploader) -> None:
        """The law: what was logged is acknowledged, rejected, lost or pending."""
        state = uploader.state
        stored = self._server.experiments[PREFIX]
        for id_, written in self._writers.items():
            if not written.frames:
                continue
            writer = stored.writers.get(id_, StoredWriter())
            here = sum(
                count
                for seq, count in written.counted.items()
                if seq <= writer.watermark and seq not in writer.empty
            )
            if (lost := {seq for of, seq in self._spoiled if of == id_}) and min(lost) <= writer.watermark:
                # rows of a frame that is gone cannot be counted again, but where its head is still there
                spoiled = sum(written.counted[seq] for seq in lost)
                assert here - spoiled <= state.acknowledged_rows[id_] <= here + spoiled
                continue
            assert state.acknowledged_seq[id_] == writer.watermark
            assert state.acknowledged_rows[id_] == here, f"{id_}: {state} but {here} rows are there"
            refused = sum(count for seq, count in written.counted.items() if seq in writer.empty)
            assert state.rejected_rows[id_] == refused, f"{id_}: {state}, but {refused} rows were refused"

    # --- steps

    async def _write(self) -> None:
        id_ = self._rng.choice([id_ for id_, written in self._writers.items() if written.journal])
        written = self._writers[id_]
        assert written.journal is not None
        for _ in range(self._rng.choice((1, 1, 3, 10, 40))):
            rows, blocks, counted = self._rows()
            seq = written.journal.append(blocks)
            written.frames[seq], written.counted[seq] = rows, counted
            if self._rng.random() < self._malformed_share:
                self._malformed.add((id_, seq))
                self._seen["malformed"] += 1
        if self._rng.random() < 0.3:
            written.journal.sync()
        self._step(f"{id_} has written up to {max(written.frames)}")
        for uploader, _ in self._alive:
            uploader.nudge()

    def _rows(self) -> tuple[list[tuple[int, dict[str, Any]]], list[Block], int]:
        rows: list[tuple[int, dict[str, Any]]] = []
        blocks, counted = [], 0
        for kind in self._rng.choice(((Kind.METRIC,), (Kind.METRIC, Kind.LOG), (Kind.RUN,))):
            count = self._rng.choice((1, 2, 5))
            numbers = [self._next() for _ in range(count)]
            blocks.append(Block(Series(kind, None), numbers, [Column("n", "i", None, numbers)]))
            rows += [(number, {"n": number}) for number in numbers]
            counted += count if kind != Kind.RUN else 0
        return rows, blocks, counted

    async def _wait(self) -> None:
        seconds = self._rng.choice((0.01, 0.5, 3.0, 70.0, 700.0))
        self._step(f"{seconds} s pass")
        await asyncio.sleep(seconds)

    async def _change_weather(self) -> None:
        self._line.weather = Weather.draw(self._rng)
        self._step(f"the line: {self._line.weather.faults}")

    async def _clear_up(self) -> None:
        self._line.weather = Weather({})
        self._step("the line is good")

    async def _restart(self) -> None:
        """The client is killed at any point, and another one comes."""
        if self._alive:
            _, task = self._rng.choice(self._alive)
            self._step("an uploader is killed")
            self._seen["kills"] += 1
            task.cancel()
            await asyncio.wait([task])
        self._start_uploader()

    async def _start_another(self) -> None:
        """Somebody runs `ml-dash sync` meanwhile."""
        if len(self._alive) < 3:
            self._seen["side by side"] += len(self._alive) > 0
            self._start_uploader()

    async def _new_writer(self) -> None:
        """The process dies, and its successor has another name."""
        if len(self._writers) < 4:
            for id_, written in self._writers.items():
                if written.journal and self._rng.random() < 0.5:
                    self._step(f"{id_} dies")
                    written.journal.sync()
                    written.journal = None
                    self._tear(id_)
            self._start_writer()

    async def _backup(self) -> None:
        self._backups.append(self._server.backup())
        self._step("a backup is made")

    async def _restore(self) -> None:
        backup = self._rng.choice(self._backups)
        # A server that was restored is known by the frames that it lacks. A backup from the moment between the birth of
        # an experiment and what is said of it may lack none.
        self._unsaid |= any(not experiment.about for experiment in backup.values())
        self._server.restore(backup)
        self._step("the server is restored from a backup")
        self._seen["restored"] += 1

    async def _fill_disk(self) -> None:
        self._server.full = not self._server.full
        self._seen["full"] += self._server.full
        self._step(f"the server's disk is full: {self._server.full}")

    async def _change_token(self) -> None:
        self._tokens[:] = [Token(self._rng.choice((SECRET, OLD_SECRET)))]
        self._step(f"the token is {self._tokens[0]}")
        self._seen["bad tokens"] += self._server.token not in {None, self._tokens[0].reveal()}

    async def _change_limit(self) -> None:
        self._server.limit = self._rng.choice((300, 1000, 64 << 20))
        self._step(f"the server takes {self._server.limit} bytes")

    async def _rot(self) -> None:
        """A byte of a frame changes on the client's disk, after it was written and made durable."""
        if self._rng.random() < 0.7:
            return
        id_ = self._rng.choice(tuple(self._writers))
        written = self._writers[id_]
        if written.journal:
            written.journal.sync()
        paths = [
            path for path in self._disk.files if os.path.basename(path).startswith(id_) and path.endswith("j")
        ]
        if not paths:
            return
        path = self._rng.choice(paths)
        raw = self._disk.files[path]
        at = self._rng.randrange(len(raw))
        self._disk.files[path] = raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]
        # which frame it was in is not asked of the code under test: any frame of this file may be gone
        self._step(f"a byte of {path} changes at {at}")
        self._seen["rot"] += 1
        # One that was there before may be in a header, whose number is none then: of a frame that is spoiled already.
        self._spoiled |= {(id_, seq) for seq in _numbers_at(raw, at) if seq in written.frames}

    def _tear(self, id_: str) -> None:
        """A frame was half written when the process died."""
        paths = sorted(path for path in self._disk.files if os.path.basename(path).startswith(id_))
        if paths and paths[-1].endswith(".mldj") and self._rng.random() < 0.5:
            self._seen["torn"] += 1
            self._disk.files[paths[-1]] += b"\xf1mD\x9a" + self._rng.randbytes(self._rng.randrange(50))

    # --- what it takes

    @property
    def _alive(self) -> list[tuple[Uploader, asyncio.Task[None]]]:
        for _, task in self._uploaders:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise AssertionError(f"an uploader has raised {error!r}") from error
        return [(uploader, task) for uploader, task in self._uploaders if not task.done()]

    def _start_writer(self) -> None:
        id_ = f"{len(self._writers):016x}-1-{self._rng.randrange(1 << 32):08x}"
        journal = JournalWriter(
            "exp/journal",
            id_,
            disk=self._disk,
            clock=self._clock,
            segment_bytes=self._rng.choice((1, 600, 3_000, 1 << 20)),
        )
        self._writers[id_] = _Written(journal)
        self._step(f"{id_} starts")

    def _start_uploader(self) -> None:
        uploader = Uploader(
            Target(
                "exp", PREFIX, Client(self._line, self._clock), self._do, self._clock, self._rng, self._disk
            ),
            lambda: tuple(self._writers),
            token=self._token,
            about=lambda: {"tags": ["a"]},
            settled=self._settled,
            poll=_POLL,
        )
        task = self._loop.create_task(uploader.run())
        self._uploaders.append((uploader, task))
        self._step(f"uploader {len(self._uploaders)} starts")

    def _settled(self, id_: str) -> Callable[[], float]:
        written = self._writers[id_]
        return lambda: written.journal.durable_seq if written.journal else math.inf

    def _token(self) -> Token | None:
        return self._tokens[0]

    async def _do(self, work: Callable[[], _T]) -> _T:
        await asyncio.sleep(self._rng.choice((0.0, 0.0, 0.001, 0.05)))
        result = work()
        await asyncio.sleep(0)
        return result

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _step(self, step: str) -> None:
        self.steps.append(step)
        if self._aloud:
            print(f"{self._loop.time():12.3f}  {step}")

    def _report(self, error: Exception) -> str:
        steps = "\n".join(f"  {step}" for step in self.steps[-40:])
        return (
            f"seed {self.seed}: {error}\nthe last of {len(self.steps)} steps:\n{steps}\n"
            f"To see it again: UPLOAD_SEED={self.seed} pytest tests/upload/test_upload_stories.py"
        )


def _numbers_at(raw: bytes, at: int) -> set[int]:
    """The numbers of the frames of a sound segment that a byte belongs to."""
    found: set[int] = set()
    offset = raw.find(b"\xf1mD\x9a")
    while 0 <= offset <= len(raw) - 28:
        meta, data, seq = struct.unpack_from("<IIQ", raw, offset + 4)
        if offset <= at < offset + 28 + meta + data:
            found.add(seq)
        offset = raw.find(b"\xf1mD\x9a", offset + 4)
    return found


_ACTIONS = (
    *[Story._write] * 10,
    *[Story._wait] * 8,
    *[Story._change_weather] * 5,
    *[Story._clear_up] * 2,
    *[Story._restart] * 3,
    *[Story._start_another, Story._new_writer, Story._backup, Story._restore] * 2,
    *[Story._fill_disk, Story._change_token, Story._change_limit, Story._rot],
)
