"""Views that people save: of two who change one, nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml_dash.protocol import VIEW_BYTES_MAX
from ml_dash.server.catalogue import saved_views
from ml_dash.server.http.access import BY_PAGE
from ml_dash.server.runner import EmbeddedServer
from tests.support.serving import TOKEN, Answer, Client

STATE = {"charts": [{"metric": "val/loss", "x": "step"}], "filter": 'a "b" ü', "n": 2**60}


def path(owner: str, view: str = "") -> str:
    return f"/owners/{owner}/projects/vision/views" + (f"/{view}" if view else "")


def save(client: Client, at: str, based_on: str | None = None, **changed: Any) -> Answer:
    mine = at.endswith("?mine=true")
    headers = {"Content-Type": "application/json"} | ({"If-Match": f'"{based_on}"'} if based_on else {})
    body = {"name": "Losses", "format": 1, "state": STATE, **changed}
    query = {"mine": "true"} if mine else {}
    return client.ask(
        "PUT", at.removesuffix("?mine=true"), json.dumps(body).encode(), headers=headers, **query
    )


def test_a_view_is_kept_as_it_was_saved(client: Client, owner: str) -> None:
    saved = save(client, path(owner, "losses"), default=True)
    assert (saved.status, saved.headers["ETag"]) == (200, f'"{saved.body["version"]}"')
    found = client.get(path(owner, "losses"))
    assert found == saved.body
    assert (found["state"], found["name"], found["default"], found["mine"]) == (STATE, "Losses", True, False)
    (listed,) = client.get(path(owner))["data"]
    assert listed == {name: value for name, value in found.items() if name != "state"}
    other = save(client, path(owner, "other"), default=True).body
    assert [each["default"] for each in client.get(path(owner))["data"]] == [False, True]
    assert (
        save(client, path(owner, "losses"), saved.body["version"], name="L").body["version"]
        != found["version"]
    )
    gone = client.ask("DELETE", path(owner, "other"), headers={"If-Match": f'"{other["version"]}"'})
    assert (gone.status, len(client.get(path(owner))["data"])) == (200, 1)
    assert client.ask("GET", path(owner, "other")).status == 404


def test_of_two_who_save_one_view_the_second_is_told(client: Client, owner: str) -> None:
    first = save(client, path(owner, "v")).body
    for based_on in (None, "0" * 16):
        told = save(client, path(owner, "v"), based_on, state={"other": 1})
        assert (told.status, told.error["code"], told.error["current"]) == (412, "changed", first)
    second = save(client, path(owner, "v"), first["version"], state={"mine": 1}).body
    told = save(client, path(owner, "v"), first["version"], state={"theirs": 1})
    assert (told.status, told.error["current"]["state"]) == (412, {"mine": 1})
    stale = client.ask("DELETE", path(owner, "v"), headers={"If-Match": f'"{first["version"]}"'})
    assert (stale.status, stale.error["current"]["version"]) == (412, second["version"])
    assert client.ask("DELETE", path(owner, "v")).status == 400
    over = client.ask("DELETE", path(owner, "v"), headers={"If-Match": "*"})
    assert (over.status, client.ask("DELETE", path(owner, "v"), headers={"If-Match": "*"}).status) == (
        200,
        404,
    )
    gone = save(client, path(owner, "never"), first["version"])
    assert (gone.status, gone.error["current"]) == (412, None)


def test_a_view_of_a_newer_version_is_not_saved_over(client: Client, owner: str) -> None:
    newer = save(client, path(owner, "v"), format=7, state={"of": "later"}).body
    told = save(client, path(owner, "v"), newer["version"], format=6)
    assert (told.status, told.error["current"]["format"]) == (412, 7)
    assert "newer version of the pages (format 7, and this is 6)" in told.error["message"]
    assert save(client, path(owner, "v"), newer["version"], format=8).status == 200


def test_who_may_save_what(tmp_path: Path) -> None:
    """One's own is saved by who may read, and by browsers that are signed in; the project's by who may write."""
    with EmbeddedServer(data=tmp_path, admin_token=TOKEN) as server:
        admin = Client(server.url, TOKEN)

        def token(name: str, scope: str) -> str:
            grants = [{"owner": "alice", "scope": scope}]
            return str(admin.post("/tokens", {"name": name, "grants": grants}).body["token"])

        reader, writer, stranger = (
            Client(server.url, token(*each)) for each in (("r", "read"), ("w", "write"), ("s", "read"))
        )
        assert save(writer, path("alice", "shared")).status == 200
        assert save(reader, path("alice", "no")).status == 403
        own = save(reader, path("alice", "own?mine=true"))
        assert (own.status, own.body["mine"]) == (200, True)
        assert [(each["id"], each["mine"]) for each in reader.get(path("alice"))["data"]] == [
            ("own", True),
            ("shared", False),
        ]
        assert [each["id"] for each in stranger.get(path("alice"))["data"]] == ["shared"]
        assert stranger.ask("GET", path("alice", "own"), mine="true").status == 404
        assert save(reader, path("bob", "own?mine=true")).status == 404
        shared = writer.get(path("alice", "shared"))["version"]
        assert (
            reader.ask("DELETE", path("alice", "shared"), headers={"If-Match": f'"{shared}"'}).status == 403
        )
        signed_in = reader.ask(
            "POST",
            "/session",
            json.dumps({"token": reader.token}).encode(),
            headers={"Content-Type": "application/json", BY_PAGE: "1"},
        )
        cookie = signed_in.headers["Set-Cookie"].partition(";")[0]
        browser = Client(server.url, None)
        body = json.dumps({"name": "n", "format": 1, "state": {}}).encode()
        for mine, header, status in (
            ("true", BY_PAGE, 200),
            ("false", BY_PAGE, 403),
            ("true", "X-Other", 403),
        ):
            headers = {"Cookie": cookie, header: "1", "Content-Type": "application/json"}
            assert browser.ask("PUT", path("alice", "b"), body, headers=headers, mine=mine).status == status


@pytest.mark.parametrize(
    ("view", "changed", "status"),
    [
        ("A", {}, 400),
        ("-a", {}, 400),
        ("a" * 65, {}, 400),
        ("a", {"name": ""}, 400),
        ("a", {"format": 0}, 400),
        ("a", {"state": [1]}, 400),
        ("a", {"state": {"x": "y" * VIEW_BYTES_MAX}}, 400),
        ("a", {"state": {"x": 2**70}}, 400),
        ("a", {"other": 1}, 400),
    ],
)
def test_what_is_no_view_is_refused(
    client: Client, owner: str, view: str, changed: dict[str, Any], status: int
) -> None:
    assert save(client, path(owner, view), **changed).status == status
    assert client.get(path(owner))["data"] == []


def test_a_project_has_so_many_views(client: Client, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "VIEWS_MAX", 2)
    first = save(client, path(owner, "a")).body
    assert [save(client, path(owner, name)).status for name in ("b", "c", "d?mine=true")] == [200, 400, 200]
    assert save(client, path(owner, "a"), first["version"]).status == 200
