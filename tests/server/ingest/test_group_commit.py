"""Frames over the wire, each stored exactly once, whatever a client or its network does."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ml_dash.journal.blocks import Block, Column
from ml_dash.protocol import FRAMES, JSON, OCTETS
from ml_dash.series import Kind, Series
from ml_dash.server.db.tables import BLOCKS, EXPERIMENTS, OBJECTS
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.support.serving import (
    NOON,
    TOKEN,
    TRAIN,
    WRITER,
    Client,
    expected,
    frame,
    frame_around,
    frames,
    large_frame,
    numbers,
    objects,
    running,
    until,
)
from tests.support.stored import stored

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

FENCED_LATER = 700
"""More frames than two pages of checksums hold."""


def test_what_is_sent_is_stored_in_order(client: Client, experiment: str) -> None:
    assert client.stored(experiment, *frames(1, 3, rows=4)) == 3
    assert client.stored(experiment, *frames(4, 2, rows=4)) == 5
    assert client.rows(experiment) == expected(0, 20)
    assert client.get(f"/experiments/{experiment}/writers")["watermarks"] == {WRITER: 5}


def test_a_request_without_frames_tells_the_watermark(client: Client, experiment: str) -> None:
    assert client.stored(experiment) == 0
    client.stored(experiment, *frames(1, 2))
    assert client.stored(experiment) == 2


def test_frames_that_come_again_are_acknowledged_and_not_stored_again(
    client: Client, experiment: str
) -> None:
    before = client.counter("ingest_duplicate_frames")
    client.stored(experiment, *frames(1, 4))
    assert client.stored(experiment, *frames(1, 4)) == 4
    assert client.stored(experiment, *frames(3, 4)) == 6
    assert client.stored(experiment, *frames(2, 1)) == 6
    assert client.rows(experiment) == expected(0, 6)
    assert client.counter("ingest_duplicate_frames") == before + 7


def test_a_gap_is_answered_with_the_number_that_is_expected(client: Client, experiment: str) -> None:
    client.stored(experiment, *frames(1, 2))
    answer = client.send(experiment, *frames(4, 2))
    assert (answer.status, answer.error["code"], answer.error["expected"]) == (409, "gap", 3)
    assert client.rows(experiment) == expected(0, 2)


def test_a_gap_in_a_body_stores_what_is_before_it(client: Client, experiment: str) -> None:
    answer = client.send(experiment, *frames(1, 2), *frames(5, 1))
    assert (answer.status, answer.error["code"], answer.error["expected"]) == (409, "gap", 3)
    assert client.rows(experiment) == expected(0, 2)


def test_a_writer_that_is_new_begins_with_frame_1(client: Client, experiment: str) -> None:
    answer = client.send(experiment, *frames(2, 1))
    assert (answer.status, answer.error["expected"]) == (409, 1)


def test_a_damaged_frame_stores_what_is_before_it_and_asks_for_the_rest(
    client: Client, experiment: str
) -> None:
    body = bytearray(b"".join(frames(1, 3)))
    body[-1] ^= 1
    answer = client.send(experiment, bytes(body))
    assert (answer.status, answer.error["code"], answer.error["watermark"]) == (400, "damaged", 2)
    assert client.stored(experiment, *frames(3, 1)) == 3
    assert client.rows(experiment) == expected(0, 3)


def test_a_malformed_frame_can_be_replaced_by_an_empty_one(client: Client, experiment: str) -> None:
    bad = frame_around(2, b"\xc1")
    answer = client.send(experiment, *frames(1, 1), bad, *frames(3, 1))
    assert (answer.status, answer.error["code"]) == (422, "malformed")
    assert (answer.error["seq"], answer.error["watermark"]) == (2, 1)
    assert client.stored(experiment, frame(2), *frames(3, 1)) == 3
    assert client.rows(experiment) == [*expected(0, 1), *expected(2, 1)]


def test_other_contents_under_a_number_that_is_stored_are_fenced(client: Client, experiment: str) -> None:
    client.stored(experiment, *frames(1, 3))
    answer = client.send(experiment, frame(2, numbers(100, 1)))
    assert (answer.status, answer.error["code"], answer.error["seq"]) == (409, "fenced", 2)
    answer = client.send(experiment, *frames(2, 1), frame(3, numbers(100, 1)), *frames(4, 1))
    assert (answer.status, answer.error["seq"]) == (409, 3)
    assert client.rows(experiment) == expected(0, 3)


def test_a_clone_is_fenced_however_many_frames_ago_it_parted(client: Client, experiment: str) -> None:
    client.stored(experiment, *frames(1, FENCED_LATER))
    for seq in (1, 255, 256, 257, 512, 513, FENCED_LATER):
        assert client.stored(experiment, *frames(seq, 1)) == FENCED_LATER
        answer = client.send(experiment, frame(seq, numbers(0, 2)))
        assert (answer.status, answer.error["code"], answer.error["seq"]) == (409, "fenced", seq)


def test_rows_of_several_writers_are_numbered_as_they_come(client: Client, experiment: str) -> None:
    client.stored(experiment, *frames(1, 1), writer="b")
    client.stored(experiment, *frames(2, 1), writer="b")
    client.stored(experiment, *frames(1, 1), writer="a")
    assert client.rows(experiment) == [*expected(0, 2), *expected(0, 1)]
    page = client.get(f"/experiments/{experiment}/metrics/rows", name="train")
    assert [row["index"] for row in page["data"]] == [0, 1, 2]


def test_a_large_request_goes_to_the_blob_store_and_reads_the_same(
    server: EmbeddedServer, client: Client, experiment: str
) -> None:
    client.stored(experiment, *frames(1, 3, rows=20_000), *frames(4, 1, rows=20_000))
    assert client.rows(experiment) == expected(0, 80_000)
    page = client.get(f"/experiments/{experiment}/metrics/rows", name="train", start_index=79_998)
    assert [row["data"]["step"] for row in page["data"]] == [79_998, 79_999]
    assert server.store is not None
    with server.store.database.read() as connection:
        found = connection.execute(
            select(BLOCKS.c.data, BLOCKS.c.object).where(BLOCKS.c.experiment_id == experiment)
        )
        assert all(row.data is None and row.object is not None for row in found)


@pytest.mark.slow
def test_many_tiny_frames_in_one_request_become_few_blocks(
    server: EmbeddedServer, client: Client, experiment: str
) -> None:
    both = [
        frame(seq, numbers(seq, 1), objects(Series(Kind.LOG, None), [(NOON, {"message": "m" * 200})]))
        for seq in range(1, 3001)
    ]
    client.stored(experiment, *both)
    assert client.rows(experiment) == expected(1, 3000)
    assert len(client.rows(experiment, Series(Kind.LOG, None))) == 3000
    assert server.store is not None
    with server.store.database.read() as connection:
        count = connection.execute(
            select(func.count()).select_from(BLOCKS).where(BLOCKS.c.experiment_id == experiment)
        ).scalar_one()
    assert count < 10


def test_names_and_values_of_all_kinds_survive(client: Client, experiment: str) -> None:
    name = "../a/ü\udc80\0"
    series = Series(Kind.METRIC, name)
    values = {
        "nan": float("inf"),
        "s\udcff": "lone \udcff",
        "b": b"\0\xff",
        "n": None,
        "d": {"a": {"b": [1]}},
    }
    client.stored(experiment, frame(1, objects(series, [(NOON, values)])))
    metrics = client.get(f"/experiments/{experiment}/metrics")["data"]
    assert [metric["name"] for metric in metrics] == [name]
    plain = Series(Kind.METRIC, "plain")
    client.stored(experiment, frame(2, objects(plain, [(NOON, values)])))
    assert client.rows(experiment, plain) == [(NOON, values)]


def test_kinds_and_types_of_a_later_version_are_stored_and_not_lost(
    server: EmbeddedServer, client: Client, experiment: str
) -> None:
    from ml_dash.journal.objects import to_msgpack

    entry = [77, "x", 1, [["f", "?", 1, False, 3]], "more"]
    later = frame_around(
        1,
        to_msgpack([entry, [1, "train", 1, [["n", "z", 1, False, 2]]]]),
        bytes(8) + b"abc" + bytes(8) + b"zz",
    )
    assert client.stored(experiment, later) == 1
    assert client.rows(experiment) == [(0, {})]
    assert server.store is not None
    with server.store.database.read() as connection:
        stored = connection.execute(
            select(BLOCKS.c.head, BLOCKS.c.data)
            .where(BLOCKS.c.experiment_id == experiment)
            .order_by(BLOCKS.c.series)
        ).all()
    assert [(bytes(row.head), bytes(row.data)) for row in stored] == [
        (to_msgpack(entry), bytes(8) + b"abc"),
        (to_msgpack([1, "train", 1, [["n", "z", 1, False, 2]]]), bytes(8) + b"zz"),
    ]


def test_a_compressed_body_is_stored(client: Client, experiment: str) -> None:
    body = zlib.compress(b"".join(frames(1, 500)))
    answer = client.send(experiment, body, Content_Encoding="deflate")
    assert (answer.status, answer.body) == (200, {"watermark": 500})
    assert client.rows(experiment) == expected(0, 500)


@pytest.mark.parametrize(
    "body", [b"nonsense", zlib.compress(frame(1))[:-3], zlib.compress(frame(1)) + b"more", b""]
)
def test_a_body_that_cannot_be_decompressed_is_damaged(client: Client, experiment: str, body: bytes) -> None:
    client.stored(experiment, *frames(1, 2))
    answer = client.send(experiment, body, Content_Encoding="deflate")
    assert (answer.status, answer.error["code"], answer.error["watermark"]) == (400, "damaged", 2)


def test_other_encodings_and_media_types_are_refused(client: Client, experiment: str) -> None:
    answer = client.send(experiment, frame(1), Content_Encoding="gzip")
    assert (answer.status, answer.error["code"]) == (400, "invalid")
    path = f"/experiments/{experiment}/writers/{WRITER}/frames"
    answer = client.ask("POST", path, frame(1), headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.error["code"]) == (400, "invalid")
    assert FRAMES in answer.error["message"]


@pytest.mark.parametrize("writer", ["w" * 129, "a.b", "a%2Fb", "%00"])
def test_a_writer_id_that_is_none_is_refused(client: Client, experiment: str, writer: str) -> None:
    answer = client.send(experiment, frame(1), writer=writer)
    assert (answer.status, answer.error["code"]) == (400, "invalid")


def test_an_experiment_that_is_not_there_takes_no_frames(client: Client) -> None:
    assert client.send("exp_" + "0" * 20, frame(1)).status == 404
    assert client.send("nonsense", frame(1)).status == 404


def test_a_deleted_experiment_takes_no_frames_until_it_is_brought_back(
    client: Client, experiment: str, owner: str
) -> None:
    client.stored(experiment, *frames(1, 2))
    assert client.ask("DELETE", f"/experiments/{experiment}").status == 200
    for sent in (frames(3, 1), frames(1, 1), []):
        assert client.send(experiment, *sent).error["code"] == "gone"
    assert client.create(f"{owner}/project/run", recreate=True) == experiment
    assert client.stored(experiment, *frames(3, 1)) == 3
    assert client.rows(experiment) == expected(0, 3)


def gauge(store: Store, name: str) -> float:
    """What the server measures, without asking it over the wire."""
    text = store.telemetry.render().decode()
    line = next(line for line in text.splitlines() if line.startswith(f"mldash_{name} "))
    return float(line.split()[1])


def batches(store: Store) -> float:
    """How many transactions were begun, so far."""
    return gauge(store, "ingest_commit_requests_count")


def test_requests_at_once_share_commits(tmp_path: Path) -> None:
    """The committer is held up while requests line up: then one commit takes all of them."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        store = server.store
        assert store is not None
        begun = batches(store)
        assert begun == 1, "that which has created it"
        writers = [f"w{number}" for number in range(40)]

        def send(writer: str) -> int:
            own = Client(server.url, TOKEN)
            try:
                return own.stored(experiment, *frames(1, 1), writer=writer)
            finally:
                own.close()

        with ThreadPoolExecutor(len(writers)) as pool:
            with store.database.write():
                sent = [pool.submit(send, writers[0])]
                until(
                    lambda: batches(store) == begun + 1,
                    "the committer has the first request, and waits for us",
                )
                sent += [pool.submit(send, writer) for writer in writers[1:]]
                until(lambda: len(store.ingest.commits._jobs) == len(writers) - 1, "all others wait")
            assert [each.result() for each in sent] == [1] * len(writers)
        assert client.counter("ingest_commits") == batches(store) == begun + 2
        assert client.counter("ingest_frames") == len(writers)
        assert len(client.rows(experiment)) == len(writers)
        client.close()


