"""What makes rules fire, how often, and what is told, on both databases."""

from __future__ import annotations

import math
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete

from ml_dash.journal.blocks import Block, Column
from ml_dash.query.times import iso_time
from ml_dash.series import Kind, Series
from ml_dash.server.alerts.rules import ABOVE, WEBHOOK, Condition, Destination, Rule
from ml_dash.server.db.tables import RULE_FIRINGS
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.server.alerts.place import ALERTS, MINUTE, Place
from tests.support.receiving import Receiver, receiving
from tests.support.serving import SECOND, TOKEN, Client, objects, run_row, until


def texts(hook: Receiver) -> list[str]:
    return [firing["summary"] for got in hook.got for firing in got.body["firings"]]


def test_a_value_beyond_its_bound_is_told_once_an_attempt(place: Place, hook: Receiver) -> None:
    rule = place.rule(
        "above", metric="val/loss", bound=3, to={"kind": "webhook", "url": hook.url, "secret": "s3cret-s3"}
    )
    run = place.run()
    place.log(run, "val", loss=2.5, step=1)
    place.log(run, "train", loss=9.0, step=1)
    place.log(run, "val", loss=3.5, step=2)
    (got,) = hook.wait_for(1)
    place.log(run, "val", loss=4.5, step=3)
    place.log(run, "val", loss=5.5, step=4)
    place.settled()
    assert len(hook.got) == 1, "once is enough"
    assert got.is_signed("s3cret-s3")
    assert not got.is_signed("s3cret-s4")
    body = got.body
    assert (got.id, body["count"], body["experiments"], body["test"]) == (body["id"], 1, 1, False)
    assert body["title"] == f"[mine] {run}: val/loss is 3.5 at step 2 (above 3)"
    assert body["rule"]["id"] == rule["id"]
    (firing,) = body["firings"]
    assert (firing["metric"], firing["value"], firing["step"]) == ("val/loss", 3.5, 2)
    assert firing["experiment"]["prefix"] == run
    assert firing["experiment"]["url"] == f"https://dash.example.org/experiments/{run}"
    # another attempt is another story
    place.end(run, "COMPLETED", None)
    place.send(run, run_row(place.clock.now_ns + 1, "start", handle="h2"))
    place.log(run, "val", loss=7.0)
    place.later(2)
    assert hook.wait_for(2)[1].body["firings"][0]["value"] == 7.0
    place.settled()
    told = place.told(rule)
    assert (told["fired"], told["problem"], told["lastDeliveredAt"]) == (
        2,
        None,
        iso_time(place.clock.now_ns),
    )


def test_a_rule_that_is_armed_again_tells_again(place: Place, hook: Receiver) -> None:
    place.rule("below", metric="acc", bound=0.5, rearmMinutes=10)
    run = place.run()
    place.log(run, None, acc=0.4)
    hook.wait_for(1)
    place.later(5)
    place.log(run, None, acc=0.3)
    place.settled()
    assert len(hook.got) == 1
    place.later(6)
    place.log(run, None, acc=0.2)
    assert hook.wait_for(2)[1].body["firings"][0]["value"] == 0.2


