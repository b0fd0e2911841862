"""Lists of a server, filtered and sorted: what Python finds in the same experiments, by an index, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ml_dash.query.listing import finding
from ml_dash.query.listing.binding import bind, bind_order, value_of
from ml_dash.query.listing.comparing import sort_key
from ml_dash.query.listing.definitions import definition_row
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.listing.naming import KnownNames
from ml_dash.query.listing.summary import FieldSummary
from ml_dash.query.times import iso_ns
from ml_dash.server.catalogue.records import ExperimentFilter, Search
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.support.account_serving import Hands
from tests.support.postgres import new_database
from tests.support.serving import NOON, PARAMS, SECOND, TOKEN, TRAIN, Client, frame, objects, page_of, run_row
from tests.support.statements import plans

VAL = TRAIN._replace(name="val")
NOW = NOON + 3600 * SECOND


def _filled(client: Client, clock: Hands) -> None:
    """Store experiments that differ in everything that can be asked for."""
    for at in range(12):
        prefix = f"{'alice' if at % 4 else 'bob'}/vision/{'sweep' if at % 2 else 'base'}/lr-{at}"
        clock.turn(1)
        tags = [f"Sweep-{at % 3}", "gut"] if at % 3 else []
        id_ = client.create(prefix, tags=tags, readme=f"# Läuft {at}" if at % 5 else None)
        params: dict[str, Any] = {
            "lr": 10.0**-at,
            "optimizer": "Adam" if at % 2 else "sgd",
            "layers": [at % 3, 64],
        }
        if at % 4 == 0:
            params |= {"seed": 2**53 + at, "warm": bool(at % 8), "note.deep": None}
        blocks = [objects(PARAMS, [(NOON + at, {"set": params})])]
        if at == 3:
            blocks.append(objects(PARAMS, [(NOON + 99, definition_row("val", "acc", "max"))]))
        began = NOON + at * 60 * SECOND
        if at % 3 != 1:
            blocks.append(run_row(began, "start", status="RUNNING", host=f"node{at % 2}"))
        if at % 3 == 2:
            status = "COMPLETED" if at % 2 else "FAILED"
            blocks.append(
                run_row(began + at * SECOND, "end", status=status, error="Boom" if at % 2 == 0 else None)
            )
        if at % 5:
            rows = [
                (NOON + step, {"acc": (step * at % 7) / 7, "phase": "warm" if step < 2 else f"main{at % 2}"})
                for step in range(4)
            ]
            blocks.append(objects(VAL, rows))
        if at % 4 == 1:
            blocks.append(objects(TRAIN, [(NOON, {"acc": float("nan") if at == 5 else at, "ok": at > 4})]))
        client.stored(id_, *(frame(seq, block) for seq, block in enumerate(blocks, 1)))
        if at % 6 == 5:
            client.ask("PUT", f"/experiments/{id_}/note", b'{"note": "Schau HIN"}', headers=JSON)


JSON = {"Content-Type": "application/json"}


@pytest.fixture(
    scope="module",
    params=["sqlite", "sqlite, as of very many", "postgresql", "postgresql, as of very many"],
)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    database = None
    if request.param.startswith("postgresql"):
        database = new_database(request.getfixturevalue("postgres"))
    clock = Hands()
    data = tmp_path_factory.mktemp("filtered")
    with (
        pytest.MonkeyPatch.context() as patch,
        EmbeddedServer(data=data, database=database, admin_token=TOKEN, clock=clock) as server,
    ):
        if request.param.endswith("as of very many"):
            for name, number in (("FEW", 1), ("HANDFUL", 0), ("AHEAD", 6)):
                patch.setattr(finding, name, number)
        client = Client(server.url, TOKEN)
        _filled(client, clock)
        client.close()
        yield server


@pytest.fixture
def client(filled: EmbeddedServer) -> Client:
    return Client(filled.url, TOKEN)


def listed(client: Client) -> list[ListedExperiment]:
    """All experiments, as Python has them."""
    found = []
    for record in client.get("/experiments", columns="params", limit=1000)["data"]:
        more = client.get("/experiments", prefix=record["prefix"], columns="metrics")["data"][0]
        whole = client.get(f"/experiments/{record['id']}")
        metrics = {
            name: {field: FieldSummary.from_json(each) for field, each in fields.items()}
            for name, fields in _floats(more["metrics"]).items()
        }
        told = (
            "id",
            "prefix",
            "owner",
            "project",
            "folder",
            "name",
            "status",
            "stale",
            "host",
            "error",
            "rows",
        )
        times: dict[str, str] = {
            "created": "createdAt",
            "started": "startedAt",
            "ended": "endedAt",
            "active": "lastActivity",
        }
        told_ns: dict[str, Any] = {f"{name}_ns": iso_ns(record[field]) for name, field in times.items()}
        found.append(
            ListedExperiment(
                **{name: record[name] for name in told},
                **told_ns,
                tags=tuple(record["tags"]),
                readme=whole["readme"],
                note=whole["note"],
                attempts=record["attempts"],
                params=_floats(record["params"]),
                metrics=metrics,
                best={(each["metric"], each["field"]): each["value"] for each in more["best"]},
            )
        )
    return found


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            float(value["__float__"])
            if "__float__" in value
            else {name: _floats(each) for name, each in value.items()}
        )
    return value


FILTERS = [
    f"seed>{2**53}", f"seed<{2**53 + 4}", f"seed<={2**53 + 4}", f"seed>={2**53 + 5}", f"seed!={2**53}",
    "", "lr<0.001", "params.lr>=0.01 optimizer=adam", "optimizer!=adam", "layers=[1,64]", "layers:*64*", "warm=true",
    "seed=9007199254740996", "seed>9007199254740993", "val/acc>0.5", "max(val/acc)>0.8", "min(val/acc)<0.1",
    "mean(val/acc)>0.4", "count(val/acc)=4", "best(val/acc)>0.8", "train/acc>3", "train/acc=nan", "train/acc!=nan",
    "train/ok=true", "phase=main1", "phase:main*", "phase!=warm", "tag:sweep-1", "tag:sweep-*", "tag!=gut", "tag=*",
    "status:completed", "status:failed", "status:running", "status:stale", 'status:"not started"', "status!=failed",
    "val/acc>=0 lr<1", "val/acc>=0 lr<1 status:completed", "max(val/acc)>0.3 min(val/acc)<0.2 count(val/acc)=4",
    "val/acc>=0 lr<0.1 train/acc!=1", "val/acc>=0 train/acc>0", "lr>0 owner:alice", "lr>0 optimizer=adam tag:gut",
    "owner:bob", "owner:b*", "project=vision", "name:lr-1*", "folder:sweep", "host=node1", "host!=node1", "error:boom",
    "error=*", "attempts=1", "rows>3", "rows<1", "started>2023-11-14T22:20", "started<=2023-11-14T22:14",
    "started=2023", "created>2020", "duration>4s", "duration<=2", "readme:läuft", "readme!=läuft", "note:schau",
    "note=*", "alice/vision/**", "**/lr-1*", "bob/*/base/*", "LÄUFT", "sweep läuft lr<0.01 val/acc>0.1 tag:gut",
]  # fmt: skip
ORDERS = [
    "lr", "-lr", "optimizer", "-optimizer", "layers", "seed", "warm", "val/acc", "-max(val/acc)", "min(val/acc)",
    "-best(val/acc)", "train/acc", "-train/acc", "phase", "-phase", "started", "-started", "ended", "duration",
    "-duration", "name", "-prefix", "owner", "status", "rows", "-host", "created", "-created", "active", "error",
]  # fmt: skip


def test_a_filter_finds_what_python_finds(client: Client) -> None:
    every = listed(client)
    assert len(every) == 12
    names = KnownNames(every)
    for asked in FILTERS:
        bound = bind(parse(asked), names).checked()
        wanted = [each.prefix for each in every if bound.matches(each, NOW)]
        answer = client.get("/experiments", filter=asked)
        assert [each["prefix"] for each in answer["data"]] == wanted, asked
        assert (answer["total"], answer["hasMore"], answer["pending"]) == (len(wanted), False, False)


@pytest.mark.sample(4)
def test_an_order_is_that_of_python_whatever_the_pages_are(client: Client) -> None:
    every = listed(client)
    names = KnownNames(every)
    for asked in ORDERS:
        order = bind_order(asked, names)
        assert order is not None
        wanted = sorted(
            every,
            key=lambda each: sort_key(value_of(order.target, each, NOW), descending=order.descending),
            reverse=order.descending,
        )
        # of equal ones the newest is the first, whichever the order is
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = client.get("/experiments", order=asked, limit=5, **cursor)
            assert page["total"] == 12
            found += [each["prefix"] for each in page["data"]]
            if not page["hasMore"]:
                break
            cursor = {"cursor": page["cursor"]}
        keys = {each.prefix: value_of(order.target, each, NOW) for each in every}
        assert [keys[prefix] for prefix in found] == pytest.approx(
            [keys[each.prefix] for each in wanted], nan_ok=True
        )
        assert sorted(found) == sorted(keys), asked


@pytest.mark.sample(4)
@pytest.mark.parametrize("order", ["max(val/acc)", "-val/acc", "-phase", "params.lr", "train/acc"])
def test_a_filter_and_an_order_go_together(client: Client, order: str) -> None:
    """Also where they are about the same value, which then all have that are found."""
    filters = (
        *("max(val/acc)>0.5", "max(val/acc)!=0.5", "val/acc>0.3", "lr<0.001", "lr!=1", "train/acc=nan"),
        *("train/acc>1", "phase=warm", "phase!=warm", "phase=*", "phase<zzz"),
    )
    for asked in filters:
        wanted = {each["prefix"] for each in client.get("/experiments", filter=asked)["data"]}
        page = client.get("/experiments", filter=asked, order=order)
        assert {each["prefix"] for each in page["data"]} == wanted, asked
        assert (page["total"], len(page["data"])) == (len(wanted), len(wanted))


def test_columns_are_what_was_asked_for(client: Client) -> None:
    page = client.get("/experiments", filter="name=lr-3", columns="params.lr")
    assert (page["data"][0]["params"], page["data"][0]["metrics"]) == ({"lr": 0.001}, {})
    both = client.ask("GET", "/experiments?filter=name%3Dlr-3&columns=optimizer&columns=max(val%2Facc)").body
    assert both["data"][0]["params"] == {"optimizer": "Adam"}
    assert both["data"][0]["metrics"]["val"]["acc"]["max"] == pytest.approx(6 / 7)
    assert both["data"][0]["best"] == [{"metric": "val", "field": "acc", "value": "max"}]
    assert "params" not in client.get("/experiments", filter="name=lr-3")["data"][0]
    assert "note" not in client.get("/experiments", filter="name=lr-3", columns="params")["data"][0]
    texts = client.ask("GET", "/experiments?filter=name%3Dlr-3&columns=readme&columns=note").body["data"][0]
    whole = client.get(f"/experiments/{texts['id']}")
    assert (texts["readme"], texts["note"]) == (whole["readme"], whole["note"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"filter": "lrr<1"}, "did you mean lr"),
        ({"filter": "lr <"}, "needs a value behind it"),
        ({"filter": "lr<x"}, "is a number everywhere"),
        ({"order": "nothing"}, "no experiment has"),
        ({"order": "a b"}, "write one name"),
        ({"columns": "nothing"}, "no experiment has"),
        ({"columns": "a b"}, "write one name"),
        ({"order": "acc"}, "may be train/acc, val/acc"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_where_and_what_is_possible(
    client: Client, asked: dict[str, Any], message: str
) -> None:
    answer = client.ask("GET", "/experiments", **asked)
    assert (answer.status, answer.error["code"]) == (400, "invalid")
    assert message in answer.error["message"]
    (problem,) = answer.error["problems"]
    assert message in problem["message"]
    assert 0 <= problem["start"] <= problem["stop"] <= len(next(iter(asked.values())))


def test_what_goes_with_no_filter_is_refused(client: Client) -> None:
    as_of = client.get("/experiments")["asOf"]
    questions: tuple[dict[str, Any], ...] = (
        {"order": "lr", "cursor": "x"},
        {"order": "lr", "cursor": client.get("/experiments", limit=1)["cursor"]},
        {"filter": "x", "cursor": client.get("/experiments", limit=1, order="name")["cursor"]},
        {"filter": "x", "changed_since": as_of},
        {"filter": "x" * 5000},
    )
    for asked in questions:
        answer = client.ask("GET", "/experiments", **asked)
        assert (answer.status, answer.error["code"]) == (400, "invalid"), asked


def test_other_arguments_hold_as_well(client: Client) -> None:
    found = client.get(
        "/experiments", filter="lr<0.1", owner="alice", folder="sweep", tag="gut", search="läuft"
    )
    names = [each["name"] for each in found["data"]]
    assert names == ["lr-11", "lr-7"]
    assert client.get("/experiments", order="lr", status="COMPLETED", limit=1)["total"] == 2


def test_names_of_other_owners_are_not_told(filled: EmbeddedServer, client: Client) -> None:
    id_ = client.create("carol/p/secret")
    client.stored(id_, frame(1, objects(PARAMS, [(NOON, {"set": {"lr_secret": 1}})])))
    grants = [{"owner": "alice", "scope": "read"}]
    token = client.post("/tokens", {"name": "reader", "grants": grants}).body["token"]
    reader = Client(filled.url, token)
    answer = reader.ask("GET", "/experiments", filter="lr_secre<1")
    assert answer.status == 400
    assert "lr_secret" not in answer.error["message"]
    assert "lr_secret" in client.ask("GET", "/experiments", filter="lr_secre<1").error["message"]
    assert {each["owner"] for each in reader.get("/experiments", order="lr")["data"]} == {"alice"}
    assert client.ask("DELETE", f"/experiments/{id_}").status == 200
    assert client.get("/experiments", filter="lr_secret=1")["data"] == []
    assert client.post(f"/experiments/{id_}/restore", {}).status == 200
    assert [each["id"] for each in client.get("/experiments", filter="lr_secret=1")["data"]] == [id_]
    assert client.ask("DELETE", f"/experiments/{id_}").status == 200


def test_what_was_stored_before_a_list_is_in_it(client: Client) -> None:
    id_ = client.create("dora/p/new")
    for seq, value in enumerate((0.5, 3.0, 2.0), 1):
        client.stored(id_, frame(seq, objects(VAL, [(NOON, {"fresh": value})])))
        page = client.get(
            "/experiments", owner="dora", filter=f"last(val/fresh)={value}", columns="val/fresh"
        )
        assert [each["metrics"]["val"]["fresh"]["last"] for each in page["data"]] == [value]
    client.stored(id_, frame(4, objects(PARAMS, [(NOON, definition_row("val", "fresh", "min"))])))
    assert client.get("/experiments", owner="dora", filter="best(val/fresh)=0.5")["total"] == 1
    assert client.ask("DELETE", f"/experiments/{id_}").status == 200


def test_names_that_differ_in_what_databases_refuse_list_an_experiment_once(client: Client) -> None:
    id_ = client.create("erin/p/odd")
    rows = [(NOON, {"x?": 1.0, "x\ud800": 2.0})]
    params = objects(PARAMS, [(NOON, {"set": {"odd\0name": 3, "odd name": 4, "odder\0": 5}})])
    client.stored(id_, frame(1, params, objects(VAL, rows)))
    for asked in ('"odd name"', "val/x?", '"odder "'):
        for order in (asked, f"-{asked}"):
            page = client.get("/experiments", owner="erin", order=order, filter=f"{asked}>0")
            assert ([each["prefix"] for each in page["data"]], page["total"]) == (["erin/p/odd"], 1)
    assert client.get("/experiments", owner="erin", filter='"odd name"=3')["total"] == 0
    assert client.ask("DELETE", f"/experiments/{id_}").status == 200


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
def test_no_question_looks_at_all_rows_of_a_table_of_values(store: Store) -> None:
    """Of each statement that is asked, the plan: values are found by an index, and blocks are not looked at."""
    is_sqlite = store.database.dialect == "sqlite"
    from ml_dash.identity import parse_prefix
    from ml_dash.server.catalogue.records import Introduction

    store.experiments.upsert(Introduction(parse_prefix("a/b/c", user=str, now_ns=lambda: NOON)))
    with store.database.write() as connection:
        for is_param, metric, name in (("true", "", "lr"), ("false", "val", "acc")):
            connection.execute(
                text(f"INSERT INTO names VALUES ({is_param}, '{metric}', '{name}', 'a', true)")
            )
        if not is_sqlite:
            # so little is in them that it would scan whatever there is
            connection.execute(
                text(
                    "ALTER DATABASE " + str(store.database.engine.url.database) + " SET enable_seqscan = off"
                )
            )
    store.database.engine.dispose()
    with plans(store.database) as found:
        for asked in (
            Search("max(val/acc)>0.9 lr<0.1", "-max(val/acc)", ("lr", "val/acc")),
            Search("val/acc>0.5", "lr", ("params", "metrics")),
            Search("lr=1 tag:x", None),
            Search("", "-val/acc"),
        ):
            page_of(store, ExperimentFilter(asked=asked), 100, None)
            page_of(store, ExperimentFilter(owners=frozenset({"a"}), asked=asked), 100, None)
    assert len(found) > 20
    assert [plan for plan in found if "blocks" in plan] == []
    scans = [plan for plan in found if plan.strip().startswith(("SCAN", "Seq Scan", "->  Seq Scan"))]
    tables = ("params", "metric_fields", "series", "experiment_tags")
    assert [plan for plan in scans if any(f" {table} " in plan.partition("<-")[0] for table in tables)] == []


def test_a_list_says_where_rows_of_before_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        client.create("a/p/r")
        assert server.store is not None
        monkeypatch.setattr(type(server.store.lists), "bring_in", lambda *_, **__: False)
        assert client.get("/experiments", order="name")["pending"] is True


def test_what_several_things_are_common_to_is_counted_without_a_deleted_one(
    filled: EmbeddedServer, client: Client
) -> None:
    """Of whom others tell, too: who may see one owner's experiments alone is told how many those are."""
    asked = {"filter": "val/acc>=0 lr<1"}
    before = client.get("/experiments", **asked)
    gone = before["data"][0]
    assert client.ask("DELETE", f"/experiments/{gone['id']}").status == 200
    try:
        answer = client.get("/experiments", **asked)
        assert answer["total"] == before["total"] - 1 == len(answer["data"])
        grants = [{"owner": "alice", "scope": "read"}]
        token = client.post("/tokens", {"name": "one owner", "grants": grants}).body["token"]
        own = Client(filled.url, token).get("/experiments", **asked)
        wanted = [each["prefix"] for each in answer["data"] if each["owner"] == "alice"]
        assert (own["total"], [each["prefix"] for each in own["data"]]) == (len(wanted), wanted)
    finally:
        client.post(f"/experiments/{gone['id']}/restore", {})
