"""The relay: follows the journals below a root that live runs write, and sends them within seconds.

A relay holds nothing that is not on the disk or at the server: it may be killed at any point. What it sends again the
server ignores, by its watermarks; what it has not sent is in the journals.

- Every second it looks what has changed (`RootWatch`), and sends that, several experiments at once.
- A server that is out of reach is tried by one experiment at a time, after a back-off; that is told once, and when it
  is over.
- What concerns one experiment alone is told once, and tried again a minute later. It holds up no other.
- Two relays on one root do no harm, and are of no use: whoever comes second is told (`relay_lock`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.client.retry import Backoff, trouble_of
from ml_dash.client.transport import ServerError
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import InvalidArgumentError, MLDashError
from ml_dash.processes import host_name
from ml_dash.query.times import iso_time
from ml_dash.storage.file_locks import try_lock
from ml_dash.storage.marks import SUMMARIES
from ml_dash.upload.relay_watch import RootWatch
from ml_dash.upload.relayed import ENDED, Relayed
from ml_dash.upload.sync_many import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import RunBlocking
    from ml_dash.client.retry import Trouble
    from ml_dash.upload.relayed import Step

LOOK_SECONDS = 1.0
TOUCH_SECONDS = 5.0
"""After which an experiment that goes on has its turn though nothing is new: its run may be asked to stop."""
SUMMARY_SECONDS = 60.0
DRAIN_SECONDS = 5.0
_RARELY_SECONDS = 60.0
_STALE_SECONDS = 90.0
"""Of silence, after which a run may have died without a word."""
_JUDGED_SECONDS = 10.0
_LOCK = "relay.lock"


class Event(NamedTuple):
    """What a relay tells.

    Attributes:
        kind: ``following``, ``found``, ``ended``, ``local``, ``away``, ``back``, ``trouble``, ``summary`` or
            ``stopped``.
        message: For people.
        fields: For programs.
    """

    kind: str
    message: str
    fields: dict[str, Any]


@dataclass(slots=True)
class _Followed:
    """An experiment that has something new, or goes on."""

    watch: RootWatch
    path: str
    relayed: Relayed
    is_due: bool = True
    is_told: bool = False
    changed_at: float = 0.0
    stepped_at: float = 0.0
    judged_at: float = float("-inf")
    rests_until: float = 0.0
    said: set[str] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Away:
    """A server that is out of reach."""

    since: float
    backoff: Backoff
    until: float


class Relay:
    """Follows roots; all of it runs on one event loop.

    Args:
        roots: The directories.
        client_of: Returns the client of a server.
        run_blocking: Reads files on another thread.
        tell: Takes what is told, one line each.
        to: The server that all is sent to; None for those that the runs were meant for.
        recreate: Whether to bring back what was deleted at a server.
        clock: The time.
    """

    def __init__(
        self,
        roots: list[str],
        client_of: Callable[[str], Client],
        run_blocking: RunBlocking,
        tell: Callable[[Event], None],
        *,
        to: str | None = None,
        recreate: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.watches = [RootWatch(root) for root in roots]
        self._client_of = client_of
        self._run = run_blocking
        self._tell = tell
        self._to = to
        self._recreate = recreate
        self._clock = clock
        self._followed: dict[str, _Followed] = {}
        self._away: dict[str, _Away] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._rows = self._files = self._ended = 0
        self._summed_at = clock.monotonic()
        self._is_lost: set[str] = set()
        self._is_local_told = False

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set; then send what can be sent at once, and remember how far all is."""
        try:
            is_first = True
            while not stop.is_set():
                await self._turn()
                if is_first:
                    is_first = False
                    self._say_following()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            await self._drain()
        finally:
            await self._close()

    async def _turn(self) -> None:
        for watch in self.watches:
            for path in await self._look(watch):
                self._changed(watch, path)
        self._begin()
        self._sum_up()

    async def _look(self, watch: RootWatch) -> list[str]:
        try:
            found = await self._run(watch.look)
        except (InvalidArgumentError, OSError) as error:
            if watch.root not in self._is_lost:
                self._is_lost.add(watch.root)
                self._say("trouble", f"{watch.root} cannot be looked at: {error}", root=watch.root)
            return []
        if watch.root in self._is_lost:
            self._is_lost.discard(watch.root)
            self._say("back", f"{watch.root} can be looked at again", root=watch.root)
        return found

    def _changed(self, watch: RootWatch, path: str) -> None:
        directory = watch.directory_of(path)
        followed = self._followed.get(directory)
        if followed is None:
            relayed = Relayed(
                directory,
                self._client_of,
                self._run,
                to=self._to,
                recreate=self._recreate,
                say=lambda kind, message: self._say_once(directory, kind, message),
                claim=lambda url, prefix: self._claim(directory, url, prefix),
                clock=self._clock,
            )
            followed = self._followed[directory] = _Followed(watch, path, relayed)
        followed.is_due = True
        followed.changed_at = self._clock.monotonic()

    # --- sending

    def _begin(self) -> None:
        """Begin whatever may begin now, what has waited longest first."""
        now = self._clock.monotonic()
        running = [each for each in self._followed.values() if each.task is not None]
        trying = {url for each in running for url in each.relayed.urls if url in self._away}
        room = AT_ONCE - len(running)
        waiting = [each for each in self._followed.values() if each.task is None and self._is_due(each, now)]
        for followed in sorted(waiting, key=lambda each: each.stepped_at):
            if room <= 0:
                return
            away = [url for url in followed.relayed.urls if url in self._away]
            # of a server that is out of reach, one asks at a time
            if any(url in trying or self._away[url].until > now for url in away):
                continue
            trying.update(away)
            room -= 1
            followed.stepped_at = now
            followed.task = asyncio.ensure_future(self._step(followed))

    def _is_due(self, followed: _Followed, now: float) -> bool:
        if now < followed.rests_until:
            return False
        return followed.is_due or now - followed.stepped_at >= TOUCH_SECONDS

    async def _step(self, followed: _Followed) -> None:
        relayed = followed.relayed
        now = self._clock.monotonic()
        may_be_over = relayed.status in ENDED or now - followed.changed_at >= _STALE_SECONDS
        # for that, its journal is read: not every second, where other processes of it go on
        may_be_over = may_be_over and now - followed.judged_at >= _JUDGED_SECONDS
        if may_be_over:
            followed.judged_at = now
        followed.is_due = False
        try:
            step = await relayed.step(may_be_over=may_be_over)
            self._stepped(followed, step)
            followed.is_due = followed.is_due or (relayed.status in ENDED and not may_be_over)
        except (MLDashError, OSError) as error:
            followed.is_due = True
            relayed.disconnect()
            self._failed(followed, error)
        finally:
            followed.task = None

    def _stepped(self, followed: _Followed, step: Step) -> None:
        relayed, directory = followed.relayed, followed.watch.directory_of(followed.path)
        for url in relayed.connected:
            self._in_touch(url)
        self._rows += step.rows
        self._files += step.files
        followed.said.clear()
        if relayed.is_local and not self._is_local_told:
            self._is_local_told = True
            told = f"{relayed.prefix} is in local mode, as others may be, and is not sent: --to URL sends these, too"
            self._say("local", told, prefix=relayed.prefix)
        if relayed.connected and not followed.is_told and not step.is_over:
            followed.is_told = True
            self._say("found", f"{relayed.prefix} is followed", prefix=relayed.prefix, directory=directory)
        if step.left_behind is not None:
            self._say_once(directory, "left", f"{relayed.prefix}: not all of it is sent: {step.left_behind}")
        if step.is_over and not followed.is_due:
            self._end(followed, directory, had_news=followed.is_told or bool(step.rows or step.files))

    def _claim(self, directory: str, url: str, prefix: str) -> bool:
        """Say whether no other directory is sent under this name: two would be mixed there. From any thread."""
        other = self._names.setdefault((url, prefix), directory)
        if other != directory and not os.path.isdir(other):
            other = self._names[url, prefix] = directory
        return other == directory

    def _end(self, followed: _Followed, directory: str, *, had_news: bool) -> None:
        relayed = followed.relayed
        followed.watch.live.discard(followed.path)
        self._followed.pop(directory, None)
        self._ended += 1
        relayed.close()
        if had_news:
            status = relayed.status if relayed.status in ENDED else "silent"
            self._say(
                "ended",
                f"{relayed.prefix} is {status}, and is all there",
                prefix=relayed.prefix,
                status=status,
            )

    # --- trouble

    def _failed(self, followed: _Followed, error: Exception) -> None:
        relayed, directory = followed.relayed, followed.watch.directory_of(followed.path)
        trouble = trouble_of(error, relayed.at, str(relayed.prefix), directory, connected=True)
        now = self._clock.monotonic()
        is_unknown = isinstance(error, ServerError) and error.status == 401
        if is_unknown or trouble.kind in {"network", "server"}:
            self._lose_touch(relayed.at, trouble, now)
            return
        followed.rests_until = now + (_RARELY_SECONDS if trouble.patience != "soon" else 1.0)
        self._say_once(directory, trouble.kind, trouble.reason)

    def _lose_touch(self, url: str, trouble: Trouble, now: float) -> None:
        away = self._away.get(url)
        if away is None:
            away = self._away[url] = _Away(now, Backoff(most=30.0), now)
            self._say(
                "away",
                f"{trouble.reason}. It is tried again until it works; all of it stays in the journals",
                url=url,
                reason=trouble.reason,
            )
        away.until = now + away.backoff.next(trouble.retry_after)

    def _in_touch(self, url: str) -> None:
        away = self._away.pop(url, None)
        if away is not None:
            seconds = self._clock.monotonic() - away.since
            self._say("back", f"{url} is back, after {seconds:.0f} s", url=url, seconds=seconds)

    # --- what is told

    def _say(self, kind: str, message: str, **fields: Any) -> None:
        self._tell(
            Event(
                kind,
                message,
                {"event": kind, "at": iso_time(self._clock.time_ns()), "message": message, **fields},
            )
        )

    def _say_once(self, directory: str, kind: str, message: str) -> None:
        followed = self._followed.get(directory)
        if followed is not None and kind not in followed.said:
            followed.said.add(kind)
            self._say("trouble", message, directory=directory, reason=message)

    def _say_following(self) -> None:
        count = sum(watch.experiments for watch in self.watches)
        roots = [watch.root for watch in self.watches]
        self._say(
            "following",
            f"following {', '.join(roots)}: {count:,} experiments; Ctrl-C ends it",
            roots=roots,
            experiments=count,
        )

    def _sum_up(self, *, force: bool = False) -> None:
        now = self._clock.monotonic()
        if not force and now - self._summed_at < SUMMARY_SECONDS:
            return
        self._summed_at = now
        live = sum(1 for each in self._followed.values() if each.relayed.urls)
        waiting = sum(1 for each in self._followed.values() if each.is_due)
        rows, files, ended = self._rows, self._files, self._ended
        self._rows = self._files = self._ended = 0
        if not (force or rows or files or ended or self._away):
            return  # a night in which nothing runs is told in no lines
        away = f", {', '.join(self._away)} out of reach" if self._away else ""
        self._say(
            "summary",
            f"{live:,} going on, {ended:,} ended; {rows:,} events and {files:,} files sent{away}",
            live=live,
            ended=ended,
            events=rows,
            files=files,
            waiting=waiting,
            away=sorted(self._away),
        )

    # --- the end

    async def _drain(self) -> None:
        """Send what is written by now, for a few seconds."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._send_rest(), DRAIN_SECONDS)

    async def _send_rest(self) -> None:
        await self._turn()
        while tasks := [each.task for each in self._followed.values() if each.task is not None]:
            await asyncio.wait(tasks)
            if not self._away:
                self._begin_due()

    def _begin_due(self) -> None:
        if any(each.is_due for each in self._followed.values()):
            self._begin()

    async def _close(self) -> None:
        tasks = [each.task for each in self._followed.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for followed in self._followed.values():
            with contextlib.suppress(MLDashError, OSError):
                await followed.relayed.finish()
        self._sum_up(force=True)
        left = sorted(str(each.relayed.prefix) for each in self._followed.values() if each.is_due)
        self._say(
            "stopped",
            f"stopped; {len(left):,} experiments have more to send" if left else "stopped; all of it is sent",
            left=left,
        )


@contextlib.contextmanager
def relay_lock(root: str) -> Iterator[str | None]:
    """Hold a root for one relay; give who has it already, or None where this one has it.

    A root that cannot be written, or whose file system has no locks, is held by nobody: several relays do no harm.
    """
    path = os.path.join(root, SUMMARIES, _LOCK)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError:
        yield None
        return
    try:
        if not try_lock(descriptor):
            yield _holder(descriptor)
            return
        told = json.dumps(
            {"host": host_name(), "pid": os.getpid(), "since": iso_time(SYSTEM_CLOCK.time_ns())}
        )
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, told.encode(), 0)
        yield None
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        told = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {told['pid']} on {told['host']}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
