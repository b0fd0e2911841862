"""The store's tables. All of them begin with the experiment, so that a large database can be sharded by it.

``experiments``
    One row for each prefix, deleted ones included: a deleted experiment keeps its frames, and comes back with them.
``experiment_tags``
    The tags once more, to be searched for.
``writers``
    How far each writer's frames are here (the watermark), and what is known of its last rows and frames.
``frame_checks``
    The checksums of all frames of a writer, 4 bytes each: what comes again must be what came before.
``runs``
    The last start or end of each run that a writer opened: who lists experiments reads no rows.
``series``
    What rows there are: how many, of which fields, in which times.
``blocks``
    The rows themselves, as the journal's blocks: consecutive rows of a series, in the row or in an object.
``objects``
    The objects in the blob store that are in use. What is there and not here may be collected.

Text that may be anything Python calls a str (lone surrogates and NUL included, which databases refuse) is stored as
bytes. Times are nanoseconds since the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

from ml_dash.journal.blocks import from_msgpack, to_msgpack
from ml_dash.server.db.metadata import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Dialect

__all__ = [
    "BLOCKS",
    "EXPERIMENTS",
    "FRAME_CHECKS",
    "OBJECTS",
    "RUNS",
    "SERIES",
    "TAGS",
    "WRITERS",
    "AnyText",
    "Packed",
    "name_key",
]


class AnyText(TypeDecorator[str]):
    """Any str, as bytes: UTF-8, in which a lone surrogate has the three bytes that it would have."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> bytes | None:
        """Return what is stored."""
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> str | None:
        """Return what was stored."""
        return None if value is None else bytes(value).decode("utf-8", "surrogatepass")


class Packed(TypeDecorator[Any]):
    """Any value that msgpack carries; None is NULL."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> bytes | None:
        """Return what is stored."""
        return None if value is None else to_msgpack(value)

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> Any:
        """Return what was stored."""
        return None if value is None else from_msgpack(value)


_ID = String(24)


def _of_experiment(table: str = "experiments") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["experiment_id"], [f"{table}.id"])


EXPERIMENTS = Table(
    "experiments",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("prefix", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("readme", AnyText),
    Column("tags", Packed, nullable=False),
    Column("bindrs", Packed, nullable=False),
    Column("metadata", Packed),
    # prefix, tags and readme in lower case: what a search looks in
    Column("words", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("deleted_ns", BigInteger),
    Column("rows", BigInteger, nullable=False),
    Column("activity_ns", BigInteger),
    # of the newest start or end of any run, see `ml_dash.server.catalogue.run_status`
    Column("status", AnyText),
    Column("status_ns", BigInteger),
    Column("host", AnyText),
    Column("pid", BigInteger),
    Column("error", AnyText),
    Column("started_ns", BigInteger),
    # the newest sign of life of a run that is open
    Column("alive_ns", BigInteger),
    # by which transaction anything here was last written, see `ml_dash.server.catalogue.changes`
    Column("changed", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("prefix"),
    Index(None, "owner", "project"),
    Index(None, "created_ns", "id"),
    Index(None, "changed"),
)

TAGS = Table(
    "experiment_tags",
    METADATA,
    Column("experiment_id", _ID, primary_key=True),
    Column("tag", AnyText, primary_key=True),
    _of_experiment(),
    Index(None, "tag"),
)

WRITERS = Table(
    "writers",
    METADATA,
    Column("experiment_id", _ID, primary_key=True),
    Column("writer", String(128), primary_key=True),
    Column("watermark", BigInteger, nullable=False),
    # checksums of the frames behind the last full page of `frame_checks`
    Column("checks", LargeBinary, nullable=False),
    # the latest time in its last frame that has rows, and the latest of its RUN rows
    Column("last_ns", BigInteger),
    Column("run_ns", BigInteger),
    # how many of its runs have not ended
    Column("open_runs", Integer, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    _of_experiment(),
)

FRAME_CHECKS = Table(
    "frame_checks",
    METADATA,
    Column("experiment_id", _ID, primary_key=True),
    Column("writer", String(128), primary_key=True),
    Column("page", BigInteger, primary_key=True),
    Column("checks", LargeBinary, nullable=False),
    _of_experiment(),
)

RUNS = Table(
    "runs",
    METADATA,
    Column("experiment_id", _ID, primary_key=True),
    Column("writer", String(128), primary_key=True),
    Column("handle", LargeBinary, primary_key=True),
    Column("event", String(8), nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("row", Packed, nullable=False),
    _of_experiment(),
)

SERIES = Table(
    "series",
    METADATA,
    Column("experiment_id", _ID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", BigInteger, nullable=False),
    # empty for the unnamed one, else "=" and the name: NULL would be unequal to itself
    Column("name", LargeBinary, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("fields", Packed, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    # how many rows are in blocks that have their data in the database
    Column("hot_rows", BigInteger, nullable=False),
    UniqueConstraint("experiment_id", "kind", "name"),
    _of_experiment(),
)

BLOCKS = Table(
    "blocks",
    METADATA,
    Column("experiment_id", _ID, primary_key=True),
    Column("series", Integer, primary_key=True),
    # the index of the first row among those of the series
    Column("first", BigInteger, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    # who wrote it, in which frame; unknown for blocks of several frames
    Column("writer", String(128)),
    Column("seq", BigInteger),
    Column("min_ns", BigInteger, nullable=False),
    Column("max_ns", BigInteger, nullable=False),
    # the block's entry in a frame's meta
    Column("head", LargeBinary, nullable=False),
    # either the data itself …
    Column("data", LargeBinary),
    # … or where it is
    Column("object", String(80)),
    Column("offset", BigInteger),
    Column("length", BigInteger, nullable=False),
    Column("crc", BigInteger, nullable=False),
    Column("summary", LargeBinary),
    ForeignKeyConstraint(["experiment_id", "series"], ["series.experiment_id", "series.number"]),
)

OBJECTS = Table(
    "objects",
    METADATA,
    Column("name", String(80), primary_key=True),
    Column("experiment_id", _ID, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    _of_experiment(),
)


def name_key(name: str | None) -> bytes:
    """Return a series' name as the database has it."""
    return b"" if name is None else b"=" + name.encode("utf-8", "surrogatepass")
