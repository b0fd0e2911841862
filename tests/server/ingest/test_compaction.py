"""Upkeep: what is merged reads as before, what is left behind is removed, and a crash at any moment loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ml_dash.journal.objects import to_msgpack
from ml_dash.series import Kind, Series
from ml_dash.server.blobs.names import rows_name
from ml_dash.server.db.tables import BLOCKS, OBJECTS, SERIES
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.support.serving import (
    NOON,
    PARAMS,
    RUN,
    TOKEN,
    WRITER,
    Client,
    expected,
    frame,
    frame_around,
    frames,
    numbers,
    objects,
    run_row,
    until,
)
from tests.support.stored import impatient, stored
from tests.support.unreadable import unreadable


@pytest.fixture(params=["sqlite", "postgresql"])
def idle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that merges only when it is told to."""
    database = None
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres_database")
    with EmbeddedServer(
        data=tmp_path / "data",
        database=database,
        admin_token=TOKEN,
        compact_rows=1 << 40,
        upkeep_interval=3600.0,
    ) as server:
        yield server


@pytest.fixture
def client(idle: EmbeddedServer) -> Iterator[Client]:
    client = Client(idle.url, TOKEN)
    yield client
    client.close()


def opened(server: EmbeddedServer) -> Store:
    assert server.store is not None
    return server.store


def blocks(store: Store, experiment: str) -> list[tuple[int, int, bool]]:
    """First row, number of rows, and whether it is in an object, of all blocks of the experiment's first series."""
    query = select(BLOCKS.c.first, BLOCKS.c.rows, BLOCKS.c.object).where(
        BLOCKS.c.experiment_id == experiment, BLOCKS.c.series == 1
    )
    with store.database.read() as connection:
        return [
            (row.first, row.rows, row.object is not None)
            for row in connection.execute(query.order_by(BLOCKS.c.first))
        ]


def objects_in_use(store: Store) -> set[str]:
    with store.database.read() as connection:
        return set(connection.execute(select(OBJECTS.c.name)).scalars())


def objects_there(store: Store) -> set[str]:
    return stored(store.objects)


def test_small_blocks_become_one_and_rows_stay_what_they_are(idle: EmbeddedServer, client: Client) -> None:
    store, experiment = opened(idle), client.create()
    for first in range(1, 1001, 100):
        client.stored(experiment, *frames(first, 100))
    before = client.rows(experiment)
    stats = client.get(f"/experiments/{experiment}/metrics/stats", name="train")
    chart = client.get(f"/experiments/{experiment}/metrics/series", name="train", field="loss", width=7)
    assert len(blocks(store, experiment)) == 10
    assert store.compactor.compact(experiment, 1) == 1000
    assert blocks(store, experiment) == [(0, 1000, True)]
    assert client.rows(experiment) == before == expected(0, 1000)
    assert client.get(f"/experiments/{experiment}/metrics/stats", name="train") == stats
    assert (
        client.get(f"/experiments/{experiment}/metrics/series", name="train", field="loss", width=7) == chart
    )
    assert client.get(f"/experiments/{experiment}/writers")["watermarks"] == {WRITER: 1000}
    assert client.stored(experiment, *frames(900, 200)) == 1099
    assert client.send(experiment, frame(5, numbers(0, 2))).error["code"] == "fenced"
    assert client.rows(experiment) == expected(0, 1099)
    assert objects_there(store) == objects_in_use(store)


@pytest.mark.slow
def test_blocks_between_large_ones_are_merged_in_their_places(idle: EmbeddedServer, client: Client) -> None:
    store, experiment = opened(idle), client.create()
    sizes = [1, 2, 20_000, 3, 4, 5, 20_000, 6]
    at = 0
    for seq, size in enumerate(sizes, 1):
        client.stored(experiment, frame(seq, numbers(at, size)))
        at += size
    assert store.compactor.compact(experiment, 1) == 21
    assert blocks(store, experiment) == [
        (0, 3, True), (3, 20_000, True), (20_003, 12, True), (20_015, 20_000, True), (40_015, 6, True)
    ]  # fmt: skip
    assert client.rows(experiment) == expected(0, at)
    assert store.compactor.compact(experiment, 1) == 0


