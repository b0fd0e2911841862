"""The SQLite file that keeps summaries: where it lies, what is in it, and what becomes of one that cannot be used.

It can be made anew at any time. So whatever is wrong with one (damaged, of another version, copied here, no longer to
be written) ends with another file; and where none can be written, with one in memory.

A file belongs to one user on one machine, and its name says so: a root on a network has one for each, and no lock has
to hold between machines, which SQLite's do not on every network file system. Between the processes of a machine they
do, with a rollback journal: a write-ahead log needs shared memory, which a network has not. A name is never used
twice, for SQLite would take the rollback journal of a file that was removed for the new one's.

The file knows its own inode: a copy of it, come with a root by rsync or in an archive, is not read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import sqlite3
import stat
import time
from typing import TYPE_CHECKING, Any

import platformdirs

from ml_dash.query.listing import sql
from ml_dash.storage.marks import SUMMARIES, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION = 5
"""Of the tables, and of what is in them."""
_APPLICATION = 0x4D4C4453  # MLDS
_BUSY_SECONDS = 10.0
"""How long a process waits for another one that writes."""
_CACHE_KIB = 32 << 10
_UNUSED_SECONDS = 30 * 86_400.0
"""After which the file of another version is removed, that nobody has written to."""
_NAME = re.compile(r"([0-9a-f]{12})\.v(\d+)\.(\d+)\.sqlite3")
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE folders (
    path BLOB PRIMARY KEY, stamp TEXT NOT NULL, inside BLOB, strange INTEGER NOT NULL, links BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE experiments (
    -- never given twice: another process may enter what it has read of one that is gone
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    parent BLOB NOT NULL,
    inode INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    seen TEXT,
    content BLOB,
    open INTEGER NOT NULL DEFAULT 0,
    changed INTEGER NOT NULL,
    uid TEXT NOT NULL,
    prefix TEXT NOT NULL,
    owner TEXT NOT NULL,
    project TEXT NOT NULL,
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    standing TEXT,
    host TEXT,
    rows INTEGER NOT NULL DEFAULT 0,
    metrics INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_ns INTEGER NOT NULL,
    started_ns INTEGER,
    ended_ns INTEGER,
    active_ns INTEGER,
    error TEXT,
    words TEXT NOT NULL,
    note TEXT,
    readme TEXT
);
CREATE INDEX experiments_parent ON experiments (parent);
CREATE INDEX experiments_bucket ON experiments (bucket);
CREATE INDEX experiments_inode ON experiments (inode);
CREATE INDEX experiments_uid ON experiments (uid);
CREATE INDEX experiments_changed ON experiments (changed);
CREATE INDEX experiments_created ON experiments (created_ns, uid);
CREATE INDEX experiments_prefix ON experiments (prefix);
CREATE INDEX experiments_open ON experiments (open, active_ns) WHERE open > 0;
CREATE INDEX experiments_unread ON experiments (created_ns) WHERE seen IS NULL;
CREATE INDEX experiments_unsure ON experiments (path) WHERE content IS NULL;
CREATE TABLE details (
    id INTEGER PRIMARY KEY, record BLOB NOT NULL, params BLOB, metrics BLOB, runs BLOB, state BLOB
);
CREATE TABLE names (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE known_params (name INTEGER PRIMARY KEY);
CREATE TABLE known_fields (metric INTEGER, field INTEGER, PRIMARY KEY (metric, field)) WITHOUT ROWID;
CREATE TABLE params (
    experiment_id INTEGER, name INTEGER, number REAL, text TEXT, PRIMARY KEY (experiment_id, name)
) WITHOUT ROWID;
CREATE INDEX params_number ON params (name, number, experiment_id);
CREATE INDEX params_text ON params (name, text, experiment_id);
CREATE TABLE metric_fields (
    experiment_id INTEGER, metric INTEGER, field INTEGER, count_value REAL, first_value REAL, last_value REAL,
    min_value REAL, max_value REAL, mean_value REAL, best_value REAL, last_text TEXT,
    PRIMARY KEY (experiment_id, metric, field)
) WITHOUT ROWID;
CREATE INDEX metric_fields_last ON metric_fields (metric, field, last_value, experiment_id);
CREATE INDEX metric_fields_min ON metric_fields (metric, field, min_value, experiment_id);
CREATE INDEX metric_fields_max ON metric_fields (metric, field, max_value, experiment_id);
CREATE TABLE tags (
    experiment_id INTEGER, tag TEXT, written TEXT NOT NULL, PRIMARY KEY (experiment_id, tag)
) WITHOUT ROWID;
CREATE INDEX tags_tag ON tags (tag, experiment_id);
CREATE TABLE gone (uid TEXT PRIMARY KEY, changed INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
"""


class _OtherFileError(Exception):
    """A file is not the one that this version has made in this place."""


def places_for(root: str, *, is_experiment: bool = False) -> list[str | None]:
    """Return the directories in which the file of a root may lie, the best first; None stands for memory.

    Nothing is put into the directory of an experiment.
    """
    own = [] if is_experiment else [os.path.join(root, SUMMARIES)]
    digest = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return [
        *own,
        os.path.join(platformdirs.user_cache_dir("ml-dash", appauthor=False), "summaries", digest),
        None,
    ]


