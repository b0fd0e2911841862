"""The tables of the server, all in one collection. That they are what the migrations make is held by a test.

Of experiments and their rows; all of these begin with the experiment, so that a large database can be sharded by it:

``experiments``
    One row for each prefix, deleted ones included: a deleted experiment keeps its frames, and comes back with them.
``experiment_tags``
    The tags once more, to be searched for.
``writers``
    How far each writer's frames are stored (the watermark), and what is known of its last rows and frames.
``frame_checks``
    The checksums of all frames of a writer, 4 bytes each: what comes again must be what came before.
``openings``
    Each start that opened a run, with its last start or end, and to which attempt it belongs: who lists experiments
    reads no rows.
``spans``
    From which row of a series on rows are of which opening, where that changes the attempt: see `rows.attempts`.
``series``
    What rows there are: how many, of which fields, in which times.
``blocks``
    The rows themselves, as the journal's blocks: consecutive rows of a series, in the row or in an object.
``objects``
    The objects in the object store that are in use. Any other object there may be collected.
``former_prefixes``
    What moved experiments were called before: by that name, their writers find them, see `catalogue.moving`.
``audit``
    Who has deleted, restored, moved, tagged, annotated or stopped an experiment, and when.
``files``
    What the FILE rows of each id amount to. One whose own row has not come yet (an update came first) has no time.
``params``, ``metric_fields``, ``names``
    What lists of experiments are sorted and filtered by, derived of the series: see `ml_dash.server.rows.lists`.
    Names are those that any experiment of an owner has, or had. Like the tags, they know an experiment by its number:
    see `number_of`.

Of owners and their blobs, whatever number of files names them:

``contents``
    The blobs that were uploaded, or are being uploaded. The size counts from the moment it was announced.
``content_parts``
    The objects that a blob consists of, in the order of their numbers.
``owner_limits``
    What each owner has stored, and may store. Its row is locked by who adds blobs or removes them.

Of the object store: ``blob_store``, with the id that it and this database have in common, and
``blob_store_generations``, see `ml_dash.server.blobs.identity`.

Of who may do what: ``tokens``, ``token_grants``, ``sessions`` of browsers and ``device_requests`` (logins under way).

Of whom to tell when something happens, see `ml_dash.server.alerts`: ``rules``, ``rule_firings`` (what happened where)
and ``rule_messages`` (what is to be sent, until it was).

``body_pieces`` are bodies of requests that come in pieces, by the SHA-256 of the whole: kept until they are used.

Text that may be anything Python calls a str (lone surrogates and NUL included, which databases refuse) is stored as
bytes. Times are nanoseconds since the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

from ml_dash.journal.objects import from_msgpack, to_msgpack

if TYPE_CHECKING:
    from typing import TypeAlias

    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

    _Kind: TypeAlias = type[TypeEngine[Any]] | TypeEngine[Any]

METADATA = MetaData(
    # constraints have names that do not depend on the database, so that a migration can refer to them
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


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


def number_of(experiment_id: str) -> int:
    """Return the number by which tables that lists look through know an experiment.

    It is the second half of the id, which is drawn by chance: 62 bits. An entry of an index has eight bytes of it, of
    an id it would have 25; and a hundred thousand of them are looked through in half the time.
    """
    return int(experiment_id[-12:], 36)


class _Number(TypeDecorator[Any]):
    """An experiment, by its number; it is given by its id."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: str | int | None, _dialect: Dialect) -> int | None:
        """Return what is stored."""
        return number_of(value) if isinstance(value, str) else value