def test_columns_of_a_later_version_are_moved_and_not_merged(idle: EmbeddedServer, client: Client) -> None:
    store, experiment = opened(idle), client.create()
    entry = [1, "train", 1, [["n", "z", 1, False, 2]]]
    later = frame_around(2, to_msgpack([entry]), bytes(8) + b"zz")
    client.stored(experiment, *frames(1, 1), later)
    client.stored(experiment, *frames(3, 1))
    assert store.compactor.compact(experiment, 1) == 3
    assert [rows for _, rows, _ in blocks(store, experiment)] == [1, 1, 1]
    with store.database.read() as connection:
        row = connection.execute(
            select(BLOCKS.c.head, BLOCKS.c.object, BLOCKS.c.offset, BLOCKS.c.length).where(
                BLOCKS.c.first == 1
            )
        ).one()
    assert bytes(row.head) == to_msgpack(entry)
    assert store.objects.get(row.object, row.offset, row.length) == bytes(8) + b"zz"
    assert client.rows(experiment) == [*expected(0, 1), (0, {}), *expected(2, 1)]


def test_logs_and_runs_are_merged_and_parameters_are_not(idle: EmbeddedServer, client: Client) -> None:
    store, experiment = opened(idle), client.create()
    logs = Series(Kind.LOG, None)
    for seq in range(1, 21):
        client.stored(
            experiment,
            frame(
                seq,
                objects(logs, [(NOON + seq, {"level": "info", "message": f"m{seq}"})]),
                run_row(NOON + seq, "heartbeat"),
                objects(PARAMS, [(NOON + seq, {"set": {"a": seq}})]),
            ),
        )
    before = [client.rows(experiment, series) for series in (logs, RUN, PARAMS)]
    with store.database.read() as connection:
        numbers_of = {
            row.kind: row.number for row in connection.execute(select(SERIES.c.kind, SERIES.c.number))
        }
    merged = {kind: store.compactor.compact(experiment, number) for kind, number in numbers_of.items()}
    assert merged == {Kind.LOG: 20, Kind.RUN: 20, Kind.PARAMS: 0}
    assert [client.rows(experiment, series) for series in (logs, RUN, PARAMS)] == before
    assert client.get(f"/experiments/{experiment}/params")["params"] == {"a": 20}
    page = client.get(f"/experiments/{experiment}/logs", start_index=18)
    assert [row["message"] for row in page["data"]] == ["m19", "m20"]


@pytest.mark.sample(2)
def test_a_crash_between_object_and_transaction_leaves_all_rows_and_an_object_that_is_removed(
    idle: EmbeddedServer, client: Client
) -> None:
    """The process dies when the chunk is written, and nothing refers to it yet."""
    store, experiment = opened(idle), client.create()
    client.stored(experiment, *frames(1, 20))
    client.stored(experiment, *frames(21, 20))
    small = store.compactor._small(experiment, 1, 0)
    assert len(small) == 2
    store.objects.put(rows_name(experiment), b"a chunk that was never referred to")
    assert client.rows(experiment) == expected(0, 40)
    assert len(objects_there(store) - objects_in_use(store)) == 1
    assert store.orphan_collector.collect() == 0  # it is young: its transaction may still be under way
    old = impatient(store)
    assert old.collect() == 1
    assert objects_there(store) == objects_in_use(store)
    assert store.compactor.compact(experiment, 1) == 40
    assert old.collect() == 0
    assert client.rows(experiment) == expected(0, 40)


def test_two_processes_that_merge_the_same_blocks_do_it_once(idle: EmbeddedServer, client: Client) -> None:
    store, experiment = opened(idle), client.create()
    client.stored(experiment, *frames(1, 20))
    client.stored(experiment, *frames(21, 20))
    seen = store.compactor._small(experiment, 1, 0)
    assert store.compactor.compact(experiment, 1) == 40
    assert store.compactor._replace(experiment, 1, seen) == 0
    assert client.rows(experiment) == expected(0, 40)
    assert objects_there(store) == objects_in_use(store)


