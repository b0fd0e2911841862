"""The tables of files. Rows belong to experiments; contents to owners, whatever number of rows names them.

``files``
    What the FILE rows of each id amount to. One whose own row has not come yet (an update came first) has no time.
``contents``
    What was uploaded, or is being uploaded. Its size counts from the moment it was announced.
``content_parts``
    The objects in the blob store that a content consists of, in the order of their numbers.
``owner_limits``
    What each owner has stored, and may store. Its row is locked by who adds contents or removes them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from ml_dash.server.db.metadata import METADATA
from ml_dash.server.db.tables import AnyText, Packed

__all__ = ["BLOBS", "BLOB_PARTS", "FILES", "OWNER_LIMITS"]

FILES = Table(
    "files",
    METADATA,
    Column("experiment_id", String(24), primary_key=True),
    Column("id", AnyText, primary_key=True),
    Column("saved_ns", BigInteger),
    # the number of its own row among those of the experiment, in the order in which they came
    Column("seen", BigInteger),
    Column("path", AnyText),
    Column("filename", AnyText),
    # path and filename, without a leading slash
    Column("name", AnyText),
    Column("content_type", AnyText),
    Column("size", BigInteger),
    Column("checksum", String(64)),
    Column("description", AnyText),
    Column("tags", Packed),
    Column("bindrs", Packed),
    Column("metadata", Packed),
    # the time of the update that a value is of; none where it is that of the file's own row
    Column("description_ns", BigInteger),
    Column("tags_ns", BigInteger),
    Column("bindrs_ns", BigInteger),
    Column("metadata_ns", BigInteger),
    Column("updated_ns", BigInteger),
    Column("deleted_ns", BigInteger),
    ForeignKeyConstraint(["experiment_id"], ["experiments.id"]),
    Index(None, "checksum"),
)

BLOBS = Table(
    "contents",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("checksum", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("part_bytes", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    # when somebody last sent a part of it, asked for it or named it: until a day later, it stays
    Column("touched_ns", BigInteger, nullable=False),
    Column("complete_ns", BigInteger),
    Index(None, "touched_ns"),
)

BLOB_PARTS = Table(
    "content_parts",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("checksum", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("object", String(80), nullable=False),
    Column("size", BigInteger, nullable=False),
    UniqueConstraint("object"),
    ForeignKeyConstraint(["owner", "checksum"], ["contents.owner", "contents.checksum"]),
)

OWNER_LIMITS = Table(
    "owner_limits",
    METADATA,
    Column("owner", Text, primary_key=True),
    # the sizes of all its contents, of those under way too
    Column("used_bytes", BigInteger, nullable=False),
    # none where the server's own limit goes; `NO_LIMIT` for none at all
    Column("quota_bytes", BigInteger),
    Column("file_bytes", BigInteger),
)
