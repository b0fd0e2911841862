"""The database: opened, migrated, refused; its transactions are what they promise."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from ml_dash.errors import InvalidArgumentError
from ml_dash.server.db.database import Database, is_disk_full
from ml_dash.server.db.tables import EXPERIMENTS, METADATA, OBJECTS, TOKENS
from ml_dash.server.errors import DatabaseError
from ml_dash.server.store import Store
from tests.support.migrated import as_in_life
from tests.support.postgres import new_database
from tests.support.project import PROJECT

_ROW = {
    "id": "exp_" + "0" * 20,
    "prefix": "a/b/c",
    "owner": "a",
    "project": "b",
    "folder": "",
    "name": "c",
    "tags": [],
    "bindrs": [],
    "words": "a/b/c",
    "created_ns": 1,
    "updated_ns": 1,
    "rows": 0,
}


@pytest.fixture(autouse=True)
def databases_are_as_in_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """The migrations make each anew, and all are synced."""
    as_in_life(monkeypatch)


@pytest.fixture
def postgres_database(postgres: str) -> str:
    """Nor is that one: it is empty."""
    return new_database(postgres, of="template1")


def test_the_migrations_make_the_tables_that_the_code_has(store: Store) -> None:
    assert {TOKENS.name, EXPERIMENTS.name} <= set(METADATA.tables)
    with store.database.engine.connect() as connection:

        def is_here(thing: Any, *_: object) -> bool:
            return bool(thing.info.get("dialect", connection.dialect.name) == connection.dialect.name)

        options = {"compare_type": True, "include_object": is_here}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_a_database_of_a_later_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.sqlite'}"
    database = Database.open(url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    before = (tmp_path / "x.sqlite").read_bytes()
    with pytest.raises(DatabaseError, match=r"schema 9999, which is newer .* install a newer version"):
        Database.open(url)
    assert (tmp_path / "x.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not a database's URL"),
        ("mysql://x/y", "is not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_urls_of_no_database_are_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Database.open(url)


def test_a_database_out_of_reach_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be opened: unable to open database file"):
        Database.open(f"sqlite:///{tmp_path}/missing/x.sqlite")
    with pytest.raises(DatabaseError) as caught:
        Database.open("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_servers_that_start_at_once_migrate_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sqlite = f"sqlite:///{tmp_path / 'x.sqlite'}"
    url = sqlite if kind == "sqlite" else request.getfixturevalue("postgres_database")

    def start() -> None:
        opened.append(Database.open(url))

    opened: list[Database] = []
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in opened:
        database.close()
    assert len(opened) == 4


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(IntegrityError), store.database.write() as connection:
        connection.execute(insert(EXPERIMENTS), [_ROW, _ROW])
    with store.database.read() as connection:
        assert connection.execute(select(EXPERIMENTS)).all() == []


def test_references_are_enforced(store: Store) -> None:
    with pytest.raises(IntegrityError), store.database.write() as connection:
        connection.execute(
            insert(OBJECTS), {"name": "x", "experiment_id": "exp_missing", "bytes": 1, "created_ns": 1}
        )


def test_a_reader_sees_one_state_while_others_write(store: Store) -> None:
    with store.database.read() as reading:
        assert reading.execute(select(EXPERIMENTS)).all() == []
        with store.database.write() as writing:
            writing.execute(insert(EXPERIMENTS), _ROW)
        assert reading.execute(select(EXPERIMENTS)).all() == []
    with store.database.read() as reading:
        assert len(reading.execute(select(EXPERIMENTS)).all()) == 1


def test_an_sqlite_file_is_synced_at_every_commit(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with database.read() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync", "foreign_keys")
        }
    database.close()
    # the two of "full" are for macOS, and do nothing here
    assert found == {
        "journal_mode": "wal", "synchronous": 2, "fullfsync": 1, "checkpoint_fullfsync": 1, "foreign_keys": 1,
    }  # fmt: skip


def test_what_a_full_disk_looks_like() -> None:
    import errno
    import sqlite3

    assert is_disk_full(OSError(errno.ENOSPC, "x"))
    assert is_disk_full(sqlite3.OperationalError("database or disk is full"))
    assert not is_disk_full(sqlite3.OperationalError("database is locked"))
    assert not is_disk_full(OSError(errno.EIO, "x"))
    assert not is_disk_full(None)


def test_importing_ml_dash_and_its_command_loads_nothing_of_the_server() -> None:
    script = (
        "import sys, ml_dash, ml_dash.cli.commands.server; "
        "print([name for name in ('sqlalchemy', 'alembic', 'obstore', 'aiohttp', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("before", [None, 0o644, 0o666, 0o660, 0o600])
def test_nobody_else_reads_a_database_whatever_its_directory_allows(
    tmp_path: Path, before: int | None
) -> None:
    """A directory that existed keeps its access; a group that was let in stays, everybody does not."""
    path = tmp_path / "catalogue.sqlite"
    tmp_path.chmod(0o755)
    if before is not None:
        path.touch()
        path.chmod(before)
    former = os.umask(0o022)
    try:
        opened = Database.open(f"sqlite:///{path}")
        with opened.write() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
        opened.close()
    finally:
        os.umask(former)
    assert set(modes.values()) == {(0o600 if before is None else before) & 0o770}
    assert "catalogue.sqlite-wal" in modes
