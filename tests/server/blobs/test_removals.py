"""What is removed from a blob store: only the server's own, by the database that knows all of it, and not at once."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from ml_dash.server.blobs.collector import BlobCollector
from ml_dash.server.blobs.identity import read_identity, write_identity
from ml_dash.server.blobs.keeper import StoreKeeper
from ml_dash.server.blobs.names import IDENTITY, part_name, rows_name
from ml_dash.server.blobs.objects import ObjectStore
from ml_dash.server.blobs.orphans import OrphanCollector
from ml_dash.server.db.tables import BLOB_PARTS, BLOBS
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.server.blobs.databases import Databases
from tests.support.account_serving import Hands
from tests.support.serving import TOKEN, Client, large_frame, until
from tests.support.stored import impatient, stored, trashed

_STRANGERS = (
    "thesis.docx",
    ".git/config",
    "contents/notes.txt",
    "contents/ab/cdef",
    "contents/ab/" + "cd" * 16,
    "contents/ab/" + "ab" * 16 + ".bak",
    "exp_mine/" + "ab" * 16,
    "exp_" + "a" * 20 + "/readme",
    "below/exp_" + "a" * 20 + "/" + "ab" * 16,
    "trash/notes.txt",
    "trash/2020-01-01/notes.txt",
)


def opened(where: str, database: str) -> Store:
    return Store.open(ServerSettings(database=database, blobs=where))


@pytest.fixture
def store(where: str, databases: Databases) -> Iterator[Store]:
    """A store whose threads were not started."""
    store = opened(where, databases.new())
    yield store
    store.close()


def put_part(store: Store, data: bytes) -> str:
    """Store a blob, and return the name of its object."""
    checksum = hashlib.sha256(data).hexdigest()
    store.transfers._store_whole("alice", checksum, data)
    blob = store.blob_catalogue.find("alice", checksum)
    assert blob is not None
    return blob.parts[0].object


def test_strangers_files_are_never_removed(where: str, databases: Databases) -> None:
    """Whatever they are called, and however old; beside them, what a crash left is."""
    url = databases.new()
    opened(where, url).close()
    objects = ObjectStore(where)
    for name in _STRANGERS:
        objects.put(name, name.encode())
    orphan = part_name()
    objects.put(orphan, b"left by a crash")
    quick: dict[str, Any] = {"orphan_age": -60.0, "trash_age": -2 * 86_400.0, "upkeep_interval": 0.05}
    with EmbeddedServer(data=Path("unused"), database=url, blobs=where, admin_token=TOKEN, **quick):
        until(lambda: (stored(objects), trashed(objects)) == (set(), set()), "the orphan is gone for good")
    assert {name: objects.read(name) for name in _STRANGERS} == {name: name.encode() for name in _STRANGERS}
    assert read_identity(objects) is not None


@pytest.mark.parametrize("name", [IDENTITY, "x", *_STRANGERS])
def test_no_call_removes_or_moves_what_is_not_the_servers(where: str, name: str) -> None:
    objects = ObjectStore(where)
    objects.put(name, b"mine")
    with pytest.raises(ValueError, match="is not the name of an object of ML-Dash"):
        objects.delete([name])
    with pytest.raises(ValueError, match="is not the name of an object of ML-Dash"):
        objects.move(name, part_name())
    own = part_name()
    objects.put(own, b"own")
    with pytest.raises(ValueError, match="is not the name of an object of ML-Dash"):
        objects.move(own, name)
    assert objects.read(name) == b"mine"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_nothing_behind_a_link_is_looked_at(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    theirs = elsewhere / part_name().removeprefix("contents/")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    blobs = tmp_path / "data" / "blobs"
    store = Store.open(ServerSettings(data=str(tmp_path / "data")))
    (blobs / "contents").symlink_to(elsewhere)
    linked = blobs / rows_name("exp_" + "a" * 20)
    linked.parent.mkdir()
    linked.symlink_to(theirs)
    assert impatient(store).collect() == 0
    assert theirs.read_text() == "mine"
    assert linked.is_symlink()
    store.close()


def test_what_a_crash_leaves_of_a_local_object_is_removed(tmp_path: Path) -> None:
    """Obstore writes it beside its place first, with a number behind the name."""
    store = Store.open(ServerSettings(data=str(tmp_path)))
    half = tmp_path / "blobs" / f"{part_name()}#1"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert impatient(store).collect() == 1
    assert not half.exists()
    store.close()


def test_what_is_removed_lies_in_the_trash_for_days_and_each_removal_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_dash.server.removals")
    stray = part_name()
    store.objects.put(stray, b"left by a crash")
    clock = Hands()
    settings = replace(store.settings, orphan_age=-60.0)
    collector = OrphanCollector(store.backend._replace(settings=settings, clock=clock))
    assert collector.collect() == 1
    (line,) = caplog.messages
    assert f"{stray} was moved to trash/2027-01-15/{stray}: no row names it" in line
    for _ in range(7):
        clock.turn(86_400)
        assert collector.collect() == 0
        assert (stored(store.objects), trashed(store.objects)) == (set(), {stray})
    clock.turn(86_400)
    collector.collect()
    assert trashed(store.objects) == set()
    assert caplog.messages[1:] == [f"trash/2027-01-15/{stray} was removed for good"]


def test_what_was_stored_just_now_is_no_orphan_by_whatever_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store whose clock is two hours behind the server's, or before it."""
    here = time.time
    stray = part_name()
    store.objects.put(stray, b"of a transaction that goes on")
    for ahead in (7200, -7200):
        monkeypatch.setattr(time, "time", lambda: here() + ahead)  # noqa: B023 - called here
        assert OrphanCollector(store.backend).collect() == 0
    assert stored(store.objects) == {stray}


