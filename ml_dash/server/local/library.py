"""The experiments below a root on this disk, as the pages and the reading routes ask for them.

Nothing is imported: journals are read as they lie, while others write them. Lists are answered from the root's
summaries (`ml_dash.storage.summaries`), which a thread keeps up to date: no list waits for a journal.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.query.times import iso_time
from ml_dash.server.catalogue.records import Found, no_such_experiment
from ml_dash.server.charts.looked_at import LookedAt
from ml_dash.server.errors import ApiError
from ml_dash.server.http.cursors import (
    invalid_as_of,
    invalid_cursor,
    read_cursor,
    too_old_as_of,
    write_cursor,
)
from ml_dash.server.local.blobs import LocalBlob, is_here
from ml_dash.server.local.looker import Looker
from ml_dash.server.local.matching import Conditions, matching
from ml_dash.server.local.records import read_now, shown
from ml_dash.server.local.values import Question, table_value_of
from ml_dash.server.local.view import LocalView
from ml_dash.server.recent import Recent
from ml_dash.server.rows.library import Standing
from ml_dash.server.threads import Readers, Threads
from ml_dash.storage.side_file import NOTE
from ml_dash.storage.summaries.asking import within
from ml_dash.storage.summaries.records import Record, experiment_id as id_of, time_ns
from ml_dash.storage.summaries.root import RootIndex
from ml_dash.storage.trash import Trash
from ml_dash.storage.unrecovered import Slabs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.query.pages import Take
    from ml_dash.series import Series
    from ml_dash.server.catalogue.records import ExperimentFilter, Search
    from ml_dash.shapes import MetricField
    from ml_dash.storage.summaries.store import Store
    from ml_dash.storage.survey import Located
    from ml_dash.storage.trash import Trashed

_OPEN_VIEWS = 128
"""Journals that are kept open."""
_ONE_SECONDS = 0.5
"""How long journals are read for whoever asks for one experiment."""
_AT_ONCE = 500
"""Experiments in a statement."""


class _Known(NamedTuple):
    """An experiment: its path below the root, and what is kept of it."""

    path: str
    record: Record


class _Listed(NamedTuple):
    """An experiment in a list: its place in it, which is its time and its id, and its record."""

    created_ns: int
    id: str
    record: dict[str, Any]

    @property
    def place(self) -> tuple[str, str]:
        """As cursors have it."""
        return self.record["createdAt"], self.id


class _Page(NamedTuple):
    """A page of a list, and one row more where there is one; how many rows the list has; as of when."""

    rows: list[_Listed]
    total: int
    as_of: str


class LocalLibrary:
    """Experiments below a directory; see `ml_dash.server.rows.library.Library`."""

    def __init__(self, root: str, stale_after: float) -> None:
        self._stale_after = stale_after
        self.root = os.path.abspath(root)
        self.trash = Trash(self.root)
        self._readers = Readers()
        self.query = self._readers.query
        # one thread: who changes names in a root has it to itself anyhow
        self._writer = Threads(1, thread_name_prefix="ml-dash-change")
        self.change = self._writer.run
        self._index = RootIndex(root, stale_after)
        self._looker = Looker(self._index)
        self._lock = threading.Lock()
        self._views: Recent[str, LocalView] = Recent(_OPEN_VIEWS)
        self._looked_at = LookedAt()
        self.closing = False
        """Whether it is about to be closed."""

    @property
    def opened(self) -> int:
        """How many journals were read so far."""
        return self._looker.opened

    def close(self) -> None:
        """Stop the threads that read."""
        self.closing = True
        self._looker.close()
        self._writer.shutdown()
        self._readers.close()
        self._index.close()

    def find(self, experiment_id: str) -> Found | None:
        """See `Library.find`."""
        try:
            prefix = self._existing(experiment_id).record.prefix
        except ApiError:
            entry = self.trashed(experiment_id)
            if entry is None:
                return None
            return Found(experiment_id, entry.prefix, entry.prefix.partition("/")[0], deleted=True)
        return Found(experiment_id, prefix, prefix.partition("/")[0], deleted=False)

    def standings(self, ids: Sequence[str]) -> dict[str, Standing]:
        """See `Library.standings`."""
        self._looker.look()
        return self._index.ask(partial(_standings, ids), seconds=_ONE_SECONDS)

    def changed(self) -> str:
        """See `Library.changed`."""
        self._looker.look()
        return self._index.ask(_as_of, seconds=_ONE_SECONDS)

    def trashed(self, experiment_id: str) -> Trashed | None:
        """Return what is in the trash by its id there, or by that which it had; of several, what was deleted last."""
        entries = self.trash.entries
        exact = (each for each in entries if each.id == experiment_id)
        former = (each for each in entries if id_of(each.prefix) == experiment_id)
        return next(chain(exact, former), None)

    def place_of(self, experiment_id: str) -> Located:
        """Return where an experiment lies, and what it is called.

        Raises:
            ApiError: 404.
        """
        return self._index.located(self._existing(experiment_id).path)

    def forget(self, experiment_id: str) -> None:
        """Keep nothing open of an experiment that was deleted or moved, and have its root looked at."""
        with self._lock:
            self._views.pop(experiment_id, None)
        self._looker.expire()

    def record(self, experiment_id: str) -> dict[str, Any]:
        """See `Library.record`."""
        path = self._existing(experiment_id).path
        # whoever asks for one experiment is told the newest, and does not wait for the next look at all of them
        self._index.look_at(path, _ONE_SECONDS)
        record = self._existing(experiment_id).record
        if not record.is_read:
            record = read_now(self._index.located(path), self.view(experiment_id), self._stale_after)
        return shown(record, self._index.directory_of(path))

    def brief(self, experiment_id: str) -> dict[str, Any]:
        """See `Library.brief`."""
        known = self._existing(experiment_id)
        return _brief(shown(known.record, self._index.directory_of(known.path)))

    def listing(
        self,
        take: Take,
        where: ExperimentFilter,
        limit: int,
        cursor: str | None,
        changed_since: str | None = None,
    ) -> dict[str, Any]:
        """See `Library.listing`."""
        if where.asked is not None:
            return self._asked(take, where, where.asked, limit, cursor)
        behind = None if cursor is None else _parse_cursor(cursor)
        self._looker.look()

        def ask(store: Store) -> _Page:
            since = None if changed_since is None else _parse_as_of(store, changed_since)
            gone = [] if since is None else _gone(store, since)
            found = self._matching(where, since)
            total = store.connection.execute(
                f"SELECT count(*) FROM experiments e WHERE {found.where}",  # noqa: S608 - values are parameters
                found.values,
            ).fetchone()[0]
            if behind is not None:
                found.add("(e.created_ns, e.uid) < (:created, :uid)", created=behind[0], uid=behind[1])
            ahead = [each for each in gone if behind is None or each[:2] < behind]
            # one more than asked for says whether there are more
            rows = heapq.merge(self._rows(store, found, limit + 1), ahead, key=itemgetter(0, 1), reverse=True)
            return _Page(list(islice(rows, limit + 1)), total + len(gone), _as_of(store))

        page = self._index.ask(ask, seconds=_ONE_SECONDS)
        taken = 0
        for each in page.rows[:limit]:
            if not take(_brief(each.record)):
                break
            taken += 1
        has_more = len(page.rows) > taken
        return {
            "total": page.total,
            "hasMore": has_more,
            "cursor": write_cursor(page.rows[taken - 1].place) if has_more and taken else None,
            "asOf": page.as_of,
        }

    def values(
        self, ids: Sequence[str], wanted: Sequence[MetricField], owners: frozenset[str] | None
    ) -> Iterator[dict[str, Any]]:
        """See `Library.values`."""
        # one by one: whoever takes them has room for so many bytes, and may be slow
        for id_ in ids:
            found = self._index.ask(partial(table_value_of, id_, wanted, owners), seconds=_ONE_SECONDS)
            if found is not None:
                yield found

    def view(self, experiment_id: str) -> LocalView:
        """See `Library.view`."""
        path = self._existing(experiment_id).path
        with self._lock:
            view = self._views.get(experiment_id)
            if view is None:
                view = LocalView(self._index.located(path), self._stale_after, self._looked_at)
            # set again, it counts as used last
            self._views[experiment_id] = view
            return view

    def views(self, ids: Sequence[str], series: Series) -> dict[str, LocalView]:  # noqa: ARG002 - each is by itself
        """See `Library.views`."""
        found = {}
        for id_ in ids:
            with suppress(ApiError):
                found[id_] = self.view(id_)
        return found

    def content(self, found: Found, row: dict[str, Any]) -> LocalBlob | None:
        """See `Library.content`."""
        view, checksum, size = self.view(found.id), row["checksum"], row["sizeBytes"]
        if not is_here(view.disk, view.staging, checksum, size):
            return None
        return LocalBlob(self, view.disk, view.staging.path_of(checksum), checksum, size)

    def _asked(
        self, take: Take, where: ExperimentFilter, asked: Search, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Do as `listing` does, for what is asked for in the language of filters."""
        self._looker.look()

        def ask(store: Store) -> dict[str, Any]:
            question = Question(store, asked, self._matching(where, None), cursor, time.time_ns())
            found = question.page(limit + 1)
            taken = 0
            slabs = Slabs()
            for id_, *_ in found[:limit]:
                record = store.record(id_, "")
                if record is None:
                    continue
                if not take({**_brief(self._shown(store, id_, record, slabs)), **question.shown(id_)}):
                    break
                taken += 1
            has_more = len(found) > taken
            return {
                "total": question.total(),
                "hasMore": has_more,
                "cursor": write_cursor(found[taken - 1].place) if has_more and taken else None,
                "asOf": _as_of(store),
                "pending": store.count("seen IS NULL") > 0,
            }

        return self._index.ask(ask, seconds=_ONE_SECONDS)

    def _shown(self, store: Store, id_: int, record: Record, slabs: Slabs) -> dict[str, Any]:
        (path,) = store.connection.execute("SELECT path FROM experiments WHERE id = ?", (id_,)).fetchone()
        return shown(record, self._index.directory_of(os.fsdecode(path)), slabs)

    def _rows(self, store: Store, found: Conditions, limit: int) -> Iterator[_Listed]:
        rows = store.connection.execute(
            "SELECT e.created_ns, e.uid, d.record, e.id FROM experiments e JOIN details d ON d.id = e.id"  # noqa: S608
            f" WHERE {found.where} ORDER BY e.created_ns DESC, e.uid DESC LIMIT {limit}",
            found.values,
        )
        slabs = Slabs()
        return (
            _Listed(created_ns, uid, self._shown(store, id_, Record.from_bytes(record, ""), slabs))
            for created_ns, uid, record, id_ in rows
        )

    def _matching(self, where: ExperimentFilter, since: int | None) -> Conditions:
        found = matching(where)
        outside, values = within(self._index)
        if outside:
            found.add(outside, **values)
        if self._looker.is_gone:
            found.add("1 = 0")
        if since is not None:
            found.add("e.changed > :since", since=since)
        return found

    def _known(self, experiment_id: str) -> _Known | None:
        def ask(store: Store) -> _Known | None:
            found = store.connection.execute(
                "SELECT e.path, d.record FROM experiments e JOIN details d ON d.id = e.id WHERE e.uid = ?",
                (experiment_id,),
            ).fetchone()
            if found is None:
                return None
            path = os.fsdecode(found[0])
            return _Known(path, Record.from_bytes(found[1], self._index.directory_of(path)))

        return self._index.ask(ask, seconds=_ONE_SECONDS)

    def _existing(self, experiment_id: str) -> _Known:
        found = self._known(experiment_id)
        # it may have been deleted or moved since the last look
        if found is None or not os.path.isdir(self._index.located(found.path).journal):
            self._looker.look()
            found = self._known(experiment_id)
        if found is None:
            raise no_such_experiment(experiment_id)
        return found