def told(hook: Receiver) -> list[tuple[str, str]]:
    return [
        (got.body["rule"]["when"], firing["experiment"]["prefix"].rpartition("/")[2])
        for got in hook.got
        for firing in got.body["firings"]
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", [None, "train/grad"])
def test_what_is_no_number_is_told(value: float, metric: str | None, place: Place, hook: Receiver) -> None:
    place.rule("nonfinite", metric=metric)
    run = place.run()
    place.log(run, "train", grad=1.0, loss=2.0, step=1)
    place.log(run, "train", grad=value, step=7)
    (got,) = hook.wait_for(1)
    assert f"train/grad is {value:g} at step 7" in got.body["title"]


@pytest.mark.parametrize("when", ["above", "below"])
def test_nan_is_beyond_no_bound_and_infinity_is(when: str, place: Place, hook: Receiver) -> None:
    place.rule(when, metric="train/loss", bound=0)
    run = place.run()
    place.log(run, loss=math.nan)
    place.settled()
    assert hook.got == []
    place.log(run, loss=math.inf if when == "above" else -math.inf)
    hook.wait_for(1)


def test_values_are_found_wherever_they_are(place: Place, hook: Receiver) -> None:
    """In nested dicts, among many fields, of many rows, among other kinds, in metrics with slashes in their names."""
    place.rule("above", metric="a/b/c.d", bound=10, rearmMinutes=1)
    run = place.run()
    place.log(run, "a/b", c={"d": 11})
    hook.wait_for(1)
    place.later(2)
    place.log(run, "a/b", **{f"field{number}": 0.0 for number in range(300)}, c={"d": 12.5})
    hook.wait_for(2)
    place.later(2)
    rows = 5000
    values = np.zeros(rows)
    values[1234] = 13
    times = [place.clock.now_ns + row for row in range(rows)]
    columns = [Column("c.d", "f", None, values), Column("step", "i", None, np.arange(rows) + 100)]
    place.send(run, Block(Series(Kind.METRIC, "a/b"), times, columns))
    hook.wait_for(3)
    place.later(2)
    for odd in ("text", None, [1, 2], {"d": "x"}, True):
        place.log(run, "a/b", c=odd)
        place.log(run, "a/b", **{"c.d": odd})
    place.log(run, "a", **{"b/c.d": 99})
    hook.wait_for(4)
    assert [got.body["firings"][0]["value"] for got in hook.got] == [11, 12.5, 13, 99]
    assert [got.body["firings"][0]["step"] for got in hook.got] == [None, None, 1334, None]


def test_a_run_that_fails_is_told_with_its_error_and_others_are_not(place: Place, hook: Receiver) -> None:
    place.rule("failed")
    for status, error in (("COMPLETED", None), ("CANCELLED", None), ("FAILED", "ValueError: no\nway")):
        place.end(place.run(status.lower()), status, error)
    (got,) = hook.wait_for(1)
    assert got.body["title"] == f"[mine] {place.owner}/p/failed: failed: ValueError: no way"
    assert got.body["firings"][0]["error"] == "ValueError: no\nway"
    place.later(2)
    place.settled()
    assert len(hook.got) == 1


def test_runs_that_were_over_before_there_was_a_rule_are_no_news(place: Place, hook: Receiver) -> None:
    """Years of runs are sent at once, or a rule is made for them."""
    before = place.run("before")
    place.end(before)
    place.clock.now_ns += 20 * MINUTE
    place.rule("failed")
    place.rule("nonfinite")
    now = place.clock.now_ns
    place.clock.now_ns -= 15 * MINUTE
    late = place.run("late")
    place.log(late, loss=math.nan)
    place.end(late)
    place.clock.now_ns = now
    place.settled()
    assert hook.got == []
    fresh = place.run("fresh")
    place.end(fresh)
    hook.wait_for(1)


def test_alerts_of_a_level_or_above_are_told(place: Place, hook: Receiver) -> None:
    place.rule("alert", level="warning")
    run = place.run()
    place.alert(run, "fine", level="info")
    place.settled()
    assert hook.got == []
    said = {"title": "a", "text": "b\x1b[2J" + "c" * 9000, "level": "error", "held": 3}
    place.send(run, objects(ALERTS, [(place.clock.now_ns, said)]))
    (got,) = hook.wait_for(1)
    assert got.body["title"].startswith(f"[mine] {run}: error: a: b [2Jccc")
    assert len(got.body["title"]) < 700
    assert len(got.raw) < 10_000
    place.later(2)
    place.alert(run, "again", level="error")
    hook.wait_for(2)
    assert texts(hook)[1:] == ["error: again"]


@pytest.mark.slow
def test_a_storm_is_one_message_a_minute_with_a_count(place: Place, hook: Receiver) -> None:
    """10,000 alerts, in one request and in many, of several runs."""
    rule = place.rule("alert")
    runs = [place.run(f"run{number}") for number in range(4)]
    place.alert(runs[0], "first")
    hook.wait_for(1)
    place.settled()
    place.alert(runs[0], *(f"title {number}" for number in range(9800)))
    for number in range(200):
        place.alert(runs[number % 4], f"more {number}")
    place.settled()
    assert len(hook.got) == 1
    place.later(1.1)
    second = hook.wait_for(2)[1].body
    place.settled()
    place.later(5)
    place.settled()
    assert len(hook.got) == 2
    assert (second["count"], second["experiments"], len(second["firings"])) == (10_000, 4, 4)
    assert second["title"] == "[mine] 10,000 times in 4 experiments: alert of level info or above"
    assert second["firings"][0]["summary"].endswith("(9,850 times)")
    assert place.told(rule)["fired"] == 10_001


@pytest.mark.slow
def test_many_runs_that_fail_at_once_are_one_message(place: Place, hook: Receiver) -> None:
    place.rule("failed")
    for number in range(30):
        place.end(place.run(f"run{number}"))
    place.settled()
    place.later(1.1)
    until(lambda: sum(got.body["count"] for got in hook.got) == 30, "all are told")
    bodies = [got.body for got in hook.got]
    assert len(bodies) <= 2
    assert all(len(body["firings"]) <= 10 for body in bodies)


def test_only_what_the_filter_means_and_only_of_the_owner(place: Place, hook: Receiver) -> None:
    other = Place(place.server, place.clock, hook)
    place.rule("failed", filter=f"{place.owner}/p/a-* tag:sweep")
    for who, name, tags in (
        (place, "a-tagged", ["sweep", "x"]),
        (place, "a-plain", ["x"]),
        (place, "b-tagged", ["sweep"]),
        (other, "a-tagged", ["sweep"]),
    ):
        who.end(who.run(name, tags=tags))
    hook.wait_for(1)
    place.later(2)
    place.settled()
    assert [got.body["firings"][0]["experiment"]["prefix"] for got in hook.got] == [
        f"{place.owner}/p/a-tagged"
    ]


def test_filters_ask_for_parameters_and_metrics_too(place: Place, hook: Receiver) -> None:
    seed = place.run("seed")
    place.send(seed, objects(Series(Kind.PARAMS, None), [(place.clock.now_ns, {"set": {"lr": 1.0}})]))
    place.rule("nonfinite", filter="params.lr<0.1")
    for name, lr in (("small", 0.01), ("large", 0.5)):
        run = place.run(name)
        place.send(run, objects(Series(Kind.PARAMS, None), [(place.clock.now_ns, {"set": {"lr": lr}})]))
        place.log(run, loss=math.nan)
    hook.wait_for(1)
    place.later(2)
    place.settled()
    assert [got.body["firings"][0]["experiment"]["prefix"] for got in hook.got] == [f"{place.owner}/p/small"]


def test_a_run_that_says_nothing_any_more_is_told_each_time(place: Place, hook: Receiver) -> None:
    place.later(10)  # the server has listened for so long
    long_dead = place.run("long-dead")
    place.clock.now_ns += 30 * MINUTE
    place.rule("silent", minutes=5, filter=f"{place.owner}/p/*")
    place.rule("silent", minutes=5, filter=f"{place.owner}/other/**")
    run, done = place.run(), place.run("done")
    place.end(done, "COMPLETED", None)
    place.later(4)
    place.send(run, run_row(place.clock.now_ns, "heartbeat"))
    place.later(4)
    place.settled()
    assert hook.got == []
    since = iso_time(place.clock.now_ns - 4 * MINUTE)
    place.later(2)
    (got,) = hook.wait_for(1)
    assert [each["experiment"]["prefix"] for each in got.body["firings"]] == [run]
    assert got.body["firings"][0]["since"] == since
    for _ in range(3):
        place.later(20)
        place.settled()
    assert len(hook.got) == 1, f"{long_dead} was silent before, and {run} was told"
    place.send(run, run_row(place.clock.now_ns, "heartbeat"))
    place.later(6)
    hook.wait_for(2)


def test_of_two_servers_on_one_database_each_thing_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, shared_place: Any, place: Place, hook: Receiver
) -> None:
    server, clock = shared_place
    database = server._settings.database_url
    with EmbeddedServer(
        data=server._settings.data,
        database=database,
        admin_token=TOKEN,
        clock=clock,
        alerts_allowed=("127.0.0.1",),
    ) as second:
        both = [place, Place(second, clock, hook)]
        both[1].owner = place.owner
        place.rule("failed")
        place.rule("nonfinite")
        place.rule("silent", minutes=5)
        assert second.store is not None
        second.store.alerts.refresh()
        for number in range(6):
            who = both[number % 2]
            run = who.run(f"run{number}")
            who.log(run, loss=math.nan)
            if number < 4:
                who.end(run)

        def is_told(count: int) -> bool:
            for each in both:
                each.look()
            return len(told(hook)) >= count

        for minutes, count in ((1.1, 10), (6, 10), (1.1, 12), (2, 12), (60, 12)):
            clock.now_ns += int(minutes * MINUTE)
            until(partial(is_told, count), "all that has fired is told")
            for each in both:
                each.settled()
        both[1].client.close()
    expected = [("failed", f"run{number}") for number in range(4)]
    expected += [("nonfinite", f"run{number}") for number in range(6)]
    expected += [("silent", f"run{number}") for number in (4, 5)]
    assert sorted(told(hook)) == sorted(expected)
    assert len({got.id for got in hook.got}) == len(hook.got)


