"""Lines of many charts in one answer: errors beside data, deltas, limits, and who may see what."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from ml_dash.protocol import API, MSGPACK
from ml_dash.series import Kind, Series
from ml_dash.server.api import lines
from ml_dash.server.charts.lines import Line, LineRequest, Read, line as draw, read
from ml_dash.server.charts.rows import ChartSource
from ml_dash.server.rows import drawing
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import until
from tests.support.serving import NOON, SECOND, TOKEN, Client, frame, numbers, objects, run_row

Told = list[dict[str, Any]]


def line(experiment: str, field: str = "loss", **more: Any) -> dict[str, Any]:
    return {"experiment": experiment, "metric": "train", "field": field, **more}


def band(ids: list[str], **more: Any) -> dict[str, Any]:
    return {"experiments": ids, "metric": "train", "field": "loss", **more}


def ask(client: Client, *asked: dict[str, Any], **panel: Any) -> Told:
    answer = client.post("/experiments/series", {"panels": [{"lines": asked, **panel}]})
    assert (answer.status, answer.body["rest"]) == (200, []), answer
    return list(answer.body["data"])


def x_and_y(told: dict[str, Any]) -> list[list[float]]:
    return [told["columns"][name]["data"] for name in ("x", "y")]


def test_lines_come_in_one_answer_and_an_error_stands_beside_the_others(client: Client, owner: str) -> None:
    one, two, empty, gone = (client.create(f"{owner}/p/{name}") for name in ("one", "two", "empty", "gone"))
    client.stored(one, frame(1, numbers(0, 6)))
    client.stored(two, frame(1, numbers(10, 3)))
    client.stored(gone, frame(1, numbers(0, 3)))
    assert client.ask("DELETE", f"/experiments/{gone}").status == 200
    panels = [
        {"lines": [line(one), line(two), line(gone), line("exp_" + "9" * 20), line("x"), line(empty)]},
        {"lines": [line(one, "los"), line(one, attempt="7"), line(one, after="x")], "x": "time"},
        {
            "lines": [line(one)],
            "x": "time",
            "start": NOON / SECOND + 1,
            "stop": NOON / SECOND + 3,
            "width": 7,
        },
        {"lines": [line(two)], "x": "loss"},
    ]
    answer = client.post("/experiments/series", {"panels": panels})
    assert (answer.status, answer.body["rest"]) == (200, [])
    told = {(each["panel"], each["line"]): each for each in answer.body["data"]}
    assert x_and_y(told[0, 0]) == [[0, 1, 2, 3, 4, 5], [0, 0.5, 1, 1.5, 2, 2.5]]
    assert x_and_y(told[0, 1]) == [[10, 11, 12], [5, 5.5, 6]]
    assert x_and_y(told[2, 0]) == [[NOON / SECOND + 1, NOON / SECOND + 2], [0.5, 1]]
    assert x_and_y(told[3, 0]) == [[5, 5.5, 6]] * 2
    assert (told[0, 0]["x"], told[0, 0]["resolution"], told[2, 0]["points"]) == ("step", "rows", 2)
    errors = {place: each["error"]["code"] for place, each in told.items() if "error" in each}
    assert errors == {
        (0, 2): "gone",
        (0, 3): "not_found",
        (0, 4): "not_found",
        (0, 5): "not_found",
        (1, 0): "not_found",
        (1, 1): "invalid",
        (1, 2): "invalid",
    }
    assert told[1, 0]["error"]["message"] == "the metric 'train' has no field 'los' (yet): it has loss, step"


def test_what_a_client_has_is_not_sent_again(client: Client, experiment: str) -> None:
    client.stored(experiment, frame(1, numbers(0, 100)), frame(2, run_row(NOON, "start", status="RUNNING")))
    (whole,) = ask(client, line(experiment))
    (same,) = ask(client, line(experiment, after=whole["cursor"]))
    assert same == {"panel": 0, "line": 0, "unchanged": True, "cursor": whole["cursor"]}
    (other,) = ask(
        client, line(experiment, after=whole["cursor"]), x="index", smooth={"kind": "ema", "amount": 0.5}
    )
    assert (other["first"], len(other["columns"]["smooth"]["data"])) == (0, 100)
    client.stored(experiment, frame(3, numbers(100, 20)))
    (more,) = ask(client, line(experiment, after=whole["cursor"]))
    (all_of_it,) = ask(client, line(experiment))
    first = more["first"]
    assert first > 90
    for name in ("x", "y"):
        kept = whole["columns"][name]["data"][:first]
        assert kept + more["columns"][name]["data"] == all_of_it["columns"][name]["data"]


def test_columns_are_bytes_in_msgpack(client: Client, experiment: str) -> None:
    rows = [(NOON + at * SECOND, {"loss": float("nan") if at == 1 else at / 3}) for at in range(4)]
    client.stored(experiment, frame(1, objects(numbers(0, 0).series, rows)))
    body = {"panels": [{"lines": [line(experiment)], "x": "relative"}]}
    raw = client.ask(
        "POST",
        "/experiments/series",
        msgpack.packb(body),
        headers={"Content-Type": MSGPACK, "Accept": MSGPACK},
    )
    columns = raw.body["data"][0]["columns"]
    found = {name: np.frombuffer(each["data"], each["type"]).tolist() for name, each in columns.items()}
    assert found["x"] == [0, 1, 2, 3]
    assert found["y"] == pytest.approx([0, float("nan"), 1 / 3 * 2, 1], nan_ok=True)
    assert (found["nan"], found["count"]) == ([0, 1, 0, 0], [1, 0, 1, 1])
    (plain,) = ask(client, line(experiment), x="relative")
    assert plain["columns"]["min"]["data"][1] is None


def test_what_another_owner_has_is_not_told(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        admin = Client(server.url, TOKEN)
        ids = [admin.create(f"{owner}/p/run") for owner in ("alice", "bob")]
        for id_ in ids:
            admin.stored(id_, frame(1, numbers(0, 3)))
        grants = [{"owner": "alice", "scope": "read"}]
        reader = Client(server.url, admin.post("/tokens", {"name": "t", "grants": grants}).body["token"])
        own, others, unknown = ask(reader, *(line(id_) for id_ in (*ids, "exp_" + "9" * 20)))
        assert x_and_y(own)[0] == [0, 1, 2]
        assert others["error"]["message"].replace(ids[1], "") == unknown["error"]["message"].replace(
            "exp_" + "9" * 20, ""
        )


def test_what_has_no_room_or_no_time_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN, page_bytes=20_000) as server:
        client = Client(server.url, TOKEN)
        id_ = client.create("alice/p/run")
        client.stored(id_, frame(1, numbers(0, 1000)))
        panels = [{"lines": [line(id_), line(id_, "step")], "width": 1000} for _ in range(10)]
        places = [[panel, each] for panel in range(10) for each in range(2)]
        answer = client.post("/experiments/series", {"panels": panels}).body
        assert 0 < len(answer["data"]) < 20
        assert [[each["panel"], each["line"]] for each in answer["data"]] + answer["rest"] == places
        monkeypatch.setattr(lines, "_ANSWER_SECONDS", -1.0)
        answer = client.post("/experiments/series", {"panels": panels}).body
        assert (len(answer["data"]), answer["rest"]) == (1, places[1:]), "one at least"


def test_nothing_more_is_drawn_for_who_has_hung_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two moments of drawing it is seen whether anybody waits for the rest."""
    began, hung_up = threading.Event(), threading.Event()
    drawn: list[LineRequest] = []

    def watched(source: ChartSource, request: LineRequest) -> Line:
        drawn.append(request)
        began.set()
        assert hung_up.wait(60)
        time.sleep(0.002)
        return draw(source, request)

    monkeypatch.setattr(lines, "_SLICE_SECONDS", 0.0)
    monkeypatch.setattr(drawing, "line", watched)
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        client = Client(server.url, TOKEN)
        id_ = client.create("alice/p/run")
        client.stored(id_, frame(1, numbers(0, 10)))
        body = json.dumps({"panels": [{"lines": [line(id_)] * 1000}]}).encode()
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as asking:
            head = f"POST {API}/experiments/series HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            asking.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert began.wait(60)
        hung_up.set()
        until(lambda: b"/experiments/series" in client.ask("GET", "//metrics").body, "an end")
    assert len(drawn) < 1000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "panels=None"),
        ({"panels": [{"lines": [], "x": ""}]}, "panels="),
        ({"panels": [{"lines": [], "width": 0}]}, "panels="),
        ({"panels": [{"lines": [line("x")]}] * 201}, "panels="),
        ({"panels": [{"lines": [line("x")] * 1001}] * 2}, "2,002 lines together: ask for at most 2,000"),
        ({"panels": [{"lines": [line("x")], "start": 2, "stop": 1}]}, "start=2"),
        (
            {"panels": [{"lines": [line("x")], "smooth": {"kind": "ema", "amount": 1}}]},
            "amount=1.0 is not possible",
        ),
        ({"panels": [{"lines": [line("x")], "smooth": {"kind": "median", "amount": 1}}]}, "panels="),
        ({"panels": [{"lines": [line("x", attempt="0")]}]}, "panels="),
        ({"panels": [{"lines": [{"experiment": "x"}]}]}, "a field of a metric, or an expression"),
        ({"panels": [{"lines": [line("x", expression="a")]}]}, "a field of a metric, or an expression"),
        (
            {"panels": [{"lines": [line("x", experiments=["x"])]}]},
            "of one experiment, or of experiments together",
        ),
        (
            {"panels": [{"lines": [{**band(["x"] * 6000)}] * 2}]},
            "12,000 members together: ask for at most 10,000",
        ),
    ],
)
def test_a_question_that_is_none_is_refused(client: Client, body: Any, words: str) -> None:
    answer = client.post("/experiments/series", body)
    assert (answer.status, answer.error["code"]) == (400, "invalid")
    assert words in answer.error["message"]