def test_contents_that_no_file_names_any_more_go_into_the_trash(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ml_dash.server.removals")
    name = put_part(store, b"contents")
    later = Hands(store.clock.time_ns() / 1e9 + 90 * 86_400)
    assert BlobCollector(store.backend._replace(clock=later)).collect() == 1
    assert (stored(store.objects), trashed(store.objects)) == (set(), {name})
    (line,) = caplog.messages
    assert line.endswith("no file names it")


def test_a_store_that_cannot_be_written_ends_a_round_of_removals(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was forgotten before is left to the collector of objects, which takes many such for a lost database."""
    monkeypatch.setattr("ml_dash.server.blobs.collector._AT_ONCE", 2)
    store = opened(str(tmp_path / "blobs"), databases.new())
    names = {put_part(store, bytes([number])) for number in range(6)}
    (tmp_path / "blobs" / "trash").write_text("a file where a directory should be")
    later = Hands(store.clock.time_ns() / 1e9 + 90 * 86_400)
    collector = BlobCollector(store.backend._replace(clock=later))
    with pytest.raises(OSError, match=r"moving contents/.* failed"):
        collector.collect()
    assert stored(store.objects) == names
    (tmp_path / "blobs" / "trash").unlink()
    assert collector.collect() == 4
    assert impatient(store).collect() == 2
    assert trashed(store.objects) == names
    store.close()


def test_what_a_row_names_is_brought_back_from_the_trash_instead_of_removed(store: Store) -> None:
    name = put_part(store, b"contents")
    store.objects.move(name, f"trash/2020-01-01/{name}")
    impatient(store).collect()
    assert store.objects.read(name) == b"contents"
    assert trashed(store.objects) == set()


@pytest.mark.slow
def test_a_database_that_was_restored_removes_nothing_before_an_operator_says_so(
    where: str, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes for unused what was stored since the backup."""
    url = databases.new()
    store = opened(where, url)
    kept = put_part(store, b"before the backup")
    store.close()
    backup = databases.copy(url)
    store = opened(where, url)
    since = {put_part(store, b"since"), put_part(store, b"since, too")}
    store.close()

    for _ in range(2):  # a restart makes it no better
        caplog.clear()
        store = opened(where, backup)
        assert "restored from a backup" in caplog.text
        assert "ml-dash server check" in caplog.text
        assert impatient(store).collect() == 0
        later = Hands(store.clock.time_ns() / 1e9 + 90 * 86_400)
        assert BlobCollector(store.backend._replace(clock=later)).collect() == 0
        # rows are taken meanwhile
        put_part(store, b"new")
        store.keeper.advance()
        assert since < stored(store.objects)
        store.close()

    store = opened(where, backup)
    store.keeper.confirm()
    assert impatient(store).collect() == 2
    assert trashed(store.objects) == since
    assert store.objects.read(kept) == b"before the backup"
    store.close()


def test_two_servers_with_copies_of_one_database_both_stop_removing(where: str, databases: Databases) -> None:
    url = databases.new()
    first = opened(where, url)
    put_part(first, b"before the copy")
    first.close()
    copied = databases.copy(url)
    first, second = opened(where, url), opened(where, copied)
    one, two = put_part(first, b"of the first"), put_part(second, b"of the second")
    first.keeper.advance()
    second.keeper.advance()
    assert impatient(second).collect() == 0
    assert impatient(first).collect() == 0
    assert {one, two} < stored(first.objects)
    assert first.keeper.reason() == second.keeper.reason() is not None
    first.close()
    second.close()


def test_a_copy_of_a_database_notices_what_the_other_has_removed(where: str, databases: Databases) -> None:
    """It names what is in the trash by now."""
    url = databases.new()
    store = opened(where, url)
    put_part(store, b"contents")
    store.close()
    copied = databases.copy(url)
    store = opened(where, url)
    later = Hands(store.clock.time_ns() / 1e9 + 90 * 86_400)
    assert BlobCollector(store.backend._replace(clock=later)).collect() == 1
    store.close()
    store = opened(where, copied)
    assert store.keeper.reason() is not None
    store.close()


def test_processes_on_one_database_do_not_take_each_other_for_strangers(
    where: str, databases: Databases
) -> None:
    url = databases.new()
    stores = [opened(where, url) for _ in range(3)]
    for turn in range(3):
        for store in stores:
            put_part(store, f"{id(store)} {turn}".encode())
            store.keeper.advance()
            assert impatient(store).collect() == 0
    assert [store.keeper.reason() for store in stores] == [None] * 3
    for store in stores:
        store.close()


def test_a_database_that_was_emptied_removes_nothing(where: str, databases: Databases) -> None:
    """Its own rows deleted, by hand, so that it has its id: it names nothing of all that is there."""
    url = databases.new()
    store = opened(where, url)
    names = {put_part(store, bytes([number])) for number in range(20)}
    with store.database.write() as connection:
        connection.execute(delete(BLOB_PARTS))
        connection.execute(delete(BLOBS))
    assert impatient(store).collect() == 0
    assert stored(store.objects) == names
    assert "was the database emptied" in str(store.keeper.reason())
    assert b"mldash_removal_held 1.0" in store.telemetry.render()
    store.keeper.confirm()
    assert impatient(store).collect() == 20
    assert b"mldash_removal_held 0.0" in store.telemetry.render()
    store.close()


def test_rows_of_experiments_that_the_database_does_not_have_are_not_removed(store: Store) -> None:
    """One such object is enough: the database never forgets an experiment, deleted ones included."""
    theirs = rows_name("exp_" + "z" * 20)
    store.objects.put(theirs, b"another server's")
    assert impatient(store).collect() == 0
    assert stored(store.objects) == {theirs}
    assert "experiments that the database does not have" in str(store.keeper.reason())
    assert impatient(store).collect() == 0


def test_a_running_server_stops_removing_when_the_store_is_taken_from_it(
    where: str, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = opened(where, databases.new()), opened(f"{where}-other", databases.new())
    orphan = part_name()
    first.objects.put(orphan, b"left by a crash")
    # another identity in its place, as when a bucket is exchanged under a server
    first.objects.put(IDENTITY, second.objects.read(IDENTITY))
    assert impatient(first).collect() == 0
    assert "belongs to another database" in caplog.text
    assert stored(first.objects) == {orphan}
    first.close()
    second.close()


def test_a_generation_begins_only_when_something_was_stored(store: Store) -> None:
    before = read_identity(store.objects)
    store.keeper.advance()
    assert read_identity(store.objects) == before
    put_part(store, b"something")
    store.keeper.advance()
    after = read_identity(store.objects)
    assert before is not None
    assert after is not None
    assert before.generation != after.generation
    store.keeper.advance()
    assert read_identity(store.objects) == after


def test_a_server_that_is_stopped_has_told_the_store(
    where: str, databases: Databases, tmp_path: Path
) -> None:
    """A backup is taken while it is stopped: what comes later must not look as if it were there."""
    url = databases.new()
    opened(where, url).close()
    objects = ObjectStore(where)
    before = read_identity(objects)
    with EmbeddedServer(data=tmp_path, database=url, blobs=where, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        client.stored(client.create(), large_frame(1))
        client.close()
    after = read_identity(objects)
    assert before is not None
    assert after is not None
    assert before.generation != after.generation


def test_of_two_databases_that_began_at_once_none_removes_what_the_other_has_stored(
    where: str, databases: Databases
) -> None:
    """In a bucket without conditional requests each of the two takes the store for its own, and the last one has it."""
    first, second = opened(where, databases.new()), opened(f"{where}/elsewhere", databases.new())
    name = put_part(first, b"of the first")
    late = read_identity(second.objects)
    assert late is not None
    write_identity(first.objects, late)
    second_here = second.backend._replace(
        objects=first.objects,
        keeper=StoreKeeper(second.database, first.objects, second.clock, second.telemetry),
        settings=replace(second.settings, orphan_age=-60.0),
    )
    assert not first.keeper.may_remove()
    assert OrphanCollector(second_here).collect() == 0
    assert name in stored(first.objects)
    held = read_identity(first.objects)
    assert held is not None
    assert held.held is not None
    assert "a running server with another database" in held.held
    first.close()
    second.close()
