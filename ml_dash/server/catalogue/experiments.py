"""The catalogue of experiments: created, found, listed, deleted and brought back."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, union_all, update
from sqlalchemy.exc import IntegrityError

from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import READ_LIMIT_MAX
from ml_dash.query.times import NANOSECONDS, iso_time
from ml_dash.series import Kind
from ml_dash.server.catalogue.changes import Seen, change_mark, parse_seen, seen
from ml_dash.server.catalogue.moving import locked, meant, name_back
from ml_dash.server.catalogue.records import STALE, Found, exists, gone, no_such_experiment, time_or_none
from ml_dash.server.catalogue.run_status import open_runs
from ml_dash.server.catalogue.stopping import read_stops, stop_of
from ml_dash.server.catalogue.succession import let_in, succeed
from ml_dash.server.db.batches import batches, size_of
from ml_dash.server.db.tables import EXPERIMENTS, FORMER_PREFIXES, FRAME_CHECKS, SERIES, TAGS, WRITERS
from ml_dash.server.db.texts import Holds, comparable_text, findable
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Connection, Row, Select

    from ml_dash.clock import Clock
    from ml_dash.query.pages import Take
    from ml_dash.server.catalogue.records import Description, ExperimentFilter, Introduction
    from ml_dash.server.db.database import Database

# 20 of 36 characters are 103 bits: no id is ever made twice, whichever server makes it
_ALPHABET = string.ascii_lowercase + string.digits
_ID_LENGTH = 20
# the second finds what the other process created, unless that was undone; it never takes all of them
_ATTEMPTS = 3
_WRITERS_TOLD = 1000
"""Watermarks in the answer to an upsert; the rest is on the pages of ``…/writers``."""
# words are as long as the readme, and only looked in
_FULL = tuple(column for column in EXPERIMENTS.c if column.name != "words")
_LISTED = tuple(column for column in _FULL if column.name not in {"readme", "note"})


_NOT_DELETED = dict.fromkeys(("deleted_ns", "purge_ns", "purged_ns"))
# of one that is new there is nothing to be read: thousands of small runs may come in a row
_NOTHING_YET: dict[str, Any] = {"created": True, "watermarks": {}, "watermarksCursor": None, "latestNs": None}
# made once: every new experiment asks
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_TAKEN = union_all(
    select(EXPERIMENTS.c.prefix).where(EXPERIMENTS.c.prefix.in_(_NAMES)),
    select(FORMER_PREFIXES.c.prefix).where(FORMER_PREFIXES.c.prefix.in_(_NAMES)),
)
"""Names that experiments have or had, of those given."""


class Experiments:
    """The catalogue of experiments; a running run counts as dead after `stale_after` seconds without a heartbeat.

    Attributes:
        database: Where it is kept.
        clock: The time.
        stale_after: In seconds.
    """

    def __init__(self, database: Database, *, clock: Clock, stale_after: float) -> None:
        self.database = database
        self.clock = clock
        self.stale_after = stale_after

    def upsert(self, asked: Introduction) -> dict[str, Any]:
        """Create an experiment, or change its description.

        Returns:
            Its record, with ``created`` and the ``watermarks`` of its writers.

        Raises:
            ApiError: 410: it was deleted, and it is neither to be brought back nor to be begun anew. It tells the
                watermarks, too. 409: there is one.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._upsert(asked)
            except IntegrityError:
                continue  # another process created it at this very moment
        return self._upsert(asked)

    def create(self, connection: Connection, asked: Sequence[Introduction]) -> list[dict[str, Any] | None]:
        """Create those experiments of which there is none, in one transaction; None stands for the others.

        An experiment that there is, or was, is locked by who changes what is said of it, and here none is.
        """
        now = self.clock.time_ns()
        names = sorted({each.identity.prefix for each in asked})
        taken = set(connection.execute(_TAKEN, {"names": names}).scalars())
        new: dict[str, Introduction] = {}
        for each in asked:
            if each.identity.prefix not in taken:
                new.setdefault(each.identity.prefix, each)
        if not new:
            return [None] * len(asked)
        mark = change_mark(connection)
        # in one order, whoever creates the same: else two could wait for each other
        rows = {name: _new_row(new[name], now, mark) for name in sorted(new)}
        connection.execute(insert(EXPERIMENTS), list(rows.values()))
        _insert_tags(connection, [(row["id"], row["tags"]) for row in rows.values()])
        query = select(*_FULL).where(EXPERIMENTS.c.id.in_([row["id"] for row in rows.values()]))
        found = {each["prefix"]: each for each in self._records(connection, query, now)}
        # by who asked, for another one of the same name may have asked as well
        return [
            {**found[name], **_NOTHING_YET} if new.get(name := each.identity.prefix) is each else None
            for each in asked
        ]

    def find(self, experiment_id: str) -> Found | None:
        """Return the experiment with this id, also if it was deleted; None if there is no such experiment."""
        with self.database.read() as connection:
            row = connection.execute(
                select(
                    EXPERIMENTS.c.id, EXPERIMENTS.c.prefix, EXPERIMENTS.c.owner, EXPERIMENTS.c.deleted_ns
                ).where(EXPERIMENTS.c.id == experiment_id)
            ).one_or_none()
        return None if row is None else Found(row.id, row.prefix, row.owner, row.deleted_ns is not None)

    def record(self, experiment_id: str) -> dict[str, Any]:
        """Return an experiment's record.

        Raises:
            ApiError: 404 or 410.
        """
        with self.database.read() as connection:
            return self._record(connection, experiment_id, _FULL)

    def brief(self, experiment_id: str) -> dict[str, Any]:
        """Return an experiment's record as lists have it, without the readme.

        Raises:
            ApiError: 404 or 410.
        """
        with self.database.read() as connection:
            return self._record(connection, experiment_id)

    def listing(
        self,
        take: Take,
        where: ExperimentFilter,
        limit: int,
        cursor: str | None,
        changed_since: str | None = None,
    ) -> dict[str, Any]:
        """Give a page of records to `take`, see `ml_dash.server.rows.library.Library.listing`.

        Raises:
            ApiError: 400: the cursor or `changed_since` is invalid.
        """
        now = self.clock.time_ns()
        columns = EXPERIMENTS.c
        conditions = self.conditions(where, now)
        after = [] if cursor is None else [_behind(cursor)]
        size = size_of(columns.tags, columns.bindrs, columns.metadata, columns.error)
        with self.database.read() as connection:
            as_of = seen(connection, now)
            if changed_since is not None:
                conditions = [*conditions[1:], self._changed(parse_seen(changed_since, as_of))]
            query = select(columns.id, columns.created_ns, size).where(*conditions, *after)
            # counted each time: filters combine freely, so there is no number that could be kept
            total = connection.execute(
                select(func.count()).select_from(EXPERIMENTS).where(*conditions)
            ).scalar_one()
            order = (columns.created_ns.desc(), columns.id.desc())
            # one more than is asked for: whether it is there says whether there is another page
            found = connection.execute(query.order_by(*order).limit(limit + 1)).all()
            taken = self.take(connection, [(id_, length) for id_, _, length in found[:limit]], take, now)
        has_more = len(found) > taken
        last = found[taken - 1] if has_more and taken else None
        return {
            "total": total,
            "hasMore": has_more,
            "cursor": None if last is None else write_cursor([last.created_ns, last.id]),
            "asOf": str(as_of),
        }

    def take(
        self,
        connection: Connection,
        keys: Sequence[tuple[str, int]],
        take: Take,
        now: int,
        more: Callable[[list[str]], Mapping[str, dict[str, Any]]] = lambda _: {},
        texts: Collection[str] = (),
    ) -> int:
        """Give the records of these ids, with their sizes, to `take`; return how many it took.

        `more` gives what is added to the records of some ids, `texts` which of `readme` and `note` they have.
        """
        taken = 0
        for batch in batches(keys):
            query = select(*_LISTED, *(EXPERIMENTS.c[name] for name in texts)).where(
                EXPERIMENTS.c.id.in_(batch)
            )
            records = {each["id"]: each for each in self._records(connection, query, now)}
            added = more(batch)
            for id_ in batch:
                if not take({**records[id_], **added.get(id_, {})}):
                    return taken
                taken += 1
        return taken

    def watermark(self, experiment_id: str, writer: str) -> int:
        """Return how far the frames of a writer are stored; 0 where nothing is known of it."""
        query = select(WRITERS.c.watermark).where(
            WRITERS.c.experiment_id == experiment_id, WRITERS.c.writer == writer
        )
        with self.database.read() as connection:
            return connection.execute(query).scalar_one_or_none() or 0

    def watermarks(self, experiment_id: str, limit: int, cursor: str | None) -> list[tuple[str, int]]:
        """Return how far the frames of each writer are stored, of those behind the one that is the cursor.

        Raises:
            ApiError: 404 or 410.
        """
        with self.database.read() as connection:
            self._record(connection, experiment_id)
            return _watermarks(connection, experiment_id, limit, cursor)

    def _upsert(self, asked: Introduction) -> dict[str, Any]:
        now = self.clock.time_ns()
        with self.database.write() as connection:
            prefix = asked.identity.prefix
            row = meant(connection, prefix, () if asked.only_new else asked.writers)
            deleted = row is not None and row.deleted_ns is not None and not asked.recreate
            if asked.only_new and row is not None and row.deleted_ns is None:
                raise exists(prefix)
            if row is None:
                experiment_id = _create(connection, asked, now)
            elif deleted and asked.anew:
                # where it was moved, something else may have the name by now
                holder = row if row.prefix == prefix else locked(connection, EXPERIMENTS.c.prefix == prefix)
                experiment_id = succeed(
                    connection,
                    row,
                    holder,
                    lambda: _create(connection, asked, now),
                    now,
                    bars=asked.begun is not None,
                )
                if holder is not None and experiment_id == holder.id:
                    deleted = False
                    _change(connection, holder, asked.description, now)
            elif deleted:
                known, cursor = _told(_watermarks(connection, row.id, READ_LIMIT_MAX + 1), READ_LIMIT_MAX)
                raise gone(row.prefix, watermarks=known, watermarksCursor=cursor)
            else:
                if row.deleted_ns is not None:
                    row = name_back(connection, row, asked.identity, now)
                experiment_id = row.id
                _change(connection, row, asked.description, now)
            record = self._record(connection, experiment_id, _FULL)
            if row is None:
                return {**record, **_NOTHING_YET}
            let_in(connection, experiment_id, asked.begun or ())
            writing = _watermarks(connection, experiment_id, _WRITERS_TOLD + 1)
            watermarks, cursor = _told(writing, _WRITERS_TOLD)
            return {
                **record,
                "stop": record["stop"] and read_stops(connection, [experiment_id])[experiment_id],
                "created": deleted,
                "watermarks": watermarks,
                "watermarksCursor": cursor,
                "latestNs": _latest_ns(connection, experiment_id),
            }

    def stored(self, connection: Connection, experiment_id: str) -> dict[str, Any]:
        """Return an experiment's whole record, deleted or not, as this transaction sees it; there must be one."""
        query = select(*_FULL).where(EXPERIMENTS.c.id == experiment_id)
        return self._records(connection, query, self.clock.time_ns())[0]

    def _record(
        self, connection: Connection, experiment_id: str, columns: Sequence[ColumnElement[Any]] = _LISTED
    ) -> dict[str, Any]:
        query = select(*columns).where(EXPERIMENTS.c.id == experiment_id)
        found = self._records(connection, query, self.clock.time_ns())
        if not found:
            raise no_such_experiment(experiment_id)
        if found[0]["deletedAt"] is not None:
            raise gone(found[0]["prefix"])
        return found[0]

    def _records(self, connection: Connection, query: Select[Any], now: int) -> list[dict[str, Any]]:
        rows = connection.execute(query).all()
        since = self._alive_since(now)
        alive = [row.id for row in rows if row.alive_ns is not None and row.alive_ns >= since]
        runs = open_runs(connection, alive, stale_after=self.stale_after, now_ns=now) if alive else {}
        return [_as_record(row, runs.get(row.id)) for row in rows]

    def _alive_since(self, now: int) -> int:
        return now - int(self.stale_after * NANOSECONDS)

    def _changed(self, since: Seen) -> ColumnElement[bool]:
        # it was alive for the reader, so it may have become stale since; nothing is written when that happens
        silent = EXPERIMENTS.c.alive_ns >= self._alive_since(since.time_ns)
        return or_(EXPERIMENTS.c.changed >= since.mark, silent)

    def conditions(
        self, where: ExperimentFilter, now: int, columns: Any = EXPERIMENTS.c
    ) -> list[ColumnElement[bool]]:
        """Return what holds of those that are asked for, of these columns of `EXPERIMENTS`; its search is left out."""
        conditions: list[ColumnElement[bool]] = [columns.deleted_ns.is_(None)]  # the first: see `listing`
        if where.ids is not None:
            conditions.append(columns.id.in_(sorted(where.ids)))
        if where.owners is not None:
            conditions.append(columns.owner.in_(sorted(where.owners)))
        for column, value in ((columns.owner, where.owner), (columns.project, where.project)):
            if value is not None:
                conditions.append(column == value)
        for column, value in ((columns.prefix, where.prefix), (columns.folder, where.folder)):
            if value is not None:
                conditions.append(or_(column == value, column.startswith(value + "/", autoescape=True)))
        if where.tag is not None:
            with_tag = select(TAGS.c.experiment_id).where(TAGS.c.tag == where.tag)
            conditions.append(columns.number.in_(with_tag))
        if where.status is not None:
            conditions.append(self._has_status(where.status, now, columns))
        texts = [*(where.search or "").split(), *where.texts]
        conditions += [Holds(columns.words, findable(text)) for text in texts]
        return conditions

    def _has_status(self, status: str, now: int, columns: Any) -> ColumnElement[bool]:
        is_alive = and_(columns.alive_ns.is_not(None), columns.alive_ns >= self._alive_since(now))
        if status == STALE:
            return and_(columns.status == RunStatus.RUNNING, ~is_alive)
        if status == RunStatus.RUNNING:
            return or_(columns.status == RunStatus.RUNNING, is_alive)
        return and_(columns.status == status, ~is_alive)


