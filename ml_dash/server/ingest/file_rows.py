"""FILE rows, folded as they arrive, so that nobody who lists files reads rows.

The rules are those of `ml_dash.query.files.fold_files`. In addition, rows with an id or a size that no database could
hold are left out, and the lease of a blob that a new row names is renewed (see `ml_dash.server.blobs.collector`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ml_dash.query.files import CHANGEABLE, full_name, is_save
from ml_dash.server.blobs.catalogue import touch
from ml_dash.server.db.database import upsert
from ml_dash.server.db.tables import EXPERIMENTS, FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

__all__ = ["FileRows", "store_files"]

FileRows = dict[str, list[tuple[int, dict[str, Any]]]]
"""FILE rows with their times, by experiment, in the order in which they came."""

_ID_BYTES = 256
_SIZE_MAX = 2**63 - 1
_ASKED = 5000
_COLUMNS = [column.name for column in FILES.columns]


def store_files(connection: Connection, rows: FileRows, now_ns: int) -> None:
    """Store what these rows amount to, on top of those that came before.

    Args:
        connection: In a transaction that has these experiments to itself.
        rows: Whatever clients have sent: what is malformed is left out.
        now_ns: The time now.
    """
    good = {
        experiment: [(time_ns, row) for time_ns, row in found if _is_id(row.get("id"))]
        for experiment, found in rows.items()
    }
    wanted = {experiment: {row["id"] for _, row in found} for experiment, found in good.items()}
    files = _read(connection, wanted)
    seen = _read_seen(connection, good)
    changed: dict[tuple[str, str], dict[str, Any]] = {}
    for experiment, found in good.items():
        for time_ns, row in found:
            key = experiment, row["id"]
            file = files.get(key) or _nothing(*key)
            if _fold(file, time_ns, row, seen.get(experiment, 0) + 1):
                files[key] = changed[key] = file
                seen[experiment] = max(seen.get(experiment, 0), file["seen"] or 0)
    if changed:
        upsert(connection, FILES, list(changed.values()))
        _keep_blobs(connection, changed.values(), now_ns)


def _read(connection: Connection, wanted: Mapping[str, set[str]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what is known of these ids, in columns."""
    files: dict[tuple[str, str], dict[str, Any]] = {}
    ids = sorted({file_id for found in wanted.values() for file_id in found})
    for start in range(0, len(ids), _ASKED):
        # a rectangle of experiments and ids, which with luck has nothing else
        found = connection.execute(
            select(FILES).where(
                FILES.c.experiment_id.in_(sorted(wanted)), FILES.c.id.in_(ids[start : start + _ASKED])
            )
        )
        files |= {(row.experiment_id, row.id): dict(row._mapping) for row in found}  # noqa: SLF001 - public
    return files


def _read_seen(connection: Connection, experiments: Iterable[str]) -> dict[str, int]:
    found = connection.execute(
        select(FILES.c.experiment_id, func.max(FILES.c.seen))
        .where(FILES.c.experiment_id.in_(sorted(experiments)))
        .group_by(FILES.c.experiment_id)
    )
    return {row[0]: row[1] or 0 for row in found}


def _nothing(experiment_id: str, file_id: str) -> dict[str, Any]:
    return {**dict.fromkeys(_COLUMNS), "experiment_id": experiment_id, "id": file_id}


def _fold(file: dict[str, Any], time_ns: int, row: Mapping[str, Any], seen: int) -> bool:
    """Change a file as a row says; say whether it did."""
    event = row.get("event")
    if event == "save":
        return _save(file, time_ns, row, seen)
    if event == "update":
        _update(file, time_ns, row)
        return True
    if event == "delete":
        known = file["deleted_ns"]
        file["deleted_ns"] = time_ns if known is None else min(known, time_ns)
        return True
    return False


def _save(file: dict[str, Any], time_ns: int, row: Mapping[str, Any], seen: int) -> bool:
    if file["saved_ns"] is not None or not _is_save(row):
        return False
    file |= {
        "saved_ns": time_ns,
        "seen": seen,
        "path": row["path"],
        "filename": row["filename"],
        "name": full_name(dict(row)),
        "content_type": row["contentType"],
        "size": row["sizeBytes"],
        "checksum": row["checksum"],
    }
    file |= {name: row.get(name) for name in CHANGEABLE if file[f"{name}_ns"] is None}
    return True


def _update(file: dict[str, Any], time_ns: int, row: Mapping[str, Any]) -> None:
    known = file["updated_ns"]
    file["updated_ns"] = time_ns if known is None else max(known, time_ns)
    for name, check in CHANGEABLE.items():
        if name in row and check(row[name]):
            of = file[f"{name}_ns"]
            if of is None or of <= time_ns:
                file |= {name: row[name], f"{name}_ns": time_ns}


def _is_id(value: Any) -> bool:
    # an index holds no text of any length
    return isinstance(value, str) and 0 < len(value.encode("utf-8", "surrogatepass")) <= _ID_BYTES


def _is_save(row: Mapping[str, Any]) -> bool:
    return is_save(row) and row["sizeBytes"] <= _SIZE_MAX


def _keep_blobs(connection: Connection, files: Iterable[Mapping[str, Any]], now_ns: int) -> None:
    """Renew the leases of the blobs that new rows name: a collector that is at work must not take them for unused."""
    by_experiment: dict[str, set[str]] = {}
    for file in files:
        if file["checksum"] is not None and file["deleted_ns"] is None:
            by_experiment.setdefault(file["experiment_id"], set()).add(file["checksum"])
    if not by_experiment:
        return
    owners = connection.execute(
        select(EXPERIMENTS.c.id, EXPERIMENTS.c.owner).where(EXPERIMENTS.c.id.in_(sorted(by_experiment)))
    )
    by_owner: dict[str, set[str]] = {}
    for experiment_id, owner in owners:
        by_owner.setdefault(owner, set()).update(by_experiment[experiment_id])
    for owner in sorted(by_owner):
        touch(connection, owner, by_owner[owner], now_ns)
