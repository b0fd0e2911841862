"""The catalogue: created, described, found, listed, deleted, brought back; and the status of runs in it."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Dialect

from ml_dash.client.api import Client as ApiClient
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.identity import parse_prefix
from ml_dash.query.times import iso_time
from ml_dash.series import Kind, Series
from ml_dash.server.catalogue import experiments as experiments_module
from ml_dash.server.catalogue.changes import change_mark
from ml_dash.server.catalogue.records import Description, ExperimentFilter, Introduction
from ml_dash.server.db.tables import EXPERIMENTS
from ml_dash.server.db.texts import Holds
from ml_dash.server.http.cursors import write_cursor
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from ml_dash.tokens.token import Token
from tests.support.serving import (
    NOON,
    SECOND,
    TOKEN,
    TRAIN,
    Client,
    expected,
    frame,
    frames,
    numbers,
    objects,
    page_of,
    run_row,
)
from tests.support.simulated_clock import HandClock
from tests.support.view_journals import block_of

FIELDS = [
    "id", "prefix", "owner", "project", "folder", "name", "readme", "note", "tags", "bindrs", "metadata", "status",
    "stale", "createdAt", "updatedAt", "startedAt", "endedAt", "lastActivity", "host", "error", "rows",
    "entries", "alerts", "attempts", "stop", "deletedAt",
]  # fmt: skip


def listed(client: Client, **query: object) -> list[str]:
    """The names of the experiments in a listing."""
    return [record["name"] for record in client.get("/experiments", **query)["data"]]


def test_an_experiment_is_created_once_and_described_again(client: Client, owner: str) -> None:
    prefix = f"{owner}/vision/nets/resnet"
    first = client.post("/experiments", {"prefix": prefix, "readme": "one", "tags": ["a", "b", "a"]})
    assert (first.status, first.body["created"], first.body["watermarks"]) == (201, True, {})
    assert [*FIELDS, "created", "watermarks", "watermarksCursor", "latestNs"] == list(first.body)
    again = client.post(
        "/experiments", {"prefix": prefix, "readme": None, "bindrs": ["x"], "metadata": {"k": 1}}
    )
    assert (again.status, again.body["created"]) == (200, False)
    record = client.get(f"/experiments/{first.body['id']}")
    assert list(record) == FIELDS
    assert [record[name] for name in ("owner", "project", "folder", "name")] == [
        owner,
        "vision",
        "nets",
        "resnet",
    ]
    assert (record["readme"], record["tags"], record["bindrs"], record["metadata"]) == (
        "one",
        ["a", "b"],
        ["x"],
        {"k": 1},
    )
    assert record["createdAt"] == first.body["createdAt"]
    assert record["updatedAt"] >= record["createdAt"]


def test_saying_the_same_again_changes_nothing(client: Client, owner: str) -> None:
    said = {"prefix": f"{owner}/p/n", "readme": "r", "tags": ["t"], "metadata": {"a": [1, None]}}
    first = client.post("/experiments", said).body
    again = client.post("/experiments", said).body
    assert again == {**first, "created": False}


def test_of_each_part_of_a_description_what_was_said_last_stays(client: Client, owner: str) -> None:
    """Whenever it comes: an offline journal's may be a year old."""
    prefix, now = f"{owner}/p/n", time.time_ns()
    said = {"prefix": prefix, "readme": "middle", "tags": ["middle"], "metadata": {"k": 1}}
    times = dict.fromkeys(("readme", "tags", "metadata"), now - 50 * SECOND)
    client.post("/experiments", {**said, "saidNs": times})
    older = {"readme": "older", "tags": ["older"], "bindrs": ["older"], "metadata": {}}
    before = client.post("/experiments", {"prefix": prefix}).body
    late = {
        "prefix": prefix,
        **older,
        "saidNs": {**dict.fromkeys(older, now - 90 * SECOND), "tags": now - SECOND},
    }
    record = client.post("/experiments", late).body
    assert [record[name] for name in older] == ["middle", ["older"], ["older"], {"k": 1}]
    assert (before["bindrs"], client.get("/experiments", tag="middle")["total"]) == ([], 0)
    assert client.get("/experiments", tag="older", prefix=prefix)["total"] == 1
    # of a client that tells no time, it is said now
    record = client.post("/experiments", {"prefix": prefix, "readme": "now"}).body
    assert record["readme"] == "now"
    late = {"prefix": prefix, "readme": "late", "saidNs": {"readme": now - SECOND}}
    assert client.post("/experiments", late).body["readme"] == "now"


