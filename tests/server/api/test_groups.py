"""Experiments in groups, and lists that wait for a change."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ml_dash.protocol import WAIT_MAX
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import until
from tests.support.serving import NOON, PARAMS, TOKEN, Client, frame, numbers, objects


def sweep(client: Client, owner: str) -> list[str]:
    """Eight experiments: two learning rates, two kinds, two seeds; and what came of them."""
    found = []
    for at in range(8):
        params = {
            "lr": [0.1, 0.01][at % 2],
            "net.kind": ["a", ["b", 1]][at // 2 % 2],
            "seed": at // 4,
            "same": 1,
        }
        id_ = client.create(
            f"{owner}/sweep/{'one' if at < 4 else 'two'}/{at}", tags=["x"] if at % 2 else ["x", "y"]
        )
        rows = [(NOON, {"acc": float(at)}), (NOON + 1, {"acc": at / 2})]
        client.stored(
            id_, frame(1, objects(PARAMS, [(NOON, {"set": params})]), objects(numbers(0, 0).series, rows))
        )
        found.append(id_)
    return found


def groups(client: Client, owner: str, **asked: Any) -> list[dict[str, Any]]:
    answer = client.get("/groups", owner=owner, **asked)
    assert (answer["total"], answer["isPart"], answer["groups"]) == (8, False, len(answer["data"]))
    return list(answer["data"])


@pytest.mark.sample(2)
def test_groups_are_told_apart_by_parameters_and_what_all_have(client: Client, owner: str) -> None:
    ids = sweep(client, owner)
    found = groups(client, owner, by="params.lr", columns="train/acc")
    assert [each["key"] for each in found] == [{"params.lr": 0.01}, {"params.lr": 0.1}]
    assert [sorted(each["members"]) for each in found] == [sorted(ids[1::2]), sorted(ids[::2])]
    ((column,), _) = (each["columns"] for each in found)
    assert (column["metric"], column["field"]) == ("train", "acc")
    assert column["max"] == {
        "count": 4,
        "mean": 4.0,
        "std": pytest.approx(20**0.5 / 3**0.5),
        "min": 1.0,
        "max": 7.0,
    }
    assert column["last"] == {
        "count": 4,
        "mean": 2.0,
        "std": pytest.approx(5**0.5 / 3**0.5),
        "min": 0.5,
        "max": 3.5,
    }
    keys = [each["key"]["folder"] for each in groups(client, owner, by="folder")]
    assert [each.rpartition("/")[2] for each in keys] == ["one", "two"]
    assert [each["key"]["tags"] for each in groups(client, owner, by="tags")] == [["x"], ["x", "y"]]


def test_groups_by_all_but_the_seed(client: Client, owner: str) -> None:
    sweep(client, owner)
    found = groups(client, owner, but="params.seed")
    assert [each["key"] for each in found] == [
        {"params.lr": lr, "params.net.kind": kind} for lr in (0.01, 0.1) for kind in ("a", ["b", 1])
    ]
    assert [each["count"] for each in found] == [2, 2, 2, 2]


def test_members_are_those_of_a_filter(client: Client, owner: str) -> None:
    sweep(client, owner)
    answer = client.get("/groups", owner=owner, filter="params.lr<0.05 max(train/acc)>2", by="params.seed")
    assert [(each["key"]["params.seed"], each["count"]) for each in answer["data"]] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"by": "lr"},
        {"by": "params.lr", "columns": "nothing("},
        {"by": "folder", "filter": "a<"},
        {"by": "params.nothing"},
    ],
)
def test_groups_by_what_is_none_are_refused(client: Client, asked: dict[str, Any]) -> None:
    answer = client.ask("GET", "/groups", **asked)
    assert (answer.status, answer.error["code"]) == (400, "invalid")


# --- lists that wait


def test_a_list_waits_for_a_change(server: EmbeddedServer, client: Client, owner: str) -> None:
    client.create(f"{owner}/p/one")
    since = client.get("/experiments", owner=owner)["asOf"]
    waiting = Client(server.url, TOKEN)
    found: list[dict[str, Any]] = []
    asked = {"owner": owner, "changed_since": since, "wait": WAIT_MAX}
    thread = threading.Thread(target=lambda: found.append(waiting.get("/experiments", **asked)))
    thread.start()
    id_ = client.create(f"{owner}/p/two")
    thread.join(60)
    assert [each["id"] for each in found[0]["data"]] == [id_]
    late = client.get("/experiments", owner=owner, changed_since=found[0]["asOf"], wait=0.01)
    assert late["data"] == []
    for wrong in (
        {"wait": 5},
        {"changed_since": since, "wait": WAIT_MAX + 1},
        {"changed_since": since, "wait": -1},
    ):
        assert client.ask("GET", "/experiments", **wrong).status == 400


def test_who_waits_holds_up_no_end_of_the_server(tmp_path: Any) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        since = client.get("/experiments")["asOf"]
        found: list[int] = []

        def ask() -> None:
            found.append(
                Client(server.url, TOKEN)
                .ask("GET", "/experiments", changed_since=since, wait=WAIT_MAX)
                .status
            )

        thread = threading.Thread(target=ask)
        thread.start()
        # this question is one itself
        until(lambda: b"mldash_requests_in_flight 2.0" in client.ask("GET", "//metrics").body, "it waits")
    thread.join(WAIT_MAX - 10)
    assert found == [200]
