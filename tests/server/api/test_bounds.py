"""However much was logged, an answer has so many bytes, and the next one goes on where it ends."""

from __future__ import annotations

import json
import socket
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest

from ml_dash.identity import parse_prefix
from ml_dash.journal.blocks import Block
from ml_dash.journal.frame import parse_frame_header
from ml_dash.protocol import API, METADATA_BYTES_MAX, MSGPACK
from ml_dash.series import Kind, Series
from ml_dash.server.catalogue.records import Description, ExperimentFilter, Introduction
from ml_dash.server.http import answers, bodies, paging
from ml_dash.server.ingest.state import FIELD_NAMES_MAX
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.support.postgres import new_database
from tests.support.seen import until
from tests.support.serving import (
    LOGS,
    NOON,
    PARAMS,
    SECOND,
    TOKEN,
    TRAIN,
    Client,
    expected,
    frame,
    numbers,
    objects,
    page_of,
    rows_in,
)

PAGE_BYTES = 20_000
MANY = 60
LONG = "ä word, " * 200
"""A text of a tenth of a page, in JSON."""
HUGE = "x" * 3 * PAGE_BYTES
LARGE = "y" * 100_000
"""More than is read or written on the event loop."""
HEAVY = "z" * 3_500_000
"""More than the buffers of a connection take."""
POSE = Series(Kind.TRACK, "pose")
FILES = Series(Kind.FILE, None)
REST = 500
"""Bytes of an answer besides its items."""
BOUNDED_OTHERWISE = {
    "GET /health",
    # one thing, of which what was said of it has limits of its own
    "GET /whoami",
    "GET /session",
    "POST /session",
    "DELETE /session",
    "POST /tokens",
    "POST /experiments",
    "GET /experiments/{id}",
    "DELETE /experiments/{id}",
    "POST /experiments/{id}/restore",
    "POST /experiments/{id}/move",
    "POST /experiments/{id}/tags",
    "PUT /experiments/{id}/note",
    "PUT /experiments/{id}/readme",
    "POST /experiments/{id}/stop",
    "POST /experiments/{id}/writers/{writer}/frames",
    "GET /experiments/{id}/files/{file}",
    # as many as were asked for, each of bounded size
    "GET /experiments/{id}/metrics/series",
    "GET /experiments/{id}/metrics/shown",
    "GET /experiments/{id}/metrics/ranks",
    "GET /experiments/{id}/attempts",
    "GET /experiments/{id}/environments",
    "GET /experiments/{id}/console",
    "GET /experiments/{id}/alerts",
    "GET /experiments/{id}/contents/missing",
    "POST /experiments/{id}/contents",
    "POST /experiments/{id}/contents/{checksum}/upload",
    # see `test_values_that_have_no_room_are_asked_for_again`
    "POST /experiments/values",
    # see `test_lines.test_what_has_no_room_or_no_time_is_asked_for_again`
    "POST /experiments/series",
    # see `RULES_MAX`
    "GET /rules",
    # a hundred names at most
    "GET /rules/metrics",
    # groups are told as far as there is room, and how many there are; views are few, and so is what each holds
    "GET /groups",
    "GET /importance",
    "GET /owners/{owner}/projects/{project}/views",
    "GET /owners/{owner}/projects/{project}/views/{view}",
    "PUT /owners/{owner}/projects/{project}/views/{view}",
}
"""Routes whose lists cannot be long."""


class Walk(NamedTuple):
    """A list to be read page by page.

    `go_on` gives what to ask with for the next page, by this one and by how many items have come; None is the end.
    """

    path: str
    field: str
    go_on: Callable[[dict[str, Any], int], dict[str, Any] | None]


def by_cursor(page: dict[str, Any], _: int) -> dict[str, Any] | None:
    return {"cursor": page["cursor"]} if page["hasMore"] else None


def by_index(page: dict[str, Any], _: int) -> dict[str, Any] | None:
    return {"start_index": page["endIndex"] + 1} if page["hasMore"] else None


def by_total(page: dict[str, Any], count: int) -> dict[str, Any] | None:
    return {"start": count} if count < page["fieldsTotal" if "fieldsTotal" in page else "total"] else None


