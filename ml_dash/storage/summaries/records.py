"""What is kept of an experiment besides its parameters and metrics: what lists and overviews show."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ml_dash.journal.damage import Damage
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.journal.objects import from_msgpack, to_msgpack
from ml_dash.protocol import DESCRIBED
from ml_dash.query.listing.comparing import folded
from ml_dash.query.listing.listed import STALE, UNKNOWN, ListedExperiment
from ml_dash.query.listing.summary import FieldSummary
from ml_dash.query.runs import RunInfo, Unended, WriterRuns
from ml_dash.query.times import NANOSECONDS
from ml_dash.status import RunStatus
from ml_dash.storage.side_file import NOTE, is_sound, read_side_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_dash.query.listing.listed import Best, Definitions
    from ml_dash.query.listing.summary import Summaries
    from ml_dash.storage.summaries.digest import Digest
    from ml_dash.storage.survey import Located

_DAMAGES_MOST = 100
"""Places that are kept of what is wrong with one journal; `ml-dash verify` lists them all."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(slots=True)
class Record:
    """An experiment in lists. Times are nanoseconds since the epoch.

    Attributes:
        directory: Where it is; not kept, for the root may be moved.
        created_ns: When it was started first, or else when its journal was made.
        is_read: Whether its journal was read, and all else is known; before, its side file has said what there is.
        size: Bytes of its journal.
        names: What start rows call its newest attempt.
        unended: See `RunInfo`; and so is `damaged`, of what waited in shared memory.
        metrics: How many there are.
        entries: Rows of all kinds.
        alerts: Rows that are alerts.
        failure: Why its journal cannot be read at all.
        damage: What is wrong with it else; the first places.
        damages: How many places there are in all.
        definitions: Metric, field, and which of its values is the best.
    """

    prefix: str
    owner: str
    project: str
    folder: str
    name: str
    created_ns: int
    directory: str = ""
    readme: str | None = None
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    bindrs: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    status: str | None = None
    stale: bool = False
    started_ns: int | None = None
    ended_ns: int | None = None
    active_ns: int | None = None
    host: str | None = None
    pid: int | None = None
    error: str | None = None
    queue: str | None = None
    recovered: int = 0
    attempts: int = 0
    names: list[str] = field(default_factory=list)
    unended: list[Unended] = field(default_factory=list)
    damaged: int = 0
    rows: int = 0
    entries: int = 0
    alerts: int = 0
    metrics: int = 0
    size: int = 0
    is_read: bool = False
    failure: str | None = None
    damage: list[Damage] = field(default_factory=list)
    damages: int = 0
    definitions: list[tuple[str | None, str, Best]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """An id of the form that a server gives; the same prefix has the same one, for ever."""
        return experiment_id(self.prefix)

    @property
    def bests(self) -> Definitions:
        """Which value of a metric's field is its best, where it was defined."""
        return {(metric, name): best for metric, name, best in self.definitions}

    @property
    def standing(self) -> str:
        """See `ListedExperiment.standing`."""
        if self.stale:
            return STALE
        return UNKNOWN if self.status is None else self.status.lower()

    @property
    def words(self) -> str:
        """The text in which words are looked for."""
        return folded("\n".join([self.prefix, *self.tags, self.readme or "", self.note or ""]))

    @property
    def is_open(self) -> bool:
        """Whether its rows say that it goes on."""
        return self.status == RunStatus.RUNNING

    @property
    def problem(self) -> str | None:
        """What is wrong with its journal, in a sentence."""
        if self.failure or not self.damages:
            return self.failure
        words = "cannot be read" if all(each.unread for each in self.damage) else "are damaged"
        return f"{self.damages} places {words}: `ml-dash verify` lists them"

    def stand(self, run: RunInfo) -> None:
        """Take over how its run stands."""
        self.status, self.stale = run.status, run.stale
        self.started_ns, self.ended_ns, self.active_ns = run.started_at, run.ended_at, run.last_activity
        self.host, self.pid, self.error = run.host, run.pid, run.error
        self.queue, self.recovered, self.attempts = run.queue, run.recovered, run.attempts
        self.names = list(run.names)
        self.unended, self.damaged = list(run.unended), run.damaged

    def take(self, found: Digest, run: RunInfo, odd: list[Damage]) -> None:
        """Take over what its journal says."""
        self.stand(run)
        said = run.experiment or {}
        for name in (*DESCRIBED, NOTE):
            if is_sound(name, said.get(name)):
                setattr(self, name, said[name])
        self.rows, self.entries, self.alerts = found.rows, found.entries, found.alerts
        self.metrics, self.size = len(found.metrics), found.size
        damage = [*odd, *found.damage]
        # what is not read is told in full by whoever lists it
        self.damage = sorted(damage, key=lambda each: not each.unread)[:_DAMAGES_MOST]
        self.damages = len(damage)
        self.definitions = [(*each, best) for each, best in found.definitions.items()]
        self.is_read = True

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        said = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "directory"}
        return to_msgpack(said)

    @classmethod
    def from_bytes(cls, data: bytes, directory: str) -> Record:
        """Return what `to_bytes` has given.

        Raises:
            ValueError: It is something else.
        """
        try:
            found = cls(**from_msgpack(data), directory=directory)
            found.damage = [Damage(*each) for each in found.damage]
            found.unended = [Unended(*each) for each in found.unended]
        except TypeError as error:
            raise ValueError(f"what was kept is damaged: {error}") from error
        return found

    def listed(
        self, params: Mapping[str, Any], metrics: Mapping[str | None, Summaries], place: str
    ) -> ListedExperiment:
        """Return it as filters and tables have it."""
        return ListedExperiment(
            prefix=self.prefix,
            owner=self.owner,
            project=self.project,
            folder=self.folder,
            name=self.name,
            place=place,
            tags=tuple(self.tags),
            bindrs=tuple(self.bindrs),
            readme=self.readme,
            note=self.note,
            metadata=self.metadata,
            status=self.status,
            stale=self.stale,
            created_ns=self.created_ns,
            started_ns=self.started_ns,
            ended_ns=self.ended_ns,
            active_ns=self.active_ns,
            host=self.host,
            error=self.error,
            attempts=self.attempts,
            rows=self.rows,
            params=params,
            metrics=metrics,
            best=self.bests,
            problem=self.problem,
        )


