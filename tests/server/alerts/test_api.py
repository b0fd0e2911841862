"""Rules by HTTP: who may make them, what is refused, and that no secret is ever shown again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ml_dash.protocol import RULES_MAX
from ml_dash.server.accounts.grants import Scope
from tests.server.alerts.place import Place
from tests.support.receiving import Receiver
from tests.support.serving import Answer, Client, until


def rule(place: Place, **more: Any) -> dict[str, Any]:
    to = {"kind": "webhook", "url": place.hook.url}
    return {"owner": place.owner, "name": "mine", "when": "failed", "to": to, **more}


def test_secrets_are_never_shown_again(place: Place, hook: Receiver) -> None:
    to = {"kind": "webhook", "url": hook.url + "/token-tttt", "secret": "s3cret-s3cret"}
    made = place.client.post("/rules", rule(place, to=to))
    assert made.status == 201
    assert made.body["to"] == {"kind": "webhook", "shown": f"http://127.0.0.1:{hook.port}/…", "signed": True}
    told = [made.body, place.client.get("/rules"), place.client.get("/rules", owner=place.owner)]
    for wrong in (
        {**to, "secret": "s3cret"},
        {**to, "sceret": "s3cret-s3cret"},
        {**to, "url": 3},
        {**to, "kind": "slack"},
        {**to, "url": "ftp://x/token-tttt"},
        [to],
    ):
        answer = place.client.post("/rules", rule(place, to=wrong))
        assert answer.status == 400, answer
        told.append(answer.body)
    hook.answer = lambda _: (500, {})
    told.append(place.client.post(f"/rules/{made.body['id']}/test", {}).body)
    assert told[-1] == {"delivered": False, "problem": "it answers by 500"}
    assert "s3cret" not in json.dumps(told)
    assert "token-tttt" not in json.dumps(told)


def test_a_test_says_whether_messages_arrive(place: Place, hook: Receiver) -> None:
    made = place.rule("failed")
    assert place.client.post(f"/rules/{made['id']}/test", {}).body == {"delivered": True, "problem": None}
    (got,) = hook.got
    assert got.body["test"] is True
    assert got.body["title"] == "Test of the rule mine: messages arrive here"
    assert place.told(made)["fired"] == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"when": "above"}, "metric=None"),
        ({"when": "above", "metric": "a/b"}, "bound=None"),
        ({"when": "above", "metric": "a/b", "bound": "3"}, "bound='3'"),
        ({"when": "above", "metric": "a/b", "bound": float("nan")}, "bound=nan"),
        ({"when": "below", "metric": "a/b", "bound": 1, "minutes": 5}, "minutes=5"),
        ({"when": "silent"}, "minutes=None"),
        ({"when": "silent", "minutes": 0}, "minutes=0"),
        ({"when": "failed", "rearmMinutes": 5}, "rearmMinutes=5"),
        ({"when": "alert", "level": "fatal"}, "level='fatal'"),
        ({"when": "failed", "level": "info"}, "level='info'"),
        ({"when": "never"}, "when='never'"),
        ({"name": ""}, "name=''"),
        ({"owner": "*"}, "owner='*'"),
        ({"owner": "a/b"}, "owner='a/b'"),
        ({"owner": None}, "owner=None"),
        ({"filter": "lr <"}, "needs a value"),
        ({"to": {"kind": "mail", "address": "me.org"}}, "to.address='me.org'"),
        ({"to": {"kind": "mail", "address": "a@b.org\nBcc: c@d.org"}}, "to.address="),
        ({"to": {"kind": "mail", "address": "a@b.org", "secret": "12345678"}}, "neither a url nor a secret"),
        ({"to": {"kind": "webhook"}}, "has a url"),
        ({"to": {"kind": "webhook", "url": "https://169.254.169.254/latest"}}, "no address of the internet"),
        ({"to": {"kind": "slack", "url": "https://10.1.2.3/x"}}, "to.url"),
        ({"to": {"kind": "webhook", "url": "https://there-is-none.invalid/x"}}, "cannot be looked up"),
        ({"to": {"kind": "pager", "url": "https://x.org"}}, "kind"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_the_value(
    more: dict[str, Any], said: str, place: Place
) -> None:
    answer = place.client.post("/rules", rule(place, **more))
    assert answer.status == 400, answer
    assert said in answer.error["message"]
    assert place.client.get("/rules", owner=place.owner)["data"] == []


def test_a_filter_with_a_name_that_nothing_has_says_what_there_is(place: Place) -> None:
    run = place.run()
    place.log(run, "val", loss=1.0)
    answer = place.client.post("/rules", rule(place, filter="val/lsos<3"))
    assert (answer.status, len(answer.error["problems"])) == (400, 1)
    assert "val/loss" in answer.error["message"]


def change(place: Place, made: dict[str, Any], based_on: str | None = None, **more: Any) -> Answer:
    names = ("name", "when", "filter", "metric", "bound", "minutes", "level", "rearmMinutes")
    body = {name: made[name] for name in names if made[name] is not None}
    headers = {"Content-Type": "application/json", **({} if based_on is None else {"If-Match": based_on})}
    body |= more
    return place.client.ask("PUT", f"/rules/{made['id']}", json.dumps(body).encode(), headers=headers)


def test_a_rule_is_changed_by_all_but_its_secrets_and_says_by_whom(place: Place, hook: Receiver) -> None:
    to = {"kind": "webhook", "url": hook.url + "/token-tttt", "secret": "s3cret-s3cret"}
    made = place.client.post("/rules", rule(place, to=to)).body
    assert (made["version"], made["changedAt"], made["changedBy"]) == (1, None, None)
    changed = change(place, made, '"1"', name="louder", when="above", metric="val/loss", bound=3).body
    assert (changed["name"], changed["when"], changed["bound"]) == ("louder", "above", 3)
    assert (changed["to"], changed["version"], changed["changedBy"]) == (made["to"], 2, made["who"])
    assert changed["changedAt"] is not None
    assert place.told(made) == changed
    place.client.post(f"/rules/{made['id']}/test", {})
    assert hook.got[-1].path.endswith("/token-tttt"), "whom it tells stays"
    elsewhere = change(place, changed, '"2"', to={"kind": "slack", "url": hook.url + "/slack"}).body
    assert elsewhere["to"] == {"kind": "slack", "shown": f"http://127.0.0.1:{hook.port}/…", "signed": False}
    place.client.post(f"/rules/{made['id']}/test", {})
    assert hook.got[-1].path.endswith("/slack")


def test_of_two_who_change_a_rule_the_second_is_told(place: Place) -> None:
    made = place.rule("failed")
    theirs = change(place, made, '"1"', name="theirs").body
    answer = change(place, made, '"1"', name="mine")
    assert (answer.status, answer.error["code"], answer.error["current"]["name"]) == (
        412,
        "changed",
        "theirs",
    )
    assert place.told(made) == theirs
    assert change(place, made, "*", name="mine").body["version"] == 3
    for wrong in ("2", "x", '"-1"', '""', '"' + "9" * 30 + '"'):
        assert change(place, made, wrong).status == 400, wrong
    place.client.ask("DELETE", f"/rules/{made['id']}")
    assert change(place, made, "*").status == 404


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": ""}, "name"),
        ({"when": "above"}, "metric"),
        ({"when": "above", "metric": "a/b"}, "bound"),
        ({"when": "silent", "minutes": 0}, "minutes"),
        ({"level": "info"}, "level"),
        ({"to": {"kind": "mail", "address": "me.org"}}, "to.address"),
        ({"to": {"kind": "slack", "url": "https://10.1.2.3/x"}}, "to.url"),
        ({"to": {"kind": "webhook"}}, "to"),
        ({"owner": "other"}, "owner"),
    ],
)
def test_what_is_wrong_with_a_change_is_named_by_its_field(
    more: dict[str, Any], field: str, place: Place
) -> None:
    made = place.rule("failed")
    answer = change(place, made, **more)
    assert (answer.status, answer.error["field"]) == (400, field)
    assert answer.error["message"].endswith(answer.error["remedy"])
    assert change(place, made, filter="lr <").error["problems"]
    assert place.told(made) == {**made, "fired": 0}


def test_a_folder_has_the_rules_that_may_fire_in_it(place: Place) -> None:
    o = place.owner
    for name, pattern in (
        ("all", ""), ("words", "resnet status:failed"), ("below", f"{o}/vision/**"), ("one", f"{o}/vision/a*"),
        ("other", f"{o}/nlp/**"), ("any", "lr-*"), ("stars", f"*/vis*/*/*/run-? {o}/**"),
    ):  # fmt: skip
        place.rule("failed", name=name, filter=pattern)

    def names(folder: str) -> set[str]:
        return {each["name"] for each in place.client.get("/rules", folder=folder)["data"]}

    everywhere = {"all", "words", "any"}
    assert names(o) == {*everywhere, "below", "one", "other", "stars"}
    assert names(f"{o}/vision") == names(f"{o}/vision/") == {*everywhere, "below", "one", "stars"}
    assert names(f"{o}/vision/sweep/deep") == {*everywhere, "below", "stars"}
    assert names(f"{o}/vision/sweep/deep/more") == {*everywhere, "below"}
    assert names(f"{o}/nlp") == {*everywhere, "other"}
    assert place.client.ask("GET", "/rules", folder=o, owner=o).status == 400
    assert place.client.ask("GET", "/rules", folder="*/x").status == 400


def test_who_may_not_write_makes_and_sees_no_rules(place: Place) -> None:
    tokens = place.server.store
    assert tokens is not None
    made = place.rule("failed")
    created = {
        name: place.client.post("/tokens", {"name": name, "grants": [{"owner": owner, "scope": scope}]}).body[
            "token"
        ]
        for name, owner, scope in (
            ("reader", place.owner, "read"),
            ("writer", place.owner, "write"),
            ("stranger", "somebody", "write"),
        )
    }
    expected = {"reader": 403, "writer": 200, "stranger": 404}
    for name, status in expected.items():
        client = Client(place.server.url, created[name])
        data = client.get("/rules")["data"]
        assert [each["id"] for each in data] == ([made["id"]] if name == "writer" else [])
        assert client.ask("GET", "/rules", owner=place.owner).status == status
        assert client.post(f"/rules/{made['id']}/test", {}).status == status
        assert client.ask("GET", "/rules", folder=f"{place.owner}/p").status == status
        wrong = client.put(f"/rules/{made['id']}", {"when": "never"})
        assert wrong.status == (400 if name == "writer" else status), "who may not is told nothing else"
        answer = client.post("/rules", rule(place, when="never"))
        assert answer.status == (400 if name == "writer" else status), "who may not is told nothing else"
    for name in ("stranger", "reader", "writer"):
        answer = Client(place.server.url, created[name]).ask("DELETE", f"/rules/{made['id']}")
        assert answer.status == expected[name]
    assert Scope.WRITE.word == "write"
    for id_ in ("rul_none", "x" * 100, "%00", "%F0%9F%98%80"):
        assert place.client.ask("DELETE", f"/rules/{id_}").status == 404


@pytest.mark.sample(2)
def test_an_owner_has_so_many_rules_at_most(place: Place) -> None:
    for _ in range(RULES_MAX):
        place.rule("failed")
    answer = place.client.post("/rules", rule(place))
    assert (answer.status, f"{RULES_MAX} rules" in answer.error["message"]) == (400, True)


def test_a_filter_that_is_not_understood_any_more_is_told_and_stalls_no_other(
    place: Place, hook: Receiver
) -> None:
    """As where somebody else's database, or a later version, has stored it."""
    broken, sound = place.rule("failed", name="broken"), place.rule("failed", name="sound")
    store = place.server.store
    assert store is not None
    from sqlalchemy import update

    from ml_dash.server.db.tables import RULES

    with store.database.write() as connection:
        connection.execute(update(RULES).where(RULES.c.id == broken["id"]).values(filter="lr < <"))
    place.end(place.run())
    (got,) = hook.wait_for(1)
    assert got.body["rule"]["id"] == sound["id"]
    until(lambda: "the filter is not understood" in str(place.told(broken)["problem"]), "it is told")