class Database:
    """A connection to the file of a root, or to a database in memory. Any thread may use it, one at a time.

    Attributes:
        connection: To be used between `Database` and `close` only.
        path: The file's; None in memory.
        place: Which of the places it lies in.
    """

    def __init__(self, root: str, places: Sequence[str | None]) -> None:
        self._root = root
        self._places = list(places)
        self.place: str | None = None
        self.path: str | None = None
        self._inode = 0
        self.connection = self._open()

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    @property
    def is_there(self) -> bool:
        """Whether the file still has its name; so does what is in memory."""
        if self.path is None:
            return True
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def replace(self, error: sqlite3.Error | None = None) -> None:
        """Go on with another one: an empty one in the same place where this was damaged or removed, else in the next.

        Args:
            error: What has happened; None where the file is gone.
        """
        self.close()
        if error is not None and not _is_damage(error) and self._places[0] is not None:
            self._places.pop(0)
        elif self.path is not None:
            _remove(self.path)
        self.connection = self._open()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Do what is in the block in one transaction, or nothing of it; other processes write before or behind it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # what SQLite has rolled back by itself, as where the disk is full, has no transaction any more
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise

    def meta(self, key: str, default: Any = None) -> Any:
        """Return what is kept under a name besides the tables."""
        found = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if found is None else found[0]

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a value under a name; within `writing`."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _open(self) -> sqlite3.Connection:
        while True:
            place = self._places[0]
            try:
                return self._open_at(place)
            except (OSError, sqlite3.Error):
                if place is None:
                    raise
                self._places.pop(0)

    def _open_at(self, place: str | None) -> sqlite3.Connection:
        self.place, self.path = place, None
        if place is None:
            connection = _connect(":memory:")
            _make(connection, 0)
            return connection
        if os.path.basename(place) == SUMMARIES:
            prepare(self._root)
        else:
            os.makedirs(place, mode=0o700, exist_ok=True)
        _check_own(place, stat.S_ISDIR)
        for _ in range(3):
            path = _newest(place)
            made = path is None
            if path is None:
                path = _create(place)
            try:
                connection = _connect(path)
                try:
                    inode = os.stat(path).st_ino
                    _make(connection, inode) if made else _check(connection, inode)
                except BaseException:
                    connection.close()
                    raise
            except sqlite3.OperationalError as error:
                # another process is making it just now, or it is locked: that is no damage
                if _is_damage(error) or "no such table" in str(error):
                    _remove(path)
                    continue
                raise
            except (_OtherFileError, sqlite3.DatabaseError):
                _remove(path)
                continue
            self.path, self._inode = path, inode
            return connection
        raise OSError(f"no file can be made in {place!r}")


def machine() -> str:
    """Return what tells this user on this machine from others, in hexadecimal."""
    name = platform.node()
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
            name = f"{name} {file.read().strip()}"
            break
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    return hashlib.sha256(f"{name} {user}".encode()).hexdigest()[:12]


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "synchronous = NORMAL",
            f"cache_size = -{_CACHE_KIB}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        sql.install(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection, inode: int) -> None:
    """Make the tables in an empty file, unless another process has done so meanwhile."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('inode', ?)", (inode,))
            # what a list was given before by another file says nothing of this one
            connection.execute("INSERT INTO meta VALUES ('epoch', ?)", (os.urandom(4).hex(),))
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    _check(connection, inode)


def _check(connection: sqlite3.Connection, inode: int) -> None:
    """Raise `_OtherFileError` unless this version has made the file, here."""
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        _make(connection, inode)  # whoever has made the file was killed before it had tables
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if (application, version) != (_APPLICATION, VERSION):
        raise _OtherFileError
    if connection.execute("SELECT value FROM meta WHERE key = 'inode'").fetchone() != (inode,):
        raise _OtherFileError


def _newest(place: str) -> str | None:
    """Return the path of this machine's newest file; remove those of other versions that nobody has used for long."""
    own = machine()
    found = []
    for name in os.listdir(place):
        named = _NAME.fullmatch(name)
        if named is None or named[1] != own:
            continue
        path = os.path.join(place, name)
        if int(named[2]) == VERSION:
            found.append((int(named[3]), path))
        else:
            with contextlib.suppress(OSError):
                if time.time() - os.lstat(path).st_mtime > _UNUSED_SECONDS:
                    _remove(path)
    if not found:
        return None
    _, newest = max(found)
    _check_own(newest, stat.S_ISREG)
    for _, older in found:
        if older != newest:
            _remove(older)
    return newest


def _create(place: str) -> str:
    """Make an empty file with a name that none had before."""
    path = os.path.join(place, f"{machine()}.v{VERSION}.{time.time_ns()}.sqlite3")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    return path


def _remove(path: str) -> None:
    for each in (path, f"{path}-journal"):
        with contextlib.suppress(OSError):
            os.remove(each)


def _check_own(path: str, is_kind: Any) -> None:
    """Raise OSError unless this is a directory, or a file, of this user's own that can be written, and no link."""
    status = os.lstat(path)
    is_mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    is_directory = stat.S_ISDIR(status.st_mode)
    if not is_kind(status.st_mode) or not (is_mine or is_directory) or not os.access(path, os.W_OK):
        raise OSError(f"{path!r} is not a place where this user can write")


def _is_damage(error: sqlite3.Error) -> bool:
    """Say whether the bytes of the file are wrong, and not the disk that it is on."""
    if isinstance(error, sqlite3.OperationalError):
        return "malformed" in str(error)
    return isinstance(error, sqlite3.DatabaseError)