def test_the_same_frames_at_once_are_stored_once(
    client: Client, experiment: str, server: EmbeddedServer
) -> None:
    barrier = threading.Barrier(8)

    def send() -> int:
        own = Client(server.url, TOKEN)
        try:
            watermark = 0
            barrier.wait()
            for first in range(1, 101, 5):
                watermark = own.stored(experiment, *frames(first, 5))
            return watermark
        finally:
            own.close()

    with ThreadPoolExecutor(8) as pool:
        results = [each.result() for each in [pool.submit(send) for _ in range(8)]]
    assert results == [100] * 8
    assert client.rows(experiment) == expected(0, 100)


@pytest.mark.slow
def test_the_same_large_frames_at_once_are_stored_once_and_leave_no_object(
    client: Client, experiment: str, server: EmbeddedServer
) -> None:
    bodies = [large_frame(seq) for seq in range(1, 5)]
    barrier = threading.Barrier(4)

    def send() -> None:
        own = Client(server.url, TOKEN)
        try:
            barrier.wait()
            for body in bodies:
                own.stored(experiment, body)
        finally:
            own.close()

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(send) for _ in range(4)]:
            each.result()
    assert client.rows(experiment) == expected(0, 80_000)
    store = server.store
    assert store is not None
    with store.database.read() as connection:
        used = set(
            connection.execute(select(OBJECTS.c.name).where(OBJECTS.c.experiment_id == experiment)).scalars()
        )
    assert {name for name in stored(store.objects) if name.startswith(experiment)} == used