def test_a_line_is_drawn_over_what_another_metric_was_at_the_time(client: Client, owner: str) -> None:
    id_ = client.create(f"{owner}/p/run")
    tokens = numbers(0, 0).series._replace(name="data")
    client.stored(
        id_,
        frame(1, objects(tokens, [(NOON + at * SECOND, {"tokens": 100 * at}) for at in (1, 3)])),
        frame(2, numbers(0, 5)),
    )
    (told,) = ask(client, line(id_), x="data/tokens")
    assert (told["x"], told["points"]) == ("data/tokens", 4)
    assert x_and_y(told) == [[100, 300], [1.0, 2.0]]
    (same,) = ask(client, line(id_, after=told["cursor"]), x="data/tokens")
    assert same["unchanged"]
    client.stored(id_, frame(3, objects(tokens, [(NOON + 4 * SECOND, {"tokens": 350})])))
    (more,) = ask(client, line(id_, after=told["cursor"]), x="data/tokens")
    assert x_and_y(more) == [[100, 300, 350], [1.0, 1.5, 2.0]]
    (unknown,) = ask(client, line(id_), x="data/tok")
    assert unknown["error"]["message"] == "x='data/tok' is no field of any of its metrics (yet)"
    assert worked_out(client, id_, "2 * train/loss", x="data/tokens") == [[100, 300, 350], [2.0, 3.0, 4.0]]
    (own,) = ask(client, line(id_), x="train/step")
    assert (own["x"], own["points"]) == ("step", 5)


