"""How much parameters matter for a metric."""

from __future__ import annotations

import math
import random
import sys
from typing import Any

import pytest

from ml_dash.server.rows.importance import LEAST_RUNS, Runs
from tests.support.serving import NOON, PARAMS, Client, frame, numbers, objects


def record(value: Any, **params: Any) -> dict[str, Any]:
    return {"params": params, "metrics": {"val": {"acc": {"last": value}}}}


def told(records: list[dict[str, Any]]) -> dict[str, Any]:
    runs = Runs("val", "acc", "last")
    for each in records:
        assert runs.take(each)
    return runs.told()


def test_what_matters_comes_first_and_what_does_not_is_near_nothing() -> None:
    chance = random.Random(1)
    records = []
    for at in range(120):
        lr, kind = 10 ** chance.uniform(-5, -1), chance.choice(["adam", "sgd"])
        value = -math.log10(lr) + (2 if kind == "adam" else 0) + chance.gauss(0, 0.1)
        records.append(record(value, lr=lr, kind=kind, seed=chance.randrange(9), same=1, name=f"run-{at}"))
    found = told(records)
    by_name = {each["param"]: each for each in found["data"]}
    assert found["runs"] == 120
    assert [each["param"] for each in found["data"][:2]] in (["lr", "kind"], ["kind", "lr"])
    assert by_name.keys() == {"lr", "kind", "seed"}, (
        "what is the same for all, or another for each, tells nothing"
    )
    assert found["forest"]["score"] > 0.8
    assert found["forest"]["why"] is None
    assert by_name["lr"]["rankCorrelation"] < -0.5
    assert by_name["lr"]["importance"] > 10 * by_name["seed"]["importance"]
    assert (by_name["kind"]["correlation"], by_name["kind"]["importance"] > 0.3) == (None, True)


def test_it_says_of_how_little_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    few = told([record(float(at), lr=at) for at in range(LEAST_RUNS - 1)])
    assert few["forest"] == {
        "score": None,
        "why": f"{LEAST_RUNS - 1} runs are too few: {LEAST_RUNS} are needed",
    }
    assert (few["data"][0]["correlation"], few["data"][0]["importance"]) == (pytest.approx(1), None)
    chance = random.Random(2)
    noise = told([record(chance.random(), a=chance.random(), b=chance.random()) for _ in range(40)])
    assert noise["forest"]["score"] < 0.2
    nothing = [record(value, a=at) for at, value in enumerate([math.nan, None, "text", True])]
    assert (told(nothing)["runs"], told(nothing)["data"]) == (0, [])
    assert told([record(1.0, a=at) for at in range(12)])["forest"]["why"] == "all runs have the same value"
    odd = told([record(float(at), a=[at % 2], **({"b": 2**80} if at % 3 else {})) for at in range(12)])
    assert {each["param"] for each in odd["data"]} == {"a", "b"}
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    assert (
        "pip install scikit-learn, where the server runs"
        in told([record(float(at), a=at) for at in range(20)])["forest"]["why"]
    )


@pytest.mark.sample(2)
def test_a_server_tells_it_of_what_is_asked_for(client: Client, owner: str) -> None:
    for at in range(12):
        id_ = client.create(f"{owner}/p/{at}", tags=["x"] if at else [])
        rows = [(NOON, {"acc": float(at)})]
        client.stored(
            id_,
            frame(
                1, objects(PARAMS, [(NOON, {"set": {"lr": at / 10}})]), objects(numbers(0, 0).series, rows)
            ),
        )
    found = client.get("/importance", owner=owner, tag="x", metric="train", field="acc", value="max")
    assert (found["runs"], found["total"], found["isPart"]) == (11, 11, False)
    assert (found["data"][0]["param"], found["data"][0]["correlation"]) == ("lr", pytest.approx(1))
    assert client.ask("GET", "/importance", owner=owner).status == 400