def test_rows_that_were_removed_while_they_are_merged_do_not_come_back(tmp_path: Path) -> None:
    """And others of an experiment that was sent anew stay, though they have the same places."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, compact_rows=1 << 40, deleted_age=0.0) as server:
        store, client = opened(server), Client(server.url, TOKEN)
        experiment = client.create()
        client.stored(experiment, *frames(1, 20))
        seen = store.compactor._small(experiment, 1, 0)
        assert client.ask("DELETE", f"/experiments/{experiment}").status == 200
        assert store.purger.collect() == 1
        assert store.compactor._replace(experiment, 1, seen) == 0
        assert client.post("/experiments", {"prefix": "alice/vision/run", "recreate": True}).status == 200
        client.stored(experiment, frame(1, numbers(100, 20)))
        assert store.compactor._replace(experiment, 1, seen) == 0
        assert client.rows(experiment) == expected(100, 20)


def test_rows_that_arrive_while_blocks_are_merged_are_in_their_places(
    idle: EmbeddedServer, client: Client
) -> None:
    store, experiment = opened(idle), client.create()
    client.stored(experiment, *frames(1, 20))
    seen = store.compactor._small(experiment, 1, 0)
    client.stored(experiment, *frames(21, 20))
    assert store.compactor._replace(experiment, 1, seen) == 20
    assert client.rows(experiment) == expected(0, 40)
    with store.database.read() as connection:
        assert connection.execute(select(SERIES.c.hot_rows)).scalar_one() == 20


@pytest.mark.slow
def test_a_reader_in_the_middle_of_rows_that_are_merged_gets_each_once(
    idle: EmbeddedServer, client: Client
) -> None:
    store, experiment = opened(idle), client.create()
    for first in range(1, 601):
        client.stored(experiment, *frames(first, 1))
    reading = store.view(experiment).blocks(Series(Kind.METRIC, "train"))
    read = [int(next(reading).times[0]) for _ in range(100)]
    assert store.compactor.compact(experiment, 1) == 600
    read += [int(time_ns) for block in reading for time_ns in block.times]
    assert read == [time_ns for time_ns, _ in expected(0, 600)]


def test_a_server_merges_by_itself_once_there_is_enough(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, compact_rows=100) as server:
        client, store = Client(server.url, TOKEN), opened(server)
        experiment = client.create()
        for first in range(1, 100):
            client.stored(experiment, *frames(first, 1))
        assert len(blocks(store, experiment)) == 99
        client.stored(experiment, *frames(100, 1))
        until(lambda: blocks(store, experiment) == [(0, 100, True)], "the rows are merged")
        assert client.rows(experiment) == expected(0, 100)
        until(lambda: client.counter("compacted_rows") == 100, "it is counted")
        client.close()


def test_a_damaged_object_is_an_error_and_never_wrong_rows(
    idle: EmbeddedServer, client: Client, tmp_path: Path
) -> None:
    store, experiment = opened(idle), client.create()
    client.stored(experiment, *frames(1, 2, rows=20_000))
    with store.database.read() as connection:
        name = connection.execute(select(OBJECTS.c.name)).scalar_one()
    path = tmp_path / "data" / "blobs" / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    assert client.get(f"/experiments/{experiment}/metrics/rows", name="train")["total"] == 40_000
    answer = client.ask("GET", f"/experiments/{experiment}/metrics/rows", name="train", start_index=30_000)
    assert (answer.status, answer.error["code"]) == (500, "internal")
    assert "checksum" in answer.error["message"]


def test_rows_that_cannot_be_read_now_are_asked_for_again_and_those_that_are_gone_are_not(
    idle: EmbeddedServer, client: Client, tmp_path: Path
) -> None:
    """A disk that refuses, or a process out of descriptors, is no reason to restore a backup."""
    store, experiment = opened(idle), client.create()
    client.stored(experiment, *frames(1, 2, rows=20_000))
    with store.database.read() as connection:
        name = connection.execute(select(OBJECTS.c.name)).scalar_one()
    path = tmp_path / "data" / "blobs" / name

    def code() -> tuple[int, str]:
        answer = client.ask(
            "GET", f"/experiments/{experiment}/metrics/rows", name="train", start_index=30_000
        )
        return answer.status, "" if answer.status == 200 else answer.error["code"]

    with unreadable(path):
        assert code() == (503, "busy")
    assert code() == (200, "")
    path.unlink()
    assert code() == (500, "internal")


def test_blocks_are_counted_by_the_same_law_before_and_after(idle: EmbeddedServer, client: Client) -> None:
    store, experiment = opened(idle), client.create()
    client.stored(experiment, *frames(1, 50, rows=3), *frames(51, 1, rows=3))
    store.compactor.compact(experiment, 1)
    with store.database.read() as connection:
        in_blocks = connection.execute(select(func.sum(BLOCKS.c.rows))).scalar_one()
        in_series, hot = connection.execute(select(SERIES.c.rows, SERIES.c.hot_rows)).one()
    assert (in_blocks, in_series, hot) == (153, 153, 0)
