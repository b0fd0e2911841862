"""A new experiment under the name of a deleted one: it has none of its rows, and never gets them."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

from ml_dash.protocol import BEGUN_HEADER, WRITERS_HEADER
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import TOKEN, WRITER, Client, expected, frame, frames, numbers


def deleted(client: Client, prefix: str, *bodies: bytes) -> str:
    """An experiment that had these frames, and was deleted."""
    experiment = client.create(prefix, tags=["old"], readme="old")
    client.stored(experiment, *bodies)
    assert client.ask("DELETE", f"/experiments/{experiment}").status == 200
    return experiment


def test_it_begins_empty_and_what_was_deleted_stays_deleted(client: Client, owner: str) -> None:
    prefix = f"{owner}/p/n"
    old = deleted(client, prefix, *frames(1, 300))
    refused = client.post("/experiments", {"prefix": prefix})
    assert (refused.status, refused.error["code"]) == (410, "gone")
    (watermark,) = refused.error["watermarks"].values()
    assert watermark == 300

    begun = client.post("/experiments", {"prefix": prefix, "anew": True, "tags": ["new"]})
    assert (begun.status, begun.body["created"]) == (201, True)
    new = begun.body["id"]
    assert new != old
    assert (begun.body["tags"], begun.body["readme"], begun.body["rows"]) == (["new"], None, 0)
    assert begun.body["watermarks"] == refused.error["watermarks"]

    # whoever has the journal may send it again: only what is new in it is stored
    assert client.stored(new, *frames(1, 302)) == 302
    assert client.rows(new) == expected(300, 2)
    # and another journal under the writer's name is found out, however long ago it parted
    answer = client.send(new, frame(10, numbers(500, 1)))
    assert (answer.status, answer.error["code"]) == (409, "fenced")

    assert [record["id"] for record in client.get("/experiments", owner=owner)["data"]] == [new]
    gone = client.ask("GET", f"/experiments/{old}")
    assert (gone.status, gone.error["code"]) == (410, "gone")
    assert f"'{prefix}'" in gone.error["message"]


def test_a_living_one_is_what_everybody_gets(client: Client, owner: str) -> None:
    """Whoever asks to begin it anew, or to bring the deleted one back, whose name it has."""
    prefix = f"{owner}/p/n"
    living = client.create(prefix)
    for wish in ({"anew": True}, {"recreate": True}, {}):
        answer = client.post("/experiments", {"prefix": prefix, **wish})
        assert (answer.status, answer.body["id"], answer.body["created"]) == (200, living, False)


def test_one_after_the_other_and_the_last_one_comes_back(client: Client, owner: str) -> None:
    prefix = f"{owner}/p/n"
    for first in (1, 3, 5):
        begun = client.post("/experiments", {"prefix": prefix, "anew": True})
        assert begun.status == 201
        assert list(begun.body["watermarks"].values()) in ([], [first - 1])
        client.stored(begun.body["id"], *frames(first, 2))
        assert client.rows(begun.body["id"]) == expected(first - 1, 2)
        assert client.ask("DELETE", f"/experiments/{begun.body['id']}").status == 200
    back = client.post("/experiments", {"prefix": prefix, "recreate": True, "anew": True})
    assert (back.status, back.body["id"], back.body["created"]) == (200, begun.body["id"], False)
    assert client.rows(back.body["id"]) == expected(4, 2)


def test_many_that_begin_at_once_are_one(client: Client, owner: str, server: EmbeddedServer) -> None:
    prefix = f"{owner}/p/n"
    deleted(client, prefix, *frames(1, 2))
    barrier = threading.Barrier(8)

    def begin() -> tuple[str, bool]:
        own = Client(server.url, TOKEN)
        try:
            barrier.wait()
            answer = own.post("/experiments", {"prefix": prefix, "anew": True})
            assert answer.status in {200, 201}
            return answer.body["id"], answer.body["created"]
        finally:
            own.close()

    with ThreadPoolExecutor(8) as pool:
        begun = [each.result() for each in [pool.submit(begin) for _ in range(8)]]
    assert len({id_ for id_, _ in begun}) == 1
    assert sum(created for _, created in begun) == 1


def test_what_a_run_of_before_logs_goes_to_nobody_else(client: Client, owner: str) -> None:
    """What was stored of it is known, as before; what is new is refused, until its writer has begun another run."""
    prefix = f"{owner}/p/n"
    old = deleted(client, prefix, *frames(1, 3))
    new = client.post("/experiments", {"prefix": prefix, "anew": True}, **{BEGUN_HEADER: "another"}).body[
        "id"
    ]
    assert client.stored(new, *frames(1, 3)) == 3
    for sent in (frames(1, 5), frames(4, 2)):
        refused = client.send(new, *sent)
        assert (refused.status, refused.error["code"]) == (409, "fenced")
        assert (refused.error["deleted"], refused.error["watermark"]) == (True, 3)
    assert client.rows(new) == []
    # others go on, and whoever only introduces it changes nothing
    assert client.stored(new, *frames(1, 1), writer="another") == 1
    client.post("/experiments", {"prefix": prefix}, **{BEGUN_HEADER: "another"})
    assert client.send(new, *frames(4, 1)).status == 409

    # the deleted one takes it, under another name; and is known by its writer
    back = client.post(f"/experiments/{old}/restore", {"to": f"{owner}/p/back"})
    assert back.status == 200
    assert client.stored(old, *frames(4, 2)) == 5
    assert client.rows(old) == expected(0, 5)

    begun = client.post("/experiments", {"prefix": prefix}, **{BEGUN_HEADER: WRITER})
    assert begun.body["id"] == new
    assert client.stored(new, *frames(4, 1)) == 4


def test_who_was_refused_is_refused_by_the_next_one_of_the_name_too(client: Client, owner: str) -> None:
    prefix = f"{owner}/p/n"
    deleted(client, prefix, *frames(1, 1))
    for _ in range(2):
        answer = client.post("/experiments", {"prefix": prefix, "anew": True}, **{BEGUN_HEADER: ""})
        id_ = answer.body["id"]
        assert client.send(id_, *frames(2, 1)).error["deleted"] is True
        assert client.ask("DELETE", f"/experiments/{id_}").status == 200


def test_begun_anew_under_a_name_that_another_one_has_by_now(client: Client, owner: str) -> None:
    """What was moved and deleted has left its first name to others: a run that begins there anew is one of theirs."""
    moved = f"{owner}/p/b"
    for is_deleted, is_new in itertools.product((False, True), repeat=2):
        first = f"{owner}/p/a-{is_deleted}-{is_new}"
        old = client.create(first)
        client.stored(old, *frames(1, 300))
        assert client.post(f"/experiments/{old}/move", {"to": moved}).status == 200
        assert client.ask("DELETE", f"/experiments/{old}").status == 200
        if is_new:
            # its writers are known to be new by the process that has made it
            other = client.create(f"{first}-theirs")
            assert client.post(f"/experiments/{other}/move", {"to": first}).status == 200
        else:
            other = client.create(first, tags=["theirs"])
        client.stored(other, *frames(1, 2), writer="another")
        if is_deleted:
            client.ask("DELETE", f"/experiments/{other}")
        headers = {WRITERS_HEADER: WRITER, BEGUN_HEADER: ""}
        answer = client.post("/experiments", {"prefix": first, "anew": True, "readme": "x"}, **headers)
        assert (answer.status, answer.body["created"]) == ((201, True) if is_deleted else (200, False))
        new = answer.body["id"]
        assert (new == other) is not is_deleted
        assert (answer.body["prefix"], answer.body["readme"]) == (first, "x")
        # what was deleted stays deleted, and whoever goes on without a new run is refused
        assert answer.body["watermarks"] == {WRITER: 300, "another": 2}
        assert client.stored(new, *frames(1, 300)) == 300
        assert client.send(new, *frames(301, 1)).error["code"] == "fenced"
        assert client.stored(new, *frames(1, 1), writer="another") == 2
        assert client.send(new, *frames(3, 1), writer="another").status == (409 if is_deleted else 200)
        assert client.rows(new) == ([] if is_deleted else expected(0, 3))
        begun = {WRITERS_HEADER: WRITER, BEGUN_HEADER: WRITER}
        assert client.post("/experiments", {"prefix": first}, **begun).body["id"] == new
        assert client.stored(new, *frames(301, 1)) == 301
        # as for one that was deleted under its own name
        assert client.post(f"/experiments/{old}/restore", {"to": f"{owner}/p/c"}).status == 200
        assert client.rows(old) == expected(0, 300)
        for each in (old, new):
            client.post(f"/experiments/{each}/move", {"to": f"{owner}/p/{each}"})
            client.ask("DELETE", f"/experiments/{each}")


def test_what_comes_back_when_its_name_was_given_away_has_the_one_that_it_is_asked_for(
    client: Client, owner: str
) -> None:
    """It was moved and deleted, another one took its last name, and its journal is sent under its first."""
    first, moved = f"{owner}/p/a", f"{owner}/q/b"
    old = client.create(first)
    client.stored(old, *frames(1, 2))
    other = client.create(f"{owner}/p/other")
    assert client.post(f"/experiments/{old}/move", {"to": moved}).status == 200
    assert client.ask("DELETE", f"/experiments/{old}").status == 200
    assert client.post(f"/experiments/{other}/move", {"to": moved}).status == 200
    wish = {"prefix": first, "recreate": True}
    taken = client.create(f"{owner}/p/taken")
    assert client.post(f"/experiments/{taken}/move", {"to": first}).status == 200
    refused = client.post("/experiments", wish, **{WRITERS_HEADER: WRITER})
    assert (refused.status, refused.error["code"]) == (409, "exists")
    assert client.post(f"/experiments/{taken}/move", {"to": f"{owner}/p/taken"}).status == 200
    back = client.post("/experiments", wish, **{WRITERS_HEADER: WRITER})
    assert (back.status, back.body["id"], back.body["prefix"]) == (200, old, first)
    assert (back.body["project"], back.body["name"]) == ("p", "a")
    assert client.rows(old) == expected(0, 2)
    assert [each["id"] for each in client.get("/experiments", search=first)["data"]] == [old]