def _create(connection: Connection, asked: Introduction, now: int) -> str:
    row = _new_row(asked, now, change_mark(connection))
    connection.execute(insert(EXPERIMENTS), [row])
    _insert_tags(connection, [(row["id"], row["tags"])])
    return str(row["id"])


def _new_row(asked: Introduction, now: int, mark: int) -> dict[str, Any]:
    """Return the row of a new experiment: with the keys of all columns, so that several can be inserted together."""
    identity, description = asked.identity, asked.description
    said = {"readme": None, "tags": [], "bindrs": [], "metadata": None, **description.given}
    times = {
        f"{name}_ns": description.time_ns(name, now) if name in description.given else None for name in said
    }
    return {
        "id": "exp_" + "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH)),
        "prefix": identity.prefix,
        "owner": identity.owner,
        "project": identity.project,
        "folder": identity.folder,
        "name": identity.name,
        **said,
        **times,
        "words": words_of(identity.prefix, said["tags"], description.readme),
        "created_ns": now,
        "updated_ns": now,
        "changed": mark,
        "rows": 0,
    }


def _change(connection: Connection, row: Row[Any], description: Description, now: int) -> None:
    """Store what differs in a description, and was not said before what is stored.

    To send the same one again changes nothing that is seen, not even the time of change.
    """
    stored = row._mapping  # noqa: SLF001 - its public name
    times = {name: description.time_ns(name, now) for name in description.given}
    newest = {name: ns for name, ns in times.items() if ns >= (stored[f"{name}_ns"] or 0)}
    # as bytes: NaN is unequal to itself, and True is not 1
    news: dict[str, Any] = {
        name: value
        for name, value in description.given.items()
        if name in newest and to_msgpack(value) != to_msgpack(stored[name])
    }
    if newest:
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.id == row.id)
            .values({f"{name}_ns": ns for name, ns in newest.items()})
        )
    if not news and row.deleted_ns is None:
        return
    if row.purged_ns is not None:
        # its rows are gone for good: who recreates it sends them from the first frame on
        for table in (WRITERS, FRAME_CHECKS):
            connection.execute(delete(table).where(table.c.experiment_id == row.id))
    tags = news.get("tags", row.tags)
    # whole, even if only one of them differs: what it was made of cannot be told apart in it
    words = words_of(row.prefix, tags, news.get("readme", row.readme))
    connection.execute(
        update(EXPERIMENTS)
        .where(EXPERIMENTS.c.id == row.id)
        .values(**news, words=words, updated_ns=now, changed=change_mark(connection), **_NOT_DELETED)
    )
    if "tags" in news:
        store_tags(connection, row.id, tags)