def test_a_request_that_finds_the_queue_full_leaves_no_object(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, waiting_jobs=0) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        answer = client.send(experiment, large_frame(1))
        client.close()
        assert (answer.status, answer.error["code"]) == (503, "busy")
        store = server.store
        assert store is not None
        assert stored(store.objects) == set()


def test_the_rows_stored_are_the_rows_acknowledged(
    client: Client, experiment: str, server: EmbeddedServer
) -> None:
    client.stored(experiment, *frames(1, 7, rows=3))
    client.send(experiment, *frames(7, 2, rows=3))
    client.send(experiment, *frames(12, 2, rows=3))
    client.send(experiment, *frames(9, 1, rows=3), frame_around(10, b"\xc1"))
    record = client.get(f"/experiments/{experiment}")
    metrics = client.get(f"/experiments/{experiment}/metrics")["data"]
    assert record["rows"] == metrics[0]["count"] == len(client.rows(experiment)) == 9 * 3
    assert server.store is not None
    with server.store.database.read() as connection:
        in_blocks = connection.execute(
            select(func.sum(BLOCKS.c.rows)).where(BLOCKS.c.experiment_id == experiment)
        ).scalar_one()
        counted = connection.execute(
            select(EXPERIMENTS.c.rows).where(EXPERIMENTS.c.id == experiment)
        ).scalar_one()
    assert in_blocks == counted == 27


