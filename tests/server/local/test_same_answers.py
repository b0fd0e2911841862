"""What is asked of a root on this disk is answered as a server answers it that has the same experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ml_dash import Experiment
from ml_dash.server.runner import EmbeddedServer
from tests.server.local.ui import PREFIX, ROWS, Ui, serving
from tests.support.serving import TOKEN, Client

Logged = tuple[str, EmbeddedServer]

QUESTIONS = [
    "params",
    "logs",
    "logs?limit=2&start_index=1",
    "logs?level=warn",
    "logs?search=ERROR",
    "logs?limit=0",
    "logs?since=0",
    "logs?until=0",
    "logs?since=0&until=9999999999&limit=2",
    "logs?level=error&since=0",
    "metrics",
    "metrics?start=1",
    "metrics?start=99",
    "metrics?start=1&limit=1",
    "metrics?limit=0",
    "metrics/rows?name=train&start_index=10&limit=5",
    "metrics/rows",
    "metrics/rows?name=nothing",
    "metrics/stats?name=train",
    "metrics/stats?name=eval",
    "metrics/series?name=train&field=loss",
    "metrics/series?name=train&field=loss&width=7",
    "metrics/series?name=train&field=odd&x=step&width=50&start=100&stop=900",
    "metrics/series?name=train&field=loss&x=time&width=20",
    "metrics/series?name=eval&field=nested.a",
    "metrics/series?name=nothing&field=x",
    "metrics/series?field=alone",
    "metrics/rows?name=eval&x=train/step",
    "metrics/rows?x=train/step&limit=3",
    "metrics/rows?name=train&x=alone&start_index=999&limit=3",
    "metrics/series?name=eval&field=loss&x=train/step&width=5",
    "metrics/series?name=train&field=loss&x=eval/loss&width=5",
    "metrics/series?name=train&field=loss&x=nowhere/step",
    "metrics/series?name=train&field=loss&width=5&by=rank",
    "metrics/ranks?name=train",
    "metrics/ranks?name=nothing",
    "metrics/shown?name=train&by=rank",
    "tracks",
    "tracks/entries?topic=pose",
    "tracks/entries?topic=pose&start=1&end=3",
    "tracks/entries?topic=nothing",
    "files",
    "files?versions=true",
    "files?deleted=true",
    "files?path=models",
    "files?pattern=**/*.bin",
    "files?tag=best",
    "files?alias=best",
    "files?alias=latest",
    "files?alias=nothing",
    "files?limit=1",
    "files?limit=0",
]
REFUSED = [
    "metrics/series?name=train",
    "metrics/series?name=train&field=loss&width=0",
    "metrics/rows?start_index=x",
    "metrics/rows?name=train&x=nowhere/step",
    "metrics/rows?name=train&rank=1",
    "metrics/stats?name=train&rank=-1",
    "metrics/series?name=train&field=loss&rank=1",
    "metrics?rank=1",
    "logs?level=loud",
    "logs?unknown=1",
    "files?cursor=x",
]
OF_PLACES = ("cursor",)


@pytest.fixture
async def local_id(ui: Ui) -> str:
    return str((await ui.get("experiments"))["data"][0]["id"])


@pytest.fixture
def remote(logged: Logged) -> tuple[Client, str]:
    client = Client(logged[1].url, TOKEN)
    return client, str(client.get("/experiments", prefix=PREFIX)["data"][0]["id"])


def ask(remote: tuple[Client, str], question: str) -> Any:
    return remote[0].ask("GET", f"/experiments/{remote[1]}/{question}")


@pytest.mark.parametrize("question", QUESTIONS)
async def test_both_answer_the_same(ui: Ui, local_id: str, remote: tuple[Client, str], question: str) -> None:
    here = await ui.get(f"experiments/{local_id}/{question}")
    there = ask(remote, question)
    assert there.status == 200
    # where a page ends is told in words of each library's own
    assert {**here, "cursor": None} == {**there.body, "cursor": None}
    assert (here.get("cursor") is None) == (there.body.get("cursor") is None)


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("params", "params"),
        ("tracks/entries?topic=pose", "entries"),
        ("files?versions=true&deleted=true", "data"),
    ],
)
async def test_small_pages_are_all_of_it(
    logged: Logged, ui: Ui, local_id: str, question: str, field: str
) -> None:
    """A page has room for an item or two, and its cursor asks for the next one."""
    whole = (await ui.get(f"experiments/{local_id}/{question}"))[field]
    found: list[Any] = []
    async with serving(logged[0], page_bytes=60) as small:
        path = f"experiments/{local_id}/{question}"
        page = await small.get(path)
        found += page[field].items() if isinstance(whole, dict) else page[field]
        while page["hasMore"]:
            page = await small.get(f"{path}{'&' if '?' in path else '?'}cursor={page['cursor']}")
            assert len(page[field]) in {1, 2}
            found += page[field].items() if isinstance(whole, dict) else page[field]
    assert len(whole) > 2
    assert found == (list(whole.items()) if isinstance(whole, dict) else whole)


async def test_a_long_track_is_read_by_its_times(tmp_path: Path) -> None:
    """Only what is on a page is read of a journal whose rows lie in any order, once its times are known."""
    exp = Experiment(PREFIX, dash_root=str(tmp_path), echo=False)
    with exp.run:
        for at in reversed(range(20_000)):
            exp.tracks("pose").append(x=at, _ts=float(at))
    async with serving(tmp_path) as ui:
        record = (await ui.get("experiments"))["data"][0]
        page = await ui.get(f"experiments/{record['id']}/tracks/entries?topic=pose&limit=300")
        assert [entry["x"] for entry in page["entries"]] == list(range(300))
        page = await ui.get(f"experiments/{record['id']}/tracks/entries?topic=pose&cursor={page['cursor']}")
        assert [entry["x"] for entry in page["entries"]] == list(range(300, 10_300))


@pytest.mark.parametrize("question", REFUSED)
async def test_both_refuse_the_same(ui: Ui, local_id: str, remote: tuple[Client, str], question: str) -> None:
    here = await ui.get(f"experiments/{local_id}/{question}", 400)
    there = ask(remote, question)
    assert there.status == 400
    assert here["error"]["code"] == there.body["error"]["code"]


async def test_the_records_are_the_same_but_for_what_only_one_knows(
    ui: Ui, local_id: str, remote: tuple[Client, str]
) -> None:
    here = await ui.get(f"experiments/{local_id}")
    there = remote[0].get(f"/experiments/{remote[1]}")
    own = {"id", "createdAt", "updatedAt", "problem", "missing"}
    assert {name: value for name, value in here.items() if name not in own} == {
        name: value for name, value in there.items() if name not in own
    }
    assert here["rows"] > ROWS
    assert (here["problem"], here["missing"]) == (None, [])
    assert local_id.startswith("exp_")
    assert len(local_id) == len(remote[1])


@pytest.mark.parametrize(
    ("question", "count"),
    [
        ("filter=min(train/loss)<0.001&columns=params", 1),
        ("filter=params.lr=0.1 tag:a&columns=metrics&order=-max(train/loss)", 1),
        ("filter=status:completed **/run&columns=train/loss&columns=params.lr&order=started", 1),
        ("filter=train/loss>5", 0),
        ("filter=model.layers:3&owner=alice&status=COMPLETED&tag=b", 1),
        ("order=params.names", 1),
    ],
)
async def test_filters_orders_and_columns_are_the_same(
    ui: Ui, remote: tuple[Client, str], question: str, count: int
) -> None:
    here = await ui.get(f"experiments?{question}")
    there = remote[0].ask("GET", f"/experiments?{quote(question, safe='=&')}").body
    assert [len(each["data"]) for each in (here, there)] == [count, count]
    assert (here["total"], here["hasMore"], here["pending"]) == (count, False, False)
    for one, other in zip(here["data"], there["data"], strict=True):
        shown = ("prefix", "params", "metrics", "best")
        assert {name: one.get(name) for name in shown} == {name: other.get(name) for name in shown}


async def test_a_filter_that_cannot_be_understood_is_refused_alike(
    ui: Ui, remote: tuple[Client, str]
) -> None:
    for question in ("filter=los<1", "order=nothing", "columns=los", "filter=started>soon"):
        here = await ui.get(f"experiments?{question}", 400)
        there = remote[0].ask("GET", f"/experiments?{quote(question, safe='=&')}").body
        # which names are told as possible may come in another order
        told = [[(each["start"], each["stop"]) for each in at["error"]["problems"]] for at in (here, there)]
        assert told[0] == told[1], question
        assert here["error"]["message"][:40] == there["error"]["message"][:40]


async def test_values_are_the_same(ui: Ui, local_id: str, remote: tuple[Client, str]) -> None:
    metrics = [
        {"name": "train", "field": "loss"},
        {"name": "train", "field": "odd"},
        {"name": "eval", "field": "nested.a"},
        {"name": None, "field": "alone"},
        {"name": "nothing", "field": "x"},
    ]
    here = (
        await ui.post("experiments/values", {"ids": [local_id, "exp_" + "0" * 20, "x"], "metrics": metrics})
    )["data"]
    there = remote[0].post("/experiments/values", {"ids": [remote[1]], "metrics": metrics}).body["data"]
    assert len(here) == len(there) == 1
    assert {**here[0], "id": None} == {**there[0], "id": None}
    assert here[0]["params"] == {"lr": 0.1, "model.layers": 3, "names": ["x"]}
    assert here[0]["values"] == [0.5, ROWS - 1, 1, 3, None]


@pytest.mark.parametrize("x", ["step", "index", "time", "relative", "odd", "train/odd"])
async def test_lines_are_the_same(ui: Ui, local_id: str, remote: tuple[Client, str], x: str) -> None:
    smooth = {"kind": "ema", "amount": 0.9}

    def panels(id_: str) -> dict[str, Any]:
        asked = [
            {"experiment": id_, "metric": "train", "field": "loss"},
            {"experiment": id_, "metric": "train", "field": "odd", "attempt": "1"},
            {"experiment": id_, "metric": None, "field": "alone"},
            {"experiment": id_, "metric": "nothing", "field": "loss"},
            {"experiment": id_, "expression": "cummin(train/loss) - 2 * train/odd"},
            {"experiments": [id_, "exp_" + "0" * 20], "metric": "train", "field": "loss"},
        ]
        return {"panels": [{"lines": asked, "x": x, "width": 200, "smooth": smooth}]}

    here = (await ui.post("experiments/series", panels(local_id)))["data"]
    there = remote[0].post("/experiments/series", panels(remote[1])).body["data"]
    assert [each.pop("cursor", None) is None for each in here] == [
        each.pop("cursor", None) is None for each in there
    ]
    assert here == there
    assert ("error" in here[3], here[0]["points"] > 2500) == (True, True)


@pytest.mark.parametrize(
    "question",
    [
        "groups?by=params.lr&by=tags&columns=train/loss",
        "groups?but=params.lr",
        "importance?metric=train&field=loss",
        "groups?by=loss",
    ],
)
async def test_groups_are_the_same(ui: Ui, remote: tuple[Client, str], question: str) -> None:
    there = remote[0].ask("GET", f"/{question}")
    here = await ui.get(question, there.status)
    for group in (each for body in (here, there.body) for each in body.get("data", ())):
        assert len(group.pop("members", [1])) == 1
    assert here == there.body


@pytest.mark.parametrize("span", [None, "bytes=0-0", "bytes=1000000-", "bytes=-5", "bytes=10-1048580"])
async def test_contents_come_whole_or_in_ranges(ui: Ui, local_id: str, span: str | None) -> None:
    files = (await ui.get(f"experiments/{local_id}/files?path=plots"))["data"]
    content = bytes(range(256)) * 5000
    headers = {} if span is None else {"Range": span}
    path = f"/api/v1/experiments/{local_id}/files/{files[0]['id']}/content"
    async with ui.client.get(path, headers=headers) as response:
        assert response.status == (200 if span is None else 206)
        body = await response.read()
        assert response.headers["Content-Disposition"].startswith("attachment")
    expected = {
        None: content,
        "bytes=0-0": content[:1],
        "bytes=1000000-": content[1000000:],
        "bytes=-5": content[-5:],
        "bytes=10-1048580": content[10:1048581],
    }
    assert body == expected[span]


async def test_rows_stream_as_the_journals_blocks(ui: Ui, local_id: str) -> None:
    async with ui.client.get(f"/api/v1/experiments/{local_id}/blocks?kind=1&name=train") as response:
        assert response.status == 200
        assert len(await response.read()) > ROWS * 8
