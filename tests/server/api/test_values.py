"""Parameters and last values of many experiments in one answer; and what has changed in a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.frame import encode_frame
from ml_dash.server.rows.index import StoreIndex
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import NOON, PARAMS, SECOND, TOKEN, TRAIN, Client, frame


def settings_frame(number: int, **params: Any) -> bytes:
    """Return a frame that sets parameters."""
    return encode_frame(number, [Block(PARAMS, [NOON], [Column("set", "o", None, [params])])])


def losses(number: int, *values: float) -> bytes:
    """Return a frame of a metric."""
    times = [NOON + at * SECOND for at in range(len(values))]
    return encode_frame(number, [Block(TRAIN, times, [Column("loss", "f", None, list(values))])])


def ask(client: Client, ids: list[str], *fields: str) -> list[dict[str, Any]]:
    metrics = [{"name": "train", "field": field} for field in fields]
    answer = client.post("/experiments/values", {"ids": ids, "metrics": metrics})
    assert answer.status == 200, answer
    return list(answer.body["data"])


def test_values_are_those_of_now(client: Client, owner: str) -> None:
    one, two = (client.create(f"{owner}/p/{name}") for name in ("one", "two"))
    client.stored(one, settings_frame(1, lr=0.1, name="adam", nested=[1, {"a": None}]), losses(2, 3.0, 2.0))
    assert ask(client, [one, two, "exp_" + "9" * 20], "loss", "other") == [
        {
            "id": one,
            "params": {"lr": 0.1, "name": "adam", "nested": [1, {"a": None}]},
            "paramsTotal": 3,
            "metrics": [{"name": "train", "fields": ["loss"]}],
            "metricsTotal": 1,
            "values": [2.0, None],
        },
        {"id": two, "params": {}, "paramsTotal": 0, "metrics": [], "metricsTotal": 0, "values": [None, None]},
    ]
    client.stored(one, losses(3, 1.0))
    assert ask(client, [one], "loss")[0]["values"] == [1.0]


def test_all_metrics_are_told_and_a_last_value_is_found_wherever_it_is(client: Client, owner: str) -> None:
    """However many there are, and however many rows lie behind it."""
    id_ = client.create(f"{owner}/p/many")
    wide = [Block(TRAIN._replace(name=f"m{at}"), [NOON], [Column("x", "i", None, [at])]) for at in range(150)]
    sparse = Block(
        TRAIN,
        [NOON + at for at in range(100)],
        [Column("loss", "f", None, [0.5] * 100), Column("val", "f", [0], [7.0])],
    )
    client.stored(id_, encode_frame(1, wide), encode_frame(2, [sparse]), losses(3, *[0.25] * 50))
    (found,) = ask(client, [id_], "val", "loss")
    assert (found["metricsTotal"], len(found["metrics"]), found["values"]) == (151, 151, [7.0, 0.25])


def test_what_is_long_is_told_by_its_beginning(client: Client, owner: str) -> None:
    id_ = client.create(f"{owner}/p/long")
    client.stored(id_, settings_frame(1, text="x" * 2000, list=list(range(1000)), dict={}, last=1))
    (found,) = ask(client, [id_])
    assert found["params"]["text"] == "x" * 1000 + "…"
    assert found["params"]["list"].startswith("[0,1,2,")
    assert len(found["params"]["list"]) == 1001
    assert (found["params"]["dict"], found["params"]["last"], found["paramsTotal"]) == ({}, 1, 4)


def test_values_of_other_owners_and_of_deleted_experiments_are_not_told(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        admin = Client(server.url, TOKEN)
        ids = [admin.create(f"{owner}/p/run") for owner in ("alice", "bob")] + [admin.create("alice/p/gone")]
        for id_ in ids:
            admin.stored(id_, losses(1, 1.0))
        admin.ask("DELETE", f"/experiments/{ids[2]}")
        token = admin.post("/tokens", {"name": "t", "grants": [{"owner": "alice", "scope": "read"}]}).body[
            "token"
        ]
        assert [each["id"] for each in ask(Client(server.url, token), ids)] == ids[:1]
        assert [each["id"] for each in ask(admin, ids)] == ids[:2]


def test_no_row_is_read_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a table asks, and whatever has come meanwhile."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("rows are read")

    for name in ("blocks", "summaries", "stretches"):
        monkeypatch.setattr(StoreIndex, name, refuse)
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        ids = [client.create(f"alice/p/{number}") for number in range(20)]
        for id_ in ids:
            client.stored(id_, losses(1, 1.0))
        assert [each["values"] for each in ask(client, ids, "loss")] == [[1.0]] * 20
        client.stored(ids[3], losses(2, 0.5))
        assert ask(client, ids, "loss")[3]["values"] == [0.5]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": "x"},
        {"ids": [1]},
        {"ids": ["x"] * 201},
        {"ids": [], "metrics": {}},
        {"ids": [], "metrics": [{"name": ""}]},
        {"ids": [], "metrics": [{"name": "a", "field": ""}]},
        {"ids": [], "metrics": [{"name": "a", "field": "b", "more": 1}]},
        {"ids": [], "metrics": [{"field": "b"}] * 33},
        {"ids": [], "other": 1},
    ],
)
def test_a_question_that_is_none_is_refused(client: Client, body: Any) -> None:
    answer = client.post("/experiments/values", body)
    assert (answer.status, answer.error["code"]) == (400, "invalid")


def changed(client: Client, owner: str, since: str) -> list[str]:
    answer = client.get("/experiments", owner=owner, changed_since=since)
    return sorted(record["name"] for record in answer["data"])


def test_a_list_tells_what_may_have_changed(tmp_path: Path) -> None:
    """By the server's own clock, which a test turns; what clients say of times is not believed."""
    from tests.support.account_serving import Hands

    clock = Hands()
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, clock=clock) as server:
        client = Client(server.url, TOKEN)
        ids = {name: client.create(f"alice/p/{name}") for name in ("a", "b", "c", "d")}
        clock.turn(1000)
        since = client.get("/experiments")["asOf"]
        assert changed(client, "alice", since) == []
        # its rows are of years ago, or to come
        client.stored(ids["a"], losses(1, 1.0))
        client.create("alice/p/b", readme="new")
        client.ask("DELETE", f"/experiments/{ids['c']}")
        assert changed(client, "alice", since) == ["a", "b", "c"]
        deleted = client.get("/experiments", changed_since=since)["data"]
        assert [record["name"] for record in deleted if record["deletedAt"]] == ["c"]
        assert changed(client, "alice", client.get("/experiments")["asOf"]) == []
        latest = client.get("/experiments")["asOf"]
        clock.turn(-600)
        client.create("alice/p/c", recreate=True)
        assert changed(client, "alice", since) == ["a", "b", "c"]
        assert changed(client, "alice", latest) == ["c"], "a clock that was set back hides nothing"
        restored = f"{int(latest.partition('.')[0]) + 5}.0"
        assert len(changed(client, "alice", restored)) == 4, "of a backup everything is news"


@pytest.mark.parametrize("since", ["x", "-1", "9" * 30, "", "15", "1.", ".5", "1.5.2", f"1.{2**63}"])
def test_a_mark_that_is_none_is_refused(client: Client, since: str) -> None:
    answer = client.ask("GET", "/experiments", changed_since=since)
    assert (answer.status, answer.error["code"]) == (400, "invalid")


def test_a_list_of_metrics_goes_on_where_one_stopped(client: Client, experiment: str) -> None:
    client.stored(experiment, frame(1))
    known = client.get(f"/experiments/{experiment}/metrics")
    more = client.get(f"/experiments/{experiment}/metrics", start=known["total"])
    assert more == {"data": [], "total": known["total"]}
    client.stored(
        experiment,
        encode_frame(2, [Block(TRAIN._replace(name="new"), [NOON], [Column("x", "f", None, [1.0])])]),
    )
    more = client.get(f"/experiments/{experiment}/metrics", start=known["total"])
    assert [each["name"] for each in more["data"]] == ["new"]