@pytest.mark.slow
def test_a_body_over_the_limit_is_refused_as_soon_as_that_is_known(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, request_bytes=100_000) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        answer = client.send(experiment, bytes(100_001))
        assert (answer.status, answer.error["code"], answer.error["limit"]) == (413, "too_large", 100_000)
        client.close()
        client = Client(server.url, TOKEN)
        bomb = zlib.compress(bytes(200 << 20), 9)
        answer = client.send(experiment, bomb, Content_Encoding="deflate")
        assert (answer.status, answer.error["code"], answer.error["limit"]) == (413, "too_large", 100_000)
        client.close()
        client = Client(server.url, TOKEN)
        assert client.stored(experiment, *frames(1, 1)) == 1
        client.close()


@pytest.mark.slow
def test_a_bomb_costs_no_more_memory_than_the_limit(tmp_path: Path) -> None:
    import psutil

    with running(tmp_path, request_bytes=1 << 20) as server:
        client = server.client()
        experiment = client.create()
        client.stored(experiment, *frames(1, 1))
        before = psutil.Process(server.pid).memory_info().rss
        bomb = zlib.compress(bytes(400 << 20), 9)
        assert client.send(experiment, bomb, Content_Encoding="deflate").status == 413
        assert psutil.Process(server.pid).memory_info().rss - before < 64 << 20
        client.close()


async def beginning(server: EmbeddedServer, experiment: str, length: int, body: bytes = b"") -> Connection:
    """A request with frames that declares a length, and sends this much of it."""
    return await beginning_at(server, f"experiments/{experiment}/writers/slow/frames", FRAMES, length, body)