# --- bands


def members(client: Client, owner: str, *lengths: int) -> list[str]:
    """Experiments whose loss at each step is the step plus their number."""
    found = []
    for at, length in enumerate(lengths):
        id_ = client.create(f"{owner}/p/{at}")
        rows = [
            (NOON + step * SECOND, {"step": 2 * step, "loss": float(2 * step + at)}) for step in range(length)
        ]
        client.stored(id_, frame(1, objects(numbers(0, 0).series, rows)))
        found.append(id_)
    return found


def test_a_band_ends_where_its_runs_do_and_lies_between_their_points(client: Client, owner: str) -> None:
    ids = members(client, owner, 5, 5, 3)
    empty = client.create(f"{owner}/p/empty")
    (told,) = ask(client, band([*ids, empty, "exp_" + "9" * 20]))
    assert told["runs"] == {"asked": 5, "drawn": 3}
    columns = {name: column["data"] for name, column in told["columns"].items()}
    assert columns["x"] == [0, 2, 4, 6, 8]
    for at, step in enumerate(columns["x"]):
        count = 3 if step <= 4 else 2
        assert columns["count"][at] == count
        assert columns["y"][at] == pytest.approx(step + (1 if count == 3 else 0.5))
        assert (columns["min"][at], columns["max"][at]) == (step, step + count - 1)
        assert columns["std"][at] == pytest.approx(1 if count == 3 else 0.5**0.5, rel=1e-6)
    odd = client.create(f"{owner}/p/odd")
    series = numbers(0, 0).series
    client.stored(odd, frame(1, objects(series, [(NOON, {"step": each, "loss": 0.0}) for each in (3, 5)])))
    (both,) = ask(client, band([ids[0], odd]))
    assert x_and_y(both) == [[0, 2, 3, 4, 5, 6, 8], [0, 2, 1.5, 2, 2.5, 6, 8]]
    assert both["columns"]["count"]["data"] == [1, 1, 2, 2, 2, 1, 1]
    (stairs,) = ask(client, band([ids[0], odd], fill="last"))
    assert stairs["columns"]["max"]["data"] == [0, 2, 2, 4, 4, 6, 8]
    (cut,) = ask(client, band(ids), start=3, stop=6)
    assert cut["columns"]["x"]["data"] == [4]
    assert cut["columns"]["count"]["data"] == [3]


