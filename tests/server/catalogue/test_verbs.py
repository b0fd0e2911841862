"""What people do with experiments at a server: who may, what it changes, and what it says of who did it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ml_dash.protocol import WRITERS_HEADER
from ml_dash.server.db.tables import METADATA
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import (
    NOON,
    SECOND,
    TOKEN,
    WRITER,
    Answer,
    Client,
    expected,
    frame,
    frames,
    large_frame,
    numbers,
    run_row,
)
from tests.support.simulated_clock import HandClock

DAY = 86_400 * SECOND
OTHER = "0123456789abcdef-1f-00000000"


def do(client: Client, experiment: str, verb: str, **given: Any) -> Answer:
    return client.post(f"/experiments/{experiment}/{verb}", given)


def put_note(client: Client, experiment: str, text: str) -> Answer:
    return client.put(f"/experiments/{experiment}/note", {"note": text})


def introduce(client: Client, prefix: str, *writers: str, **wishes: Any) -> Answer:
    """Introduce an experiment as a client does that knows its journal's writers."""
    return client.post("/experiments", {"prefix": prefix, **wishes}, **{WRITERS_HEADER: ",".join(writers)})


def listed(client: Client, **query: object) -> list[str]:
    """The names of the experiments in a listing."""
    return [record["name"] for record in client.get("/experiments", **query)["data"]]


def trash(client: Client, owner: str) -> list[dict[str, Any]]:
    return [each for each in client.get("/trash", limit=1000)["data"] if each["owner"] == owner]


