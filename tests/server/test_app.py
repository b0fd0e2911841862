"""What goes for all routes: errors that tell and do not leak, headers, forms of bodies, readiness, shutdown."""

from __future__ import annotations

import http.client
import json
import logging
import math
import socket
from typing import Any
from urllib.parse import urljoin

import pytest
from sqlalchemy import text

from ml_dash import __version__
from ml_dash.journal.objects import to_msgpack
from ml_dash.series import Kind, Series
from ml_dash.server.http.bodies import to_json
from ml_dash.server.runner import EmbeddedServer, ServerStartError
from tests.support.serving import (
    NOON,
    TOKEN,
    TRAIN,
    Client,
    expected,
    frame,
    frames,
    numbers,
    objects,
    run_row,
)

MSGPACK = "application/msgpack"


def test_everybody_is_told_that_it_is_there(server: EmbeddedServer) -> None:
    client = Client(server.url, None)
    assert client.get("/health") == {
        "status": "ok",
        "server": "ml-dash",
        "version": __version__,
        "api": ["v1"],
    }
    assert client.get("/ready") == {"status": "ready"}
    client.close()


@pytest.mark.parametrize(
    "path",
    ["///metrics", "/openapi.json", "/experiments", "/experiments/exp_" + "0" * 20, "///nowhere"],
)
def test_nobody_else_is_told_anything(server: EmbeddedServer, path: str) -> None:
    client = Client(server.url, None)
    answer = client.ask("GET", path[1:] if path.startswith("///") else path)
    assert (answer.status, answer.error["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    client.close()


def test_owners_that_a_token_may_not_read_do_not_exist_for_it(
    server: EmbeddedServer, client: Client, owner: str
) -> None:
    mine, other = client.create(f"{owner}/p/n"), client.create(f"{owner}x/p/n")
    made = client.post("/tokens", {"name": "t", "grants": [{"owner": owner, "scope": "read"}]})
    reader = Client(server.url, made.body["token"])
    assert [record["id"] for record in reader.get("/experiments")["data"]] == [mine]
    assert reader.get("/experiments", owner=f"{owner}x")["total"] == 0
    assert reader.get(f"/experiments/{mine}/params")["params"] == {}
    assert reader.send(mine, frame(1)).status == 403
    assert reader.post("/experiments", {"prefix": f"{owner}/p/n"}).status == 403
    assert reader.ask("DELETE", f"/experiments/{mine}").status == 403
    assert reader.ask("GET", "//metrics").status == 403
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/run"),
        ("GET", "/blocks?kind=1"),
        ("GET", "/writers"),
    ):
        there = reader.ask(method, f"/experiments/{other}{path}")
        missing = reader.ask(method, f"/experiments/exp_{'0' * 20}{path}")
        assert there.status == missing.status == 404
        assert there.body == json.loads(json.dumps(missing.body).replace("exp_" + "0" * 20, other))
    assert reader.send(other, frame(1)).status == 404
    # known to the server from here on, and to this token it is still not there
    client.stored(other, frame(1))
    assert reader.send(other, frame(2)).status == 404
    reader.close()


def test_an_address_with_a_slash_at_its_end_leads_to_the_one_without(client: Client, experiment: str) -> None:
    """Relative to where it is, with its query; where there is nothing, it is an error like any other."""
    for path, place in (
        (f"/experiments/{experiment}/", f"../{experiment}"),
        (f"/experiments/{experiment}/params/?x=%26", "../params?x=%26"),
    ):
        answer = client.ask("GET", path)
        assert (answer.status, answer.headers["Location"]) == (308, place)
        assert urljoin(f"http://host/api/v1{path}", place).startswith(
            f"http://host/api/v1/experiments/{experiment}"
        )
    assert client.ask("POST", "/experiments/", b"{}").status == 404
    answer = client.ask("GET", "/nowhere/")
    assert (answer.status, answer.error["code"]) == (404, "no_route")


def test_a_path_or_a_method_that_is_not_there_is_an_error_like_any_other(
    client: Client, experiment: str
) -> None:
    answer = client.ask("GET", "//nowhere")
    assert (answer.status, answer.error["code"]) == (404, "no_route")
    answer = client.ask("PUT", f"/experiments/{experiment}")
    assert (answer.status, answer.error["code"]) == (405, "invalid")
    assert set(answer.headers["Allow"].split(",")) == {"GET", "DELETE"}


def test_answers_have_safe_headers_and_an_id(client: Client) -> None:
    first, second = client.ask("GET", "/health"), client.ask("GET", "//nowhere")
    for answer in (first, second):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Server"] == "ml-dash"
        assert len(answer.headers["X-Request-Id"]) == 16
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


def test_bodies_are_json_or_msgpack_and_carry_what_floats_are(client: Client, experiment: str) -> None:
    values = {"nan": math.nan, "up": math.inf, "down": -math.inf, "raw": b"\xff", "big": 2**63}
    client.stored(experiment, frame(1, objects(TRAIN, [(NOON, values)])))
    path = f"/experiments/{experiment}/metrics/rows"
    row = client.get(path, name="train")["data"][0]["data"]
    assert row["nan"] == {"__float__": "NaN"}
    assert (row["up"], row["down"]) == ({"__float__": "Infinity"}, {"__float__": "-Infinity"})
    assert (row["raw"], row["big"]) == ({"__repr__": "b'\\xff'", "__type__": "builtins.bytes"}, 2**63)
    answer = client.ask("GET", path, name="train", headers={"Accept": f"text/html, {MSGPACK};q=0.9"})
    assert answer.headers.get_content_type() == MSGPACK
    row = answer.body["data"][0]["data"]
    assert math.isnan(row.pop("nan"))
    assert row == {"up": math.inf, "down": -math.inf, "raw": b"\xff", "big": 2**63, "_ts": NOON / 1e9}


def test_an_experiment_can_be_described_in_msgpack(client: Client, owner: str) -> None:
    body = to_msgpack({"prefix": f"{owner}/p/n", "metadata": {"nan": math.nan, "raw": b"\0"}})
    headers = {"Content-Type": MSGPACK, "Accept": MSGPACK}
    answer = client.ask("POST", "/experiments", body, headers=headers)
    assert answer.status == 201
    assert math.isnan(answer.body["metadata"]["nan"])
    assert answer.body["metadata"]["raw"] == b"\0"
    answer = client.ask("POST", "/experiments", b"\xc1", headers=headers)
    assert (answer.status, answer.body["error"]["code"]) == (400, "invalid")


def test_json_has_no_key_or_value_that_parsers_refuse() -> None:
    odd = {1: math.nan, None: [math.inf, {b"k": "\udcff"}], (1, 2): -0.0, "True": 2**70}
    assert json.loads(to_json(odd), parse_constant=pytest.fail) == {
        "1": {"__float__": "NaN"},
        "True": 2**70,
        "None": [{"__float__": "Infinity"}, {"b'k'": "\udcff"}],
        "(1, 2)": -0.0,
    }


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/metrics/rows", {"start_index": "-1"}),
        ("/metrics/rows", {"start_index": str(2**63)}),
        ("/metrics/rows", {"limit": "10001"}),
        ("/metrics/rows", {"limit": "1e3"}),
        ("/metrics/rows", {"name": ""}),
        ("/metrics/rows", {"name": "x" * 2000}),
        ("/metrics/rows", {"start": "1"}),
        ("/metrics/series", {}),
        ("/metrics/series", {"field": "loss", "width": "0"}),
        ("/metrics/series", {"field": "loss", "width": "10001"}),
        ("/metrics/series", {"field": "loss", "start": "nan"}),
        ("/metrics/series", {"field": "loss", "start": "2", "stop": "1"}),
        ("/logs", {"level": "loud"}),
        ("/logs", {"since": "yesterday"}),
        ("/logs", {"until": "inf"}),
        ("/blocks", {}),
        ("/blocks", {"kind": "10"}),
        ("/blocks", {"kind": "1", "start": "x"}),
        ("/tracks/entries", {}),
        ("/tracks/entries", {"topic": "t", "end": "1_0"}),
        ("/run", {"x": "1"}),
    ],
)
def test_arguments_that_are_none_are_named(
    client: Client, experiment: str, path: str, query: dict[str, Any]
) -> None:
    answer = client.ask("GET", f"/experiments/{experiment}{path}", **query)
    assert (answer.status, answer.error["code"]) == (400, "invalid"), answer
    for name in query if len(query) == 1 else ():
        assert name.split("_")[0] in answer.error["message"]