def test_what_was_fired_for_goes_with_its_experiment_and_its_rule(place: Place, hook: Receiver) -> None:
    rule = place.rule("alert")
    run = place.run()
    place.alert(run, "one")
    hook.wait_for(1)
    place.settled()
    place.alert(run, "two")
    place.settled()
    assert place.client.ask("DELETE", f"/rules/{rule['id']}").body == {"deleted": True}
    place.alert(run, "three")
    place.later(5)
    assert place.client.ask("DELETE", f"/rules/{rule['id']}").status == 404
    assert len(hook.got) == 1


def test_a_rule_that_was_changed_waits_for_what_it_says_now(place: Place, hook: Receiver) -> None:
    """Also in an attempt of which it has told, and of which its former filter has left it out."""
    rule = place.rule("above", metric="train/loss", bound=3)
    run = place.run()
    place.log(run, loss=4)
    hook.wait_for(1)
    place.later(2)
    assert place.told(rule)["fired"] == 1
    body = {"name": "mine", "when": "above", "metric": "train/loss", "bound": 10}
    assert place.client.put(f"/rules/{rule['id']}", {**body, "filter": f"{place.owner}/q/**"}).status == 200
    place.log(run, loss=11)
    place.settled()
    assert place.client.put(f"/rules/{rule['id']}", body).body["fired"] == 0
    place.log(run, loss=5)
    place.settled()
    assert len(hook.got) == 1, "the bound is another one now"
    place.log(run, loss=12)
    hook.wait_for(2)
    place.later(2)
    assert texts(hook) == ["train/loss is 4 (above 3)", "train/loss is 12 (above 10)"]
    # another name is no other rule: what was told once in an attempt is not told again
    assert place.client.put(f"/rules/{rule['id']}", {**body, "name": "louder"}).body["fired"] == 1
    place.log(run, loss=13)
    place.settled()
    assert len(hook.got) == 2


