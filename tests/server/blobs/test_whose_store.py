"""Whose a blob store is: a start on one that is not the database's own is refused, and changes nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from ml_dash.server.blobs.identity import ForeignStoreError, read_identity
from ml_dash.server.blobs.names import IDENTITY, part_name, rows_name
from ml_dash.server.blobs.objects import ObjectStore
from ml_dash.server.db.database import Database
from ml_dash.server.db.tables import BLOB_STORE, GENERATIONS
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import Store
from tests.server.blobs.databases import Databases
from tests.support.serving import TOKEN, Client, expected, large_frame
from tests.support.stored import impatient, stored
from tests.support.uploads import Uploads


def opened(where: str, database: str) -> Store:
    return Store.open(ServerSettings(database=database, blobs=where))


def everything(where: str) -> dict[str, bytes]:
    objects = ObjectStore(where)
    return {each.name: objects.read(each.name) for page in objects.entries(strangers=True) for each in page}


@pytest.fixture
def used(where: str, databases: Databases) -> tuple[str, str]:
    """A database with rows and a file in the store, and the id of its experiment."""
    url = databases.new()
    with EmbeddedServer(data=Path("unused"), database=url, blobs=where, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        client.stored(experiment, large_frame(1))
        assert Uploads(client, experiment).put(b"contents").status == 200
        client.close()
    return url, experiment


def forget_identity(url: str, where: str) -> None:
    """Make database and store what an earlier version leaves."""
    database = Database.open(url)
    with database.write() as connection:
        for table in (BLOB_STORE, GENERATIONS):
            connection.execute(delete(table))
    database.close()
    # past the check of names, by which no identity can be removed
    objects = ObjectStore(where)
    if objects._directory is not None:
        Path(where, IDENTITY).unlink()
    else:
        objects._obstore.delete(objects._store, IDENTITY)


def test_a_new_store_and_its_database_get_the_same_id(where: str, databases: Databases) -> None:
    url = databases.new()
    for _ in range(3):
        opened(where, url).close()
    (only,) = everything(where)
    identity = read_identity(ObjectStore(where))
    assert only == IDENTITY
    assert identity is not None
    database = Database.open(url)
    with database.read() as connection:
        assert connection.execute(text("SELECT id FROM blob_store")).scalars().all() == [identity.id]
    database.close()


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", ["thesis.docx", ".git/config", "contents/ab/notes", "trash/old"])
def test_a_store_in_which_somebody_keeps_files_is_refused(
    where: str, name: str, databases: Databases
) -> None:
    ObjectStore(where).put(name, b"mine")
    with pytest.raises(
        ForeignStoreError, match=rf"is not empty \(there is {name}\).*empty directory, or a prefix of its own"
    ):
        opened(where, databases.new())
    assert everything(where) == {name: b"mine"}


def test_a_second_database_is_refused_and_the_first_one_keeps_everything(
    where: str, databases: Databases, used: tuple[str, str]
) -> None:
    url, experiment = used
    before = everything(where)
    with pytest.raises(ForeignStoreError, match=r"belongs to another database: .* this database has none"):
        opened(where, databases.new())
    # one that has a store of its own already, too
    other = databases.new()
    opened(f"{where}-other", other).close()
    with pytest.raises(
        ForeignStoreError, match=r"belongs to another database: .* that of this database is sto_"
    ):
        opened(where, other)
    assert everything(where) == before
    with EmbeddedServer(data=Path("unused"), database=url, blobs=where, admin_token=TOKEN) as server:
        assert server.store is not None
        assert impatient(server.store).collect() == 0
        client = Client(server.url, TOKEN)
        assert client.rows(experiment) == expected(0, 20_000)
        client.close()


def test_a_store_that_is_suddenly_empty_is_refused(where: str, used: tuple[str, str]) -> None:
    """As where a disk is not mounted: a new identity there would make two stores of one."""
    with pytest.raises(
        ForeignStoreError, match=r"is empty, and the database names 2 objects.*is the disk mounted"
    ):
        opened(f"{where}-unmounted", used[0])
    assert everything(f"{where}-unmounted") == {}


def test_a_store_of_an_earlier_version_is_adopted_if_all_that_the_database_names_is_there(
    where: str, used: tuple[str, str]
) -> None:
    url, experiment = used
    forget_identity(url, where)
    ObjectStore(where).put("a stranger's", b"mine")
    store = opened(where, url)
    assert read_identity(store.objects) is not None
    assert store.keeper.reason() is None
    stray = rows_name(experiment)
    store.objects.put(stray, b"left by a crash")
    assert impatient(store).collect() == 1
    assert store.objects.read("a stranger's") == b"mine"
    store.close()


def test_a_store_of_an_earlier_version_with_more_than_the_database_names_is_adopted_and_held(
    where: str, used: tuple[str, str]
) -> None:
    """What is more may be what a crash left, or a second server's: who knows is asked."""
    url, _ = used
    forget_identity(url, where)
    other = part_name()
    ObjectStore(where).put(other, b"another server's")
    store = opened(where, url)
    assert "named by no row" in str(store.keeper.reason())
    assert impatient(store).collect() == 0
    assert other in stored(store.objects)
    store.keeper.confirm()
    assert impatient(store).collect() == 1
    store.close()


def test_a_store_of_an_earlier_version_is_refused_if_it_is_not_the_databases(
    where: str, databases: Databases, used: tuple[str, str]
) -> None:
    url, _ = used
    forget_identity(url, where)
    with pytest.raises(
        ForeignStoreError, match="has no identity of ML-Dash, and the database names nothing in it"
    ):
        opened(where, databases.new())
    objects = ObjectStore(where)
    objects.delete([min(stored(objects))])
    with pytest.raises(ForeignStoreError, match="of 2 objects that the database names, 1 are missing"):
        opened(where, url)
    assert read_identity(objects) is None


def test_a_crash_in_the_middle_of_the_first_start_is_no_hindrance(where: str, databases: Databases) -> None:
    url = databases.new()
    opened(where, url).close()
    objects = ObjectStore(where)
    known = read_identity(objects)
    assert known is not None
    # the id is in the database, and not in the store yet
    elsewhere = f"{where}-again"
    opened(elsewhere, url).close()
    again = read_identity(ObjectStore(elsewhere))
    assert again is not None
    assert again.id == known.id


def test_a_piece_of_an_identity_does_not_make_a_directory_somebodys(tmp_path: Path) -> None:
    """A crash leaves it beside the place where the whole one would be."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / f"{IDENTITY}#1").write_text("{")
    Store.open(ServerSettings(data=str(tmp_path))).close()
    assert read_identity(ObjectStore(str(tmp_path / "blobs"))) is not None


def test_processes_that_start_at_once_agree(where: str, databases: Databases) -> None:
    url, found = databases.new(), []

    def start() -> None:
        found.append(opened(where, url))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.keeper.reason() for store in found] == [None] * 4
    for store in found:
        store.close()


@pytest.mark.parametrize("raw", [b"\0garbage", b'{"id": "\xff"}'])
def test_an_identity_that_cannot_be_read_is_refused(where: str, databases: Databases, raw: bytes) -> None:
    ObjectStore(where).put(IDENTITY, raw)
    with pytest.raises(ForeignStoreError, match=f"{IDENTITY} in the blob store .* cannot be read"):
        opened(where, databases.new())