def test_a_band_of_more_points_than_it_may_have_is_told_at_whole_steps(client: Client, owner: str) -> None:
    ids = members(client, owner, 100, 100)
    (told,) = ask(client, band(ids), width=50)
    x, y = x_and_y(told)
    assert (told["cell"], x[:3], x[-1]) == (4, [0, 4, 8], 198)
    assert y == [each + 0.5 for each in x]
    # neither a spike between two of them is lost, nor a run that is shorter
    spiky, short = client.create(f"{owner}/p/spiky"), client.create(f"{owner}/p/short")
    series = numbers(0, 0).series
    rows = [
        (NOON, {"step": step, "loss": {105: 900.0, 106: -900.0}.get(step, float(step))})
        for step in range(199)
    ]
    client.stored(spiky, frame(1, objects(series, rows)))
    client.stored(short, frame(1, objects(series, [(NOON, {"step": 21, "loss": 5000.0})])))
    (told,) = ask(client, band([*ids, spiky, short]), width=50)
    columns = {name: column["data"] for name, column in told["columns"].items()}
    assert (min(columns["min"]), max(columns["max"])) == (-900, 5000)
    assert columns["max"][columns["x"].index(104)] == 900
    assert columns["min"][columns["x"].index(108)] == -900 or columns["min"][columns["x"].index(104)] == -900
    assert columns["max"][columns["x"].index(20)] == 5000
    assert columns["count"][columns["x"].index(20)] == 4
    (cut,) = ask(client, band(ids), width=50, start=31.7, stop=47.9)
    assert x_and_y(cut)[0] == [32, 34, 36, 38, 40, 42, 44, 46]