def test_an_argument_that_is_given_twice_is_refused(client: Client, experiment: str) -> None:
    assert client.ask("GET", f"/experiments/{experiment}/metrics/rows?limit=1&limit=2").status == 400


def test_blocks_are_exactly_the_rows_asked_for(client: Client, experiment: str) -> None:
    client.stored(experiment, *frames(1, 3, rows=10), frame(4, numbers(30, 20_000)))
    for start, stop in ((0, 5), (5, 25), (9, 10), (29, 31), (20_000, 20_030), (20_029, 99_999)):
        rows = client.rows(experiment, start=start, stop=stop)
        assert rows == expected(start, min(stop, 20_030) - start)
    assert client.rows(experiment, start=5, stop=5) == client.rows(experiment, start=20_030) == []
    assert client.rows(experiment, Series(Kind.METRIC, "missing")) == []


def test_logs_are_filtered_by_time(client: Client, experiment: str) -> None:
    logs = Series(Kind.LOG, None)
    rows = [(NOON + i * 1_000_000_000, {"level": "info", "message": f"m{i}"}) for i in (3, 1, 2, 0, 4)]
    for seq, row in enumerate(rows, 1):
        client.stored(experiment, frame(seq, objects(logs, [row])))

    def messages(**query: object) -> list[str]:
        page = client.get(f"/experiments/{experiment}/logs", **query)
        return [row["message"] for row in page["data"]]

    noon = NOON / 1e9
    assert messages() == ["m3", "m1", "m2", "m0", "m4"]
    assert messages(since=noon + 2) == ["m3", "m2", "m4"]
    assert messages(until=noon + 1) == ["m1", "m0"]
    assert messages(since=noon + 1, until=noon + 3, search="M", limit=2) == ["m3", "m1"]
    assert messages(since=noon + 1, until=noon + 3, start_index=1) == ["m1", "m2"]
    page = client.get(f"/experiments/{experiment}/logs", since=noon + 1, until=noon + 3, limit=2)
    assert (page["total"], page["hasMore"], [row["index"] for row in page["data"]]) == (3, True, [0, 1])
    assert messages(since=1e300) == []
    assert len(messages(since=-1e300)) == 5


