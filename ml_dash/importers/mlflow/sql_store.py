"""A store in a database of SQLite, mostly ``mlflow.db``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ml_dash.importers.mlflow.file_store import ArtifactsPart
from ml_dash.importers.mlflow.runs import MlflowRun, RunRecord
from ml_dash.importers.mlflow.values import Values
from ml_dash.importers.source import Item, Part, Position, UnreadableRun
from ml_dash.importers.sqlite_file import DatabaseUnreadableError, columns_of, opened
from ml_dash.journal.foreign_disk import ForeignDisk

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store

_FETCHED = 32_768
"""Rows that become one frame."""


def sql_runs(path: str) -> list[MlflowRun | UnreadableRun]:
    """Return the runs in a database, but those that were deleted."""
    try:
        with opened(path) as connection:
            if not columns_of(connection, "latest_metrics"):
                return []
            return [MlflowRun(record, _parts) for record in _records(path, connection)]
    except DatabaseUnreadableError as error:
        return [UnreadableRun(path, str(error))]


def _records(path: str, connection: sqlite3.Connection) -> Iterator[RunRecord]:
    # runs have had a name of their own since version 2; before it is a tag
    name = "runs.name" if "name" in columns_of(connection, "runs") else "NULL"
    query = (
        f"SELECT run_uuid, experiments.name AS experiment, {name} AS name, status, start_time, end_time, user_id, "  # noqa: S608 - of the two names above
        "artifact_uri FROM runs JOIN experiments USING (experiment_id) "
        "WHERE runs.lifecycle_stage = 'active' ORDER BY start_time, run_uuid"
    )
    for row in connection.execute(query).fetchall():
        run = row["run_uuid"]
        params = connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,))
        tags = connection.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run,))
        yield RunRecord(
            path,
            run,
            row["experiment"],
            row["name"],
            row["status"],
            row["start_time"],
            row["end_time"],
            row["user_id"],
            row["artifact_uri"],
            params=dict(params.fetchall()),
            tags=dict(tags.fetchall()),
        )


def _parts(record: RunRecord, report: RunReport) -> Iterator[Part]:
    yield MetricRows(record)
    if not record.artifact_uri:
        return
    above = os.path.dirname(os.path.abspath(record.place))
    for directory in _local_directories(record.artifact_uri, above):
        if os.path.isdir(directory):
            run = os.path.dirname(directory)
            yield ArtifactsPart(run, ForeignDisk(run))
            return
        if os.path.isdir(os.path.dirname(os.path.dirname(directory))):
            return  # its experiment has a directory there, and the run none: it has logged none
    report.note(
        record.artifact_uri,
        "artifacts are not beside the database: import from the server to have them (`ml-dash import mlflow URL`)",
    )


def _local_directories(uri: str, above: str) -> Iterator[str]:
    """Yield where the artifacts of a run may be, below the database's directory: nothing else is read."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if os.path.basename(path) != "artifacts" or ".." in path.split("/"):
        return
    if parts.scheme in {"", "file"} and os.path.realpath(path).startswith(
        os.path.join(os.path.realpath(above), "")
    ):
        yield path
    # as the database and its directory were moved together, and where a server without an option puts them
    tail = path.split("/")[-3:]
    for name in ("mlruns", "mlartifacts"):
        yield os.path.join(above, name, *tail)


class MetricRows:
    """All values of a run, in the order in which they were written.

    The rows have no number that stays: SQLite numbers them anew when the database is vacuumed. So a position is how
    many of the run's were read, for their order stays, and a checksum of these.
    """

    name = "metrics"

    def __init__(self, record: RunRecord) -> None:
        self._record = record

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        known = position or {"rows": 0, "crc": 0}
        try:
            with opened(self._record.place) as connection:
                query = "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid"
                cursor = connection.cursor()
                cursor.row_factory = None
                rows, crc = 0, 0
                cursor.execute(query, (self._record.run_id,))
                while rows < known["rows"]:
                    some = cursor.fetchmany(min(_FETCHED, known["rows"] - rows))
                    if not some:
                        break
                    rows, crc = rows + len(some), Values(some).checksum(crc)
                if (rows, crc) != (known["rows"], known["crc"]):
                    report.note(
                        self._record.place,
                        f"the metrics of {self._record.run_id} are others than were imported: import them under "
                        "another name (--as)",
                    )
                    return
                while some := cursor.fetchmany(_FETCHED - rows % _FETCHED):
                    values = Values(some)
                    rows, crc = rows + len(some), values.checksum(crc)
                    yield values.item({"rows": rows, "crc": crc}, self._record.place, report)
        except DatabaseUnreadableError as error:
            report.note(self._record.place, str(error))