def store_tags(connection: Connection, experiment_id: str, tags: Collection[str]) -> None:
    """Replace the tags by which an experiment is found."""
    connection.execute(delete(TAGS).where(TAGS.c.experiment_id == experiment_id))
    _insert_tags(connection, [(experiment_id, tags)])


def _insert_tags(connection: Connection, tagged: Iterable[tuple[str, Collection[str]]]) -> None:
    rows = [
        {"experiment_id": experiment_id, "tag": tag, "folded": comparable_text(tag)}
        for experiment_id, tags in tagged
        for tag in tags
    ]
    if rows:
        connection.execute(insert(TAGS), rows)


def words_of(prefix: str, tags: Sequence[str], readme: str | None) -> str:
    """Return what a search looks in."""
    return findable("\n".join([prefix, *tags, readme or ""]))


def _watermarks(
    connection: Connection, experiment_id: str, limit: int, cursor: str | None = None
) -> list[tuple[str, int]]:
    query = select(WRITERS.c.writer, WRITERS.c.watermark).where(
        WRITERS.c.experiment_id == experiment_id, WRITERS.c.writer > (cursor or "")
    )
    found = connection.execute(query.order_by(WRITERS.c.writer).limit(limit))
    return [(row.writer, row.watermark) for row in found]


def _told(found: Sequence[tuple[str, int]], most: int) -> tuple[dict[str, int], str | None]:
    """Return the first of these watermarks, and the cursor of the rest; None where there is none."""
    told = dict(found[:most])
    return told, found[most - 1][0] if len(found) > most else None


