"""What people do with experiments at a server: delete, restore, move, tag, write notes, and ask their runs to stop.

To delete is to put into the trash: lists have it no more, its runs are told (410), and it can be restored with all its
rows until these are removed for good (see `ml_dash.server.ingest.purging`). Each of these is one transaction that has
the experiment to itself, with a line of the audit in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.exc import IntegrityError

from ml_dash.protocol import TAGS_MAX, ErrorCode
from ml_dash.query.times import NANOSECONDS, iso_time
from ml_dash.server.catalogue.audit import history, write_down
from ml_dash.server.catalogue.changes import change_mark
from ml_dash.server.catalogue.experiments import store_tags, words_of
from ml_dash.server.catalogue.moving import locked, note_move
from ml_dash.server.catalogue.records import (
    changed_meanwhile,
    exists,
    gone,
    no_such_experiment,
    own_prefix,
    prefix_of_succeeded,
    time_or_none,
)
from ml_dash.server.catalogue.run_status import open_runs
from ml_dash.server.catalogue.stopping import NOT_ASKED, names_of, stop_of
from ml_dash.server.db.tables import AUDIT, EXPERIMENTS
from ml_dash.server.errors import ApiError
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor
from ml_dash.server.http.query_args import invalid
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection, Row

    from ml_dash.identity import Identity
    from ml_dash.query.pages import Take
    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.catalogue.experiments import Experiments
    from ml_dash.shapes import NewTags

_TRIES = 2
"""How often a name is asked for that another process takes at that very moment: the second time it is seen."""


class Verbs:
    """Changes experiments in the name of a token. All of it raises `ApiError` 404 or 410 where there is none.

    Args:
        experiments: The catalogue.
        keep_seconds: How long the rows of a deleted experiment are kept; None for ever.
    """

    def __init__(self, experiments: Experiments, keep_seconds: float | None) -> None:
        self._experiments = experiments
        self._database = experiments.database
        self._clock = experiments.clock
        self._keep_seconds = keep_seconds
        self.run = experiments.database.run

    def delete(self, experiment_id: str, who: Principal, *, unless_running: bool) -> dict[str, Any]:
        """Put an experiment into the trash; return its record, with when its rows go.

        Raises:
            ApiError: 409: a run of it goes on, and it was to be deleted only where none does.
        """
        now = self._clock.time_ns()
        with self._database.write() as connection:
            row = self._living(connection, experiment_id)
            if unless_running and self._is_running(connection, experiment_id, now):
                raise ApiError(
                    409,
                    ErrorCode.RUNNING,
                    f"a run of {row.prefix!r} goes on: end it first, or ask without unless_running (`ml-dash rm "
                    "--force`). What it logs from then on stays on its own disk",
                )
            keep = self._keep_seconds
            purge_ns = None if keep is None else now + int(keep * NANOSECONDS)
            self._change(connection, row, now, deleted_ns=now, purge_ns=purge_ns)
            write_down(connection, experiment_id, who, "delete", {"prefix": row.prefix}, now)
            record = self._experiments.stored(connection, experiment_id)
        return {**record, "purgeAt": time_or_none(purge_ns)}

    def restore(self, experiment_id: str, who: Principal, to: Identity | None) -> dict[str, Any]:
        """Take an experiment out of the trash, under its own name or another one; return its record.

        Raises:
            ApiError: 409: another one has that name. 410: its rows were removed for good.
        """
        return _named(to, lambda: self._restore(experiment_id, who, to))

    def _restore(self, experiment_id: str, who: Principal, to: Identity | None) -> dict[str, Any]:
        now = self._clock.time_ns()
        with self._database.write() as connection:
            row = self._there(connection, experiment_id, None if to is None else to.prefix)
            before = own_prefix(row.prefix)
            after = before if to is None else to.prefix
            if row.deleted_ns is None and after == before:
                return self._experiments.stored(connection, experiment_id)
            if row.deleted_ns is None:
                raise invalid("to", after, f"{row.prefix!r} is not in the trash: move it instead")
            if row.purged_ns is not None:
                raise ApiError(
                    410,
                    ErrorCode.GONE,
                    f"the rows of {before!r} were removed for good at {iso_time(row.purged_ns)}: if its journal is "
                    "still on a disk, `ml-dash sync --recreate` sends it again",
                )
            self._free(
                connection, row, after, f"restore {before!r} under another name (`ml-dash restore --to`)"
            )
            self._rename(connection, row, after, now, to, deleted_ns=None, purge_ns=None)
            if after != before:
                note_move(connection, experiment_id, before, after, now)
            write_down(connection, experiment_id, who, "restore", {"from": before, "to": after}, now)
            return self._experiments.stored(connection, experiment_id)

    def move(self, experiment_id: str, who: Principal, to: Identity) -> dict[str, Any]:
        """Give an experiment another name, of the same owner; return its record.

        Runs go on in it, and so does whoever sends their journals, see `ml_dash.server.catalogue.moving`.

        Raises:
            ApiError: 409: another one has that name. 400: another owner.
        """
        return _named(to, lambda: self._move(experiment_id, who, to))

    def _move(self, experiment_id: str, who: Principal, to: Identity) -> dict[str, Any]:
        now = self._clock.time_ns()
        with self._database.write() as connection:
            row = self._living(connection, experiment_id, to.prefix)
            if to.prefix == row.prefix:
                return self._experiments.stored(connection, experiment_id)
            self._free(connection, row, to.prefix, "choose another name, or move or delete that one first")
            self._rename(connection, row, to.prefix, now, to)
            note_move(connection, experiment_id, row.prefix, to.prefix, now)
            write_down(connection, experiment_id, who, "move", {"from": row.prefix, "to": to.prefix}, now)
            return self._experiments.stored(connection, experiment_id)

    def tag(self, experiment_id: str, who: Principal, news: NewTags) -> dict[str, Any]:
        """Change an experiment's tags; return its record.

        Raises:
            ApiError: 400: it would have too many.
        """
        now = self._clock.time_ns()
        with self._database.write() as connection:
            row = self._living(connection, experiment_id)
            kept = [tag for tag in (row.tags if news.only is None else news.only) if tag not in news.remove]
            tags = list(dict.fromkeys([*kept, *news.add]))
            if len(tags) > TAGS_MAX:
                raise invalid("add", "…", f"it would have {len(tags):,} tags, and may have {TAGS_MAX:,}")
            if tags != row.tags:
                words = words_of(row.prefix, tags, row.readme)
                # said now: what a journal that comes later has said before does not count
                self._change(connection, row, now, tags=tags, tags_ns=now, words=words)
                store_tags(connection, experiment_id, tags)
                details = {
                    "added": [tag for tag in tags if tag not in row.tags],
                    "removed": [tag for tag in row.tags if tag not in tags],
                }
                write_down(connection, experiment_id, who, "tag", details, now)
            return self._experiments.stored(connection, experiment_id)

    def note(self, experiment_id: str, who: Principal, text: str, before: str | None) -> dict[str, Any]:
        """Replace what is noted of an experiment, or with an empty text take it away; return its record.

        Raises:
            ApiError: 412: it is not what it was `before`, nor this text already.
        """
        now = self._clock.time_ns()
        with self._database.write() as connection:
            row = self._living(connection, experiment_id)
            if _is_new("note", row.note, text, before):
                self._change(connection, row, now, note=text or None)
                write_down(connection, experiment_id, who, "note", {"characters": len(text)}, now)
            return self._experiments.stored(connection, experiment_id)

    def readme(self, experiment_id: str, who: Principal, text: str, before: str | None) -> dict[str, Any]:
        """Do as `note` with its readme, which is the run's own until somebody changes it here."""
        now = self._clock.time_ns()
        with self._database.write() as connection:
            row = self._living(connection, experiment_id)
            if _is_new("readme", row.readme, text, before):
                words = words_of(row.prefix, row.tags, text)
                # said now: what a journal that comes later has said before does not count
                self._change(connection, row, now, readme=text or None, readme_ns=now, words=words)
                write_down(connection, experiment_id, who, "readme", {"characters": len(text)}, now)
            return self._experiments.stored(connection, experiment_id)

    def stop(self, experiment_id: str, who: Principal, reason: str | None, *, cancel: bool) -> dict[str, Any]:
        """Ask the newest attempt to stop, or take that back as long as it has not seen it; return the record.

        Raises:
            ApiError: 409: no run goes on; or it has seen the request that was to be taken back.
        """
        now = self._clock.time_ns()
        with self._database.write() as connection:
            row = self._living(connection, experiment_id)
            record = self._experiments.stored(connection, experiment_id)
            asked = stop_of(row)
            if cancel:
                if asked and asked["seenAt"]:
                    raise ApiError(
                        409,
                        ErrorCode.NOT_STOPPED,
                        f"the run of {row.prefix!r} has seen at {asked['seenAt']} that it is asked to stop: "
                        "that is not taken back",
                    )
                if asked:
                    self._change(connection, row, now, **NOT_ASKED)
                    write_down(connection, experiment_id, who, "stop", {"cancel": True}, now)
            elif record["status"] != RunStatus.RUNNING:
                raise ApiError(
                    409, ErrorCode.NOT_STOPPED, f"no run of {row.prefix!r} goes on: there is nothing to stop"
                )
            elif asked is None:
                values = {
                    "stop_ns": now,
                    "stop_by": who.name,
                    "stop_reason": reason or None,
                    "stop_attempt": row.newest_attempt,
                    "stop_names": names_of(connection, experiment_id, row.newest_attempt),
                    "stop_seen_ns": None,
                }
                self._change(connection, row, now, **values)
                write_down(connection, experiment_id, who, "stop", {"reason": reason or None}, now)
            return self._experiments.stored(connection, experiment_id)

    def trash(
        self, take: Take, owners: Collection[str] | None, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Give what is in the trash, and can be restored, to `take`, what was deleted last first.

        Raises:
            ApiError: 400: the cursor is invalid.
        """
        columns = EXPERIMENTS.c
        conditions = [columns.deleted_ns.is_not(None), columns.purged_ns.is_(None)]
        if owners is not None:
            conditions.append(columns.owner.in_(sorted(owners)))
        if cursor is not None:
            conditions.append(_behind(cursor))
        deleted_by = (
            select(AUDIT.c.who)
            .where(
                AUDIT.c.experiment_id == columns.id,
                AUDIT.c.time_ns == columns.deleted_ns,
                AUDIT.c.action == "delete",
            )
            .order_by(AUDIT.c.number.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = select(EXPERIMENTS, deleted_by.label("deleted_by")).where(*conditions)
        with self._database.read() as connection:
            found = connection.execute(
                query.order_by(columns.deleted_ns.desc(), columns.id.desc()).limit(limit + 1)
            ).all()
        taken = 0
        for row in found[:limit]:
            if not take(_as_trashed(row)):
                break
            taken += 1
        has_more = len(found) > taken
        last = found[taken - 1] if has_more and taken else None
        return {
            "hasMore": has_more,
            "cursor": None if last is None else write_cursor([last.deleted_ns, last.id]),
        }

    def history(self, take: Take, experiment_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
        """Give what was done to an experiment, deleted or not, to `take`, the newest first.

        Raises:
            ApiError: 400: the cursor is invalid.
        """
        with self._database.read() as connection:
            rest = history(
                connection, take, experiment_id, limit, None if cursor is None else _number(cursor)
            )
        return {"hasMore": rest is not None, "cursor": None if rest is None else write_cursor([rest])}

    # --- what they have in common

    def _there(self, connection: Connection, experiment_id: str, prefix: str | None = None) -> Row[Any]:
        if prefix is not None:
            # with what has the name, in the order in which everybody locks: else two moves could wait for each other
            ids = select(EXPERIMENTS.c.id).where(
                or_(EXPERIMENTS.c.id == experiment_id, EXPERIMENTS.c.prefix == prefix)
            )
            connection.execute(ids.order_by(EXPERIMENTS.c.id).with_for_update()).all()
        row = locked(connection, EXPERIMENTS.c.id == experiment_id)
        if row is None:
            raise no_such_experiment(experiment_id)
        return row

    def _living(self, connection: Connection, experiment_id: str, prefix: str | None = None) -> Row[Any]:
        row = self._there(connection, experiment_id, prefix)
        if row.deleted_ns is not None:
            raise gone(row.prefix)
        return row

    def _is_running(self, connection: Connection, experiment_id: str, now: int) -> bool:
        return bool(
            open_runs(connection, [experiment_id], stale_after=self._experiments.stale_after, now_ns=now)
        )

    def _free(self, connection: Connection, row: Row[Any], prefix: str, remedy: str) -> None:
        """Have a name free for an experiment: a deleted one that has it gives it away."""
        holder = locked(connection, EXPERIMENTS.c.prefix == prefix)
        if holder is None or holder.id == row.id:
            return
        if holder.deleted_ns is None:
            raise exists(prefix, remedy)
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.id == holder.id)
            .values(prefix=prefix_of_succeeded(prefix, holder.id))
        )

    def _rename(
        self, connection: Connection, row: Row[Any], prefix: str, now: int, to: Identity | None, **more: Any
    ) -> None:
        if to is not None and to.owner != row.owner:
            raise invalid(
                "to",
                to.prefix,
                f"an experiment stays with its owner, {row.owner!r}, who has its files and says who may see it. To "
                "hand it over, send its journal once more: `ml-dash sync DIR --to URL --as PREFIX`",
            )
        parts = {} if to is None else {"project": to.project, "folder": to.folder, "name": to.name}
        words = words_of(prefix, row.tags, row.readme)
        self._change(connection, row, now, prefix=prefix, words=words, **parts, **more)

    def _change(self, connection: Connection, row: Row[Any], now: int, **values: Any) -> None:
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.id == row.id)
            .values(**values, updated_ns=now, changed=change_mark(connection))
        )


def _is_new(what: str, now: str | None, text: str, before: str | None) -> bool:
    """Say whether a text is another one than there is.

    Raises:
        ApiError: 412: it is, and what there is is not what it was before.
    """
    if (now or "") == text:
        return False
    if before is not None and before != (now or ""):
        raise changed_meanwhile(what)
    return True


def _named(to: Identity | None, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    for _ in range(_TRIES):
        try:
            return work()
        except IntegrityError:
            continue
    raise exists("of that name" if to is None else to.prefix, "choose another name")


def _as_trashed(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "prefix": own_prefix(row.prefix),
        "owner": row.owner,
        "rows": row.metric_rows,
        "deletedAt": iso_time(row.deleted_ns),
        "deletedBy": row.deleted_by,
        "purgeAt": time_or_none(row.purge_ns),
    }


def _number(cursor: str) -> int:
    match read_cursor(cursor):
        case [int() as number] if 0 <= number < 2**63:
            return number
    raise invalid_cursor(cursor)


def _behind(cursor: str) -> Any:
    match read_cursor(cursor):
        case [int() as deleted, str() as last] if (
            0 <= deleted < 2**63 and last.isascii() and last.isprintable()
        ):
            columns = EXPERIMENTS.c
            return or_(columns.deleted_ns < deleted, and_(columns.deleted_ns == deleted, columns.id < last))
    raise invalid_cursor(cursor)
