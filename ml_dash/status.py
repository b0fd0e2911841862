"""How a run stands, and what has become of the events that were logged, as users are told."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NoReturn

from ml_dash.errors import InvalidCallError
from ml_dash.records import NamedTuple


class RunStatus(str, Enum):
    """The status of a run, equal to the string that stands for it on disk, on the wire and in every answer."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    # Users print statuses. An Enum's own methods would make that "RunStatus.RUNNING", in f-strings on some versions of
    # Python only; `enum.StrEnum` is not there before 3.11, and has the Enum's repr.
    __str__ = str.__str__
    __repr__ = str.__repr__

    if not TYPE_CHECKING:  # a type checker says it, too

        def __call__(self, *_: object, **__: object) -> NoReturn:
            """Say that a status is no method: of `exp`, it is one, with the counters."""
            raise InvalidCallError(
                f"this is the text {str(self)!r}, and not a function: write exp.run.status, or exp.status() for the "
                "counters"
            )


class FlushResult(NamedTuple):
    """What `Experiment.flush` can vouch for. Counts are of events: all that was logged, not rows of metrics alone.

    Attributes:
        durable: events that an fsync has confirmed on the local disk.
        acknowledged: events that reached their last destination: the server, or in local mode the disk.
        pending: events that have not.
        dropped: events left out, for whatever reason.
        online: whether the server is reachable; False in local mode.
        reason: why something is pending, or None.
    """

    durable: int
    acknowledged: int
    pending: int
    dropped: int
    online: bool
    reason: str | None


class ExperimentStatus(NamedTuple):
    """What has become of the events logged by this process; see `FlushResult`.

    Attributes:
        status: RUNNING, COMPLETED, FAILED or CANCELLED; of a run that this object did not start, what its journal
            says; None before the first start.
        logged: events that the script logged: ``logged == acknowledged + pending + dropped``. An event is a row of a
            metric, a message, a call of ``params.set``, an entry of a track, or what is done with a file.
        durable: events confirmed on disk.
        acknowledged: events that reached their last destination.
        pending: events that have not, yet.
        dropped: events left out, by reason.
        pending_bytes: bytes written and not yet acknowledged, those of files too.
        pending_frames: frames, of at least one event each, written and not yet acknowledged by the server.
        pending_files: contents of files that the server does not have yet; the event that saves one is pending, too.
        online: whether the server is reachable; False in local mode.
        offline_since: since when it is not, ISO 8601; None while it is, and in local mode.
        last_error: the last refusal of the disk or of the server, or None.
        earlier_bytes: bytes that earlier runs of the experiment have left here, and that the server does not have; they
            are sent beside this run's events, and are not counted in the others.
        queue: where events wait for the journal: "shared memory", which survives this process, or "memory"; None before
            the first start. What has no room there, as where the disk refuses for long, is in its own memory.
        recovered: events that earlier processes had left in shared memory, appended to the journal by this start.
        on_devices: of the pending events, those of which values are on their way from a device; they are in this
            process's memory only.
    """

    status: str | None
    logged: int
    durable: int
    acknowledged: int
    pending: int
    dropped: dict[str, int]
    pending_bytes: int
    pending_frames: int
    pending_files: int
    online: bool
    offline_since: str | None
    last_error: str | None
    earlier_bytes: int = 0
    queue: str | None = None
    recovered: int = 0
    on_devices: int = 0