def _gone(store: Store, since: int) -> list[_Listed]:
    """Return the experiments that are gone since a change, in the order of lists."""
    rows = store.connection.execute("SELECT uid, record FROM gone WHERE changed > ?", (since,))
    found = []
    for uid, data in rows:
        record = Record.from_bytes(data, "")
        told = {**shown(record), "deletedAt": iso_time(time.time_ns())}
        found.append(_Listed(record.created_ns, uid, told))
    return sorted(found, key=itemgetter(0, 1), reverse=True)


def _standings(ids: Sequence[str], store: Store) -> dict[str, Standing]:
    epoch = store.database.meta("epoch")
    found = {}
    for at in range(0, len(ids), _AT_ONCE):
        some = ids[at : at + _AT_ONCE]
        rows = store.connection.execute(
            f"SELECT uid, owner, prefix, changed FROM experiments WHERE uid IN ({', '.join('?' * len(some))})",  # noqa: S608
            some,
        )
        for uid, owner, prefix, changed in rows:
            found[uid] = Standing(owner, prefix, deleted=False, version=f"{epoch}.{changed}")
    return found


def _as_of(store: Store) -> str:
    # what another file has counted says nothing here
    return f"{store.database.meta('epoch')}.{store.database.meta('changed', 0)}"


def _parse_as_of(store: Store, text: str) -> int:
    epoch, dot, version = text.partition(".")
    if not (dot and version.isascii() and version.isdigit() and len(version) < 16):
        raise invalid_as_of(text)
    if epoch != store.database.meta("epoch"):
        # of another file: everything may have changed since
        return -1
    if int(version) < store.database.meta("forgotten", 0):
        # what has gone since is not known any more, and would stay in the list of whoever asks
        raise too_old_as_of(text)
    return int(version)


def _parse_cursor(cursor: str) -> tuple[int, str]:
    match read_cursor(cursor):
        case [str() as created, str() as last] if (created_ns := time_ns(created)) is not None:
            return created_ns, last
    raise invalid_cursor(cursor)


def _brief(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as lists have it."""
    return {name: value for name, value in record.items() if name not in {"readme", NOTE}}