def test_what_nobody_has_taken_goes_where_the_rule_tells_now(place: Place, hook: Receiver) -> None:
    """Who mends an address need not wait for the next failure to see that it is right."""
    hook.answer = lambda _: (500, {})
    rule = place.rule("failed")
    place.end(place.run())
    (first,) = hook.wait_for(1)
    until(lambda: place.told(rule)["problem"] is not None, "it is told why it was not taken")
    with receiving() as mended:
        body = {"name": "mine", "when": "failed", "to": {"kind": "webhook", "url": mended.url}}
        assert place.client.put(f"/rules/{rule['id']}", body).body["problem"] is None
        (got,) = mended.wait_for(1)
        assert got.id == first.id
        until(lambda: place.told(rule)["lastDeliveredAt"] is not None, "it was taken")


def test_rows_are_stored_whatever_rules_wait_for(place: Place) -> None:
    """The answers to who stores are the same, and so are the rows."""
    for when, more in (
        ("above", {"metric": "train/loss", "bound": 0}),
        ("nonfinite", {}),
        ("failed", {}),
        ("alert", {}),
        ("silent", {"minutes": 1}),
    ):
        place.rule(when, **more)
    run = place.run()
    rows = [(place.clock.now_ns + at * SECOND, {"loss": float(at)}) for at in range(20)]
    for row in rows:
        place.send(run, objects(Series(Kind.METRIC, "train"), [row]))
    place.end(run)
    id_ = place._ids[run]
    client = Client(place.server.url, TOKEN)
    assert client.rows(id_) == rows
    record = client.get(f"/experiments/{id_}")
    assert (record["rows"], record["alerts"], record["status"]) == (20, 0, "FAILED")
    place.alert(run, "a", "b")
    until(lambda: client.get(f"/experiments/{id_}")["alerts"] == 2, "alerts are counted")
    assert re.fullmatch(r"rul_[0-9a-f]{20}", place.told(place.rule("failed"))["id"])


