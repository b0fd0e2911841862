"""A PostgreSQL server of the tests' own, in a directory of their own, on a socket of its own."""

from __future__ import annotations

import glob
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from sqlalchemy import create_engine, text

from ml_dash.server.db.database import Database

both_databases = pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
"""Run a test of accounts on each database; without it they run on SQLite alone."""
on_postgresql = pytest.mark.parametrize("store", ["postgresql"], indirect=True)
"""Run a test of accounts on PostgreSQL, where several servers may share the tokens."""

_USER = "postgres"
_NAMES = itertools.count()


def binaries() -> str | None:
    """Return the directory with `initdb`; None where PostgreSQL is not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    path = found[-1] if found else shutil.which("initdb")
    return os.path.dirname(path) if path else None


@contextmanager
def cluster() -> Iterator[str]:
    """Run a server, and give the URL of its database ``postgres``."""
    where = binaries()
    assert where is not None
    directory = tempfile.mkdtemp(prefix="mldash-pg-")
    # as root it refuses to run
    user = _USER if os.geteuid() == 0 else None
    if user:
        os.chown(directory, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = os.path.join(directory, "data")

    def call(*command: str) -> None:
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, user=user, cwd=directory, stdin=subprocess.DEVNULL
        )

    try:
        call(f"{where}/initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        # tests kill servers, and never this one: it need not wait for the disk
        options = (
            "-c fsync=off -c full_page_writes=off -c listen_addresses=127.0.0.1 "
            f"-c port={port} -c unix_socket_directories={directory}"
        )
        log = os.path.join(directory, "log")
        call(f"{where}/pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
        try:
            yield f"postgresql://{_USER}@127.0.0.1:{port}/postgres"
        finally:
            call(f"{where}/pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def new_database(url: str, *, of: str | None = None) -> str:
    """Create a database, and return its URL: with all our tables and no row in them.

    It may be a copy of another one, to which nobody is connected, by its name; one of ``template1`` is empty.
    """
    return _create(url, of or _migrated(url))


@cache
def _migrated(url: str) -> str:
    made = _create(url, "template1")
    Database.open(made).close()
    return made.rpartition("/")[2]


def _create(url: str, of: str) -> str:
    name = f"mldash{next(_NAMES)}"
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {of}"))
    engine.dispose()
    return url.rpartition("/")[0] + "/" + name