def experiment_id(prefix: str) -> str:
    """Return the id of the experiment that is called so in a local root."""
    digest = hashlib.sha256(prefix.encode("utf-8", "surrogatepass")).hexdigest()
    return f"exp_{digest[:20]}"


def described(located: Located) -> Record:
    """Return what can be said without opening the journal.

    OSError where there are no descriptors or no memory to look with.
    """
    said = read_side_file(located.directory, ForeignDisk(located.directory))
    owner, project, folder, name = parts_of(located.prefix)
    return Record(
        located.prefix,
        owner,
        project,
        folder,
        name,
        # whole microseconds, as it is told: pages go on behind a time
        (time_ns(said.get("startedAt")) or _born_ns(located)) // 1000 * 1000,
        located.directory,
        readme=said.get("readme"),
        note=_text(said.get(NOTE)),
        tags=said.get("tags") or [],
        bindrs=said.get("bindrs") or [],
        metadata=said.get("metadata"),
        status=_text(said.get("status")),
    )


def parts_of(prefix: str) -> tuple[str, str, str, str]:
    """Return owner, project, folder and name; a root in the middle of a tree gives fewer segments than a prefix has."""
    owner, *rest = prefix.split("/")
    if not rest:
        return "", "", "", owner
    project, *folders = rest[:-1] or [""]
    return owner, project, "/".join(folders), rest[-1]


def pack_metrics(metrics: Mapping[str | None, Summaries]) -> bytes:
    """Return summaries as they are kept."""
    return to_msgpack(
        [[name, [[field, *summary] for field, summary in found.items()]] for name, found in metrics.items()]
    )


def unpack_metrics(data: bytes | None) -> dict[str | None, Summaries]:
    """Return what `pack_metrics` was given."""
    return {
        name: {field: FieldSummary(*summary) for field, *summary in found}
        for name, found in ([] if data is None else from_msgpack(data))
    }


def pack_runs(runs: Mapping[str, WriterRuns]) -> bytes:
    """Return the RUN rows that count as they are kept."""
    return to_msgpack([[writer, list(each)] for writer, each in runs.items()])


def unpack_runs(data: bytes) -> dict[str, WriterRuns]:
    """Return what `pack_runs` was given."""
    return {
        writer: WriterRuns([(time_ns, row) for time_ns, row in rows], *ends)
        for writer, (rows, *ends) in from_msgpack(data)
    }


def _born_ns(located: Located) -> int:
    try:
        # Linux tells no time of birth by os.stat: this is the nearest that every system has
        return os.stat(located.journal).st_ctime_ns
    except OSError:
        return 0


def time_ns(text: Any) -> int | None:
    """Return the time that an ISO-8601 text says, in nanoseconds since the epoch; None where it says none."""
    if not isinstance(text, str):
        return None
    with contextlib.suppress(ValueError, OverflowError):
        said = datetime.fromisoformat(text.replace("Z", "+00:00"))
        passed = (said if said.tzinfo else said.replace(tzinfo=timezone.utc)) - _EPOCH
        found = (passed.days * 86_400 + passed.seconds) * NANOSECONDS + passed.microseconds * 1000
        return found if -(2**63) <= found < 2**63 else None
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