def brought_in(place: Place) -> None:
    """Names come to the lists in the background; not after this."""
    store = place.server.store
    assert store is not None
    assert store.lists.bring_in(rows=None)


def names(place: Place, folder: str, search: str = "", **more: Any) -> list[str]:
    answer = place.client.ask("GET", "/rules/metrics", folder=folder, search=search, **more)
    assert answer.status == 200, answer
    return list(answer.body["data"])


def test_metrics_of_a_folder_are_found_by_a_part_of_their_names(place: Place) -> None:
    vision, nlp = place.run("vision/a"), place.run("nlp/b")
    place.log(vision, "val", loss=1.0, note="text", acc=0.5)
    place.log(vision, None, loss=1.0)
    place.log(nlp, "loss_of", **{"Perplexity_100%": 2.0})
    brought_in(place)
    here = f"{place.owner}/p/vision"
    assert names(place, here) == ["loss", "val/acc", "val/loss"], "and no texts"
    assert names(place, here, "LOSS") == ["loss", "val/loss"]
    assert names(place, here, "l/lo") == ["val/loss"]
    assert names(place, f"{place.owner}/p/nlp", "") == ["loss_of/Perplexity_100%"]
    assert names(place, place.owner, "loss") == ["loss", "loss_of/Perplexity_100%", "val/loss"]
    assert names(place, f"{place.owner}/", "_100%") == ["loss_of/Perplexity_100%"]
    assert names(place, place.owner, "0_") == [], "neither % nor _ stands for anything"
    for folder in ("vis", "none", "vision/a/b", "%"):
        assert names(place, f"{place.owner}/p/{folder}") == [], folder
    page = place.client.get("/rules/metrics", folder=place.owner, limit=2)
    assert page == {"data": ["loss", "loss_of/Perplexity_100%"], "hasMore": True}


def test_of_very_many_metrics_those_of_the_folder_are_found(place: Place) -> None:
    """Also where most that fit are in other folders."""
    here, there = place.run("here/a"), place.run("there/b")
    for start in range(0, 900, 300):
        place.log(there, f"grad{start}", **{f"layer{at:03}": float(at) for at in range(start, start + 300)})
    place.log(here, "grad999", layer999=1.0)
    brought_in(place)
    assert names(place, f"{place.owner}/p/here", "layer") == ["grad999/layer999"]
    assert names(place, f"{place.owner}/p/there", "899") == ["grad600/layer899"]
    assert len(names(place, f"{place.owner}/p/there", "", limit=100)) == 100
    answer = place.client.ask("GET", "/rules/metrics", folder=f"{place.owner}/p", limit=101)
    assert (answer.status, answer.body["error"]["field"]) == (400, "limit")