async def beginning_at(
    server: EmbeddedServer, path: str, kind: str, length: int, body: bytes = b""
) -> Connection:
    """The same of any route."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(
        f"POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    return reader, writer


async def test_memory_is_taken_by_what_has_arrived_and_shared_out_fairly(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, memory_bytes=4 << 20) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        grants = [{"owner": "alice", "scope": "write"}]
        other = Client(server.url, client.post("/tokens", {"name": "other", "grants": grants}).body["token"])
        store = server.store
        assert store is not None

        promises = [await beginning(server, experiment, 4 << 20) for _ in range(8)]
        until(lambda: gauge(store, "requests_in_flight") == 8, "the requests are in work")
        assert gauge(store, "request_memory_bytes") == 0
        large = await beginning(server, experiment, 2 << 20, bytes(1_200_000))
        until(lambda: gauge(store, "request_memory_bytes") >= 1_200_000, "a slow request holds its memory")
        answer = await asyncio.to_thread(client.send, experiment, bytes(1_500_000))
        assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, "busy", "1")
        assert "with this token" in answer.error["message"]
        answer = await asyncio.to_thread(other.send, experiment, bytes(1_500_000))
        assert (answer.status, answer.error["code"]) == (400, "damaged")  # it was taken in, and looked at
        answer = await asyncio.to_thread(other.send, experiment, bytes(3_500_000))
        assert (answer.status, answer.error["code"]) == (503, "busy")

        for _, writer in [large, *promises]:
            writer.close()
            await writer.wait_closed()
        until(
            lambda: gauge(store, "request_memory_bytes") == 0,
            "the memory of a request that was cut is free again",
        )
        assert (
            await asyncio.to_thread(Client(server.url, TOKEN).stored, experiment, large_frame(1, 90_000)) == 1
        )


async def test_objects_take_their_share_of_the_memory_too(tmp_path: Path) -> None:
    """As those do that describe experiments, which may have megabytes."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, memory_bytes=1 << 20) as server:
        client = Client(server.url, TOKEN)
        store = server.store
        assert store is not None
        _, writer = await beginning_at(server, "experiments", JSON, 1_000_000, b"{" + b" " * 400_000)
        until(lambda: gauge(store, "request_memory_bytes") >= 400_000, "a slow request holds its memory")
        large = b"{" + b" " * 200_000 + b"}"
        answer = await asyncio.to_thread(
            client.ask, "POST", "/experiments", large, headers={"Content-Type": JSON}
        )
        assert (answer.status, answer.error["code"]) == (503, "busy")
        assert await asyncio.to_thread(client.create)  # a small one still gets through
        writer.close()
        await writer.wait_closed()
        until(lambda: gauge(store, "request_memory_bytes") == 0, "it is free again")


async def test_a_body_that_comes_in_drops_is_given_up(tmp_path: Path) -> None:
    """Each drop comes in time; all of them together would take hours."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, body_timeout=0.5) as server:
        client = Client(server.url, TOKEN)
        reader, writer = await beginning(server, client.create(), 1_000_000)
        sent = 0
        answer = asyncio.ensure_future(reader.readline())
        while not answer.done():
            assert sent < 2_000, "nobody minds"
            writer.write(b"x")
            sent += 1
            await asyncio.wait([answer], timeout=0.02)
        assert b" 408 " in answer.result()
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_stops_coming_is_given_up(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, body_timeout=0.05) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        client.close()
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /api/v1/experiments/{experiment}/writers/slow/frames HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Type: {FRAMES}\r\nContent-Length: 1000\r\n\r\nabc".encode()
        )
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


def test_block_of_a_frame_without_columns_has_rows(client: Client, experiment: str) -> None:
    client.stored(
        experiment,
        frame(1, Block(TRAIN, [1, 2], [])),
        frame(2, Block(TRAIN, [3], [Column("x", "i", None, [1])])),
    )
    assert client.rows(experiment) == [(1, {}), (2, {}), (3, {"x": 1})]


async def test_requests_of_every_kind_share_the_memory(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, memory_bytes=4 << 20) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create()
        store = server.store
        assert store is not None
        body = bytes(1_500_000)
        checksum = hashlib.sha256(body).hexdigest()
        paths = (f"/experiments/{experiment}/contents/{checksum}", f"/bodies/{checksum}")
        headers = {"Content-Type": OCTETS}

        _, writer = await beginning(server, experiment, 2 << 20, bytes(1_200_000))
        until(lambda: gauge(store, "request_memory_bytes") >= 1_200_000, "a slow request holds its memory")
        for path in paths:
            answer = await asyncio.to_thread(client.ask, "PUT", path, body, headers=headers)
            assert (answer.status, answer.error["code"]) == (503, "busy")
            assert "with this token" in answer.error["message"]
            client = Client(server.url, TOKEN)

        writer.close()
        await writer.wait_closed()
        until(lambda: gauge(store, "request_memory_bytes") == 0, "its memory is free again")
        for path in paths:
            assert (await asyncio.to_thread(client.ask, "PUT", path, body, headers=headers)).status == 200
