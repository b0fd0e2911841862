"""A story in which client and server have all the bad luck there is, and a happy end.

Writers write journals, the real client uploads them through a proxy that follows a random schedule, and the server
stores them. Clients are killed and two of them run at once; the server is stopped, killed, and restored from a backup.
At the end the faults stop, and what the server has is compared with what was written.

A seed tells the same story: the same rows, the same schedule of faults, the same steps. Which request meets which fault
is up to the threads.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ml_dash.series import Kind
from tests.chaos.book import Book
from tests.chaos.faults import random_faults
from tests.chaos.proxy import ChaosProxy
from tests.chaos.servers import TOKEN, Host
from tests.chaos.uploading import Job, UploadThread, sync, until
from tests.chaos.warm import Nursery
from tests.support.elsewhere import Elsewhere
from tests.support.looking import Server

__all__ = ["Story"]

PATIENCE = 0.2
"""Seconds after which the client gives a request up while there are faults."""
DEADLINE = 40.0
"""Seconds for the happy end: how long it takes is no matter, only that it comes."""
_PAUSE = 0.1


class Story:
    """One story, told by `run`.

    Args:
        seed: which one.
        home: an empty directory.
        host: where the server is; its data are in ``server`` below `home`.
        nursery: gives birth to processes.
        elsewhere: another origin.
        aloud: whether to print each step.
    """

    def __init__(
        self,
        seed: int,
        home: Path,
        host: Host,
        nursery: Nursery,
        elsewhere: Elsewhere,
        *,
        aloud: bool = False,
    ) -> None:
        self.seed = seed
        self.seen: Counter[str] = Counter()
        self.steps: list[str] = []
        self._rng = random.Random(seed)
        self._home = home
        self._nursery = nursery
        self._elsewhere = elsewhere
        self._aloud = aloud
        self._data = home / "server"
        self._host = host
        self._threads: list[UploadThread] = []
        self._children: list[int] = []
        writers = self._rng.choice((1, 1, 2, 3))
        self._book = Book(home / "root", f"chaos/story{seed}/run", self._rng, writers)
        self._faults = random_faults(
            self._rng, self._rng.randint(5, 30), patience=PATIENCE, origin=elsewhere.origin
        )

    def run(self) -> None:
        """Tell it, and check its end.

        Raises:
            AssertionError: It did not end well; the message has the steps and the faults.
        """
        with ChaosProxy(0, self._faults) as proxy:
            self._proxy = proxy
            try:
                self._start_server()
                self._start_client()
                for _ in range(self._rng.randint(3, 9)):
                    self._step()
                self._end()
            except Exception as error:
                raise AssertionError(self._failure(error)) from error
            finally:
                self._clean_up()
                self.seen.update(proxy.counts)

    # --- steps

    def _step(self) -> None:
        steps: tuple[tuple[Callable[[], None], int], ...] = (
            (self._write, 8),
            (self._kill_client, 2),
            (self._start_client, 2),
            (self._restart_server, 2),
            (self._restore_backup, 2),
            (self._add_writer, 1),
            (self._pull_cable, 1),
        )
        step = self._rng.choices([step for step, _ in steps], [weight for _, weight in steps])[0]
        self._say(step.__name__.lstrip("_"))
        step()

    def _write(self) -> None:
        """Write a while, and let some requests pass."""
        for _ in range(self._rng.randint(1, 5)):
            self._book.write(self._rng.randint(1, 4), rows=self._rng.choice((1, 5, 50)))
            self._let_pass(self._rng.randint(1, 2))

    def _let_pass(self, requests: int) -> None:
        goal = len(self._proxy.incidents) + requests
        until(lambda: len(self._proxy.incidents) >= goal, _PAUSE)

    def _start_client(self) -> None:
        if len(self._threads) + len(self._children) >= 2:
            return
        job = self._job(PATIENCE)
        kind = self._rng.choice(("uploads here", "uploads", "syncs"))
        self.seen[kind] += 1
        match kind:
            case "uploads here":
                self._threads.append(UploadThread(job))
            case "uploads":
                self._children.append(self._nursery.upload(job))
            case "syncs":
                self._children.append(self._nursery.sync(job))
        if len(self._threads) + len(self._children) == 2:
            self.seen["two clients"] += 1

    def _kill_client(self) -> None:
        if self._children:
            self._nursery.kill(self._children.pop())
            self.seen["clients killed"] += 1
        elif self._threads:
            self._threads.pop().kill()
            self.seen["clients cancelled"] += 1
        if not self._children and not self._threads:
            self._start_client()

    def _restart_server(self) -> None:
        self._stop_server()
        self._let_pass(self._rng.randint(0, 3))
        self._start_server()

    def _restore_backup(self) -> None:
        """Take a backup; or, where there is one, make the server what it was then."""
        backup = self._home / "backup"
        self._stop_server()
        if backup.exists():
            self._let_pass(1)
            shutil.rmtree(self._data)
            shutil.move(backup, self._data)
            self.seen["backups restored"] += 1
        else:
            shutil.copytree(self._data, backup)
        self._start_server()

    def _add_writer(self) -> None:
        self._book.add_writer()

    def _pull_cable(self) -> None:
        self._proxy.hang_up()

    def _job(self, patience: float) -> Job:
        return Job(str(self._book.directory), self._book.prefix, self._proxy.url, TOKEN, patience)

    # --- the server

    def _start_server(self) -> None:
        self._url = self._host.start()
        self._proxy.target = int(self._url.rpartition(":")[2])

    def _stop_server(self) -> None:
        self._host.stop()
        self.seen[self._host.end] += 1

    # --- the end

    def _end(self) -> None:
        self._say("end")
        self._book.write(1)
        self._book.finish()
        self._end_clients()
        self._proxy.calm()
        client = UploadThread(self._job(DEADLINE))
        self._threads.append(client)
        server = Server(self._url, TOKEN)
        goal = self._book.watermarks
        drained = until(lambda: client.state.acknowledged_seq == goal, DEADLINE)
        assert drained, f"the client is at {client.state}, the journal at {goal}"
        client.stop()
        self._book.check(server.found(self._book.prefix))
        self._check_account(client)
        self._check_sync()
        self._book.check(server.found(self._book.prefix))
        assert not self._proxy.leaks, f"a token was shown: {self._proxy.leaks}"
        assert not self._elsewhere.visits, "a redirect to another origin was followed"

    def _check_sync(self) -> None:
        """Check that a sync finds that there is nothing left to send."""
        report = asyncio.run(sync(self._job(DEADLINE)))
        assert (report.left_behind, report.pending_bytes, report.sent_rows) == (None, 0, 0), report
        assert report.known_rows == len(self._logged()), report

    def _logged(self) -> list[str]:
        """Return the writer of each row that counts as logged."""
        entries = self._book.entries.values()
        return [entry.writer for entry in entries if entry.row.series.kind != Kind.RUN]

    def _check_account(self, client: UploadThread) -> None:
        """Check that logged = acknowledged + pending + dropped, with nothing pending and nothing dropped."""
        logged = Counter(self._logged())
        state = client.state
        assert {name: rows for name, rows in state.acknowledged_rows.items() if rows} == logged
        assert (sum(state.rejected_rows.values()), state.lost_frames, state.pending_frames) == (0, 0, 0)
        assert (state.online, state.last_error, state.stopped) == (True, None, True)

    def _end_clients(self) -> None:
        while self._children:
            self._nursery.kill(self._children.pop())
        while self._threads:
            self._threads.pop().kill()

    def _clean_up(self) -> None:
        self._end_clients()
        self._stop_server()
        self._book.close()

    def _say(self, what: str) -> None:
        self.steps.append(what)
        if self._aloud:
            print(what, self._book.watermarks)

    def _failure(self, error: Exception) -> str:
        faults = "\n".join(map(str, self._faults))
        return (
            f"{error!r}\n\nCHAOS_SEED={self.seed} tells this story again. Its steps: {', '.join(self.steps)}\n\n"
            f"schedule:\n{faults}\n\nwhat happened:\n{self._proxy.story()}"
        )
