"""FILE rows, folded as they arrive, so that nobody who lists files reads rows.

The rules are those of `ml_dash.query.files.fold_file`. In addition, rows with an id or a size that no database could
hold are left out, and the lease of a blob that a new row names is renewed (see `ml_dash.server.blobs.collector`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ml_dash.query.files import FileState, fold_file
from ml_dash.server.blobs.catalogue import touch
from ml_dash.server.db.database import upsert
from ml_dash.server.db.tables import EXPERIMENTS, FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

FileRows = dict[str, list[tuple[int, dict[str, Any]]]]
"""FILE rows with their times, by experiment, in the order in which they came."""

# an id is part of a primary key, and PostgreSQL's index entries hold about 2700 bytes
_ID_BYTES = 256
_SIZE_MAX = 2**63 - 1
# SQLite allows 32 766 parameters in a statement, PostgreSQL 65 535
_ASKED = 5000
_Key = tuple[str, str]
"""An experiment, and the id of one of its files."""


def store_files(connection: Connection, rows: FileRows, now_ns: int) -> None:
    """Store what these rows amount to, on top of those before, in a transaction that has the experiments to itself.

    Rows are whatever clients have sent: what is malformed is left out.
    """
    good = {
        experiment: [(time_ns, row) for time_ns, row in found if _fits(row)]
        for experiment, found in rows.items()
    }
    wanted = {experiment: {row["id"] for _, row in found} for experiment, found in good.items()}
    files = _read(connection, wanted)
    seen = _read_seen(connection, good)
    changed: dict[_Key, FileState] = {}
    for experiment, found in good.items():
        for time_ns, row in found:
            key = experiment, row["id"]
            last = seen.get(experiment, 0)
            file = fold_file(files.get(key) or FileState(row["id"]), time_ns, row, last + 1)
            if file is not None:
                files[key] = changed[key] = file
                seen[experiment] = max(last, file.seen or 0)
    if changed:
        upsert(
            connection,
            FILES,
            [{"experiment_id": experiment, **file._asdict()} for (experiment, _), file in changed.items()],
        )
        _keep_blobs(connection, changed, now_ns)


def _read(connection: Connection, wanted: Mapping[str, set[str]]) -> dict[_Key, FileState]:
    files: dict[_Key, FileState] = {}
    ids = sorted({file_id for found in wanted.values() for file_id in found})
    for start in range(0, len(ids), _ASKED):
        # a rectangle of experiments and ids, which with luck has nothing else
        found = connection.execute(
            select(FILES.c.experiment_id, *(FILES.c[name] for name in FileState._fields)).where(
                FILES.c.experiment_id.in_(sorted(wanted)), FILES.c.id.in_(ids[start : start + _ASKED])
            )
        )
        files |= {(row.experiment_id, row.id): FileState._make(tuple(row)[1:]) for row in found}
    return files


def _read_seen(connection: Connection, experiments: Iterable[str]) -> dict[str, int]:
    found = connection.execute(
        select(FILES.c.experiment_id, func.max(FILES.c.seen))
        .where(FILES.c.experiment_id.in_(sorted(experiments)))
        .group_by(FILES.c.experiment_id)
    )
    return {row[0]: row[1] or 0 for row in found}


def _fits(row: Mapping[str, Any]) -> bool:
    """Say whether an index holds the id, and a column the size."""
    id_, size = row.get("id"), row.get("sizeBytes")
    if not isinstance(id_, str) or not 0 < len(id_.encode("utf-8", "surrogatepass")) <= _ID_BYTES:
        return False
    return row.get("event") != "save" or not isinstance(size, int) or size <= _SIZE_MAX


def _keep_blobs(connection: Connection, files: Mapping[_Key, FileState], now_ns: int) -> None:
    """Renew the leases of the blobs that new rows name: a collector that is at work must not take them for unused."""
    by_experiment: dict[str, set[str]] = {}
    for (experiment, _), file in files.items():
        if file.checksum is not None and file.deleted_ns is None:
            by_experiment.setdefault(experiment, set()).add(file.checksum)
    if not by_experiment:
        return
    owners = connection.execute(
        select(EXPERIMENTS.c.id, EXPERIMENTS.c.owner).where(EXPERIMENTS.c.id.in_(sorted(by_experiment)))
    )
    by_owner: dict[str, set[str]] = {}
    for experiment_id, owner in owners:
        by_owner.setdefault(owner, set()).update(by_experiment[experiment_id])
    # sorted, as in `touch`: two transactions that lock blobs in different orders could wait for each other
    for owner in sorted(by_owner):
        touch(connection, owner, by_owner[owner], now_ns)