def test_a_band_is_drawn_anew_of_what_has_changed_alone(
    client: Client, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = members(client, owner, 5, 5, 5)
    drawn: list[LineRequest] = []

    def watched(source: ChartSource, request: LineRequest) -> Read:
        drawn.append(request)
        return read(source, request)

    monkeypatch.setattr(drawing, "read", watched)
    (told,) = ask(client, band(ids))
    (same,) = ask(client, band(ids, after=told["cursor"]))
    assert (len(drawn), same["unchanged"]) == (3, True)
    client.stored(ids[1], frame(2, objects(numbers(0, 0).series, [(NOON, {"step": 10, "loss": 100.0})])))
    (more,) = ask(client, band(ids, after=told["cursor"]))
    assert (len(drawn), more["columns"]["max"]["data"][-1], more["columns"]["count"]["data"][-1]) == (
        4,
        100,
        1,
    )


# --- expressions


def losses(client: Client, owner: str) -> str:
    id_ = client.create(f"{owner}/p/run")
    series = numbers(0, 0).series
    client.stored(
        id_,
        frame(1, objects(series, [(NOON + at, {"step": at, "loss": 10.0 - at}) for at in range(10)])),
        frame(
            2,
            objects(
                series._replace(name="val"),
                [(NOON + at, {"step": at, "loss": abs(at - 4.0)}) for at in (0, 2, 4, 6)],
            ),
        ),
        frame(
            3,
            objects(
                series._replace(name=None), [(NOON + at, {"step": at, "odd-name": at}) for at in range(3)]
            ),
        ),
    )
    return id_


def worked_out(client: Client, experiment: str, expression: str, **panel: Any) -> list[list[float]]:
    (told,) = ask(client, {"experiment": experiment, "expression": expression}, **panel)
    assert "error" not in told, told
    return x_and_y(told)


def test_expressions_are_worked_out_where_all_have_a_point(client: Client, owner: str) -> None:
    id_ = losses(client, owner)
    assert worked_out(client, id_, "val/loss - train/loss") == [[0, 2, 4, 6], [-6, -6, -6, -2]]
    assert worked_out(client, id_, "cummin(val/loss)") == [[0, 2, 4, 6], [4, 2, 0, 0]]
    assert worked_out(client, id_, "max(val/loss, 3) * 2 ^ 2 / (1 + 1)") == [[0, 2, 4, 6], [8, 6, 6, 6]]
    assert worked_out(client, id_, "-train/loss + 'odd-name'") == [[0, 1, 2], [-10, -8, -6]]
    assert worked_out(client, id_, "sqrt(odd-name)") == [[0, 1, 2], [0, 1, pytest.approx(2**0.5)]]
    assert worked_out(client, id_, "log(val/loss)")[0] == [0, 2, 6], "no number, no point"
    assert worked_out(client, id_, "cummin(val/loss)", start=5)[1] == [0], "what comes before counts"
    assert worked_out(client, id_, "ema(train/loss, 0)", start=3, stop=5) == [[3, 4], [7, 6]]


@pytest.mark.parametrize(
    ("expression", "start", "stop", "words"),
    [
        ("val/los + 1", 0, 7, "no metric 'val/los' (yet); put blanks around an operator"),
        ("val/loss +", 10, 10, "a metric, a number or a function is missing"),
        ("val/loss train/loss", 9, 19, "an operator is missing"),
        ("median(val/loss)", 0, 6, "no function 'median': use abs, log, exp"),
        ("(val/loss", 9, 9, "a ) is missing"),
        ("'val/loss", 0, 1, "this quote is not closed"),
        ("val/loss § 2", 9, 10, "means nothing here"),
        ("min(val/loss)", 0, 13, "min needs two values or more; the one so far is cummin"),
        ("ema(val/loss, 1)", 0, 16, "a weight from 0 to below 1"),
        ("1 + 2", 0, 5, "it has no metric"),
        ("(" * 60 + "a", 51, 52, "nested more than 50 levels deep"),
        ("a" + " + a" * 120, 400, 401, "more than 200 parts"),
    ],
)
def test_an_expression_that_is_none_is_told_where(
    client: Client, owner: str, expression: str, start: int, stop: int, words: str
) -> None:
    (told, other) = ask(
        client, {"experiment": (id_ := losses(client, owner)), "expression": expression}, line(id_)
    )
    assert told["error"]["code"] == "invalid"
    assert words in told["error"]["message"]
    assert [(each["start"], each["stop"]) for each in told["error"]["problems"]] == [(start, stop)]
    assert other["points"] == 10


def test_of_one_step_of_several_ranks_the_mean_is_told(client: Client, experiment: str) -> None:
    """Not what the last of them has logged, as of a step that is repeated; of a rank alone it is its own."""
    for rank, loss in enumerate((1.0, 5.0, 3.5)):
        rows = [(NOON + at * SECOND, {"step": at, "loss": loss + at}) for at in range(3)]
        client.stored(experiment, frame(1, objects(Series(Kind.METRIC, "train"), rows)), writer=f"w-r{rank}")
    (together,) = ask(client, line(experiment), x="step")
    (second,) = ask(client, line(experiment, rank=1), x="step")
    (members,) = ask(client, band([experiment]), x="step")
    wanted = [19 / 6, 25 / 6, 31 / 6]
    assert x_and_y(together) == [[0, 1, 2], pytest.approx(wanted)]
    ends = [together["columns"][name]["data"] for name in ("min", "max", "count")]
    assert ends == [[1, 2, 3], [5, 6, 7], [3, 3, 3]]
    assert x_and_y(second) == [[0, 1, 2], [5, 6, 7]]
    x, y = x_and_y(members)
    assert np.interp([0, 1, 2], x, y) == pytest.approx(wanted)


def test_lines_are_of_a_rank_and_over_another_metric(client: Client, experiment: str) -> None:
    """What was drawn over a clock is drawn again when that goes on, though the line's own rows have not changed."""
    ticks = [(NOON + at * SECOND, {"tick": 100 * at}) for at in range(4)]
    for rank in range(2):
        client.stored(experiment, frame(1, numbers(10 * rank, 3)), writer=f"w-r{rank}")
    client.stored(experiment, frame(1, objects(Series(Kind.METRIC, "clock"), ticks)))
    over = {"x": "clock/tick"}
    (both,) = ask(client, line(experiment))
    (second,) = ask(client, line(experiment, rank=1))
    assert (both["points"], x_and_y(second)) == (6, [[10, 11, 12], [5, 5.5, 6]])
    (wrong,) = ask(client, line(experiment, rank=2))
    assert "there is no such rank, there are 0, 1" in wrong["error"]["message"]
    (drawn,) = ask(client, line(experiment), **over)
    assert x_and_y(drawn)[0] == [0, 100, 200, 300]
    (own,) = ask(client, line(experiment, rank=0), **over)
    assert x_and_y(own) == [[0, 100, 200], [0, 0.5, 1]]
    (same,) = ask(client, line(experiment, after=drawn["cursor"]), **over)
    assert same["unchanged"]
    client.stored(
        experiment, frame(2, objects(Series(Kind.METRIC, "clock"), [(NOON + 11 * SECOND, {"tick": 900})]))
    )
    (later,) = ask(client, line(experiment, after=drawn["cursor"]), **over)
    assert later["columns"]["x"]["data"][-1] == 900
