"""A server as a place: what it answers, and what comes of answers that are old, late, or make no sense."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

import ml_dash
from ml_dash import InvalidArgumentError, InvalidFilterError, RemoteError
from ml_dash.client.api import Client
from ml_dash.client.listing import find_one
from ml_dash.client.transport import Answer
from ml_dash.journal.objects import to_msgpack
from ml_dash.places.remote import RemotePlace
from ml_dash.query.listing.filters import parse
from ml_dash.query.listing.summary import FieldSummary
from tests.support.seen import TOKEN
from tests.support.serving import Client as Caller
from tests.support.two_places import TestPlace, new_place

URL = "https://dash.example.org"
RECORD: dict[str, Any] = {
    **dict(
        id="exp_1",
        prefix="a/p/x",
        owner="a",
        project="p",
        folder="",
        name="x",
        tags=["t"],
        bindrs=[],
        stop=None,
        metadata=None,
    ),
    **dict(
        status="COMPLETED",
        stale=False,
        createdAt="2026-01-31T12:00:00.000001Z",
        updatedAt="2026-01-31T12:00:00.000001Z",
    ),
    **dict(
        startedAt="2026-01-31T12:00:00.000001Z",
        endedAt=None,
        lastActivity=None,
        host=None,
        error=None,
        rows=3,
        entries=5,
    ),
    **dict(
        attempts=1,
        deletedAt=None,
        best=[dict(metric="val", field="acc", value="max"), dict(metric=None, field="r", value="last")],
        params={"lr": 0.1, "none": None},
    ),
    "metrics": {
        "": {"r": FieldSummary(count=1, last=2).to_json()},
        "val": {"acc": FieldSummary(1).to_json()},
    },
}


class Answers:
    """A transport that gives prepared answers and remembers what was asked."""

    url = URL
    is_loopback = False

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.paths: list[str] = []

    async def request(self, method: str, path: str, **_: Any) -> Answer:
        assert method == "GET"
        self.paths.append(path)
        return self.answers.pop(0)

    def stream(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


def packed(data: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/msgpack"}, to_msgpack(data))


def page(*records: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    return {
        "data": list(records),
        "total": len(records),
        "hasMore": cursor is not None,
        "cursor": cursor,
        "asOf": "1",
    }


def place_of(*answers: Any) -> tuple[RemotePlace, Answers]:
    transport = Answers(*answers)

    return RemotePlace(Client(transport), run), transport


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def asked(transport: Answers) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(path).query)) for path in transport.paths]


def test_a_record_has_parameters_summaries_and_what_is_best() -> None:
    place, transport = place_of(packed(page(RECORD)))
    (found,) = place.find("lr<1 é&x", "-max(val/acc)")
    assert (found.prefix, found.place, found.tags, found.status) == ("a/p/x", URL, ("t",), "COMPLETED")
    assert (found.created_ns, found.ended_ns) == (1769860800_000001000, None)
    assert found.params == {"lr": 0.1, "none": None}
    assert found.metrics[None] == {"r": FieldSummary(count=1, last=2)}
    assert found.best == {("val", "acc"): "max", (None, "r"): "last"}
    (query,) = asked(transport)
    assert (query["filter"], query["order"]) == ("lr<1 é&x", "-max(val/acc)")


def test_pages_are_asked_for_as_they_are_needed() -> None:
    others = [{**RECORD, "id": f"exp_{number}", "prefix": f"a/p/{number}"} for number in range(4)]
    answers = [packed(page(*others[:2], cursor="next")), packed(page(*others[2:]))]
    place, transport = place_of(*answers)
    found = place.find()
    assert [next(found).prefix, next(found).prefix] == ["a/p/0", "a/p/1"]
    assert len(transport.paths) == 1
    assert [each.prefix for each in found] == ["a/p/2", "a/p/3"]
    assert asked(transport)[1]["cursor"] == "next"
    place, transport = place_of(*answers)
    assert len(list(place.find(limit=2))) == 2
    assert (len(transport.paths), asked(transport)[0]["limit"]) == (1, "2")
    assert list(place_of()[0].find(limit=0)) == []


def test_what_the_server_cannot_understand_is_told_as_if_it_were_said_here() -> None:
    said = {
        "code": "invalid",
        "message": "filter='lrr<1' …",
        "problems": [{"start": 0, "stop": 5, "message": "no lrr"}],
    }
    place, _ = place_of(packed({"error": said}, 400))
    with pytest.raises(InvalidFilterError, match=r"at ‘lrr<1’ \(character 1\): no lrr") as raised:
        list(place.find("lrr<1"))
    assert raised.value.problems == [(0, 5, "no lrr")]
    place, _ = place_of(packed({"error": {**said, "message": "order='-lrr' …"}}, 400))
    with pytest.raises(InvalidFilterError, match="order='-lrr'"):
        list(place.find("", "-lrr"))


@pytest.mark.parametrize(
    "answer",
    [
        packed(
            {
                "error": {
                    "code": "invalid",
                    "message": "filter='': this path has no such argument: give prefix",
                }
            },
            400,
        ),
        packed(page({name: value for name, value in RECORD.items() if name not in {"params", "metrics"}})),
    ],
    ids=["refuses", "ignores"],
)
def test_an_older_server_is_told(answer: Any) -> None:
    place, _ = place_of(answer)
    with pytest.raises(
        RemoteError, match=r"older version, which cannot filter experiments: update it.*ml_dash.open\(\)"
    ):
        list(place.find("lr<1"))


@pytest.mark.parametrize("problems", [None, "x", [3], [{"start": 0}]])
def test_another_error_stays_what_it_is(problems: Any) -> None:
    place, _ = place_of(packed({"error": {"code": "invalid", "message": "why", "problems": problems}}, 400))
    with pytest.raises(RemoteError, match="why"):
        list(place.find("lr<1"))


def test_the_one_of_a_prefix_is_found_whatever_is_in_its_name() -> None:
    record = {**RECORD, "prefix": 'a/p/"x\\'}
    transport = Answers(packed(page({**RECORD, "prefix": 'a/p/"X\\'}, record)), packed(page(RECORD)))
    client = Client(transport)
    found = find_one(client, run, record["prefix"])
    assert found is not None
    assert found.prefix == record["prefix"]
    assert asked(transport)[0]["filter"] == 'prefix = "a/p/\\"x\\\\"'
    assert parse(asked(transport)[0]["filter"]).comparisons[0].value == record["prefix"]
    assert find_one(client, run, "a/p/y") is None


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="half a surrogate pair"):
        list(place_of()[0].find("\ud800"))


def test_rows_that_are_still_read_are_told() -> None:
    place, _ = place_of(packed(page({**RECORD, "pending": True})))
    with pytest.warns(UserWarning, match="still reading what an older version"):
        assert len(list(place.find())) == 1


# --- tokens, of a real server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlace]:
    found = new_place("server", tmp_path_factory.mktemp("server"))
    yield found
    assert found.server is not None
    found.server.stop()


@pytest.fixture
def lab(shared: TestPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TestPlace:
    """A server with an experiment of each of two owners."""
    shared.settings(monkeypatch)
    for owner, lr in (("alice", 0.1), ("bob", 0.2)):
        with shared.experiment(f"{owner}/p/run") as exp:
            exp.params.set(**{f"lr_{owner}": lr})
    return shared


def token(place: TestPlace, owner: str, scope: str) -> str:
    assert place.server is not None
    caller = Caller(place.server.url, TOKEN)
    answer = caller.post("/tokens", {"name": "laptop", "grants": [{"owner": owner, "scope": scope}]})
    caller.close()
    return str(answer.body["token"])


def test_a_token_that_may_only_read_sees_its_own_experiments_and_names(
    lab: TestPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", token(lab, "alice", "read"))
    (run,) = ml_dash.experiments(lab.where)
    assert (run.prefix, run.params.get()) == ("alice/p/run", {"lr_alice": 0.1})
    assert ml_dash.experiments(lab.where).to_pandas(["prefix", "lr_alice"]).shape == (1, 2)
    with pytest.raises(InvalidFilterError) as raised:
        len(ml_dash.experiments(lab.where, "lr_bob=0.2"))
    assert "there are lr_alice, " in str(raised.value)  # and no word of what only others have
    monkeypatch.setenv("ML_DASH_TOKEN", token(lab, "carol", "read"))
    assert list(ml_dash.experiments(lab.where, "lr_alice=0.1")) == []


def test_a_token_that_is_unknown_is_told(lab: TestPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", "mld_" + "x" * 43)
    with pytest.raises(RemoteError, match="token"):
        len(ml_dash.experiments(lab.where))