WALKS = {
    "experiments": Walk("/experiments?limit=1000&owner={owner}", "data", by_cursor),
    "experiments in an order, with columns": Walk(
        "/experiments?limit=1000&owner={owner}&order=-started&columns=params", "data", by_cursor
    ),
    "rows": Walk("/experiments/{id}/metrics/rows?name=train&limit=1000", "data", by_index),
    "logs": Walk("/experiments/{id}/logs?limit=1000", "data", by_index),
    "logs that are searched": Walk("/experiments/{id}/logs?limit=1000&search=word", "data", by_index),
    "metrics": Walk("/experiments/{id}/metrics", "data", by_total),
    "stats": Walk("/experiments/{id}/metrics/stats?name=train", "fields", by_total),
    "params": Walk("/experiments/{id}/params", "params", by_cursor),
    "tracks": Walk("/experiments/{id}/tracks", "data", by_total),
    "entries": Walk("/experiments/{id}/tracks/entries?topic=pose", "entries", by_cursor),
    "writers": Walk("/experiments/{id}/writers?limit=20", "watermarks", by_cursor),
    "tokens": Walk("/tokens", "data", by_cursor),
    "trash": Walk("/trash", "data", by_cursor),
    "history": Walk("/experiments/{id}/history", "data", by_cursor),
    "files": Walk("/experiments/{id}/files", "data", by_cursor),
    "files of a tag": Walk("/experiments/{id}/files?tag=best", "data", by_cursor),
}


def rows(name: str, count: int = MANY) -> list[tuple[int, dict[str, Any]]]:
    return [(NOON + at * SECOND, {name: f"{at} {LONG}"}) for at in range(count)]


def named(kind: Kind, name: str) -> Block:
    return objects(Series(kind, name[:900]), [(NOON, {"v": 1})])


def saved(at: int) -> dict[str, Any]:
    name, checksum = f"{at:03}.bin", f"{at:064x}"
    return {
        "event": "save", "id": f"f{at}", "path": "/models", "filename": name, "description": LONG, "tags": ["best"],
        "bindrs": [], "contentType": "a/b", "sizeBytes": 1, "checksum": checksum, "metadata": None,
    }  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def bounded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    database = None
    if request.param == "postgresql":
        database = new_database(request.getfixturevalue("postgres"))
    data = tmp_path_factory.mktemp("bounded")
    with EmbeddedServer(data=data, database=database, admin_token=TOKEN, page_bytes=PAGE_BYTES) as server:
        yield server


@pytest.fixture(scope="module")
def full(bounded: EmbeddedServer) -> str:
    """The id of an experiment with many items of a tenth of a page each, of every kind; and others of its owner."""
    client = Client(bounded.url, TOKEN)
    for at in range(MANY):
        id_ = client.create(f"full/p/{at}", tags=[f"{at} {LONG}"[:1000]], readme=LONG * 20)
    client.stored(
        id_,
        frame(1, objects(TRAIN, rows("loss"))),
        frame(2, objects(LOGS, [(time_ns, {"message": row["m"]}) for time_ns, row in rows("m")])),
        frame(3, objects(PARAMS, [(NOON, {"set": {f"p{at}": f"{at} {LONG}" for at in range(MANY)}})])),
        frame(4, objects(POSE, rows("x")[::-1])),
        frame(5, objects(FILES, [(NOON + at, saved(at)) for at in range(MANY)])),
        # a metric with many fields of long names, and many metrics and tracks
        frame(6, objects(TRAIN, [(NOON, {f"{at} {LONG}"[:1000]: at for at in range(MANY)})])),
        *(
            frame(
                7 + at,
                *(
                    objects(Series(kind, f"{at} {LONG}"[:900]), [(NOON, {"v": 1})])
                    for kind in (Kind.METRIC, Kind.TRACK)
                ),
            )
            for at in range(MANY)
        ),
    )
    for at in range(MANY):
        assert client.post(f"/experiments/{id_}/tags", {"only": [f"{at} {LONG}"[:1000]]}).status == 200
        deleted = client.create(f"full/{'/'.join(['long' * 60] * 4)}/{at}")
        assert client.ask("DELETE", f"/experiments/{deleted}").status == 200
        client.stored(id_, frame(1, objects(TRAIN, [(NOON, {"v": 1})])), writer=f"{at:03}".ljust(128, "w"))
        grants = [{"owner": f"{at}-{each}".ljust(200, "o"), "scope": "read"} for each in range(10)]
        assert client.post("/tokens", {"name": f"t{at}", "grants": grants}).status == 201
    client.close()
    return id_