def test_tracks_are_listed_and_read(client: Client, experiment: str) -> None:
    pose = Series(Kind.TRACK, "pose")
    client.stored(experiment, frame(1, objects(pose, [(NOON + 1, {"x": 1, "y": 2}), (NOON, {"x": 0})])))
    tracks = client.get(f"/experiments/{experiment}/tracks")
    assert tracks == {"data": [{"topic": "pose", "count": 2}], "total": 1}
    found = client.get(f"/experiments/{experiment}/tracks/entries", topic="pose", columns="y,z")
    assert found["entries"] == [{"timestamp": (NOON + 1) / 1e9, "y": 2}]
    assert (found["count"], found["hasMore"]) == (1, False)
    assert client.get(f"/experiments/{experiment}/tracks/entries", topic="none") == {
        "entries": [],
        "count": 0,
        "hasMore": False,
        "cursor": None,
    }


def test_what_the_server_does_is_counted_by_route(client: Client, experiment: str) -> None:
    client.stored(experiment, *frames(1, 2))
    client.get(f"/experiments/{experiment}")
    lines = client.ask("GET", "//metrics").body.decode().splitlines()
    route = '/api/v1/experiments/{id}/writers/{writer}/frames",status="200"}'
    assert any(line.startswith("mldash_requests_total") and route in line for line in lines)
    assert not any(experiment in line for line in lines)
    assert client.counter("ingest_rows") >= 2


def test_what_goes_wrong_inside_is_logged_and_not_told(
    client: Client, server: EmbeddedServer, experiment: str, caplog: pytest.LogCaptureFixture
) -> None:
    def damage(tags: bytes) -> None:
        assert server.store is not None
        with server.store.database.write() as connection:
            connection.execute(
                text("UPDATE experiments SET tags = :tags WHERE id = :id"), {"tags": tags, "id": experiment}
            )

    damage(b"\xc1 secret")
    with caplog.at_level(logging.ERROR, "ml_dash.server"):
        answer = client.ask("GET", f"/experiments/{experiment}")
    assert (answer.status, answer.error["code"]) == (500, "internal")
    assert answer.error["request"] == answer.headers["X-Request-Id"]
    assert answer.error["request"] in caplog.text
    assert "msgpack" not in json.dumps(answer.body)
    damage(b"\x90")
    assert client.get(f"/experiments/{experiment}")["tags"] == []


def test_head_lines_that_are_no_http_are_answered(server: EmbeddedServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"\x16\x03\x01\x00\xa5nonsense\r\n\r\n")
        assert b" 400 " in raw.recv(1000)


def test_a_port_in_use_is_said_in_one_line(server: EmbeddedServer, tmp_path: object) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(
        ServerStartError, match=rf"cannot listen on 127.0.0.1:{port}: .*choose another --port"
    ):
        EmbeddedServer(data=str(tmp_path), port=port).start()


def test_a_run_that_runs_is_listed_without_its_rows(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, frame(1, run_row(NOON, "start", status="RUNNING")))
    record = client.get("/experiments", owner=owner)["data"][0]
    assert (record["status"], record["stale"], record["rows"], record["host"]) == (
        "RUNNING",
        False,
        0,  # of metrics
        "node1",
    )


def test_a_connection_that_is_cut_in_a_body_stores_nothing_of_it(
    client: Client, experiment: str, server: EmbeddedServer
) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    body = b"".join(frames(1, 5))
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(
            f"POST /api/v1/experiments/{experiment}/writers/w/frames HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/vnd.ml-dash.frames\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:-1]
        )
    assert client.stored(experiment, *frames(1, 1), writer="w") == 1
    assert client.rows(experiment) == expected(0, 1)


def test_requests_on_one_connection_are_answered_in_turn(server: EmbeddedServer) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    for _ in range(3):
        connection.request("GET", "/api/v1/health")
        assert json.loads(connection.getresponse().read())["status"] == "ok"
    connection.close()
