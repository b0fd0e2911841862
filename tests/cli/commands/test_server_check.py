"""`ml-dash server check`, on a server's own database and blob store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ml_dash.server.blobs.names import part_name, rows_name
from ml_dash.server.blobs.objects import ObjectStore
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import TOKEN, Client, expected, large_frame
from tests.support.shell import Finished, invoke
from tests.support.stored import stored, trashed
from tests.support.uploads import Uploads, rows, save


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a server that has rows and a file."""
    with EmbeddedServer(data=tmp_path / "data", admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/vision/run")
        client.stored(experiment, large_frame(1), rows(2, save("f", b"weights", filename="best.pt")))
        assert Uploads(client, experiment).put(b"weights").status == 200
        client.close()
    return tmp_path / "data"


@pytest.fixture
def objects(data: Path) -> ObjectStore:
    return ObjectStore(str(data / "blobs"))


def check(data: Path, *arguments: str | Path) -> Finished:
    return invoke("server", "check", "--data", data, *arguments)


def report(data: Path, *arguments: str | Path) -> dict[str, object]:
    return dict(json.loads(check(data, "--json", *arguments).out))


def test_what_belongs_together_is_said_to_be_sound(data: Path, objects: ObjectStore) -> None:
    objects.put("notes/a.txt", b"mine")
    before = {path: path.stat().st_mtime_ns for path in (data / "blobs").rglob("*")}
    done = check(data)
    assert (done.code, done.err) == (0, "")
    lines = {line[:14].strip(): line[14:].strip() for line in done.out.splitlines()}
    assert lines["belongs to"].startswith("this database (sto_")
    assert lines["removing"] == "yes"
    assert lines["named"] == "2 objects by the database"
    assert lines["missing"] == "0"
    assert lines["not ML-Dash's"] == "1, which are never touched: notes/a.txt"
    assert {path: path.stat().st_mtime_ns for path in (data / "blobs").rglob("*")} == before


def test_what_is_missing_is_named_and_comes_back_from_the_trash(data: Path, objects: ObjectStore) -> None:
    in_rows, part = sorted(stored(objects), reverse=True)
    objects.move(in_rows, f"trash/2026-01-31/{in_rows}")
    objects.delete([part])
    done = check(data)
    assert done.code == 1
    assert f"{in_rows}  rows of alice/vision/run" in done.out
    assert "in the trash" in done.out
    assert "alice/vision/run: models/best.pt, SHA-256" in done.out
    assert "--recover" in done.err
    done = check(data, "--recover")
    assert done.code == 1  # the other one is lost
    assert "1 object brought back from the trash" in done.err
    assert (stored(objects), trashed(objects)) == ({in_rows}, set())
    assert report(data)["missing"] == [
        {"name": part, "of": report(data)["missing"][0]["of"], "trashed": None}  # type: ignore[index]
    ]
    with EmbeddedServer(data=data, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/vision/run")
        assert client.rows(experiment) == expected(0, 20_000)
        client.close()


def test_what_nobody_names_is_told_by_its_age(data: Path, objects: ObjectStore) -> None:
    import os

    old, new, unknown = part_name(), part_name(), rows_name("exp_" + "z" * 20)
    for name in (old, new, unknown):
        objects.put(name, b"12345")
    os.utime(data / "blobs" / old, (0, 0))
    found = report(data)
    kinds = ("orphaned", "orphaned_bytes", "recent", "unknown", "named", "missing")
    assert [found[kind] for kind in kinds] == [1, 5, 2, 1, 2, []]


def test_a_lost_database_is_given_its_store_and_removes_nothing_before_it_is_confirmed(
    data: Path, objects: ObjectStore, tmp_path: Path
) -> None:
    before = stored(objects)
    for name in ("catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm"):
        (data / name).unlink(missing_ok=True)
    other = tmp_path / "other"
    EmbeddedServer(data=other, admin_token=TOKEN).start().stop()
    shutil.copy(other / "catalogue.sqlite", data / "catalogue.sqlite")

    done = check(data)
    assert done.code == 1
    assert "another database (sto_" in done.out
    assert "--adopt" in done.err
    refused = check(data, "--confirm")
    assert (refused.code, "--adopt comes before --confirm" in refused.err) == (1, True)
    refused = check(data, "--recover")
    assert (refused.code, "--adopt comes first" in refused.err) == (2, True)

    done = check(data, "--adopt")
    assert done.code == 1
    assert "no: the store was given to a database by hand" in done.out
    assert "of experiments that the database does not have" in done.err
    with EmbeddedServer(data=data, orphan_age=-60.0, upkeep_interval=3600.0, admin_token=TOKEN) as server:
        assert server.store is not None
        assert server.store.orphan_collector.collect() == 0
        assert stored(objects) == before
        # while it runs
        assert check(data, "--confirm").code == 0
        assert server.store.orphan_collector.collect() == 2
    assert (stored(objects), trashed(objects)) == (set(), before)
    assert report(data)["held"] is None


def test_a_store_without_an_identity_is_nobodys(data: Path) -> None:
    (data / "blobs" / "ml-dash-store.json").unlink()
    done = check(data)
    assert done.code == 1
    assert "nobody: it has no identity" in done.out
    assert check(data, "--adopt", "--confirm").code == 0
    assert check(data).code == 0


def test_what_is_not_there_is_not_made(tmp_path: Path, data: Path) -> None:
    done = check(tmp_path / "nowhere")
    assert (done.code, "there is no database of a server" in done.err) == (2, True)
    done = check(data, "--blobs", tmp_path / "nowhere")
    assert (done.code, "there is no directory" in done.err) == (2, True)
    assert not (tmp_path / "nowhere").exists()