def _latest_ns(connection: Connection, experiment_id: str) -> int | None:
    """Return the latest time of a row of those of which the later one wins; None where there is none."""
    # The last rows that came: as long as all writers give rising times, these are the latest.
    series = select(func.max(SERIES.c.last_ns)).where(
        SERIES.c.experiment_id == experiment_id, SERIES.c.kind.in_((int(Kind.PARAMS), int(Kind.FILE)))
    )
    runs = select(func.max(WRITERS.c.run_ns)).where(WRITERS.c.experiment_id == experiment_id)
    found = [connection.execute(query).scalar_one() for query in (series, runs)]
    return max((each for each in found if each is not None), default=None)


def _as_record(row: Row[Any], run: dict[str, Any] | None) -> dict[str, Any]:
    """Return the public form of an experiment; `run` is the run of it that is alive, if there is one."""
    running = run is not None or row.status == RunStatus.RUNNING
    # lists have readmes and notes only where they are asked for: some are a megabyte long
    texts = {name: getattr(row, name) for name in ("readme", "note") if hasattr(row, name)}
    return {
        "id": row.id,
        "prefix": row.prefix,
        "owner": row.owner,
        "project": row.project,
        "folder": row.folder,
        "name": row.name,
        **texts,
        "tags": row.tags,
        "bindrs": row.bindrs,
        "metadata": row.metadata,
        "status": RunStatus.RUNNING if running else row.status,
        "stale": running and run is None,
        "createdAt": iso_time(row.created_ns),
        "updatedAt": iso_time(row.updated_ns),
        "startedAt": time_or_none(row.started_ns),
        "endedAt": None if running else time_or_none(row.status_ns),
        "lastActivity": time_or_none(row.activity_ns),
        "host": row.host if run is None else run["host"],
        "error": None if running else row.error,
        "rows": row.metric_rows,
        "entries": row.rows,
        "alerts": row.alerts,
        "attempts": row.attempts,
        "stop": stop_of(row),
        "deletedAt": time_or_none(row.deleted_ns),
    }


def _behind(cursor: str) -> ColumnElement[bool]:
    match read_cursor(cursor):
        case [int() as created, str() as last] if (
            0 <= created < 2**63 and last.isascii() and last.isprintable()
        ):
            return or_(
                EXPERIMENTS.c.created_ns < created,
                and_(EXPERIMENTS.c.created_ns == created, EXPERIMENTS.c.id < last),
            )
    raise invalid_cursor(cursor)