_ID = String(24)
_SHA256 = String(64)
"""In hexadecimal."""
_OBJECT = String(80)
"""The name of an object in the object store."""
_EXACT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that is compared and sorted by its code points, on either database."""


# Columns by what they have in common: written one by one, the tables would be three times as long.
def _key(kind: _Kind, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, primary_key=True) for name in names]


def _required(kind: _Kind, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False) for name in names]


def _optional(kind: _Kind, *names: str) -> list[Column[Any]]:
    return [Column(name, kind) for name in names]


def _of_experiment(column: str = "id") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["experiment_id"], [f"experiments.{column}"])


def _own_number(context: Any) -> int:
    return number_of(context.get_current_parameters()["id"])


_OF_LIVING = ("deleted_ns", "created_ns", "owner", "id")

EXPERIMENTS = Table(
    "experiments",
    METADATA,
    *_key(_ID, "id"),
    # see `number_of`
    Column("number", BigInteger, nullable=False, server_default="0", default=_own_number),
    *_required(Text, "prefix", "owner", "project", "folder", "name"),
    *_optional(AnyText, "readme"),
    *_required(Packed, "tags", "bindrs"),
    *_optional(Packed, "metadata"),
    # when each was said, by this server's clock; NULL where that is not known: whatever is said is newer
    *_optional(BigInteger, "readme_ns", "tags_ns", "bindrs_ns", "metadata_ns"),
    # what people have written of it, which is not the run's own readme
    *_optional(AnyText, "note"),
    # prefix, tags and readme in lower case: what a search looks in
    *_required(Text, "words"),
    *_required(BigInteger, "created_ns", "updated_ns"),
    *_optional(BigInteger, "deleted_ns"),
    # when the rows of a deleted one are to be removed for good, NULL for never; and when they were
    *_optional(BigInteger, "purge_ns", "purged_ns"),
    # of all series; and of metrics alone, which are what people are told as rows
    *_required(BigInteger, "rows"),
    Column("metric_rows", BigInteger, nullable=False, server_default="0"),
    # how many alerts were logged
    Column("alerts", BigInteger, nullable=False, server_default="0"),
    *_optional(BigInteger, "activity_ns"),
    # of the newest start or end of the newest attempt, see `ml_dash.server.catalogue.run_status`
    *_optional(AnyText, "status"),
    *_optional(BigInteger, "status_ns"),
    *_optional(AnyText, "host"),
    *_optional(BigInteger, "pid"),
    *_optional(AnyText, "error"),
    *_optional(BigInteger, "started_ns"),
    # the newest sign of life of a run that is open, by this server's clock
    *_optional(BigInteger, "alive_ns"),
    # how many attempts there are, and the newest, see `OPENINGS.attempt`; whether any repeats from a step on
    Column("attempts", Integer, nullable=False, server_default="0"),
    *_optional(BigInteger, "newest_attempt"),
    Column("resumed", Boolean, nullable=False, server_default=false()),
    # the last request to stop: when, by whom and why; to which attempt, which may not be the newest any more, and what
    # its start rows call it; and when one of its processes saw that. See `ml_dash.server.catalogue.stopping`
    *_optional(BigInteger, "stop_ns"),
    *_optional(AnyText, "stop_by", "stop_reason"),
    *_optional(BigInteger, "stop_attempt"),
    *_optional(Packed, "stop_names"),
    *_optional(BigInteger, "stop_seen_ns"),
    # by which transaction anything here was last written, see `ml_dash.server.catalogue.changes`
    Column("changed", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("prefix"),
    Index(None, "owner", "project"),
    Index(None, "created_ns", "id"),
    Index(None, "owner", "created_ns", "id"),
    Index(None, "changed"),
    # Of two with one number, the second one is given another id. In it is all that a filter asks of each experiment
    # that it finds, before it is known which are shown: PostgreSQL writes each index with every change of a row.
    Index("ix_experiments_number", "number", unique=True, postgresql_include=_OF_LIVING),
    Index("ix_experiments_living", "number", *_OF_LIVING, info={"dialect": "sqlite"}),
)

TAGS = Table(
    "experiment_tags",
    METADATA,
    *_key(_Number, "experiment_id"),
    *_key(AnyText, "tag"),
    # as it is compared: in any case, and no longer than an index takes
    Column("folded", _EXACT, nullable=False, server_default=""),
    _of_experiment("number"),
    Index(None, "tag"),
    Index(None, "folded", "experiment_id"),
)

WRITERS = Table(
    "writers",
    METADATA,
    *_key(_ID, "experiment_id"),
    *_key(String(128), "writer"),
    *_required(BigInteger, "watermark"),
    # checksums of the frames behind the last full page of `frame_checks`
    *_required(LargeBinary, "checks"),
    # the latest time in its last frame that has rows, and the latest of its RUN rows
    *_optional(BigInteger, "last_ns", "run_ns"),
    # its newest sign of life, by this server's clock
    *_optional(BigInteger, "alive_ns"),
    # how many of its runs have not ended, of the newest attempt
    *_required(Integer, "open_runs"),
    # the opening that its rows are of from now on
    *_optional(BigInteger, "opening"),
    *_required(BigInteger, "received_ns"),
    # whether it wrote to the experiment of this name that was deleted, and nothing more is taken of it here, see
    # `ml_dash.server.catalogue.succession`
    Column("barred", Boolean, nullable=False, server_default=false()),
    _of_experiment(),
)

FRAME_CHECKS = Table(
    "frame_checks",
    METADATA,
    *_key(_ID, "experiment_id"),
    *_key(String(128), "writer"),
    *_key(BigInteger, "page"),
    *_required(LargeBinary, "checks"),
    _of_experiment(),
)

OPENINGS = Table(
    "openings",
    METADATA,
    *_key(_ID, "experiment_id"),
    # in the order in which they came
    *_key(BigInteger, "number"),
    # the number of an opening of the same attempt, one for all of it
    *_required(BigInteger, "attempt"),
    *_required(String(128), "writer"),
    # what the client calls the run, as msgpack: any value may be a handle
    *_required(LargeBinary, "handle"),
    *_optional(AnyText, "name"),
    *_optional(Packed, "resume_from"),
    # of the last start or end
    *_required(String(9), "event"),
    # see `ml_dash.query.attempts.Opening`
    *_required(BigInteger, "start_ns", "order_ns", "time_ns", "last_ns"),
    *_required(Boolean, "is_replaced", "is_end_only"),
    *_required(Packed, "row"),
    _of_experiment(),
    Index(None, "experiment_id", "attempt"),
    Index(None, "experiment_id", "writer"),
    Index(None, "experiment_id", "last_ns"),
)

SERIES = Table(
    "series",
    METADATA,
    *_key(_ID, "experiment_id"),
    *_key(Integer, "number"),
    *_required(BigInteger, "kind"),
    # see `name_key`
    *_required(LargeBinary, "name"),
    *_required(BigInteger, "rows"),
    *_required(Packed, "fields"),
    *_required(BigInteger, "first_ns", "last_ns"),
    # how many rows are in blocks that have their data in the database
    *_required(BigInteger, "hot_rows"),
    # those of its last span
    *_optional(BigInteger, "opening"),
    *_optional(String(128), "writer"),
    # of a metric, that of its first `summary_rows` rows, as far as they are shown; of the parameters, which values of
    # metrics are best: see `ml_dash.server.catalogue.kept`
    *_optional(LargeBinary, "summary"),
    Column("summary_rows", BigInteger, nullable=False, server_default="0"),
    # whether `params` or `metric_fields` do not say yet what it amounts to
    Column("unlisted", Boolean, nullable=False, server_default=false()),
    # who adds series holds the experiment's row, so this never fails; it is the index of names
    UniqueConstraint("experiment_id", "kind", "name"),
    _of_experiment(),
    # of these alone: whoever brings the lists up to date finds them at once
    Index(
        "ix_series_unlisted",
        "experiment_id",
        "number",
        sqlite_where=text("unlisted"),
        postgresql_where=text("unlisted"),
    ),
)

SPANS = Table(
    "spans",
    METADATA,
    *_key(_ID, "experiment_id"),
    *_key(Integer, "series"),
    # the index of the first row
    *_key(BigInteger, "first"),
    # NULL of a writer that opened no run, as a forked child
    *_optional(BigInteger, "opening"),
    *_required(String(128), "writer"),
    ForeignKeyConstraint(["experiment_id", "series"], ["series.experiment_id", "series.number"]),
)

BLOCKS = Table(
    "blocks",
    METADATA,
    *_key(_ID, "experiment_id"),
    *_key(Integer, "series"),
    # the index of the first row among those of the series
    *_key(BigInteger, "first"),
    *_required(BigInteger, "rows"),
    # who wrote it, in which frame; unknown for blocks of several frames
    *_optional(String(128), "writer"),
    *_optional(BigInteger, "seq"),
    # of blocks of several frames: which rank has written how many rows, see `ml_dash.server.rows.ranks`
    *_optional(LargeBinary, "ranks"),
    *_required(BigInteger, "min_ns", "max_ns"),
    # the block's entry in a frame's meta
    *_required(LargeBinary, "head"),
    # either the data itself …
    *_optional(LargeBinary, "data"),
    # … or where it is
    *_optional(_OBJECT, "object"),
    *_optional(BigInteger, "offset"),
    *_required(BigInteger, "length", "crc"),
    *_optional(LargeBinary, "summary"),
    ForeignKeyConstraint(["experiment_id", "series"], ["series.experiment_id", "series.number"]),
)

OBJECTS = Table(
    "objects",
    METADATA,
    *_key(_OBJECT, "name"),
    *_required(_ID, "experiment_id"),
    *_required(BigInteger, "bytes", "created_ns"),
    _of_experiment(),
)

FORMER_PREFIXES = Table(
    "former_prefixes",
    METADATA,
    *_key(Text, "prefix"),
    *_key(_ID, "experiment_id"),
    *_required(BigInteger, "moved_ns"),
    _of_experiment(),
)

AUDIT = Table(
    "audit",
    METADATA,
    *_key(_ID, "experiment_id"),
    # from 1 on
    *_key(BigInteger, "number"),
    *_required(BigInteger, "time_ns"),
    # the token that was used, and what it was called then
    *_required(_ID, "token_id"),
    *_required(String(255), "who"),
    *_required(String(16), "action"),
    *_required(Packed, "details"),
    _of_experiment(),
)

FILES = Table(
    "files",
    METADATA,
    *_key(_ID, "experiment_id"),
    *_key(AnyText, "id"),
    *_optional(BigInteger, "saved_ns"),
    # the number of its own row among those of the experiment, in the order in which they came
    *_optional(BigInteger, "seen"),
    *_optional(AnyText, "path", "filename"),
    # path and filename, without a leading slash
    *_optional(AnyText, "name"),
    *_optional(AnyText, "content_type"),
    *_optional(BigInteger, "size"),
    *_optional(_SHA256, "checksum"),
    *_optional(AnyText, "description"),
    *_optional(Packed, "tags", "bindrs", "metadata"),
    # the time of the update that a value is of; NULL where it is that of the file's own row
    *_optional(BigInteger, "description_ns", "tags_ns", "bindrs_ns", "metadata_ns"),
    *_optional(BigInteger, "updated_ns", "deleted_ns"),
    # when each was given to this version, or (below zero) taken from it
    *_optional(Packed, "aliases"),
    _of_experiment(),
    # for the collector, which asks of each blob whether a file names it
    Index(None, "checksum"),
)

PARAMS = Table(
    "params",
    METADATA,
    *_key(_Number, "experiment_id"),
    # among those of the experiment
    *_key(Integer, "place"),
    *_required(AnyText, "full_name"),
    *_optional(Packed, "value"),
    # the name as it is searched for: without what databases refuse, NULL where it is longer than an index takes
    *_optional(_EXACT, "name"),
    # the value as it is compared: as a number, and as a text
    *_optional(Double, "number"),
    *_optional(_EXACT, "text"),
    _of_experiment("number"),
    Index(None, "name", "number", "experiment_id"),
    Index(None, "name", "text", "experiment_id"),
)

METRIC_FIELDS = Table(
    "metric_fields",
    METADATA,
    *_key(_Number, "experiment_id"),
    *_key(Integer, "series"),
    # among those of the series
    *_key(Integer, "place"),
    # as in `PARAMS`, but that what is longer is not here at all; the unnamed metric has no characters
    *_required(_EXACT, "metric", "field"),
    *_required(BigInteger, "count"),
    # NULL where there is none; NaN is none
    *_optional(Double, "first", "last", "min", "max", "mean", "best"),
    # the last value, as it is compared as a text
    *_optional(_EXACT, "last_text"),
    _of_experiment("number"),
    Index(None, "metric", "field", "last", "experiment_id"),
    Index(None, "metric", "field", "min", "experiment_id"),
    Index(None, "metric", "field", "max", "experiment_id"),
    # and what is filtered by what none of these has
    Index("ix_metric_fields_best", "metric", "field", "best", "experiment_id", "mean", "first", "count"),
)

NAMES = Table(
    "names",
    METADATA,
    *_key(Boolean, "is_param"),
    # as in `METRIC_FIELDS`; that of a parameter has no characters
    *_key(_EXACT, "metric", "name"),
    *_key(Text, "owner"),
    # whether every value that had this name was a number
    *_required(Boolean, "is_number"),
)


# The tables of blobs are called contents, as the routes are: both names are older than the word blob, and stay.
BLOBS = Table(
    "contents",
    METADATA,
    *_key(Text, "owner"),
    *_key(_SHA256, "checksum"),
    *_required(BigInteger, "size", "part_bytes", "created_ns"),
    # when a part of it was last sent, or it was asked for or named: the start of its lease
    *_required(BigInteger, "touched_ns"),
    *_optional(BigInteger, "complete_ns"),
    Index(None, "touched_ns"),
)

BLOB_PARTS = Table(
    "content_parts",
    METADATA,
    *_key(Text, "owner"),
    *_key(_SHA256, "checksum"),
    *_key(Integer, "number"),
    *_required(_OBJECT, "object"),
    *_required(BigInteger, "size"),
    UniqueConstraint("object"),
    ForeignKeyConstraint(["owner", "checksum"], ["contents.owner", "contents.checksum"]),
)

OWNER_LIMITS = Table(
    "owner_limits",
    METADATA,
    *_key(Text, "owner"),
    # the sizes of all its blobs, of those under way too
    *_required(BigInteger, "used_bytes"),
    # NULL where the server's own limit goes; `NO_LIMIT` for no limit at all
    *_optional(BigInteger, "quota_bytes", "file_bytes"),
)

BLOB_STORE = Table(
    "blob_store",
    METADATA,
    # always 1: there is one row, and a second one would break the key
    Column("row", SmallInteger, primary_key=True, autoincrement=False),
    *_required(_ID, "id"),
    *_required(BigInteger, "created_ns"),
)

GENERATIONS = Table(
    "blob_store_generations",
    METADATA,
    *_key(String(32), "generation"),
    *_required(BigInteger, "created_ns"),
    Index(None, "created_ns"),
)

TOKENS = Table(
    "tokens",
    METADATA,
    *_key(_ID, "id"),
    # of the token itself nothing is kept but its SHA-256: it has 256 random bits, so there is nothing to guess
    Column("hash", _SHA256, nullable=False, unique=True),
    *_required(String(255), "name"),
    *_required(Boolean, "admin"),
    *_optional(_ID, "created_by"),
    *_required(BigInteger, "created_ns"),
    *_optional(BigInteger, "expires_ns", "revoked_ns", "used_ns"),
)

TOKEN_GRANTS = Table(
    "token_grants",
    METADATA,
    Column("token_id", _ID, ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True),
    *_key(String(255), "owner"),
    *_required(SmallInteger, "scope"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    # of what the browser keeps as its cookie; of the cookie itself nothing is kept
    *_key(_SHA256, "hash"),
    Column("token_id", _ID, ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False),
    *_required(BigInteger, "created_ns", "expires_ns"),
    Index(None, "expires_ns"),
)

BODY_PIECES = Table(
    "body_pieces",
    METADATA,
    *_key(_ID, "token_id"),
    *_key(_SHA256, "checksum"),
    *_key(BigInteger, "offset"),
    *_required(BigInteger, "size", "created_ns"),
    *_required(LargeBinary, "data"),
    Index(None, "created_ns"),
)

DEVICE_REQUESTS = Table(
    "device_requests",
    METADATA,
    *_key(_SHA256, "device_hash"),
    Column("user_code", String(8), nullable=False, unique=True),
    *_required(String(255), "client"),
    *_required(String(64), "address"),
    *_required(Text, "asked"),
    *_required(String(16), "state"),
    *_optional(Text, "granted"),
    *_optional(_ID, "approved_by"),
    *_optional(BigInteger, "lifetime_ns"),
    *_required(BigInteger, "created_ns", "expires_ns"),
    *_optional(BigInteger, "polled_ns"),
    Index(None, "expires_ns"),
)

# see `ml_dash.server.catalogue.saved_views`
VIEWS = Table(
    "views",
    METADATA,
    # the person is the name of the token, and empty where it is everybody's
    *_key(_EXACT, "owner", "project", "person"),
    *_key(String(64), "id"),
    *_required(AnyText, "name"),
    *_required(Integer, "format"),
    *_required(Boolean, "is_default"),
    # another one after each save
    *_required(String(16), "version"),
    *_required(BigInteger, "updated_ns"),
    *_required(AnyText, "who"),
    *_required(Packed, "state"),
)

# see `ml_dash.server.alerts.rules`
RULES = Table(
    "rules",
    METADATA,
    *_key(_ID, "id"),
    *_required(_EXACT, "owner"),
    *_required(AnyText, "name", "filter", "who"),
    # what it waits for, and whom it tells, secrets included
    *_required(Packed, "condition", "destination"),
    # after which time it may fire again in one attempt; NULL for never
    *_optional(BigInteger, "rearm_ns"),
    # since when it waits for what it waits for now; how often it was changed, and made
    *_required(BigInteger, "created_ns"),
    Column("since_ns", BigInteger, nullable=False, server_default="0"),
    Column("version", BigInteger, nullable=False, server_default="1"),
    *_optional(BigInteger, "changed_ns"),
    *_optional(AnyText, "changed_by"),
    # when a message was made last, and when one was taken
    *_optional(BigInteger, "told_ns", "delivered_ns"),
    # why the last message was not taken, or the filter not understood; NULL where all is well
    *_optional(AnyText, "problem"),
    Index(None, "owner"),
)

RULE_FIRINGS = Table(
    "rule_firings",
    METADATA,
    *_key(_ID, "id"),
    *_required(_ID, "rule_id", "experiment_id"),
    # the number of an opening of the attempt; NULL where no run was opened
    *_optional(BigInteger, "attempt"),
    # what it is that happened once, in the experiment
    *_required(String(64), "occasion"),
    *_required(BigInteger, "fired_ns", "times"),
    # see `ml_dash.server.alerts.firings`
    *_required(SmallInteger, "state"),
    *_required(Packed, "details"),
    *_optional(_ID, "message_id"),
    # none for the rule: who stores rows must not fail because another server has removed it a moment ago
    _of_experiment(),
    UniqueConstraint("rule_id", "experiment_id", "occasion"),
    Index(None, "state", "rule_id"),
    Index(None, "message_id"),
)

RULE_MESSAGES = Table(
    "rule_messages",
    METADATA,
    *_key(_ID, "id"),
    *_required(_ID, "rule_id"),
    *_required(Packed, "body"),
    *_required(BigInteger, "created_ns"),
    *_required(Integer, "attempts"),
    # when it is tried next, and until when a server that tries it has it to itself
    *_required(BigInteger, "due_ns", "claimed_ns"),
    # when it was taken, or given up; NULL while it waits
    *_optional(BigInteger, "done_ns"),
    Index(None, "done_ns", "due_ns"),
    Index(None, "rule_id"),
)


def name_key(name: str | None) -> bytes:
    """Return a series' name as the database has it: NULL would be unequal to itself, so no name is no bytes."""
    return b"" if name is None else b"=" + name.encode("utf-8", "surrogatepass")


def series_name(name: bytes) -> str | None:
    """Return a series' name, of what the database has."""
    return bytes(name[1:]).decode("utf-8", "surrogatepass") if name else None
