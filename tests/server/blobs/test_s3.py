"""ObjectStore in a bucket: a server on S3 does what one on a directory does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import select

from ml_dash.server.blobs.collector import BlobCollector
from ml_dash.server.blobs.names import part_name, rows_name
from ml_dash.server.blobs.objects import ObjectError, ObjectStore
from ml_dash.server.db.tables import BLOCKS, OBJECTS
from ml_dash.server.runner import EmbeddedServer
from tests.support.account_serving import Hands
from tests.support.serving import TOKEN, Client, expected, frames, large_frame, running
from tests.support.stored import impatient, stored, trashed
from tests.support.uploads import LARGE, Uploads, digest, rows, save


@pytest.mark.slow
def test_objects_are_stored_read_listed_and_removed(bucket: str) -> None:
    blobs = ObjectStore(bucket)
    name, never, trash = part_name(), part_name(), "trash/2026-01-31/"
    blobs.put(name, bytes(range(100)))
    assert blobs.get(name, 10, 5) == bytes(range(10, 15))
    assert stored(blobs) == {name}
    assert blobs.move(name, trash + name)
    assert not blobs.move(name, trash + name)
    assert (stored(blobs), trashed(blobs)) == (set(), {name})
    assert blobs.move(trash + name, name)
    blobs.delete([name, never])
    assert (stored(blobs), trashed(blobs)) == (set(), set())
    with pytest.raises(FileNotFoundError, match=f"reading {name} failed"):
        blobs.get(name, 0, 1)
    assert blobs.create("x", b"first")
    assert not blobs.create("x", b"second")
    assert blobs.read("x") == b"first"


@pytest.mark.slow
def test_a_bucket_without_conditional_requests_is_a_store_too(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    blobs = ObjectStore(bucket)
    assert blobs.create("x", b"first")
    assert not blobs.create("x", b"second")
    assert blobs.read("x") == b"first"
    for _ in range(2):
        EmbeddedServer(data=tmp_path, blobs=f"{bucket}/own", admin_token=TOKEN).start().stop()


@pytest.mark.slow
def test_a_server_keeps_large_requests_and_merged_rows_in_the_bucket(bucket: str, tmp_path: Path) -> None:
    with EmbeddedServer(
        data=tmp_path / "data", blobs=bucket, admin_token=TOKEN, compact_rows=1 << 40
    ) as server:
        client, store = Client(server.url, TOKEN), server.store
        assert store is not None
        experiment = client.create()
        client.stored(experiment, large_frame(1), large_frame(2))
        for seq in range(3, 13):
            client.stored(experiment, *frames(seq, 1, rows=20_000)[:1])
        small = client.create("alice/vision/small")
        for seq in range(1, 11):
            client.stored(small, *frames(seq, 1))
        assert store.compactor.compact(small, 1) == 10
        assert client.rows(experiment) == expected(0, 240_000)
        assert client.rows(small) == expected(0, 10)
        with store.database.read() as connection:
            assert connection.execute(select(BLOCKS).where(BLOCKS.c.data.is_not(None))).all() == []
            used = set(connection.execute(select(OBJECTS.c.name)).scalars())
        store.objects.put(rows_name(experiment), b"left behind")
        assert impatient(store).collect() == 1
        assert stored(store.objects) == used
        assert client.rows(experiment, start=100, stop=200) == expected(100, 100)
        client.close()


@pytest.mark.slow
def test_a_bucket_out_of_reach_refuses_large_requests_for_the_moment(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = os.environ["AWS_ENDPOINT"]
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ObjectError, match="storing x failed"):
        ObjectStore(bucket).put("x", b"x")
    # a store that was never seen may be anybody's
    with pytest.raises(ObjectError, match="must be seen before the first start"):
        EmbeddedServer(data=tmp_path / "new", blobs=bucket, admin_token=TOKEN).start()
    with monkeypatch.context() as reachable:
        reachable.setenv("AWS_ENDPOINT", endpoint)
        EmbeddedServer(data=tmp_path / "data", blobs=bucket, admin_token=TOKEN).start().stop()
    with EmbeddedServer(data=tmp_path / "data", blobs=bucket, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        answer = client.send(experiment, large_frame(1))
        assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, "busy", "1")
        assert client.ask("GET", "/ready").status == 503
        assert client.stored(experiment, *frames(1, 1)) == 1
        client.close()


@pytest.mark.slow
def test_contents_of_files_are_parts_in_the_bucket_and_go_on_after_a_restart(
    bucket: str, tmp_path: Path
) -> None:
    """Sent, cut by a restart, gone on with, checked, and read by ranges."""
    server = EmbeddedServer(data=tmp_path / "data", blobs=bucket, admin_token=TOKEN).start()
    try:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        uploads = Uploads(client, experiment)
        begun = uploads.post(f"/{digest(LARGE)}/upload", {"sizeBytes": len(LARGE)}).body
        first = LARGE[: begun["partBytes"]]
        assert uploads.put_part(digest(LARGE), 1, first).status == 200
        client.close()
        server.stop()
        server.start()
        client = Client(server.url, TOKEN)
        uploads = Uploads(client, experiment)
        assert uploads.post(f"/{digest(LARGE)}/upload", {"sizeBytes": len(LARGE)}).body["parts"] == [1]
        uploads.put_all(LARGE)
        assert uploads.put(b"small").status == 200
        client.stored(experiment, rows(1, save("big", LARGE), save("small", b"small", filename="b")))
        path = f"/experiments/{experiment}/files/big/content"
        assert client.ask("GET", path).body == LARGE
        at = begun["partBytes"] - 5
        asked = client.ask("GET", path, headers={"Range": f"bytes={at}-{at + 9}"})
        assert (asked.status, asked.body) == (206, LARGE[at : at + 10])

        store = server.store
        assert store is not None
        content = store.blob_catalogue.find("alice", digest(LARGE))
        assert content is not None
        objects = [part.object for part in content.parts]
        assert len(objects) == -(-len(LARGE) // begun["partBytes"])
        assert set(objects) < stored(store.objects)
        # another content than it is said to be is refused, though all of its parts are there
        wrong = "0" * 64
        uploads.post(f"/{wrong}/upload", {"sizeBytes": len(LARGE)})
        for number, start in enumerate(range(0, len(LARGE), begun["partBytes"]), 1):
            assert uploads.put_part(wrong, number, LARGE[start : start + begun["partBytes"]]).status == 200
        assert uploads.post(f"/{wrong}/complete", {}).status == 422
        client.close()
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.crash
def test_a_killed_server_keeps_the_parts_in_the_bucket_and_the_collector_removes_them_in_the_end(
    bucket: str, tmp_path: Path
) -> None:
    """While a file names the content it stays; when none does any more, it is in the trash."""
    with running(tmp_path / "data", blobs=bucket) as server:
        client = server.client()
        experiment = client.create()
        begun = Uploads(client, experiment).post(f"/{digest(LARGE)}/upload", {"sizeBytes": len(LARGE)}).body
        first = LARGE[: begun["partBytes"]]
        assert Uploads(client, experiment).put_part(digest(LARGE), 1, first).status == 200
        server.kill()
        client.close()
    with EmbeddedServer(data=tmp_path / "data", blobs=bucket, admin_token=TOKEN) as server:
        client, store = Client(server.url, TOKEN), server.store
        assert store is not None
        uploads = Uploads(client, experiment)
        assert uploads.post(f"/{digest(LARGE)}/upload", {"sizeBytes": len(LARGE)}).body["parts"] == [1]
        uploads.put_all(LARGE)
        client.stored(experiment, rows(1, save("big", LARGE)))
        path = f"/experiments/{experiment}/files/big/content"
        assert client.ask("GET", path).body == LARGE
        later = Hands(store.clock.time_ns() / 1e9 + 90 * 86_400)
        collector = BlobCollector(store.backend._replace(clock=later))
        assert collector.collect() == 0
        assert client.ask("GET", path).body == LARGE
        client.stored(experiment, rows(2, {"event": "delete", "id": "big"}))
        assert collector.collect() == 1
        assert stored(store.objects) == set()
        assert uploads.lacking(digest(LARGE)) == [digest(LARGE)]
        client.close()