def walked(
    client: Client, walk: Walk, id_: str, accept: str, owner: str = "full"
) -> tuple[list[Any], list[int]]:
    """Return all items of a list, and the bytes of its pages."""
    found: list[Any] = []
    sizes: list[int] = []
    more: dict[str, Any] | None = {}
    while more is not None:
        path, _, asked = walk.path.format(id=id_, owner=owner).partition("?")
        query = dict(each.split("=") for each in asked.split("&") if each) | more
        answer = client.ask("GET", path, headers={"Accept": accept}, **query)
        assert answer.status == 200, answer
        page = answer.body[walk.field]
        found += page.items() if isinstance(page, dict) else page
        sizes.append(int(answer.headers["Content-Length"]))
        assert page, "a page without items, and yet more"
        more = walk.go_on(answer.body, len(found))
    return found, sizes


@pytest.mark.sample(8)
@pytest.mark.parametrize("accept", [MSGPACK, "application/json"])
@pytest.mark.parametrize("name", WALKS)
def test_every_list_comes_in_pages_that_are_bounded_by_bytes(
    bounded: EmbeddedServer, full: str, name: str, accept: str
) -> None:
    client = Client(bounded.url, TOKEN)
    found, sizes = walked(client, WALKS[name], full, accept)
    assert len(sizes) > 2
    # one row, of a metric that is listed and has statistics, is larger than a page alone
    assert (
        max(sizes)
        <= (10 if name in {"rows", "metrics", "stats"} else 8 if "columns" in name else 1) * PAGE_BYTES + REST
    )
    assert len(found) >= MANY
    assert len({repr(item) for item in found}) == len(found), "none twice"


