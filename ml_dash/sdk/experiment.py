"""The experiment: wires the managers to the pipeline."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_dash.client.destination import destination, make_outbox
from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError, JournalWriteError, ServerUnavailableError
from ml_dash.identity import Identity, current_user, parse_prefix, script_stem
from ml_dash.pipeline.channel import Channel, Counters
from ml_dash.pipeline.delivery import Delivery
from ml_dash.pipeline.queue import ThroughQueue
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.pipeline.threads import wait_for
from ml_dash.sdk.about import About
from ml_dash.sdk.files.manager import FilesManager
from ml_dash.sdk.logs import LogManager
from ml_dash.sdk.metrics import MetricsManager
from ml_dash.sdk.params import ParametersBuilder
from ml_dash.sdk.remote_view import open_remote_view
from ml_dash.sdk.run import RunManager
from ml_dash.sdk.series_port import Port, Put
from ml_dash.sdk.tracks import TracksManager
from ml_dash.settings import Overflow, Settings, check_overflow
from ml_dash.status import ExperimentStatus, FlushResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_dash.client.view import RemoteView
    from ml_dash.journal.writer import JournalWriter
    from ml_dash.pipeline.queue import Queue
    from ml_dash.query.journal_view import JournalView
    from ml_dash.series import Kind
    from ml_dash.upload.uploader import UploadState

__all__ = ["Experiment", "ExperimentStatus", "FlushResult"]


class Experiment:
    """One run of one experiment: the main entry point.

    Args:
        prefix: ``owner/project/path…/name``; the notes in the guide say what shorter ones mean.
        readme: description for people.
        tags: for search.
        bindrs: for organisation.
        metadata: anything else that is worth keeping.
        dash_url: the server's URL, or True for the default one; None keeps everything on this machine.
        dash_root: directory of the local journals; None keeps a journal only until the server has it.
        description: a synonym of `readme`.
        echo: whether `log` prints on the console; default: the environment's ``ML_DASH_ECHO``.
        overflow: at a full queue ``"block"`` the caller or ``"drop"`` the row and count it.

    Raises:
        InvalidPrefixError: the prefix cannot name an experiment.
        InvalidArgumentError: another argument has a value of the wrong kind, or there is nowhere to write.

    Example:
        >>> with Experiment("alice/vision/resnet", dash_root=".dash").run as exp:
        ...     exp.metrics("train").log(loss=0.5)
    """

    def __init__(
        self,
        prefix: str | None = None,
        *,
        readme: str | None = None,
        tags: Sequence[str] | None = None,
        bindrs: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        dash_url: str | bool | None = None,
        dash_root: str | os.PathLike[str] | None = ".dash",
        description: str | None = None,
        echo: bool | None = None,
        overflow: Overflow | None = None,
    ) -> None:
        self._arguments = {k: v for k, v in locals().items() if k != "self" and v is not None}
        self._settings = _settings(echo, overflow)
        self._identity = _identity(prefix)
        self._destination = destination(dash_url, dash_root)
        self._directory = self._identity.directory(self._destination.root)
        self._about = About(
            self._directory,
            readme=readme,
            tags=tags,
            bindrs=bindrs,
            metadata=metadata,
            description=description,
        )
        self._view: JournalView | None = None
        self._remote: RemoteView | None = None
        self.channel: Channel | None = None
        self.run = RunManager(self)
        self._ports: list[Port] = []
        self._ports_lock = threading.RLock()
        self._bound: tuple[Channel, Queue] | None = None
        self.params = ParametersBuilder(self)
        self.metrics = MetricsManager(self)
        self.tracks = TracksManager(self)
        self.files = FilesManager(self)
        self.logs = LogManager(self, echo=self._settings.echo)

    def __repr__(self) -> str:
        return f"Experiment({self.prefix!r}, {self.run.status or 'not started'})"

    def __reduce__(self) -> tuple[Callable[..., Experiment], tuple[dict[str, Any]]]:
        """Pickle as the same experiment, not started: a spawned process starts it for itself."""
        return rebuild, ({**self._arguments, "prefix": self.prefix, **self._destination.arguments},)

    @property
    def prefix(self) -> str:
        """The whole prefix: ``owner/project/path…/name``."""
        return self._identity.prefix

    @property
    def owner(self) -> str:
        """The first segment of the prefix."""
        return self._identity.owner

    @property
    def project(self) -> str:
        """The second segment of the prefix."""
        return self._identity.project

    @property
    def folder(self) -> str:
        """The path between project and name; empty if there is none."""
        return self._identity.folder

    @property
    def name(self) -> str:
        """The last segment of the prefix."""
        return self._identity.name

    @property
    def readme(self) -> str | None:
        """The description for people: the one given, else the one stored."""
        return self._about.readme

    @property
    def tags(self) -> list[str]:
        """The tags given, else those stored."""
        return self._about.tags

    @property
    def bindrs(self) -> list[str]:
        """The bindrs given, else those stored."""
        return self._about.bindrs

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata given, else those stored."""
        return self._about.metadata

    @property
    def id(self) -> str | None:
        """The server's id of the experiment: None in local mode, and before the server was reached."""
        state = self._upload_state
        return None if state is None else state.experiment_id

    @property
    def data(self) -> dict[str, Any] | None:
        """The server's record of the experiment, as it was when the server was reached; None as for `id`."""
        state = self._upload_state
        if state is None or state.record is None:
            return None
        # The status as it is now: the server's answer is older than the run, and is not asked for again.
        return {**state.record, "status": self.run.status or state.record.get("status")}

    @property
    def url(self) -> str | None:
        """The server that the experiment is sent to; None in local mode."""
        return self._destination.url

    @property
    def directory(self) -> str:
        """Where the experiment lies on disk: its journal and its readable side files."""
        return self._directory

    @property
    def view(self) -> JournalView | RemoteView:
        """The experiment as a reader sees it, with everything in it that was logged before.

        That is the journal, or where it is not kept, the server.

        Raises:
            ServerUnavailableError: the server does not have all that was logged before, and cannot be reached.
        """
        return self.local_view if self._destination.keeps else self._remote_view()

    @property
    def local_view(self) -> JournalView:
        """The journal on this disk as a reader sees it, with everything in it that was logged before."""
        # Another object of this prefix may be the one that writes.
        channels = RUNTIME.live_channels(self._directory)
        for channel in dict.fromkeys([*channels, *([self.channel] if self.channel is not None else [])]):
            RUNTIME.settle(channel)
        return self.written

    def _remote_view(self) -> RemoteView:
        result = self.flush()
        if result.pending:
            msg = (
                f"{self._destination.url} cannot answer for {self.prefix!r}: {result.pending} rows are not there yet "
                f"({result.reason}). They are safe in {self._directory}; read again when the server is back"
            )
            raise ServerUnavailableError(msg)
        return self.server_view()

    def server_view(self) -> RemoteView:
        """Return the experiment as its server has it now, whatever is still on its way there."""
        if self._destination.url is None:
            raise InvalidArgumentError(f"{self.prefix!r} has no server: pass dash_url= to Experiment")
        if self._remote is None:
            self._remote = open_remote_view(self._destination.url, self.prefix, lambda: self.id)
        return self._remote

    @property
    def written(self) -> JournalView:
        """The journal as it is on disk, without what still waits in the queue."""
        if self._view is None:
            from ml_dash.query.journal_view import JournalView

            self._view = JournalView(os.path.join(self._directory, "journal"))
        return self._view

    def log(
        self,
        /,
        message: str,
        level: str | None = "info",
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log a message.

        Args:
            message: the text.
            level: debug, info, warn (or warning), error or fatal, in any case.
            metadata: structured data that belongs to the message.
            **kwargs: more of it; these win over equal keys of `metadata`.

        Raises:
            InvalidArgumentError: the level is not known.
            NotStartedError: the run is not open.
        """
        self.logs.write(message, level, metadata, kwargs)

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Wait until everything logged so far is on disk, and then for the server, as long as that can be reached.

        Args:
            timeout: seconds to wait at most; None waits for the disk for as long as it takes, and for the server
                ``ML_DASH_FLUSH_TIMEOUT`` seconds.

        Returns:
            What is durable, what is acknowledged and what is neither. It never raises for a disk or a server that
            refuses: `reason` says so.
        """
        if self.channel is not None:
            started = SYSTEM_CLOCK.monotonic()
            done = RUNTIME.flush(self.channel, timeout)
            if done and self.channel.delivery is not None:
                self.channel.delivery.wait_acknowledged(self._server_timeout(timeout, started))
        return self._flushed()

    def _server_timeout(self, timeout: float | None, started: float) -> float:
        """Return how long a flush may still wait for the server."""
        if timeout is None:
            return self._settings.flush_timeout
        return max(0.0, started + timeout - SYSTEM_CLOCK.monotonic())

    async def aflush(self, timeout: float | None = None) -> FlushResult:
        """Do as `flush` does, without blocking the event loop; it can be cancelled at any time."""
        if self.channel is not None:
            started = SYSTEM_CLOCK.monotonic()
            done = RUNTIME.begin_flush(self.channel)
            await wait_for(done, timeout)
            if done.is_set() and (delivery := self.channel.delivery) is not None:
                await wait_for(delivery.begin_wait(), self._server_timeout(timeout, started))
        return self._flushed()

    def _flushed(self) -> FlushResult:
        status = self.status()
        return FlushResult(
            durable=status.durable,
            acknowledged=status.acknowledged,
            pending=status.pending,
            dropped=sum(status.dropped.values()),
            online=status.online,
            reason=self._reason(status),
        )

    def _reason(self, status: ExperimentStatus) -> str | None:
        """Say why something is pending."""
        if not status.pending:
            return None
        channel = self.channel
        if channel is not None and channel.failing:
            return f"the disk refuses: {status.last_error}"
        if (
            channel is None
            or channel.delivery is None
            or status.durable < status.logged - sum(status.dropped.values())
        ):
            return "not yet on disk"
        if status.online:
            files = f", with the contents of {status.pending_files} file(s)" if status.pending_files else ""
            return f"on disk, and being sent to {channel.delivery.url}{files}"
        if status.last_error is None:
            return f"on disk; {channel.delivery.url} has not answered yet"
        return f"on disk, and not sent since {status.offline_since}: {status.last_error}"

    def status(self) -> ExperimentStatus:
        """Say what has become of the rows that this process logged, and how the run stands; waits for nothing."""
        channel = self.channel
        counters = channel.counters() if channel is not None else Counters()
        upload = self._upload_state
        return ExperimentStatus(
            status=self.run.status or self.written.run(stale_after=self._settings.stale_after).status,
            logged=counters.logged,
            durable=counters.durable,
            acknowledged=counters.acknowledged,
            pending=counters.pending,
            dropped=dict(counters.dropped),
            pending_bytes=(counters.pending_bytes if upload is None else upload.pending_bytes)
            + counters.pending_blob_bytes,
            pending_frames=0 if upload is None else upload.pending_frames,
            pending_files=counters.pending_files,
            online=upload is not None and upload.online,
            offline_since=_iso(upload.offline_since_ns) if upload is not None else None,
            last_error=(channel.last_error if channel is not None else None)
            or (upload.last_error if upload is not None else None),
        )

    @property
    def _upload_state(self) -> UploadState | None:
        delivery = self.channel.delivery if self.channel is not None else None
        return delivery.state if delivery is not None else None

    def description(self) -> dict[str, Any]:
        """Return what is known of the experiment besides what it logged, as plain data."""
        return {"prefix": self.prefix, "url": self._destination.url, **self._about.record()}

    def prepare_directory(self) -> None:
        """Make the experiment's directory; JournalWriteError where that cannot be."""
        journal = os.path.join(self._directory, "journal")
        try:
            if not self._destination.keeps:
                make_outbox()
            os.makedirs(journal, exist_ok=True)
            refused = None if os.access(journal, os.W_OK | os.X_OK) else "permission denied"
        except OSError as error:
            refused = error.strerror or str(error)
        if refused is not None:
            msg = (
                f"cannot write the journal of {self.prefix!r} in {journal!r}: {refused}. "
                "Pass another dash_root=, or make that directory writable"
            )
            raise JournalWriteError(msg)

    def open_channel(self, run: RunManager) -> Channel:
        """Take hold of this process's channel for the experiment."""
        connect = None if self._destination.url is None else self._connect
        replay = None if self._destination.url is None else self._destination
        self.channel = RUNTIME.opened(run, self._directory, self._settings, self.channel, connect, replay)
        if self.channel.delivery is not None and self._destination.url is not None:
            self.channel.delivery.describe(self._about.record)
        return self.channel

    def _connect(self, directory: str, writer_id: str, writer: JournalWriter) -> Delivery:
        return Delivery(directory, writer_id, writer, self._destination, self.prefix, self._about.record)

    def wait_contact(self) -> None:
        """Wait, when the run starts, until the server has answered or was found to be out of reach: not for long."""
        if self.channel is not None and self.channel.delivery is not None:
            self.channel.delivery.wait_contact(self._settings.start_timeout)

    def bind(self, channel: Channel) -> None:
        """Let the managers write."""
        through = RUNTIME.closing or not self._settings.buffered
        queue: Queue = channel.queue
        if through:
            queue = ThroughQueue(channel.queue, lambda: RUNTIME.flush_through(channel))
        with self._ports_lock:
            self._bound = channel, queue
            for port in self._ports:
                port.bind(channel, queue)
        self.post_snapshot()

    def port(self, kind: Kind, name: str | None) -> Port:
        """Return a new way for rows of a series into the journal, open while the run is."""
        port = Port(self, kind, name)
        with self._ports_lock:
            self._ports.append(port)
            if self._bound is not None:
                port.bind(*self._bound)
        return port

    def unbind(self) -> None:
        """Have the managers refuse what is logged from now on."""
        with self._ports_lock:
            self._bound = None
            for port in self._ports:
                port.unbind()

    def summarize_leftovers(self, put: Put | None = None) -> None:
        """Log the mean of what was buffered and never summarised; see `MetricsManager.summarize_leftovers`."""
        self.metrics.summarize_leftovers(put)

    def forked(self) -> None:
        """Forget, in a forked child, what the parent had buffered, and the locks that it may have held."""
        self._ports_lock = threading.RLock()
        self._view = self._remote = None
        self.metrics.forked()
        self.tracks.forked()
        self.files.forked()

    def post_snapshot(self) -> None:
        """Have the readable ``experiment.json`` replaced."""
        if self.channel is not None:
            self.channel.post_snapshot("experiment.json", self._snapshot)

    def _snapshot(self) -> bytes:
        import json

        from ml_dash.query.times import iso_time

        info = self.written.run()
        record = {
            **self.description(),
            "owner": self.owner,
            "project": self.project,
            "folder": self.folder,
            "name": self.name,
            "status": info.status or self.run.status,
            "startedAt": info.started_at and iso_time(info.started_at),
            "endedAt": info.ended_at and iso_time(info.ended_at),
            "error": info.error,
            "updatedAt": iso_time(SYSTEM_CLOCK.time_ns()),
        }
        return json.dumps(record, indent=2, default=str).encode()


def _iso(time_ns: int | None) -> str | None:
    from ml_dash.query.times import iso_time

    return None if time_ns is None else iso_time(time_ns)


def rebuild(arguments: dict[str, Any]) -> Experiment:
    """Make an experiment of the arguments that it was pickled as."""
    return Experiment(**arguments)


def _settings(echo: bool | None, overflow: Overflow | None) -> Settings:
    settings = Settings.from_environment()
    if echo is not None:
        settings = replace(settings, echo=bool(echo))
    if overflow is not None:
        settings = replace(settings, overflow=check_overflow(overflow))
    return settings


def _identity(prefix: str | None) -> Identity:
    return parse_prefix(prefix, user=current_user, now_ns=SYSTEM_CLOCK.time_ns, script=script_stem())
