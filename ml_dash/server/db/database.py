"""The database: SQLite in a file, or PostgreSQL by URL, behind one synchronous engine.

It is synchronous because a hop to another thread for every statement costs more than most statements do. Callers on an
event loop hand over a whole function, with `Database.run`.

An SQLite file is in WAL mode with ``synchronous=FULL``: readers never wait for the writer, and when `Database.write`
has left its block, what was written is on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import stat
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    TimeoutError as PoolTimeoutError,
)

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.server.db.texts import install
from ml_dash.server.errors import DatabaseError
from ml_dash.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Table
    from sqlalchemy.engine import URL

P = ParamSpec("P")
R = TypeVar("R")

# SQLite has one writer, and PostgreSQL a process for each connection: more threads would only wait elsewhere
_THREADS = 8
# longer than any transaction here takes; only another process (a backup, a command) makes one wait for so long
_BUSY_SECONDS = 15
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # NORMAL would sync only at checkpoints: a power cut would take commits that were acknowledged
    "PRAGMA synchronous=FULL",
    # on macOS fsync leaves it in the drive's cache; elsewhere these do nothing
    "PRAGMA fullfsync=ON",
    "PRAGMA checkpoint_fullfsync=ON",
    # off by default in SQLite, for each connection
    "PRAGMA foreign_keys=ON",
    # negative is KiB: 16 MiB for each connection, of which there are up to `_THREADS` + 2 and some more under load
    "PRAGMA cache_size=-16384",
    f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}",
)


class Database:
    """One engine, and the way in and out of it. Any thread may use it.

    Make one with `open`.

    Attributes:
        engine: SQLAlchemy's engine.
        commits: How many transactions were committed by `write` so far.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.commits = 0
        # SQLite has one writer at a time: better to wait here, where a release wakes the next one, than in its busy
        # handler, which sleeps and looks again
        self._writing = threading.Lock() if engine.dialect.name == "sqlite" else None
        self._threads = Threads(_THREADS, thread_name_prefix="ml-dash-db")

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a database, and bring its schema up to date.

        Args:
            url: ``sqlite:///path/of/file`` or ``postgresql://user@host/name``.

        Raises:
            InvalidArgumentError: The URL is invalid, or names a database that is not supported.
            MissingExtraError: A package is not installed.
            DatabaseError: The database is out of reach, or its schema is newer than this version knows.
        """
        # here, not above: alembic is slow to import, and who only handles errors of databases does not need it
        from ml_dash.server.db.migrate import migrate

        parsed = _parse(url)
        engine = _engine(parsed)
        try:
            migrate(engine)
        except DBAPIError as error:
            engine.dispose()
            shown = parsed.render_as_string(hide_password=True)
            raise DatabaseError(f"the database {shown} cannot be opened: {_reason(error)}") from error
        # also for Ctrl-C: an open connection keeps SQLite's WAL files, and the migration's lock
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, whatever is written meanwhile."""
        # one snapshot for all statements: PostgreSQL's default would take another one for each
        options: Any = {} if self.dialect == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction, which is on the disk when the block is left; undone if it raises."""
        if self._writing is None:
            with self.engine.begin() as connection:
                yield connection
        else:
            with (
                self._writing,
                self.engine.connect().execution_options(ml_dash_write=True) as connection,
                connection.begin(),
            ):
                yield connection
        # no lock: it is a number to watch, and two at once on PostgreSQL may count as one
        self.commits += 1

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function on a worker thread, and wait for what it returns."""
        return await self._threads.run(function, *args, **kwargs)

    def close(self) -> None:
        """Wait for what runs, and close all connections."""
        self._threads.shutdown()
        self.engine.dispose()


def dialect_insert(connection: Connection, table: Table) -> Any:
    """Return an INSERT that may say ON CONFLICT, which SQLAlchemy has for each dialect apart."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def take_turn(connection: Connection, *what: str) -> None:
    """Wait for other transactions that write, and are about the same, to end; those that come later wait for this one.

    For whoever counts rows before one is added: on PostgreSQL, two at once would both find room for the last one. On
    SQLite all that write have turns.
    """
    if connection.dialect.name == "postgresql":
        digest = hashlib.sha256("\0".join(what).encode("utf-8", "surrogatepass")).digest()
        number = int.from_bytes(digest[:8], "little", signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert whole rows; those whose keys exist are replaced."""
    statement = dialect_insert(connection, table)
    values = {
        column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key
    }
    replacing = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)
    connection.execute(replacing, rows)


def is_disk_full(error: BaseException | None) -> bool:
    """Say whether an error of Python, SQLite or PostgreSQL means that a disk, or a quota on it, is full."""
    if isinstance(error, DBAPIError):
        error = error.orig
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    if isinstance(error, sqlite3.OperationalError):
        return "database or disk is full" in str(error)
    # disk_full: https://www.postgresql.org/docs/current/errcodes-appendix.html
    return getattr(error, "sqlstate", None) == "53100"


def may_pass(error: BaseException) -> bool:
    """Say whether a statement may succeed when it is repeated: it failed on a lock, a connection or a restart."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError))


def may_be_committed(error: BaseException) -> bool:
    """Say whether a transaction that failed may be committed all the same: the answer to its COMMIT may be lost."""
    # wider than it need be: a failure before the COMMIT counts too, and costs an object that the collector removes
    return may_pass(error) and not is_disk_full(error)


def _parse(url: str) -> URL:
    example = "give sqlite:///path/of/file or postgresql://user:password@host/name"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidArgumentError(f"database={url!r} is not a database's URL: {example}") from None
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise InvalidArgumentError(f"database={parsed.drivername!r}… is not supported: {example}")
    if parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise InvalidArgumentError(f"database={url!r} names no file: {example}")
    return parsed


def _engine(url: URL) -> Engine:
    try:
        if url.drivername == "sqlite":
            return _sqlite(url)
        # pre_ping: a pooled connection may have been cut by the server, or by a firewall, meanwhile
        return create_engine(url, pool_size=_THREADS + 2, max_overflow=2 * _THREADS, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise MissingExtraError("PostgreSQL", "psycopg", "server") from error


def _sqlite(url: URL) -> Engine:
    _keep_private(str(url.database))
    engine = create_engine(
        url,
        # a connection goes from thread to thread by way of the pool, and is used by one at a time
        connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
        pool_size=_THREADS + 2,
        max_overflow=2 * _THREADS,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # Transactions are begun below, by hand: the driver would begin them late, and never for DDL.
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        install(connection)

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # IMMEDIATE takes the lock at once: a transaction that reads first and takes it only to write fails with
        # SQLITE_BUSY, without waiting, if another one has written in between.
        writes = connection.get_execution_options().get("ml_dash_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _keep_private(path: str) -> None:
    """Make the file with an access of its own: others may enter the directory, and the umask may let them read.

    SQLite gives the files beside it (``-wal``, ``-shm``) the same. Older versions let others read it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & 0o007:
            os.chmod(path, mode & ~0o007)
    except OSError:
        return  # SQLite says what is wrong, when it is opened


def _reason(error: DBAPIError) -> str:
    """Return the driver's message, on one line."""
    reason = " ".join(str(error.orig).split())
    if isinstance(error.orig, sqlite3.OperationalError) and "unable to open" in reason:
        return f"{reason}: does its directory exist, and may this user ({os.name}) write there?"
    return reason
