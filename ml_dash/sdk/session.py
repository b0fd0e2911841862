"""The session: what an experiment's managers share, and nothing that a user gets hold of.

It knows which experiment is meant and where that goes, lets rows through while the run is open, and answers what has
become of them. It knows none of the managers: they come to it for ports and views, and leave callables in `on_end` and
`on_fork`.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import (
    InvalidArgumentError,
    JournalDamageWarning,
    JournalError,
    NotStartedError,
    RemoteError,
    ServerUnavailableError,
)
from ml_dash.forks import guarded_imports
from ml_dash.locks import MortalLock
from ml_dash.notices import warn_user
from ml_dash.pipeline.queue import ClosedQueue, ThroughQueue
from ml_dash.pipeline.runtime import RUNTIME, catching_up
from ml_dash.pipeline.threads import wait_for
from ml_dash.sdk.holders import Holders
from ml_dash.sdk.progress import flush_result, status_of
from ml_dash.sdk.series_port import Port
from ml_dash.spawning import imports_for_reading
from ml_dash.status import RunStatus
from ml_dash.storage.side_file import SIDE_FILE, experiment_record, json_bytes
from ml_dash.storage.standing import is_experiment
from ml_dash.values.pack import packer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_dash.client.destination import Destination
    from ml_dash.client.view import RemoteView
    from ml_dash.identity import Identity
    from ml_dash.pipeline.channel import Channel
    from ml_dash.pipeline.delivery import Recipient
    from ml_dash.pipeline.queue import Queue
    from ml_dash.pipeline.runtime import OpenRun
    from ml_dash.pipeline.stopping import Stopping
    from ml_dash.query.journal_view import JournalView
    from ml_dash.sdk.about import About
    from ml_dash.sdk.series_port import Put
    from ml_dash.series import Kind
    from ml_dash.settings import Settings
    from ml_dash.status import ExperimentStatus, FlushResult
    from ml_dash.upload.uploader import UploadState


class Session:
    """One `Experiment` object's hold on its experiment.

    Attributes:
        directory: where the experiment lies on disk.
        channel: the way of rows to the journal; None before the first start.
        run_status: of this object's run, as `Run` has set it; None before the first start.
        on_end: called when the run ends, before it is drained; with where to put rows, or None while ports are open.
        on_fork: called in a forked child, to forget what the parent had in memory, and the locks that it may have held.
        lock: held while ports, and the builders that have them, are made. Reentrant, as every lock that a signal
            handler of the main thread may find held by that very thread.
        holders: what the script holds of the experiment: nothing here may hold that.
        is_read_only: whether it was opened for reading, and no run of it starts.
        on_settle: called before the run ends, to wait a while for what is still to be put: with seconds at most.
        media: makes of a metric's name and a row's fields those that are stored, where there are media among them.
        stopping: whether the attempt that was begun last is asked to stop; None before the first.
        tell_missing: called where something is read of an experiment that is nowhere.
    """

    lock = MortalLock()

    def __init__(
        self, identity: Identity, destination: Destination, settings: Settings, about: About
    ) -> None:
        self.identity = identity
        self.destination = destination
        self.settings = settings
        self.about = about
        self.directory = about.directory
        self.channel: Channel | None = None
        self.run_status: str | None = None
        self.stopping: Stopping | None = None
        self.on_end: list[Callable[[Put | None], None]] = []
        self.on_fork: list[Callable[[], None]] = []
        self._closed = ClosedQueue(self._refusal)
        # Never shortened: ports belong to managers, which live as long as the session.
        self._ports: list[Port] = []
        self.lock = threading.RLock()
        self.holders = Holders()
        self.is_read_only = False
        self.tell_missing: Callable[[], None] = _say_nothing
        self.on_settle: list[Callable[[float], None]] = []
        self.media: Callable[[str | None, dict[str, Any]], dict[str, Any]] = _as_given
        self._bound: tuple[Channel, Queue] | None = None
        self._view: JournalView | None = None
        self._has_told_missing = False
        self._remote: RemoteView | None = None

    @property
    def prefix(self) -> str:
        """The experiment's whole prefix."""
        return self.identity.prefix

    # --- the run

    def open_channel(self, run: OpenRun) -> Channel:
        """Take hold of this process's channel for the experiment."""
        self.about.begin()
        recipient = None if self.destination.url is None else _recipient(self)
        self.channel = RUNTIME.opened(run, self.directory, self.settings, self.channel, recipient)
        return self.channel

    def wait_contact(self) -> None:
        """Wait, when the run starts, until the server has answered or was found to be out of reach: not for long."""
        if self.channel is not None and self.channel.delivery is not None:
            self.channel.delivery.wait_contact(self.settings.start_timeout)

    def description(self) -> dict[str, Any]:
        """Return what this run says of the experiment besides what it logs, as plain data."""
        return {"prefix": self.prefix, "url": self.destination.url, **self.about.record()}

    def log_rest(self, put: Put | None = None) -> None:
        """Have logged what the managers still hold, by `put` where the ports are closed."""
        for log_rest in self.on_end:
            log_rest(put)

    def forked(self) -> None:
        """Forget, in a forked child, what the parent had in memory, and the locks that it may have held."""
        self.lock = threading.RLock()
        self._view = self._remote = None  # they have locks, and the loop of a thread that is not here
        for forget in self.on_fork:
            forget()

    # --- ports

    def port(self, kind: Kind, name: str | None) -> Port:
        """Return a new way for rows of a series into the journal, open while the run is."""
        port = Port(kind, name, self._closed, self._fields_of)
        with self.lock:  # so that a run that starts meanwhile leaves no port closed
            self._ports.append(port)
            if self._bound is not None:
                port.bind(*self._bound)
        return port

    def _fields_of(self, name: str | None, fields: dict[str, Any]) -> dict[str, Any]:
        return self.media(name, fields)

    def bind(self, channel: Channel) -> None:
        """Let the managers write."""
        if RUNTIME.is_alone:
            packer()  # which the background thread imports where there is one
        queue: Queue = channel.queue
        # At the interpreter's exit nobody may come any more to write what is queued.
        if RUNTIME.closing or not self.settings.buffered:
            queue = ThroughQueue(channel.queue, lambda: RUNTIME.flush_through(channel))
        with self.lock:
            self._bound = channel, queue
            for port in self._ports:
                port.bind(channel, queue)
        self.snapshot()

    def unbind(self) -> None:
        """Have the managers refuse what is logged from now on."""
        with self.lock:
            self._bound = None
            for port in self._ports:
                port.unbind()

    def opened(self) -> Channel:
        """Return the channel of the run; raise `NotStartedError` where it is not open."""
        bound = self._bound
        if bound is None:
            raise NotStartedError(self._refusal())
        return bound[0]

    def _refusal(self) -> str:
        return _refusal(self.prefix, self.run_status, is_read_only=self.is_read_only)

    # --- views

    @property
    def view(self) -> JournalView | RemoteView:
        """The experiment as a reader sees it; see `Experiment.view`."""
        if self.destination.keeps:
            if self.run_status is None and not is_experiment(self.directory):
                self.tell_missing()
            return self.local_view
        # The server must have been given all that this process logged before it is asked.
        has_all = _flush(self, None)
        result = flush_result(self.channel, self.status())
        if result.pending and not has_all:
            raise ServerUnavailableError(
                f"{self.destination.url} cannot answer for {self.prefix!r}: {result.pending} events have not arrived "
                f"yet ({result.reason}). They are safe in {self.directory}; read again when the server is back"
            )
        return self.server_view()

    @property
    def local_view(self) -> JournalView:
        """The journal on this disk as a reader sees it, with everything in it that was logged before."""
        # Another object of this prefix may be the one that writes.
        channels = RUNTIME.live_channels(self.directory)
        for channel in dict.fromkeys([*channels, *([self.channel] if self.channel is not None else [])]):
            RUNTIME.write_queued(channel)
        with imports_for_reading():
            catch_up = catching_up()
        catch_up(self.directory)  # other processes may log to the experiment, or have died of it
        self._has_told_missing = self._has_told_missing or _tell_missing(self)
        return self.written

    @property
    def written(self) -> JournalView:
        """The journal as it is on disk, without what still waits in the queue."""
        if self._view is None:
            with guarded_imports(), imports_for_reading():
                from ml_dash.query.journal_view import JournalView

            self._view = JournalView(os.path.join(self.directory, "journal"))
        return self._view

    def server_view(self) -> RemoteView:
        """Return the experiment as its server has it now, whatever is still on its way there."""
        url = self.destination.url
        if url is None:
            raise InvalidArgumentError(f"{self.prefix!r} has no server: pass dash_url= to Experiment")
        if self._remote is None:
            with guarded_imports(), imports_for_reading():
                from ml_dash.client.api import Client
                from ml_dash.client.http import AiohttpTransport
                from ml_dash.client.view import RemoteView
                from ml_dash.tokens.current import token_for

            # On the background thread's loop, for which the caller waits: there may be none where it is asked.
            client = Client(AiohttpTransport(url, lambda: token_for(url), RUNTIME.look_up))
            self._remote = RemoteView(
                client,
                RUNTIME.ask,
                lambda: self.server_id,
                self.prefix,
                lambda: self.tell_missing(),  # noqa: PLW0108 - as it is then
            )
        return self._remote

    # --- what has become of the rows

    @property
    def upload(self) -> UploadState | None:
        """How far the upload is; None in local mode."""
        delivery = self.channel.delivery if self.channel is not None else None
        return delivery.state if delivery is not None else None

    def next_ns(self) -> int:
        """Return a time for a row of which the later one wins: behind all others of the experiment, as far as known.

        Those on this disk are known at the start of the run, those at the server when it has answered.
        """
        channel, upload = self.channel, self.upload
        after_ns = 0 if upload is None else upload.latest_ns or 0
        return SYSTEM_CLOCK.time_ns() if channel is None else channel.times.next_ns(after_ns)

    @property
    def server_id(self) -> str | None:
        """The server's id of the experiment; None where it is not known (yet)."""
        upload = self.upload
        return None if upload is None else upload.experiment_id

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Wait for the disk and the server; see `Experiment.flush`."""
        _flush(self, timeout)
        return flush_result(self.channel, self.status())

    async def aflush(self, timeout: float | None = None) -> FlushResult:
        """Wait for the disk and the server; see `Experiment.aflush`."""
        if self.channel is not None:
            started = SYSTEM_CLOCK.monotonic()
            done = RUNTIME.begin_flush(self.channel)
            await wait_for(done, timeout)
            if done.is_set() and (delivery := self.channel.delivery) is not None:
                await wait_for(delivery.begin_wait(), self.server_timeout(timeout, started))
        return flush_result(self.channel, self.status())

    def server_timeout(self, timeout: float | None, started: float) -> float:
        """Return the seconds that a flush which has `started` may wait for the server."""
        if timeout is None:
            return self.settings.flush_timeout
        # The caller has named one time for both waits.
        return max(0.0, started + timeout - SYSTEM_CLOCK.monotonic())

    def status(self) -> ExperimentStatus:
        """Count the rows of this process; see `Experiment.status`."""
        if self.run_status is None and not self.destination.keeps:
            return self._status_elsewhere()
        run_status = self.run_status or self.written.run(stale_after=self.settings.stale_after).status
        return status_of(self.channel, self.upload, run_status)

    def _status_elsewhere(self) -> ExperimentStatus:
        """Return the status of an experiment that only a server has, and that was not started here."""
        own = status_of(None, None, None)
        try:
            record = self.server_view().record() or {}
            return own._replace(status=record.get("status"), online=True)
        except (RemoteError, ServerUnavailableError) as error:  # asking how things stand does not raise
            return own._replace(last_error=str(error))

    def said(self, name: str) -> Any:
        """Return readme, tags, bindrs or metadata: what was given, else what is stored, here or at the server alone."""
        given = self.about.given[name]
        if given is not None:
            return given
        stored: Mapping[str, Any] | None
        if self.destination.keeps:
            stored = self.about.stored(self.written.run)
        elif self.channel is None:
            stored = self.server_view().record()
        else:  # a run is not made to wait for an answer: it knows what it was told when it reached the server
            stored = None if self.upload is None else self.upload.record
        return (stored or {}).get(name)

    def is_running(self) -> bool:
        """Say whether a run of the experiment is going on, here or elsewhere, by the journal on this disk."""
        if not os.path.isdir(self.directory):
            return False
        try:
            run = self.written.run(stale_after=self.settings.stale_after)
        except (JournalError, OSError):
            return True  # nobody can tell
        return run.status == RunStatus.RUNNING and not run.stale

    # --- readable side files

    def post_snapshot(self, name: str, produce: Callable[[], bytes]) -> None:
        """Have a side file replaced by what `produce` returns, once what is queued now is written."""
        if self.channel is not None:
            self.channel.post_snapshot(name, produce)

    def snapshot(self) -> None:
        """Have the readable ``experiment.json`` replaced."""
        self.post_snapshot(SIDE_FILE, self._snapshot)

    def _snapshot(self) -> bytes:
        info, destination = self.written.run(), self.destination
        run = info.with_status(info.status or self.run_status)
        said = self.about.known(info)
        return json_bytes(
            experiment_record(self.identity, root=destination.root, url=destination.url, said=said, run=run)
        )


def _refusal(prefix: str, status: str | None, *, is_read_only: bool) -> str:
    if is_read_only:
        return (
            f"{prefix!r} was opened for reading: to log to it, write Experiment({prefix!r}, …) with the arguments that "
            "it was logged with, and start its run"
        )
    state = "not started" if status is None else f"not started again since it ended ({status})"
    return (
        f"the run of {prefix!r} is {state}, so nothing can be logged: call "
        "experiment.run.start() first, or log inside `with experiment.run:`"
    )


def _say_nothing() -> None:
    pass


def _as_given(_: str | None, fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def _recipient(session: Session) -> Recipient:
    with guarded_imports():
        from ml_dash.pipeline.delivery import Recipient  # of no use where nothing is sent

    return Recipient(session.destination, session.prefix, session.about.saying)


def _tell_missing(session: Session) -> bool:
    """Warn of rows that dead processes may have left where they cannot be had; True, since that is done once."""
    with suppress(JournalError, OSError):  # what cannot be read is told of by the question
        run = session.written.run(stale_after=session.settings.stale_after)
        if run.unended or run.damaged:
            with guarded_imports(), imports_for_reading():
                from ml_dash.storage.unrecovered import missing_of

            for text in missing_of(run, dead_only=True):
                warn_user(f"{session.prefix}: {text}", JournalDamageWarning)
    return True


def _flush(session: Session, timeout: float | None) -> bool:
    """Do as `Session.flush`; True where all has arrived that was logged before, whatever others log meanwhile."""
    channel = session.channel
    if channel is None:
        return True
    started = SYSTEM_CLOCK.monotonic()
    delivery = channel.delivery
    has_arrived = bool if delivery is None else delivery.begin_mark(delivery.blobs)
    # What is not even on disk cannot be at the server: the rest of the time would be waited in vain.
    if RUNTIME.flush(channel, timeout) and delivery is not None and channel.delivery is not None:
        if channel.delivery is not delivery:  # it has come to be another writer's
            delivery = channel.delivery
            has_arrived = delivery.begin_mark(delivery.blobs)
        has_arrived()  # notes up to which frame it is, before there are more
        delivery.begin_wait().wait(session.server_timeout(timeout, started))
    return has_arrived() and delivery is channel.delivery
