"""The experiments below a root on this disk, as the pages and the reading routes ask for them.

Nothing is imported: journals are read as they lie, while others write them. What was read of an experiment is kept
until one of its files changes, so that looking again at thousands of them opens none.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.notices import logger
from ml_dash.query.times import iso_time
from ml_dash.server.catalogue.records import STALE, Found, no_such_experiment
from ml_dash.server.http.cursors import (
    invalid_as_of,
    invalid_cursor,
    read_cursor,
    too_old_as_of,
    write_cursor,
)
from ml_dash.server.local.blobs import LocalBlob, is_here
from ml_dash.server.local.records import Signature, experiment_id, full_record, side_record, signature_of
from ml_dash.server.local.view import LocalView
from ml_dash.server.recent import Recent
from ml_dash.server.threads import Readers
from ml_dash.status import RunStatus
from ml_dash.storage.side_file import NOTE
from ml_dash.storage.survey import Survey, survey

if TYPE_CHECKING:
    from ml_dash.query.pages import Take
    from ml_dash.server.catalogue.records import ExperimentFilter
    from ml_dash.storage.survey import Located

_LOOK_SECONDS = 1.0
"""Time between two searches for experiments that are new, gone or changed."""
_FRESH_SECONDS = 5.0
"""How long the answer holds whether an open run is alive."""
_OPEN_VIEWS = 128
"""Journals that are kept open."""
_GONE_MOST = 1000
"""Experiments that are gone and told to whoever asks what has changed; the first of them are forgotten beyond."""


@dataclass(slots=True)
class _Experiment:
    """What is known of one experiment as of the library's `version`, when its files had last changed.

    `side` is its record as far as the side file has it, `record` with what the journal says; None if not read since.
    """

    located: Located
    signature: Signature
    version: int
    side: dict[str, Any] | None = None
    record: dict[str, Any] | None = None
    read_at: float = 0.0


class LocalLibrary:
    """Experiments below a directory; see `ml_dash.server.rows.library.Library`."""

    def __init__(self, root: str, stale_after: float) -> None:
        self._root = root
        self._stale_after = stale_after
        self._readers = Readers()
        self.query = self._readers.query
        self._looking = threading.Lock()
        """Held while files are looked at, which may take a while; what is known can be asked for meanwhile."""
        # taken while `_looking` is held, never the other way round
        self._lock = threading.Lock()
        self._known: dict[str, _Experiment] = {}
        # in the order in which they went
        self._gone: dict[str, tuple[int, dict[str, Any]]] = {}
        self._forgotten = 0
        """The version at which the last one went that is forgotten."""
        self._views: Recent[str, LocalView] = Recent(_OPEN_VIEWS)
        self._version = 0
        self._looked_at = float("-inf")
        self._refused: set[str] = set()
        # versions of another process say nothing here
        self._epoch = secrets.token_hex(4)
        self.opened = 0
        """How many journals were opened so far."""

    def close(self) -> None:
        """Stop the threads that read."""
        self._readers.close()

    def find(self, experiment_id: str) -> Found | None:
        """See `Library.find`."""
        found = self._find(experiment_id)
        if found is None:
            return None
        prefix = found.located.prefix
        return Found(experiment_id, prefix, prefix.partition("/")[0], deleted=False)

    def record(self, experiment_id: str) -> dict[str, Any]:
        """See `Library.record`."""
        found = self._existing(experiment_id)
        with self._lock:
            # whoever asks for one experiment is told the newest, and does not wait for the next look at all of them
            found.signature, changed = signature_of(found.located), found.signature
            if found.signature != changed:
                self._note_change(found)
        return self._record(experiment_id, found)

    def brief(self, experiment_id: str) -> dict[str, Any]:
        """See `Library.brief`."""
        return _listed(self.record(experiment_id))

    def listing(
        self,
        take: Take,
        where: ExperimentFilter,
        limit: int,
        cursor: str | None,
        changed_since: str | None = None,
    ) -> dict[str, Any]:
        """See `Library.listing`."""
        behind = None if cursor is None else _parse_cursor(cursor)
        self._look()
        with self._lock:
            version, known = self._version, list(self._known.items())
            gone = list(self._gone.values())
        since = None if changed_since is None else self._parse_as_of(changed_since)
        chosen = [
            (id_, each)
            for id_, each in known
            if (since is None or each.version > since or self._may_be_stale(each))
            and _matches(self._side(each), where)
        ]
        if where.status is not None:
            # only journals know the status: all of them are read
            chosen = [each for each in chosen if _has_status(self._record(*each), where.status)]
        places = [(self._place(each), partial(self._record, *each)) for each in chosen]
        if since is not None:
            places += [(_place_of(told), partial(dict, told)) for when, told in gone if when > since]
        places.sort(key=itemgetter(0), reverse=True)
        rest = [each for each in places if behind is None or each[0] < behind]
        taken = 0
        # one after the other: a record may be read of its journal just now
        for _, record in rest[:limit]:
            if not take(_listed(record())):
                break
            taken += 1
        has_more = len(rest) > taken
        return {
            "total": len(places),
            "hasMore": has_more,
            "cursor": write_cursor(rest[taken - 1][0]) if has_more and taken else None,
            "asOf": f"{self._epoch}.{version}",
        }

    def view(self, experiment_id: str) -> LocalView:
        """See `Library.view`."""
        found = self._existing(experiment_id)
        with self._lock:
            view = self._views.get(experiment_id)
            if view is None:
                view = LocalView(found.located, self._stale_after)
                self.opened += 1
            # set again, it counts as used last
            self._views[experiment_id] = view
            return view

    def content(self, found: Found, row: dict[str, Any]) -> LocalBlob | None:
        """See `Library.content`."""
        view, checksum, size = self.view(found.id), row["checksum"], row["sizeBytes"]
        if not is_here(view.disk, view.staging, checksum, size):
            return None
        return LocalBlob(self, view.disk, view.staging.path_of(checksum), checksum, size)

    def _find(self, experiment_id: str) -> _Experiment | None:
        # asked without the lock: one look too many does no harm
        if experiment_id not in self._known:
            self._look()
        with self._lock:
            return self._known.get(experiment_id)

    def _existing(self, experiment_id: str) -> _Experiment:
        if (found := self._find(experiment_id)) is None:
            raise no_such_experiment(experiment_id)
        return found

    def _look(self) -> None:
        """Find the experiments, and note which have changed; at most once a second."""
        with self._looking:
            if time.monotonic() - self._looked_at < _LOOK_SECONDS:
                return
            try:
                found = survey(self._root)
            except InvalidArgumentError:
                found = Survey()  # the root itself has gone
            located = {experiment_id(each.prefix): each for each in found.experiments}
            # What cannot be looked at now is not gone by that.
            for id_, known in self._known.items():
                if any(_is_in(known.located.directory, refused) for refused in found.refused):
                    located.setdefault(id_, known.located)
            self._tell(found.refused)
            signatures = {id_: signature_of(each) for id_, each in located.items()}
            with self._lock:
                self._take_in(located, signatures)
            self._looked_at = time.monotonic()

    def _tell(self, refused: dict[str, str]) -> None:
        for path in refused.keys() - self._refused:
            logger().warning("Cannot read %s: %s. What is new in it is not shown.", path, refused[path])
        self._refused = set(refused)

    def _take_in(self, located: dict[str, Located], signatures: dict[str, Signature]) -> None:
        for id_ in self._known.keys() - located.keys():
            self._forget(id_)
        for id_, each in located.items():
            known = self._known.get(id_)
            if known is None:
                self._gone.pop(id_, None)
                known = self._known[id_] = _Experiment(each, signatures[id_], 0)
                self._note_change(known)
            elif known.signature != signatures[id_]:
                known.signature = signatures[id_]
                self._note_change(known)

    def _place(self, item: tuple[str, _Experiment]) -> tuple[str, str]:
        return self._side(item[1])["createdAt"], item[0]

    def _note_change(self, known: _Experiment) -> None:
        self._version += 1
        known.version, known.side, known.record = self._version, None, None

    def _forget(self, id_: str) -> None:
        known = self._known.pop(id_)
        self._views.pop(id_, None)
        self._version += 1
        deleted = _listed(
            {**self._side(known), **(known.record or {}), "deletedAt": iso_time(time.time_ns())}
        )
        self._gone[id_] = self._version, deleted
        if len(self._gone) > _GONE_MOST:
            self._forgotten, _ = self._gone.pop(next(iter(self._gone)))

    def _side(self, known: _Experiment) -> dict[str, Any]:
        side = known.side
        if side is None:
            side = known.side = side_record(known.located)
        return side

    def _record(self, id_: str, known: _Experiment) -> dict[str, Any]:
        record = known.record
        if record is None or (
            record["status"] == RunStatus.RUNNING and time.monotonic() - known.read_at > _FRESH_SECONDS
        ):
            # outside of the lock: it may read a whole journal. What changed meanwhile is not kept, but read again
            version = known.version
            record = full_record(known.located, self.view(id_), self._stale_after)
            with self._lock:
                if known.version == version:
                    known.record, known.read_at = record, time.monotonic()
        return record

    def _may_be_stale(self, known: _Experiment) -> bool:
        # a run that dies changes no file
        return known.record is not None and known.record["status"] == RunStatus.RUNNING

    def _parse_as_of(self, text: str) -> int:
        epoch, dot, version = text.partition(".")
        if not (dot and version.isascii() and version.isdigit() and len(version) < 16):
            raise invalid_as_of(text)
        if epoch != self._epoch:
            # of another process: everything may have changed since
            return -1
        if int(version) < self._forgotten:
            # what has gone since is not known any more, and would stay in the list of whoever asks
            raise too_old_as_of(text)
        return int(version)


def _parse_cursor(cursor: str) -> tuple[str, str]:
    match read_cursor(cursor):
        case [str() as created, str() as last]:
            return created, last
    raise invalid_cursor(cursor)


def _place_of(record: dict[str, Any]) -> tuple[str, str]:
    return record["createdAt"], record["id"]


def _listed(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as lists have it."""
    return {name: value for name, value in record.items() if name not in {"readme", NOTE}}


def _matches(record: dict[str, Any], where: ExperimentFilter) -> bool:
    """Say whether an experiment is asked for, but for its status."""
    words = [*(where.search or "").casefold().split(), *(each.casefold() for each in where.texts)]
    text = "\n".join([record["prefix"], *record["tags"], record["readme"] or ""]).casefold() if words else ""
    return (
        (where.owners is None or record["owner"] in where.owners)
        and (where.owner is None or record["owner"] == where.owner)
        and (where.project is None or record["project"] == where.project)
        and _is_in(record["prefix"], where.prefix)
        and _is_in(record["folder"], where.folder)
        and (where.tag is None or where.tag in record["tags"])
        and all(word in text for word in words)
    )


def _is_in(place: str, above: str | None) -> bool:
    return above is None or place == above or place.startswith(f"{above}/")


def _has_status(record: dict[str, Any], status: str) -> bool:
    return bool(record["stale"] if status == STALE else record["status"] == status)