def test_every_route_that_lists_is_walked_here_or_bounded_by_what_is_asked(
    bounded: EmbeddedServer,
) -> None:
    """A new list has to be given its place."""
    document = Client(bounded.url, TOKEN).get("/openapi.json")
    schemas = document["components"]["schemas"]

    def is_long(schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            return is_long(schemas[schema["$ref"].rpartition("/")[2]])
        fields = schema.get("properties", {}).values()
        return (
            schema.get("type") == "array"
            or "additionalProperties" in schema
            or any(map(is_long, (*fields, *schema.get("anyOf", ()))))
        )

    lists = {
        f"{method.upper()} {path.removeprefix(API)}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
        if status < "300" and is_long(answer["content"].get("application/json", {}).get("schema", {}))
    }
    walked_here = {f"GET {walk.path.partition('?')[0]}" for walk in WALKS.values()}
    assert lists - walked_here == BOUNDED_OTHERWISE


@pytest.mark.slow
def test_an_item_that_is_larger_than_a_page_comes_alone(bounded: EmbeddedServer) -> None:
    client = Client(bounded.url, TOKEN)
    id_ = client.create("large/p/run", metadata={"huge": HUGE})
    rows_of: list[tuple[int, dict[str, Any]]] = [
        (NOON, {"a": 1}),
        (NOON + 1, {"a": HUGE}),
        (NOON + 2, {"a": 2}),
    ]
    client.stored(id_, frame(1, objects(TRAIN, rows_of), objects(POSE, rows_of)))
    found, sizes = walked(client, WALKS["rows"], id_, MSGPACK)
    assert [row["data"]["a"] for row in found] == [1, HUGE, 2]
    entries, _ = walked(client, WALKS["entries"], id_, MSGPACK)
    assert [entry["a"] for entry in entries] == [1, HUGE, 2]
    assert [size > PAGE_BYTES for size in sizes] == [False, True, False]
    assert client.get("/experiments", owner="large")["data"][0]["metadata"] == {"huge": HUGE}


def test_what_is_said_of_an_experiment_has_a_limit(bounded: EmbeddedServer) -> None:
    """Each is one item of a list, and so are the names of a metric's fields: these are listed up to a limit."""
    client = Client(bounded.url, TOKEN)
    answer = client.post("/experiments", {"prefix": "a/p/r", "metadata": {"x": "y" * METADATA_BYTES_MAX}})
    assert (answer.status, answer.error["code"]) == (400, "invalid")
    id_ = client.create("limited/p/run")
    wide = [{f"{at}-{each}".ljust(30_000, "f"): 1 for each in range(20)} for at in range(4)]
    for seq, row in enumerate(wide, 1):
        client.stored(id_, frame(seq, objects(TRAIN, [(NOON, row)])))
    (metric,) = client.get(f"/experiments/{id_}/metrics")["data"]
    assert FIELD_NAMES_MAX < sum(map(len, metric["fields"])) < FIELD_NAMES_MAX + 700_000
    assert [row["data"].keys() - {"_ts"} for row in walked(client, WALKS["rows"], id_, MSGPACK)[0]] == [
        row.keys() for row in wide
    ]


def test_a_list_has_no_readmes_and_finds_by_them(bounded: EmbeddedServer) -> None:
    client = Client(bounded.url, TOKEN)
    id_ = client.create("readers/p/one", readme="An odd  phrase, in the readme", tags=["phrase"])
    client.create("readers/p/two", readme="phrase odd", tags=[])
    listed = client.get("/experiments", owner="readers")["data"]
    assert all("readme" not in record for record in listed)
    assert client.get(f"/experiments/{id_}")["readme"].startswith("An odd")

    def found(**asked: Any) -> list[str]:
        return sorted(each["name"] for each in client.get("/experiments", owner="readers", **asked)["data"])

    assert found(search="ODD phrase") == found(text="phrase") == ["one", "two"]
    assert found(text="odd  PHRASE") == ["one"]
    assert found(text="phrase odd") == ["two"]


def test_values_that_have_no_room_are_asked_for_again(bounded: EmbeddedServer) -> None:
    client = Client(bounded.url, TOKEN)
    ids = [client.create(f"valued/p/{at}") for at in range(20)]
    for id_ in ids:
        client.stored(id_, frame(1, objects(PARAMS, [(NOON, {"set": {"a": "x" * 900, "b": "y" * 5000}})])))
    # a question waits for that, but not for long
    assert bounded.store is not None
    assert bounded.store.lists.bring_in(rows=None)
    rest, found = ids, []
    while rest:
        answer = client.post("/experiments/values", {"ids": rest})
        assert int(answer.headers["Content-Length"]) <= PAGE_BYTES + REST
        found += answer.body["data"]
        rest = answer.body["rest"]
    assert [each["id"] for each in found] == ids
    assert {each["params"]["a"] for each in found} == {"x" * 900}
    assert {each["params"]["b"] for each in found} == {"y" * 1000 + "…"}


def test_a_list_reads_no_readmes(store: Store) -> None:
    """In memory is a page, however long what is said of the experiments is."""
    readme = "word " * 200_000
    for at in range(10):
        identity = parse_prefix(f"alice/p/{at}", user=str, now_ns=lambda: NOON)
        store.experiments.upsert(Introduction(identity, Description(readme=readme)))
    tracemalloc.start()
    try:
        assert len(page_of(store.experiments, ExperimentFilter(), 1000, None)["data"]) == 10
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(readme)


def test_parameters_are_read_without_those_that_were_set_before(bounded: EmbeddedServer) -> None:
    """In memory are those that hold now, however often they were set; of several writers the later ones count."""
    client = Client(bounded.url, TOKEN)
    id_ = client.create("often/p/run")
    text = "p" * 200_000
    for at in range(60):
        setting = objects(PARAMS, [(NOON + at, {"set": {"x": f"{at} {text}", f"of.w{at % 2}": at}})])
        client.stored(id_, frame(at // 2 + 1, setting), writer=f"w{at % 2}")
    assert bounded.store is not None
    tracemalloc.start()
    try:
        params = bounded.store.view(id_).params()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert params == {"x": f"59 {text}", "of.w0": 58, "of.w1": 59}
    assert peak < 30 * len(text), "of 60"


def test_what_is_large_is_neither_read_nor_written_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the loop would answer meanwhile whether the server is there."""
    sizes: Counter[bool] = Counter()

    def watched(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def watching(value: Any) -> Any:
            found = function(value)
            size = max(len(each) for each in (value, found) if isinstance(each, (bytes, bytearray)))
            is_on_loop = threading.current_thread().name == "ml-dash-server"
            sizes[is_on_loop] = max(sizes[is_on_loop], size)
            return found

        return watching

    for name in ("from_msgpack", "to_msgpack", "to_json"):
        monkeypatch.setattr(bodies, name, watched(getattr(bodies, name)))
        if hasattr(paging, name):
            monkeypatch.setattr(paging, name, watched(getattr(paging, name)))
    monkeypatch.setattr(json, "loads", watched(json.loads))
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        id_ = client.create("alice/p/run", readme=LARGE, metadata={"large": LARGE})
        saving = {**saved(1), "description": LARGE}
        client.stored(
            id_,
            frame(1, objects(TRAIN, [(NOON, {"large": LARGE})]), objects(LOGS, [(NOON, {"message": LARGE})])),
            frame(2, objects(PARAMS, [(NOON, {"set": {"large": LARGE}})])),
            frame(3, objects(POSE, [(NOON, {"large": LARGE})]), objects(FILES, [(NOON, saving)])),
        )
        for accept in (MSGPACK, "application/json"):
            for path in (
                "/experiments",
                f"/experiments/{id_}",
                f"/experiments/{id_}/files/f1",
                *(f"/experiments/{id_}/{name}" for name in ("params", "logs", "files")),
                *(f"/experiments/{id_}/metrics/{name}?name=train" for name in ("rows", "stats")),
                f"/experiments/{id_}/tracks/entries?topic=pose",
            ):
                answer = client.ask("GET", path, headers={"Accept": accept})
                assert (answer.status, int(answer.headers["Content-Length"]) > len(LARGE)) == (200, True), (
                    path
                )
        body = msgpack.packb({"prefix": "alice/p/run", "readme": LARGE})
        assert client.ask("POST", "/experiments", body, headers={"Content-Type": MSGPACK}).status == 200
        assert client.ask("DELETE", f"/experiments/{id_}").status == 200
    assert sizes[False] > len(LARGE)
    assert sizes[True] < len(LARGE)


def test_large_answers_share_memory_until_they_are_taken(tmp_path: Path) -> None:
    """Who asks and does not read gets no more than a share, and keeps nobody else from reading."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, answers_bytes=5 * len(HEAVY)) as server:
        client = Client(server.url, TOKEN)
        id_ = client.create("alice/p/run", metadata={"heavy": HEAVY})
        other = client.post("/tokens", {"name": "other", "grants": [{"owner": "alice", "scope": "read"}]})
        with ExitStack() as stack:
            silent = [stack.enter_context(unread(server.url, f"/experiments/{id_}")) for _ in range(2)]
            assert all(each.recv(12) == b"HTTP/1.1 200" for each in silent)
            refused = client.ask("GET", f"/experiments/{id_}")
            assert (refused.status, refused.error["code"]) == (503, "busy")
            assert client.get("/experiments", owner="nobody")["total"] == 0, "what is little needs no share"
            reader = Client(server.url, other.body["token"])
            assert reader.get(f"/experiments/{id_}")["metadata"] == {"heavy": HEAVY}
        while client.ask("GET", f"/experiments/{id_}").status == 503:
            pass  # the server has yet to see that they are gone
        assert client.get(f"/experiments/{id_}")["metadata"] == {"heavy": HEAVY}


def test_who_takes_nothing_of_an_answer_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its share of the memory goes to others then."""
    monkeypatch.setattr(answers, "_TAKEN_SECONDS", 0.1)
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, answers_bytes=len(HEAVY)) as server:
        client = Client(server.url, TOKEN)
        id_ = client.create("alice/p/run", metadata={"heavy": HEAVY})
        with unread(server.url, f"/experiments/{id_}") as silent:
            assert silent.recv(12) == b"HTTP/1.1 200"
            until(lambda: b"mldash_answer_memory_bytes 0.0" in client.ask("GET", "//metrics").body, "an end")
            taken = 0
            with suppress(ConnectionError):
                while some := silent.recv(1 << 16):
                    taken += len(some)
        assert taken < len(HEAVY)


@pytest.mark.sample(3)
def test_rows_stream_in_frames_that_are_no_larger_than_a_page(bounded: EmbeddedServer) -> None:
    client = Client(bounded.url, TOKEN)
    id_ = client.create("streamed/p/run")
    client.stored(id_, frame(1, numbers(0, 20_000)), frame(2, objects(TRAIN, [(NOON, {"huge": HUGE})])))
    raw = client.get(f"/experiments/{id_}/blocks", kind=int(Kind.METRIC), name="train")
    sizes, at = [], 0
    while at < len(raw):
        header = parse_frame_header(raw[at:])
        assert header is not None
        sizes.append(header.length)
        at += header.length
    assert max(sizes[:-1]) <= PAGE_BYTES < sizes[-1]
    assert rows_in(raw) == [*expected(0, 20_000), (NOON, {"huge": HUGE})]


@contextmanager
def unread(url: str, path: str) -> Iterator[socket.socket]:
    """A connection that asks, and takes hardly anything of the answer."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asking.settimeout(60)
        asking.connect((host, int(port)))
        asking.sendall(
            f"GET {API}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        yield asking