def test_rules_that_were_read_first_are_not_taken_over_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that was just made fires, though a look at the rules was under way meanwhile."""
    alerts, inside, go_on = store.alerts, threading.Event(), threading.Event()
    read = alerts.stored.all
    rule = Rule(
        "", "alice", "r", "", Condition(ABOVE, "loss", 1.0), Destination(WEBHOOK, "https://example.org"), None, 0, "a"
    )  # fmt: skip

    class Turns:
        """A lock that says when somebody waits for it."""

        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __enter__(self) -> None:
            if not self._lock.acquire(blocking=False):
                go_on.set()
                self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    def slowly() -> list[Rule]:
        found = read()
        if not inside.is_set():
            inside.set()
            assert go_on.wait(60)
        return found

    def second() -> None:
        try:
            alerts.refresh()
        finally:
            go_on.set()

    monkeypatch.setattr(alerts, "_refreshing", Turns(), raising=False)
    monkeypatch.setattr(alerts.stored, "all", slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(alerts.refresh)
        assert inside.wait(60)
        made = alerts.stored.add(rule)
        threads.submit(second).result(60)
        first.result(60)
    assert list(alerts.watch.rules.by_id) == [made.id]


def test_a_rule_that_is_changed_just_before_it_is_told_holds_up_no_other(
    place: Place, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has fired for is forgotten, between the look at which rules have fired and the message."""
    store = place.server.store
    assert store is not None
    first, second = (place.rule("above", metric="train/loss", bound=bound) for bound in (1.0, 2.0))
    teller, failed = store.alerts._teller, []
    compose = teller._compose

    def changed(connection: Any, rule_id: str) -> None:
        if rule_id == first["id"]:
            connection.execute(delete(RULE_FIRINGS).where(RULE_FIRINGS.c.rule_id == rule_id))
        try:
            compose(connection, rule_id)
        except TypeError as error:
            failed.append(error)
            raise

    monkeypatch.setattr(teller, "_compose", changed)
    place.log(place.run(), loss=3.0)
    until(lambda: bool(hook.got), "the other rule is told")
    place.settled()
    assert not failed
    assert {got.body["rule"]["id"] for got in hook.got} == {second["id"]}
