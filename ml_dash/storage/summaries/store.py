"""What is read from the tables of a root, and written to them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.journal.objects import to_msgpack
from ml_dash.query.listing.comparing import folded, kept, to_float
from ml_dash.storage.marks import bucket_of
from ml_dash.storage.summaries.directories import Directories
from ml_dash.storage.summaries.names import Names
from ml_dash.storage.summaries.records import Record, pack_metrics, parts_of
from ml_dash.storage.summaries.tree import INODE_BITS, parent_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from ml_dash.query.listing.listed import Best
    from ml_dash.query.listing.summary import FieldSummary, Summaries
    from ml_dash.storage.summaries.database import Database
    from ml_dash.storage.summaries.tree import Changes

_REMEMBERED = 200_000
"""Names whose numbers are kept in memory."""
_NAMES_TOLD = 10_000
"""Names that are listed for who asks for one that is not there."""
_GONE_MOST = 1000
"""Experiments that are gone and told to whoever asks what has changed; the first of them are forgotten beyond."""
SILENT, ALIVE = 1, 2
"""How a run that has not ended stands, in the column ``open``."""


class Row(NamedTuple):
    """An experiment, as far as a look needs it."""

    id: int
    path: str
    seen: str | None
    content: bytes | None
    is_open: bool


class Store:
    """The tables of a root; not for several threads at once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.names = Names(database)
        self.directories = Directories(database)

    @property
    def connection(self) -> Connection:
        """The connection of now; another one takes its place where its file cannot be used any more."""
        return self.database.connection

    def forget(self) -> None:
        """Forget what is in memory: the transaction that it came from was not committed, or it is of another file."""
        self.names.forget()

    # --- which experiments a look looks at

    def rows(self, where: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return experiments; `where` is what comes behind WHERE."""
        found = self.connection.execute(
            f"SELECT id, path, seen, content, open FROM experiments WHERE {where}",  # noqa: S608 - none of it is a user's
            values,
        )
        return [
            Row(id_, os.fsdecode(path), seen, content, is_open > 0)
            for id_, path, seen, content, is_open in found
        ]

    def count(self, where: str = "1 = 1") -> int:
        """Return how many experiments there are; `where` is what comes behind WHERE."""
        found: int = self.connection.execute(f"SELECT count(*) FROM experiments WHERE {where}").fetchone()[0]  # noqa: S608
        return found

    def record(self, id_: int, directory: str) -> Record | None:
        """Return what is kept of an experiment; None where it is not there any more."""
        found = self.connection.execute("SELECT record FROM details WHERE id = ?", (id_,)).fetchone()
        return None if found is None else Record.from_bytes(found[0], directory)

    def detail(self, id_: int, column: str) -> bytes | None:
        """Return ``params``, ``metrics``, ``runs`` or ``state`` of an experiment."""
        found = self.connection.execute(f"SELECT {column} FROM details WHERE id = ?", (id_,)).fetchone()  # noqa: S608
        return None if found is None else found[0]

    # --- writing, all of it within `writing`

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `Database.writing`."""
        try:
            with self.database.writing():
                yield
        except BaseException:
            self.forget()
            raise

    def next_change(self) -> int:
        """Return the number of this transaction, by which lists tell what has changed."""
        number: int = self.database.meta("changed", 0) + 1
        self.database.set_meta("changed", number)
        return number

    def apply(self, changes: Changes) -> None:
        """Enter which directories there are. Experiments that are new are not: see `add` and `move`."""
        for path in changes.gone:
            self.connection.execute("DELETE FROM folders WHERE path = ?", (os.fsencode(path),))
        self.connection.executemany(
            "INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?)",
            [
                (
                    os.fsencode(path),
                    folder.stamp,
                    None if folder.inside is None else os.fsencode(folder.inside),
                    folder.strange,
                    to_msgpack(list(map(os.fsencode, folder.links))),
                )
                for path, folder in changes.folders.items()
            ],
        )

    def add(self, path: str, inode: int, record: Record, change: int) -> None:
        """Enter an experiment whose journal was not read."""
        if self.directories.is_experiment(path):
            return  # by another process, meanwhile
        encoded = os.fsencode(path)
        cursor = self.connection.execute(
            "INSERT INTO experiments (path, parent, inode, bucket, changed, uid, prefix, owner, project, folder, name,"
            " created_ns, words) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                encoded,
                os.fsencode(parent_of(path)),
                inode & INODE_BITS,
                bucket_of(path),
                change,
                record.id,
                *map(_clean, (record.prefix, record.owner, record.project, record.folder, record.name)),
                record.created_ns,
                _clean(record.words),
            ),
        )
        self.connection.execute("DELETE FROM gone WHERE uid = ?", (record.id,))
        assert cursor.lastrowid is not None  # noqa: S101 - for the type checker
        self._write_record(cursor.lastrowid, record, change)

    def lift(self, row: Row) -> None:
        """Take an experiment that is moved off its place, into which another one may be moved."""
        nowhere = b"\0%d" % row.id  # no path has such a character
        self.connection.execute("UPDATE experiments SET path = ? WHERE id = ?", (nowhere, row.id))

    def move(self, row: Row, path: str, inode: int, prefix: str, change: int) -> None:
        """Enter that an experiment lies elsewhere now, with all that is known of it."""
        record = self.record(row.id, "")
        if record is None or self.directories.is_experiment(path):
            self.remove(row, change)
            return
        self._note_gone(record, change)
        record.prefix = prefix
        record.owner, record.project, record.folder, record.name = parts_of(prefix)
        self.connection.execute(
            "UPDATE experiments SET path = ?, parent = ?, inode = ?, bucket = ?, uid = ?, prefix = ?, owner = ?,"
            " project = ?, folder = ?, name = ?, seen = '' WHERE id = ?",
            (
                os.fsencode(path),
                os.fsencode(parent_of(path)),
                inode & INODE_BITS,
                bucket_of(path),
                record.id,
                *map(_clean, (prefix, record.owner, record.project, record.folder, record.name)),
                row.id,
            ),
        )
        self.connection.execute("DELETE FROM gone WHERE uid = ?", (record.id,))
        self._write_record(row.id, record, change)

    def remove(self, row: Row, change: int) -> None:
        """Enter that an experiment is not there any more."""
        if (record := self.record(row.id, "")) is not None:
            self._note_gone(record, change)
        for table, column in (
            ("experiments", "id"),
            ("details", "id"),
            ("params", "experiment_id"),
            ("metric_fields", "experiment_id"),
            ("tags", "experiment_id"),
        ):
            self.connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (row.id,))  # noqa: S608

    def write(
        self,
        row: Row,
        record: Record,
        change: int,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str | None, Summaries],
        runs: bytes | None,
        state: bytes | None,
        seen: str,
        content: bytes | None,
    ) -> None:
        """Enter what the journal of an experiment amounts to."""
        if self.connection.execute("SELECT 1 FROM experiments WHERE id = ?", (row.id,)).fetchone() is None:
            return  # removed meanwhile
        self.connection.execute(
            "UPDATE experiments SET seen = ?, content = ? WHERE id = ?", (seen, content, row.id)
        )
        self._write_record(row.id, record, change)
        self.connection.execute(
            "UPDATE details SET params = ?, metrics = ?, runs = ?, state = ? WHERE id = ?",
            (to_msgpack(dict(params)), pack_metrics(metrics), runs, state, row.id),
        )
        self._write_params(row.id, params)
        self._write_fields(row.id, record, metrics)

    def keep_state(self, row: Row, state: bytes | None) -> None:
        """Enter how far a journal was read that was not read to its end: what is known of it holds until then."""
        self.connection.execute("UPDATE details SET state = ? WHERE id = ?", (state, row.id))

    def see(self, row: Row, seen: str) -> None:
        """Enter what the directory of an experiment was when it was looked into."""
        self.connection.execute("UPDATE experiments SET seen = ? WHERE id = ?", (seen, row.id))

    def stand(self, row: Row, record: Record, change: int) -> None:
        """Enter how the run of an experiment stands, whose journal is as it was."""
        self._write_record(row.id, record, change)

    def _write_record(self, id_: int, record: Record, change: int) -> None:
        self.connection.execute(
            "UPDATE experiments SET open = ?, changed = ?, standing = ?, host = ?, rows = ?, metrics = ?, size = ?,"
            " attempts = ?, created_ns = ?, started_ns = ?, ended_ns = ?, active_ns = ?, error = ?, words = ?,"
            " note = ?, readme = ? WHERE id = ?",
            (
                0 if not record.is_open else SILENT if record.stale else ALIVE,
                change,
                record.standing,
                _clean(record.host),
                record.rows,
                record.metrics,
                record.size,
                record.attempts,
                record.created_ns,
                record.started_ns,
                record.ended_ns,
                record.active_ns,
                _clean(record.error),
                _clean(record.words),
                _clean(record.note and folded(record.note)),
                _clean(record.readme and folded(record.readme)),
                id_,
            ),
        )
        kept_record = record.to_bytes()
        updated = self.connection.execute("UPDATE details SET record = ? WHERE id = ?", (kept_record, id_))
        if not updated.rowcount:
            self.connection.execute("INSERT INTO details (id, record) VALUES (?, ?)", (id_, kept_record))
        self.connection.execute("DELETE FROM tags WHERE experiment_id = ?", (id_,))
        # as they were written, between lines: a filter asks for them in any case, and other lists do not
        tags: dict[str, str] = {}
        for tag in record.tags:
            tags[folded(tag)] = f"{tags.get(folded(tag), chr(10))}{tag}\n"
        self.connection.executemany(
            "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)",
            [(id_, _clean(tag), _clean(written)) for tag, written in tags.items()],
        )

    def _write_params(self, id_: int, params: Mapping[str, Any]) -> None:
        self.connection.execute("DELETE FROM params WHERE experiment_id = ?", (id_,))
        rows = []
        for name, value in params.items():
            found = kept(value)
            if found is not None:
                number = self.names.numbered(name)
                self.names.know(number, None)
                rows.append((id_, number, found.number, _clean(found.text)))
        self.connection.executemany("INSERT OR REPLACE INTO params VALUES (?, ?, ?, ?)", rows)

    def _write_fields(self, id_: int, record: Record, metrics: Mapping[str | None, Summaries]) -> None:
        bests = record.bests
        self.connection.execute("DELETE FROM metric_fields WHERE experiment_id = ?", (id_,))
        rows = []
        for metric, found in metrics.items():
            at = self.names.numbered(metric or "")
            for field, summary in found.items():
                number = self.names.numbered(field)
                self.names.know(at, number)
                rows.append((id_, at, number, *_aggregates(summary, bests.get((metric, field), "last"))))
        self.connection.executemany(
            "INSERT OR REPLACE INTO metric_fields VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
        )

    def _note_gone(self, record: Record, change: int) -> None:
        self.connection.execute(
            "INSERT OR REPLACE INTO gone VALUES (?, ?, ?)", (record.id, change, record.to_bytes())
        )
        found = self.connection.execute("SELECT count(*) FROM gone").fetchone()[0]
        if found > _GONE_MOST:
            first = self.connection.execute(
                "SELECT changed FROM gone ORDER BY changed LIMIT 1 OFFSET ?", (found - _GONE_MOST - 1,)
            ).fetchone()[0]
            self.connection.execute("DELETE FROM gone WHERE changed <= ?", (first,))
            self.database.set_meta("forgotten", first)


def _aggregates(summary: FieldSummary, best: Best) -> tuple[Any, ...]:
    last = kept(summary.last)
    number, text = (None, None) if last is None else last
    best_value = number if best == "last" else summary.value(best)
    others = (summary.first, number, summary.min, summary.max, summary.mean, best_value)
    return (float(summary.count), *map(_number, others), _clean(text))


def _number(value: Any) -> float | None:
    return None if value is None or isinstance(value, str) else to_float(value)


def _clean(text: str | None) -> str | None:
    """Return a text that SQLite can take: halves of surrogate pairs, which file names may have, are none."""
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode()