@pytest.mark.parametrize("ahead", [1, 20, -20])
def test_what_a_wrong_clock_says_keeps_nothing_from_being_said(
    client: Client, owner: str, ahead: int
) -> None:
    """Years ahead or behind, with the sender's time or without: nothing is said later than now."""
    prefix, year = f"{owner}/p/n", 365 * 86400 * SECOND
    clock = time.time_ns() + ahead * year
    client.post("/experiments", {"prefix": prefix, "readme": "before", "saidNs": {"readme": time.time_ns()}})
    said = {"prefix": prefix, "readme": "wrong", "saidNs": {"readme": clock}}
    assert client.post("/experiments", said, ML_Dash_Clock=str(clock)).body["readme"] == "wrong"
    if ahead >= 0:
        client.post("/experiments", said)
    said = {"prefix": prefix, "readme": "right", "saidNs": {"readme": time.time_ns()}}
    assert client.post("/experiments", said).body["readme"] == "right"


def test_an_upsert_tells_the_watermarks(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, *frames(1, 3))
    client.stored(experiment, *frames(1, 1), writer="other")
    found = client.post("/experiments", {"prefix": f"{owner}/p/n"}).body["watermarks"]
    assert sorted(found.values()) == [1, 3]


async def test_an_upsert_tells_the_watermarks_of_as_many_writers_as_there_are(
    server: EmbeddedServer, client: Client, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its answer are the first ones, and the client asks for the others."""
    monkeypatch.setattr(experiments_module, "_WRITERS_TOLD", 2)
    experiment = client.create(f"{owner}/p/n")
    for number in range(7):
        client.stored(experiment, *frames(1, number + 1), writer=f"w{number}")
    told = client.post("/experiments", {"prefix": f"{owner}/p/n"}).body
    assert (told["watermarks"], told["watermarksCursor"]) == ({"w0": 1, "w1": 2}, "w1")
    known = (
        await ApiClient(AiohttpTransport(server.url, lambda: Token(TOKEN))).upsert(f"{owner}/p/n")
    ).watermarks
    await close_session()
    assert known == {f"w{number}": number + 1 for number in range(7)}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prefix": None},
        {"prefix": 5},
        {"prefix": "a"},
        {"prefix": "a/b"},
        {"prefix": "/a/b/c"},
        {"prefix": "a//c"},
        {"prefix": "a/../c"},
        {"prefix": "a/b/journal"},
        {"prefix": "a/b/\ud800"},
        {"prefix": "a/b/c", "tags": "x"},
        {"prefix": "a/b/c", "tags": [1]},
        {"prefix": "a/b/c", "bindrs": ["x" * 2000]},
        {"prefix": "a/b/c", "readme": 1},
        {"prefix": "a/b/c", "metadata": []},
        {"prefix": "a/b/c", "metadata": {"a": 2**70}},
        {"prefix": "a/b/c", "recreate": "yes"},
        {"prefix": "a/b/c", "name": "c"},
    ],
)
def test_a_description_that_is_none_is_refused(client: Client, body: object) -> None:
    answer = client.post("/experiments", body)
    assert (answer.status, answer.error["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"prefix": "a/b/c", "metadata": ' + b'{"a":' * 90 + b"1" + b"}" * 91,
    ],
)
def test_a_body_that_is_no_object_is_refused(client: Client, raw: bytes) -> None:
    answer = client.ask("POST", "/experiments", raw, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.error["code"]) == (400, "invalid")


def test_texts_that_databases_refuse_are_kept(client: Client, owner: str) -> None:
    odd = "nul \0, lone \udcff, ü"
    experiment = client.create(f"{owner}/p/n", readme=odd, tags=[odd], bindrs=[odd], metadata={odd: odd})
    record = client.get(f"/experiments/{experiment}")
    assert (record["readme"], record["tags"], record["bindrs"], record["metadata"]) == (
        odd,
        [odd],
        [odd],
        {odd: odd},
    )
    assert listed(client, owner=owner, search="LONE") == ["n"]


def test_experiments_are_listed_newest_first_in_pages(client: Client, owner: str) -> None:
    for number in range(5):
        client.create(f"{owner}/p/n{number}")
    first = client.get("/experiments", owner=owner, limit=2)
    assert [record["name"] for record in first["data"]] == ["n4", "n3"]
    assert (first["total"], first["hasMore"]) == (5, True)
    second = client.get("/experiments", owner=owner, limit=2, cursor=first["cursor"])
    third = client.get("/experiments", owner=owner, limit=2, cursor=second["cursor"])
    assert [record["name"] for page in (second, third) for record in page["data"]] == ["n2", "n1", "n0"]
    assert (third["total"], third["hasMore"], third["cursor"]) == (5, False, None)
    assert client.get("/experiments", owner=owner, limit=0)["data"] == []


def test_experiments_are_found_by_what_they_are(client: Client, owner: str) -> None:
    client.create(f"{owner}/vision/nets/a", tags=["cifar", "base"], readme="A ResNet\nfor CIFAR-10")
    client.create(f"{owner}/vision/nets/deep/b", tags=["cifar"])
    client.create(f"{owner}/vision/netsy/c")
    client.create(f"{owner}/nlp/d", tags=["base"], readme="100% of_it")
    own = {"owner": owner}
    assert listed(client, **own) == ["d", "c", "b", "a"]
    assert listed(client, **own, project="vision") == ["c", "b", "a"]
    assert listed(client, **own, folder="nets") == ["b", "a"]
    assert listed(client, **own, folder="nets/deep") == ["b"]
    assert listed(client, **own, tag="base") == ["d", "a"]
    assert listed(client, **own, tag="bas") == []
    assert listed(client, prefix=f"{owner}/vision/nets") == ["b", "a"]
    assert listed(client, prefix=f"{owner}/nlp/d") == ["d"]
    assert listed(client, **own, search="resnet cifar") == ["a"]
    assert listed(client, **own, search="NETS") == ["c", "b", "a"]
    assert listed(client, **own, search="100% of_it") == ["d"]
    assert listed(client, **own, search="100_") == []
    assert listed(client, **own, search="'; DROP TABLE experiments; --") == []


def test_a_search_compares_stretches_of_memory_in_either_database() -> None:
    """With LIKE, a long text and a readme that nearly has it cost as much as one has letters times the other."""
    question = select(EXPERIMENTS.c.id).where(Holds(EXPERIMENTS.c.words, "a%_b"))
    dialects: dict[str, Dialect] = {"instr": SQLiteDialect(), "strpos": PGDialect()}  # type: ignore[no-untyped-call]
    for function, dialect in dialects.items():
        statement = question.compile(dialect=dialect)
        assert f"{function}(experiments.words, " in str(statement)
        assert "LIKE" not in str(statement)
        assert list(statement.params.values()) == ["a%_b"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "x"},
        {"limit": "-1"},
        {"limit": "1001"},
        {"limit": "1.0"},
        {"status": "running"},
        {"cursor": "nonsense"},
        {"cursor": "gqNhYmOjYWJj"},
        {"cursor": write_cursor([True, "x"])},
        {"owner": "\0"},
        {"prefix": "x" * 5000},
        {"colour": "red"},
    ],
)
def test_arguments_that_are_none_are_refused(client: Client, query: dict[str, Any]) -> None:
    answer = client.ask("GET", "/experiments", **query)
    assert (answer.status, answer.error["code"]) == (400, "invalid")
    assert next(iter(query)) in answer.error["message"]


def test_a_deleted_experiment_is_gone_and_comes_back_with_its_data(client: Client, owner: str) -> None:
    prefix = f"{owner}/p/n"
    experiment = client.create(prefix, tags=["t"])
    client.stored(experiment, *frames(1, 2))
    deleted = client.ask("DELETE", f"/experiments/{experiment}")
    assert deleted.status == 200
    assert deleted.body["deletedAt"] is not None
    assert listed(client, owner=owner) == []
    for method, path in (
        ("GET", ""),
        ("GET", "/metrics"),
        ("GET", "/writers"),
        ("GET", "/blocks?kind=1"),
        ("DELETE", ""),
    ):
        answer = client.ask(method, f"/experiments/{experiment}{path}")
        assert (answer.status, answer.error["code"]) == (410, "gone")
    answer = client.post("/experiments", {"prefix": prefix})
    assert (answer.status, answer.error["code"]) == (410, "gone")
    assert "--recreate" in answer.error["message"]
    back = client.post("/experiments", {"prefix": prefix, "recreate": True})
    assert (back.status, back.body["id"], back.body["created"]) == (200, experiment, False)
    assert (back.body["deletedAt"], back.body["tags"], list(back.body["watermarks"].values())) == (
        None,
        ["t"],
        [2],
    )
    assert client.rows(experiment) == expected(0, 2)
    assert listed(client, owner=owner) == ["n"]


def test_an_experiment_that_is_not_there_is_not_found(client: Client) -> None:
    for path in ("exp_" + "0" * 20, "x", "%00", "exp_" + "é" * 20):
        for rest in ("", "/run", "/metrics/rows", "/writers"):
            answer = client.ask("GET", f"/experiments/{path.replace('é', '%C3%A9')}{rest}")
            assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_the_status_of_a_run_follows_its_rows_and_the_time(tmp_path: Path) -> None:
    clock = HandClock(NOON)
    with EmbeddedServer(data=tmp_path, clock=clock, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/p/n")

        def status() -> tuple[object, ...]:
            record = client.get(f"/experiments/{experiment}")
            run = client.get(f"/experiments/{experiment}/run")
            same = ("status", "stale", "startedAt", "endedAt", "host", "error")
            assert [record[name] for name in same] == [run[name] for name in same]
            word = "STALE" if record["stale"] else record["status"]
            for each in ("RUNNING", "STALE", "COMPLETED", "FAILED", "CANCELLED"):
                found = bool(listed(client, status=each))
                assert found is (each in {word, record["status"]}), (each, record)
            return record["status"], record["stale"], record["endedAt"], record["error"]

        assert status() == (None, False, None, None)
        client.stored(experiment, frame(1, run_row(NOON, "start", status="RUNNING")))
        assert status() == ("RUNNING", False, None, None)
        clock.now_ns += 91 * SECOND
        assert status() == ("RUNNING", True, None, None)
        client.stored(experiment, frame(2, run_row(clock.now_ns, "heartbeat")))
        assert status() == ("RUNNING", False, None, None)
        clock.now_ns += 89 * SECOND
        client.stored(experiment, frame(3, numbers(180, 1)))  # any row is a sign of life
        clock.now_ns += 89 * SECOND
        assert status() == ("RUNNING", False, None, None)
        ended = clock.now_ns
        client.stored(experiment, frame(4, run_row(ended, "end", status="FAILED", error="ValueError: x")))
        assert status() == ("FAILED", False, iso_time(ended), "ValueError: x")
        client.stored(experiment, frame(5, run_row(ended + 1, "start", status="RUNNING")))
        assert status() == ("RUNNING", False, None, None)
        assert client.get(f"/experiments/{experiment}")["startedAt"] == iso_time(NOON)
        client.close()


@pytest.mark.sample(3)
@pytest.mark.parametrize("ahead", [-300, 0, 3600], ids="the sender's clock is {} s ahead".format)
@pytest.mark.parametrize("tells", [True, False], ids=["which it tells", "which it does not tell"])
def test_a_run_is_alive_while_its_rows_arrive_whatever_its_clock_says(
    tmp_path: Path, ahead: int, tells: bool
) -> None:
    clock = HandClock(NOON)
    with EmbeddedServer(data=tmp_path, clock=clock, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/p/n")

        def send(seq: int, event: str) -> None:
            sent = clock.now_ns + ahead * SECOND
            told = {"ML_Dash_Clock": str(sent)} if tells else {}
            row = run_row(sent, event, status="RUNNING")
            assert client.send(experiment, frame(seq, row), **told).status == 200

        def is_stale() -> bool:
            (listed,) = client.get("/experiments")["data"]
            answers = [
                listed["stale"],
                bool(client.get("/experiments", status="STALE")["data"]),
                *(client.get(f"/experiments/{experiment}{each}")["stale"] for each in ("", "/run")),
            ]
            assert len(set(answers)) == 1, answers
            return bool(answers[0])

        send(1, "start")
        for seq in range(2, 6):
            assert not is_stale()
            clock.now_ns += 30 * SECOND
            send(seq, "heartbeat")
        clock.now_ns += 89 * SECOND
        assert not is_stale()
        clock.now_ns += 2 * SECOND  # it was killed
        assert is_stale()
        clock.now_ns += 3600 * SECOND
        assert is_stale()
        client.close()


@pytest.mark.parametrize("ahead", [-300, 0, 3600], ids="the sender's clock is {} s ahead".format)
def test_rows_that_are_sent_late_are_no_sign_of_life(tmp_path: Path, ahead: int) -> None:
    """As by `ml-dash sync`, an hour after the run was killed: it is stale at once."""
    clock = HandClock(NOON)
    with EmbeddedServer(data=tmp_path, clock=clock, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/p/n")
        sent = NOON + ahead * SECOND
        row = run_row(sent - 3600 * SECOND, "start", status="RUNNING")
        client.send(experiment, frame(1, row), ML_Dash_Clock=str(sent))
        record = client.get(f"/experiments/{experiment}")
        assert (record["status"], record["stale"]) == ("RUNNING", True)
        client.close()


def test_who_goes_on_with_an_experiment_is_told_the_latest_time_of_what_later_ones_replace(
    client: Client, owner: str
) -> None:
    """Rows of metrics do not count: their times may be the caller's own."""
    prefix = {"prefix": f"{owner}/p/n"}
    experiment = client.create(**prefix)
    assert client.post("/experiments", prefix).body["latestNs"] is None
    client.stored(experiment, frame(1, run_row(NOON, "start", status="RUNNING"), numbers(9_000_000, 1)))
    assert client.post("/experiments", prefix).body["latestNs"] == NOON
    params = block_of(Series(Kind.PARAMS, None), [(NOON + 7, {"set": {"lr": 1}})])
    client.stored(experiment, frame(2, params))
    assert client.post("/experiments", prefix).body["latestNs"] == NOON + 7


@pytest.mark.parametrize("told", ["", "x", "-5", "1e9", "9" * 19, "9" * 4000, "\u0664"])
def test_frames_are_not_refused_for_a_clock_that_says_nonsense(
    told: str, client: Client, experiment: str
) -> None:
    headers = {"ML_Dash_Clock": told.encode().decode("latin-1")}
    assert (
        client.send(experiment, frame(1, run_row(NOON, "start", status="RUNNING")), **headers).status == 200
    )
    assert client.get(f"/experiments/{experiment}")["stale"] is False


@pytest.mark.slow
def test_a_run_that_is_alive_counts_more_than_a_newer_one_that_ended(tmp_path: Path) -> None:
    clock = HandClock(NOON)
    with EmbeddedServer(data=tmp_path, clock=clock, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        experiment = client.create("alice/p/n")
        client.stored(experiment, frame(1, run_row(NOON, "start", status="RUNNING", host="a")), writer="a")
        client.stored(
            experiment,
            frame(
                1,
                run_row(NOON + 1, "start", status="RUNNING", host="b"),
                run_row(NOON + 2, "end", status="COMPLETED", host="b"),
            ),
            writer="b",
        )
        record = client.get(f"/experiments/{experiment}")
        assert (record["status"], record["attempts"]) == ("COMPLETED", 2), (
            "the first one may have been killed"
        )
        client.stored(experiment, frame(2, run_row(NOON + 2, "heartbeat", host="a")), writer="a")
        record = client.get(f"/experiments/{experiment}")
        assert record["attempts"] == 1
        assert (record["status"], record["stale"], record["host"], record["endedAt"]) == (
            "RUNNING",
            False,
            "a",
            None,
        )
        assert client.get(f"/experiments/{experiment}/run")["host"] == "a"
        clock.now_ns += 91 * SECOND
        record = client.get(f"/experiments/{experiment}")
        assert (record["status"], record["stale"], record["host"]) == ("COMPLETED", False, "b")
        assert listed(client, status="COMPLETED") == ["n"]
        assert client.get(f"/experiments/{experiment}/run")["writers"] == 2
        client.close()


def test_a_change_that_is_committed_late_is_told(store: Store) -> None:
    """However long after it was made, and whatever was listed or committed meanwhile."""
    for name in ("late", "other"):
        identity = parse_prefix(f"alice/p/{name}", user=str, now_ns=lambda: NOON)
        store.experiments.upsert(Introduction(identity))
    other = Thread(target=store.experiments.upsert, args=(Introduction(identity, Description(readme="new")),))
    with store.database.write() as connection:
        connection.execute(
            update(EXPERIMENTS)
            .where(EXPERIMENTS.c.name == "late")
            .values(readme="new", changed=change_mark(connection))
        )
        other.start()
        if store.database.dialect == "postgresql":
            other.join()  # there a transaction does not wait for others
        since = page_of(store.experiments, ExperimentFilter(), 10, None)["asOf"]
    other.join()
    changes = page_of(store.experiments, ExperimentFilter(), 10, None, since)
    assert {store.experiments.record(each["id"])["readme"] for each in changes["data"]} == {"new"}
    assert {each["name"] for each in changes["data"]} == {"late", "other"}
    assert page_of(store.experiments, ExperimentFilter(), 10, None, changes["asOf"])["data"] == []


def test_run_rows_with_anything_in_them_do_no_harm(client: Client, experiment: str) -> None:
    odd = [
        run_row(NOON, "start", status=5, host=["x"], pid=2**63 - 1, handle={"a": b"\0"}, error=1),
        run_row(NOON + 1, "start", status="x\0\udcff", host="h\0\udcff", pid=True, handle="h" * 5000),
        run_row(NOON + 2, "end", status="ODD", error="e\0\udcff"),
        run_row(NOON + 3, "nonsense"),
    ]
    for seq, block in enumerate(odd, 1):
        client.stored(experiment, frame(seq, block))
    run = client.get(f"/experiments/{experiment}/run")
    assert (run["status"], run["host"], run["pid"]) == ("RUNNING", "h\0\udcff", None)
    handles: tuple[Any, ...] = ({"a": b"\0"}, "h" * 5000)
    ends = [run_row(NOON + 4, "end", status="ODD", error="e\0\udcff", handle=each) for each in handles]
    client.stored(experiment, frame(len(odd) + 1, *ends))
    run = client.get(f"/experiments/{experiment}/run")
    assert (run["status"], run["host"], run["pid"]) == ("ODD", "node1", 7)
    assert client.get(f"/experiments/{experiment}")["error"] == "e\0\udcff"


def test_the_last_activity_is_never_later_than_it_came(client: Client, owner: str) -> None:
    """A row's time may be the caller's own, of any year."""
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, frame(1, numbers(0, 1)))
    record = client.get(f"/experiments/{experiment}")
    assert record["lastActivity"] == iso_time(NOON)
    client.stored(experiment, frame(2, objects(TRAIN, [(NOON + 100 * 365 * 86_400 * SECOND, {"loss": 1.0})])))
    for path in ("", "/run"):
        found = client.get(f"/experiments/{experiment}{path}")
        assert iso_time(NOON) < found["lastActivity"] <= iso_time(time.time_ns())