def error(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error["code"]


def test_what_was_deleted_lies_in_the_trash_and_comes_back_with_its_rows(client: Client, owner: str) -> None:
    prefix = f"{owner}/p/n"
    experiment = client.create(prefix, tags=["t"])
    client.stored(experiment, *frames(1, 2))
    deleted = client.ask("DELETE", f"/experiments/{experiment}").body
    (entry,) = trash(client, owner)
    assert (entry["id"], entry["prefix"], entry["rows"]) == (experiment, prefix, 2)
    assert (entry["deletedAt"], entry["purgeAt"]) == (deleted["deletedAt"], deleted["purgeAt"])
    assert entry["purgeAt"] > entry["deletedAt"]
    assert entry["deletedBy"]

    back = do(client, experiment, "restore")
    assert (back.status, back.body["prefix"], back.body["deletedAt"]) == (200, prefix, None)
    assert trash(client, owner) == []
    assert client.rows(experiment) == expected(0, 2)
    assert client.stored(experiment, *frames(3, 1)) == 3, "its run goes on where it was"
    assert listed(client, owner=owner, tag="t") == ["n"]
    assert do(client, experiment, "restore").status == 200, "once more does no harm"
    assert error(do(client, experiment, "restore", to=f"{owner}/p/m")) == (400, "invalid")


def test_a_name_that_was_taken_meanwhile_is_told_and_another_one_can_be_given(
    client: Client, owner: str
) -> None:
    prefix = f"{owner}/p/n"
    old = client.create(prefix)
    client.stored(old, *frames(1, 2))
    client.ask("DELETE", f"/experiments/{old}")
    new = client.post("/experiments", {"prefix": prefix, "anew": True}).body["id"]
    refused = do(client, old, "restore")
    assert error(refused) == (409, "exists")
    assert "--to" in refused.error["message"]
    assert [each["prefix"] for each in trash(client, owner)] == [prefix], "the name that it had"
    back = do(client, old, "restore", to=f"{owner}/p/old")
    assert (back.status, back.body["prefix"], back.body["name"]) == (200, f"{owner}/p/old", "old")
    assert client.rows(old) == expected(0, 2)
    assert client.rows(new) == []
    # the journal of which it has the frames goes on in it, though the other one has the name
    found = introduce(client, prefix, WRITER)
    assert (found.body["id"], found.body["prefix"]) == (old, f"{owner}/p/old")


@pytest.mark.parametrize("verb", ["move", "restore"])
def test_a_deleted_experiment_gives_its_name_away(client: Client, owner: str, verb: str) -> None:
    """To one that is moved there, or restored; and can be restored itself, under another one."""
    first, second = client.create(f"{owner}/p/a"), client.create(f"{owner}/p/b")
    client.ask("DELETE", f"/experiments/{first}")
    if verb == "restore":
        client.ask("DELETE", f"/experiments/{second}")
    assert do(client, second, verb, to=f"{owner}/p/a").body["prefix"] == f"{owner}/p/a"
    assert [each["prefix"] for each in trash(client, owner)] == [f"{owner}/p/a"]
    assert error(do(client, first, "restore")) == (409, "exists")
    assert do(client, first, "restore", to=f"{owner}/p/b").status == 200
    assert listed(client, owner=owner) == ["a", "b"]


def test_an_experiment_that_runs_is_only_deleted_by_who_wants_that(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    client.stored(experiment, frame(1, run_row(NOON, "start", status="RUNNING")))
    refused = client.ask("DELETE", f"/experiments/{experiment}", unless_running="true")
    assert error(refused) == (409, "running")
    assert listed(client, owner=owner) == ["n"]
    client.stored(experiment, frame(2, run_row(NOON + 1, "end", status="COMPLETED")))
    assert client.ask("DELETE", f"/experiments/{experiment}", unless_running="true").status == 200

    other = client.create(f"{owner}/p/m")
    client.stored(other, frame(1, run_row(NOON, "start", status="RUNNING")))
    assert client.ask("DELETE", f"/experiments/{other}").status == 200
    assert error(client.send(other, frame(2, numbers(0, 1)))) == (410, "gone"), "the run is told"


def test_a_run_goes_on_in_its_experiment_wherever_that_is_moved(client: Client, owner: str) -> None:
    """By its id, while it is connected; by its writer after an outage; and nobody else by either."""
    before, after = f"{owner}/p/lr01", f"{owner}/q/deep/baseline"
    experiment = introduce(client, before, WRITER).body["id"]
    client.stored(experiment, *frames(1, 2))
    moved = do(client, experiment, "move", to=after)
    assert moved.status == 200
    assert [moved.body[name] for name in ("prefix", "owner", "project", "folder", "name")] == [
        after,
        owner,
        "q",
        "deep",
        "baseline",
    ]
    assert client.stored(experiment, *frames(3, 1)) == 3

    for _ in range(2):
        again = introduce(client, before, OTHER, WRITER)
        assert (again.body["id"], again.body["prefix"], again.body["created"]) == (experiment, after, False)
        assert again.body["watermarks"] == {WRITER: 3}
        # the second time there is another one of that name
        introduce(client, before, OTHER)
    assert client.rows(experiment) == expected(0, 3)
    found = client.get("/experiments", owner=owner)["data"]
    assert {each["prefix"]: each["rows"] for each in found} == {before: 0, after: 3}


def test_who_tells_no_writers_finds_what_was_moved_as_long_as_nothing_has_its_name(
    client: Client, owner: str
) -> None:
    """An older client would send all of its journal to a new experiment."""
    before, after = f"{owner}/p/a", f"{owner}/p/b"
    experiment = client.create(before)
    client.stored(experiment, *frames(1, 2))
    do(client, experiment, "move", to=after)
    again = client.post("/experiments", {"prefix": before})
    assert (again.body["id"], again.body["watermarks"]) == (experiment, {WRITER: 2})
    assert client.post("/experiments", {"prefix": before, "onlyNew": True, "anew": True}).status == 201
    assert client.post("/experiments", {"prefix": before}).body["id"] != experiment


def test_moved_twice_and_back_it_is_found_by_each_name(client: Client, owner: str) -> None:
    names = [f"{owner}/p/{name}" for name in "abc"]
    experiment = introduce(client, names[0], WRITER).body["id"]
    client.stored(experiment, *frames(1, 1))
    known = names[:1]
    for name in (names[1], names[2], names[0], names[1]):
        assert do(client, experiment, "move", to=name).body["prefix"] == name
        known.append(name)
        assert {introduce(client, each, WRITER).body["id"] for each in known} == {experiment}
    assert listed(client, owner=owner) == ["b"]


def test_a_moved_experiment_that_was_deleted_is_gone_for_its_writers_too(client: Client, owner: str) -> None:
    before, after = f"{owner}/p/a", f"{owner}/p/b"
    experiment = introduce(client, before, WRITER).body["id"]
    client.stored(experiment, *frames(1, 2))
    do(client, experiment, "move", to=after)
    client.ask("DELETE", f"/experiments/{experiment}")
    refused = introduce(client, before, WRITER)
    assert error(refused) == (410, "gone")
    assert refused.error["watermarks"] == {WRITER: 2}
    assert f"'{after}'" in refused.error["message"]
    begun = introduce(client, before, WRITER, anew=True)
    assert (begun.status, begun.body["prefix"], begun.body["watermarks"]) == (201, before, {WRITER: 2})
    assert introduce(client, before, WRITER).body["id"] == begun.body["id"]


@pytest.mark.parametrize(
    ("to", "status", "said"),
    [
        ("{owner}/p/taken", 409, "there is an experiment"),
        ("somebody/p/n", 400, "stays with its owner"),
        ("{owner}/p", 400, "in full"),
        ("/{owner}/p/n", 400, "in full"),
        ("{owner}/p/../n", 400, ".."),
        ("{owner}/p/journal", 400, "journal"),
        ("", 400, "prefix"),
    ],
)
def test_a_name_that_cannot_be_given_changes_nothing(
    client: Client, owner: str, to: str, status: int, said: str
) -> None:
    client.create(f"{owner}/p/taken")
    experiment = client.create(f"{owner}/p/n")
    answer = do(client, experiment, "move", to=to.format(owner=owner))
    assert answer.status == status
    assert said in answer.error["message"]
    client.ask("DELETE", f"/experiments/{experiment}")
    assert do(client, experiment, "restore", to=to.format(owner=owner)).status == status
    assert do(client, experiment, "restore").body["prefix"] == f"{owner}/p/n"


def test_of_many_that_want_a_name_at_once_one_gets_it(
    server: EmbeddedServer, client: Client, owner: str
) -> None:
    """And those that want each other's names do not wait for each other for ever."""
    ids = [client.create(f"{owner}/p/{at}") for at in range(4)]
    barrier = threading.Barrier(4)

    def move(at: int) -> list[int]:
        own = Client(server.url, TOKEN)
        barrier.wait()
        names = (f"{owner}/p/wanted", f"{owner}/p/{(at + 1) % 4}")
        return [do(own, ids[at], "move", to=name).status for name in names]

    with ThreadPoolExecutor(4) as pool:
        answers = [status for statuses in pool.map(move, range(4)) for status in statuses]
    assert set(answers) <= {200, 409}
    names = listed(client, owner=owner)
    assert len(set(names)) == 4, "no name twice"


def test_a_name_inside_of_another_one_is_a_name_like_any_other(client: Client, owner: str) -> None:
    outer, inner = client.create(f"{owner}/p/a"), client.create(f"{owner}/p/a/b")
    assert do(client, outer, "move", to=f"{owner}/p/a/b/c").status == 200
    assert listed(client, owner=owner) == ["b", "c"]
    assert do(client, inner, "move", to=f"{owner}/p/a").status == 200
    assert sorted(each["prefix"] for each in client.get("/experiments", owner=owner)["data"]) == [
        f"{owner}/p/a",
        f"{owner}/p/a/b/c",
    ]


def test_tags_are_added_taken_away_and_replaced(client: Client, owner: str) -> None:
    prefix = f"{owner}/p/n"
    experiment = client.create(prefix, tags=["a", "b"])
    assert do(client, experiment, "tags", add=["c", "a"]).body["tags"] == ["a", "b", "c"]
    assert do(client, experiment, "tags", remove=["b", "x"]).body["tags"] == ["a", "c"]
    assert do(client, experiment, "tags", only=["d"], add=["e"]).body["tags"] == ["d", "e"]
    assert listed(client, owner=owner, tag="a") == []
    assert listed(client, owner=owner, tag="e") == ["n"]
    assert listed(client, owner=owner, search="e n") == ["n"]
    answer = do(client, experiment, "tags", add=[f"t{at}" for at in range(999)])
    assert (answer.status, "1,001 tags" in answer.error["message"]) == (400, True)
    # what a journal that comes later has said before does not count, and what it says from now on does
    said = client.post("/experiments", {"prefix": prefix, "tags": ["old"], "saidNs": {"tags": NOON}})
    assert said.body["tags"] == ["d", "e"]
    assert client.post("/experiments", {"prefix": prefix, "tags": ["new"]}).body["tags"] == ["new"]


def test_a_note_is_kept_beside_the_readme(client: Client, owner: str) -> None:
    experiment = client.create(f"{owner}/p/n", readme="mine")
    assert put_note(client, experiment, "**diverges** after 3 epochs \ud800").status == 200
    record = client.get(f"/experiments/{experiment}")
    assert (record["readme"], record["note"][:12]) == ("mine", "**diverges**")
    assert "note" not in client.get("/experiments", owner=owner)["data"][0]
    assert put_note(client, experiment, "").body["note"] is None


def test_a_readme_is_changed_and_searched_until_a_run_says_another_one(client: Client, owner: str) -> None:
    prefix = f"{owner}/p/n"
    experiment = client.create(prefix, readme="of the run")
    path = f"/experiments/{experiment}/readme"
    assert client.put(path, {"readme": "# Warm-up \ud800"}).body["readme"] == "# Warm-up \ud800"
    assert (listed(client, owner=owner, search="warm-up"), listed(client, owner=owner, search="run")) == (
        ["n"],
        [],
    )
    # what a journal that comes later has said before does not count, and what it says from now on does
    said = client.post("/experiments", {"prefix": prefix, "readme": "old", "saidNs": {"readme": NOON}})
    assert said.body["readme"] == "# Warm-up \ud800"
    assert client.post("/experiments", {"prefix": prefix, "readme": "new"}).body["readme"] == "new"
    assert client.put(path, {"readme": ""}).body["readme"] is None
    assert client.put(path, {"readme": "x" * ((1 << 20) + 1)}).status == 400
    assert client.put(path, {"note": "x"}).status == 400
    (newest, *_) = client.get(f"/experiments/{experiment}/history")["data"]
    assert (newest["action"], newest["details"]) == ("readme", {"characters": 0})


@pytest.mark.parametrize("what", ["note", "readme"])
def test_of_two_who_change_a_text_the_second_is_told(client: Client, owner: str, what: str) -> None:
    experiment = client.create(f"{owner}/p/n")
    path = f"/experiments/{experiment}/{what}"
    assert client.put(path, {what: "theirs", "before": ""}).status == 200
    answer = client.put(path, {what: "mine", "before": ""})
    assert (answer.status, answer.error["code"]) == (412, "changed")
    assert client.put(path, {what: "theirs", "before": "x"}).status == 200, (
        "what is there already harms nobody"
    )
    assert client.put(path, {what: "both", "before": "theirs"}).body[what] == "both"
    assert client.put(path, {what: "any"}).body[what] == "any"
    assert client.put(path, {what: "x", "before": 3}).status == 400
    assert len(client.get(f"/experiments/{experiment}/history")["data"]) == 3


def test_who_did_what_is_written_down(server: EmbeddedServer, client: Client, owner: str) -> None:
    made = client.post(
        "/tokens", {"name": "reed's laptop", "grants": [{"owner": owner, "scope": "write"}]}
    ).body
    experiment = client.create(f"{owner}/p/n", tags=["a"])
    writer = Client(server.url, made["token"])
    do(writer, experiment, "tags", add=["b"], remove=["a"])
    do(writer, experiment, "tags", add=["b"])
    put_note(writer, experiment, "hm")
    do(writer, experiment, "move", to=f"{owner}/p/m")
    writer.ask("DELETE", f"/experiments/{experiment}")
    (entry,) = trash(writer, owner)
    assert entry["deletedBy"] == "reed's laptop"
    do(client, experiment, "restore")

    changes = client.get(f"/experiments/{experiment}/history")["data"]
    assert [each["action"] for each in changes] == ["restore", "delete", "move", "note", "tag"]
    assert {each["who"] for each in changes[1:]} == {"reed's laptop"}
    assert {each["tokenId"] for each in changes[1:]} == {made["tokenId"]}
    assert changes[0]["who"] != "reed's laptop"
    assert changes[2]["details"] == {"from": f"{owner}/p/n", "to": f"{owner}/p/m"}
    assert changes[4]["details"] == {"added": ["b"], "removed": ["a"]}

    first = client.get(f"/experiments/{experiment}/history", limit=2)
    assert (first["data"], first["hasMore"]) == (changes[:2], True)
    rest = client.get(f"/experiments/{experiment}/history", cursor=first["cursor"])
    assert (rest["data"], rest["hasMore"]) == (changes[2:], False)


def test_the_trash_comes_in_pages_of_what_one_may_read(
    server: EmbeddedServer, client: Client, owner: str
) -> None:
    ids = [client.create(f"{owner}/p/{name}") for name in "abc"]
    for experiment in ids:
        client.ask("DELETE", f"/experiments/{experiment}")
    made = client.post("/tokens", {"name": "t", "grants": [{"owner": owner, "scope": "read"}]}).body
    reader = Client(server.url, made["token"])
    first = reader.get("/trash", limit=2)
    rest = reader.get("/trash", cursor=first["cursor"])
    assert [each["id"] for each in (*first["data"], *rest["data"])] == ids[::-1]
    assert (first["hasMore"], rest["hasMore"]) == (True, False)
    assert do(reader, ids[0], "restore").status == 403
    assert reader.ask("GET", "/trash", cursor="x").status == 400


def test_rows_of_the_trash_are_removed_when_their_time_is_over(tmp_path: Path) -> None:
    """And who sends the journal again is told that they were deleted, or brings them back on purpose: all of them."""
    clock = HandClock(NOON)
    with EmbeddedServer(data=tmp_path, clock=clock, admin_token=TOKEN, object_bytes=100_000) as server:
        client = Client(server.url, TOKEN)
        kept, gone = client.create("alice/p/kept"), client.create("alice/p/gone", tags=["t"])
        assert server.store is not None
        for experiment in (kept, gone):
            client.stored(experiment, large_frame(1), frame(2, run_row(NOON, "start", status="RUNNING")))
            assert client.ask("DELETE", f"/experiments/{experiment}").status == 200
        clock.now_ns += 29 * DAY
        assert server.store.purger.collect() == 0
        assert do(client, kept, "restore").status == 200
        clock.now_ns += 2 * DAY
        assert server.store.purger.collect() == 1
        assert server.store.purger.collect() == 0

        assert len(client.rows(kept)) == 20_000
        with server.store.database.read() as connection:
            left = {
                table.name
                for table in METADATA.sorted_tables
                if "experiment_id" in table.c
                and connection.execute(
                    select(table.c.experiment_id).where(table.c.experiment_id == gone)
                ).first()
            }
        assert left == {"writers", "audit"}
        assert trash(client, "alice") == []
        answer = do(client, gone, "restore")
        assert (error(answer), "--recreate" in answer.error["message"]) == ((410, "gone"), True)
        assert [each["action"] for each in client.get(f"/experiments/{gone}/history")["data"]] == ["delete"]
        refused = client.post("/experiments", {"prefix": "alice/p/gone"})
        assert (error(refused), refused.error["watermarks"]) == ((410, "gone"), {WRITER: 2})

        back = client.post("/experiments", {"prefix": "alice/p/gone", "recreate": True}).body
        assert (back["id"], back["watermarks"], back["rows"], back["tags"]) == (gone, {}, 0, ["t"])
        assert client.stored(gone, large_frame(1)) == 1
        assert len(client.rows(gone)) == 20_000
        client.close()
