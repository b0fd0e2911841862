"""A transaction is committed, and the answer to its COMMIT is lost: what it refers to stays, and is stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from ml_dash.identity import Identity
from ml_dash.server.blobs.reading import Piece, read_piece
from ml_dash.server.catalogue.records import Introduction
from ml_dash.server.errors import ApiError
from ml_dash.server.ingest.frames import parse_frames
from ml_dash.server.ingest.prepare import NewRows, prepare
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.support.serving import TOKEN, WRITER, Client, expected, frames, large_frame
from tests.support.stored import impatient

Write = Callable[[], AbstractContextManager[Connection]]


class Line:
    """The way to a database, which can lose the answer to one transaction that was committed."""

    def __init__(self, write: Write, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
        self._write = write
        self.loses = False
        monkeypatch.setattr(store.database, "write", self.write)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._write() as connection:
            yield connection
        if self.loses:
            self.loses = False
            raise OperationalError("COMMIT", None, Exception("server closed the connection unexpectedly"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(ServerSettings(data=str(tmp_path), object_bytes=1, compact_rows=1))
    yield store
    store.close()


@pytest.fixture
def line(store: Store, monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(store.database.write, monkeypatch, store)


def created(store: Store, name: str) -> str:
    return str(store.experiments.upsert(Introduction(Identity("alice", "p", "", name)))["id"])


def prepared(store: Store, experiment: str) -> NewRows:
    body = large_frame(1)
    parsed = parse_frames(body)
    return prepare(experiment, WRITER, body, parsed.frames, objects=store.objects, object_bytes=1)


def test_rows_whose_acknowledgement_was_lost_are_there_when_they_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client, store = Client(server.url, TOKEN), server.store
        assert store is not None
        experiment = client.create("alice/p/run")
        line = Line(store.database.write, monkeypatch, store)
        line.loses = True
        assert client.send(experiment, large_frame(1)).status == 503
        assert client.stored(experiment, large_frame(1)) == 1
        assert client.rows(experiment) == expected(0, 20_000)
        client.close()


def test_of_requests_that_share_a_commit_none_loses_its_object(store: Store, line: Line) -> None:
    requests = [prepared(store, created(store, name)) for name in ("a", "b")]
    line.loses = True
    outcomes = store.ingest.commits._try_to_store(requests)
    assert [outcome.in_doubt for outcome in outcomes] == [True, True]
    assert [getattr(outcome.result, "stored", None) for outcome in outcomes] == [False, False]


def test_a_commit_that_certainly_failed_leaves_no_doubt(store: Store) -> None:
    gone = prepared(store, "exp_" + "0" * 20)
    (outcome,) = store.ingest.commits._try_to_store([gone])
    assert isinstance(outcome.result, ApiError)
    assert not outcome.in_doubt


def test_a_blob_keeps_its_object(store: Store, line: Line) -> None:
    data = b"weights"
    checksum = hashlib.sha256(data).hexdigest()
    line.loses = True
    with pytest.raises(OperationalError):
        store.transfers._store_whole("alice", checksum, data)
    blob = store.blob_catalogue.find("alice", checksum)
    assert blob is not None
    assert blob.complete
    assert read_piece(store.objects, Piece(blob.parts[0].object, 0, len(data))) == data


def test_merged_blocks_keep_their_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client, store = Client(server.url, TOKEN), server.store
        assert store is not None
        experiment = client.create("alice/p/run")
        client.stored(experiment, *frames(1, 40))
        line = Line(store.database.write, monkeypatch, store)
        line.loses = True
        with pytest.raises(OperationalError):
            store.compactor.compact(experiment, 1)
        assert client.rows(experiment) == expected(0, 40)
        assert impatient(store).collect() == 0
        client.close()
