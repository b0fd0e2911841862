"""What a page changes: over a root and at a server by the same requests, with the same answers."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar

from ml_dash import Experiment
from ml_dash.protocol import API
from ml_dash.server.http.access import BY_PAGE
from ml_dash.storage.trash import TRASH, Trash
from tests.server.local.ui import serving
from tests.support.seen import TOKEN
from tests.support.two_places import TestPlace, place

__all__ = ["place"]

OURS = {BY_PAGE: "1"}
VERBS: list[tuple[str, str, Any]] = [
    ("DELETE", "experiments/{id}", None),
    ("POST", "experiments/{id}/restore", {}),
    ("POST", "experiments/{id}/move", {"to": "alice/p/b"}),
    ("POST", "experiments/{id}/tags", {"add": ["new"]}),
    ("PUT", "experiments/{id}/note", {"note": "new"}),
    ("PUT", "experiments/{id}/readme", {"readme": "new"}),
]


class Page:
    """A page of the dashboard, with what its browser knows."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, headers: Any = OURS
    ) -> Any:
        async with self.client.request(method, f"{API}/{path}", json=body, headers=headers) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def refused(self, method: str, path: str, body: Any = None, *, status: int) -> tuple[str, str]:
        """The code and the message of an error."""
        error = (await self.ask(method, path, body, status=status))["error"]
        return error["code"], error["message"]

    async def ids(self) -> dict[str, str]:
        return {each["prefix"]: each["id"] for each in (await self.ask("GET", "experiments"))["data"]}

    async def trash(self, query: str = "") -> Any:
        return (await self.ask("GET", f"trash{query}"))["data"]


@pytest.fixture
async def page(place: TestPlace) -> AsyncIterator[Page]:
    """One that is signed in."""
    if place.kind == "root":
        async with serving(place.where) as ui:
            yield Page(ui.client)
        return
    async with ClientSession(place.where, cookie_jar=CookieJar(unsafe=True)) as client:
        page = Page(client)
        await page.ask("POST", "session", {"token": TOKEN})
        yield page


def made(place: TestPlace, prefix: str, rows: int = 3, **about: Any) -> None:
    with place.experiment(prefix, **about).run as exp:
        for step in range(rows):
            exp.metrics("train").log(step=step)


async def test_both_are_changed_in_the_same_words(place: TestPlace, page: Page) -> None:
    made(place, "alice/p/a", tags=["t"])
    made(place, "alice/p/b")
    assert (await page.ask("GET", "session"))["writes"] == ["*"]
    first = f"experiments/{(await page.ids())['alice/p/a']}"
    tagged = await page.ask("POST", f"{first}/tags", {"add": ["best"], "remove": ["t"]})
    assert tagged["tags"] == ["best"]
    assert (await page.ask("PUT", f"{first}/note", {"note": "**good**"}))["note"] == "**good**"
    found = await page.ask("GET", first)
    assert (found["tags"], found["note"]) == (["best"], "**good**")
    assert (await page.ask("PUT", f"{first}/readme", {"readme": "# It", "before": ""}))["readme"] == "# It"
    again = {"readme": "# Mine", "before": ""}
    assert (await page.refused("PUT", f"{first}/readme", again, status=412))[0] == "changed"
    assert (await page.ask("GET", first))["readme"] == "# It"

    assert (await page.refused("POST", f"{first}/move", {"to": "alice/p/b"}, status=409))[0] == "exists"
    assert (await page.refused("POST", f"{first}/move", {"to": "x"}, status=400))[0] == "invalid"
    moved = await page.ask("POST", f"{first}/move", {"to": "alice/q/deep/c"})
    names = ("prefix", "owner", "project", "folder", "name", "tags", "note", "rows")
    assert [moved[name] for name in names] == [
        "alice/q/deep/c",
        "alice",
        "q",
        "deep",
        "c",
        ["best"],
        "**good**",
        3,
    ]
    assert set(await page.ids()) == {"alice/q/deep/c", "alice/p/b"}

    there = f"experiments/{moved['id']}"
    deleted = await page.ask("DELETE", there)
    assert deleted["prefix"] == "alice/q/deep/c"
    assert deleted["purgeAt"] > deleted["deletedAt"]
    assert set(await page.ids()) == {"alice/p/b"}
    assert (await page.refused("GET", there, status=410))[0] == "gone"
    (entry,) = await page.trash()
    told = ("id", "prefix", "owner", "rows", "deletedAt", "purgeAt")
    assert [entry[name] for name in told] == [
        deleted["id"],
        "alice/q/deep/c",
        "alice",
        3,
        deleted["deletedAt"],
        deleted["purgeAt"],
    ]
    assert entry["deletedBy"]

    back = await page.ask("POST", f"experiments/{entry['id']}/restore", {})
    assert [back[name] for name in ("prefix", "deletedAt", "note")] == ["alice/q/deep/c", None, "**good**"]
    there = f"experiments/{back['id']}"
    rows = await page.ask("GET", f"{there}/metrics/rows?name=train")
    assert [row["data"]["step"] for row in rows["data"]] == [0, 1, 2]
    assert await page.trash() == []
    assert (await page.ask("POST", f"{there}/restore", {}))["id"] == back["id"], "once more does no harm"
    assert (await page.refused("POST", f"{there}/restore", {"to": "alice/p/x"}, status=400))[0] == "invalid"
    # what a page undoes that knows only the id which it deleted
    await page.ask("DELETE", there)
    again = await page.ask("POST", f"{there}/restore", {"to": "alice/q/d"})
    assert again["prefix"] == "alice/q/d"
    assert set(await page.ids()) == {"alice/q/d", "alice/p/b"}
    missing = "experiments/exp_00000000000000000000"
    for method, path, body in VERBS:
        code, _ = await page.refused(method, path.replace("experiments/{id}", missing), body, status=404)
        assert code == "not_found"


async def test_what_was_deleted_is_listed_page_by_page(place: TestPlace, page: Page) -> None:
    for name in ("a", "b", "c"):
        made(place, f"alice/p/{name}")
    for id_ in sorted((await page.ids()).values()):
        await page.ask("DELETE", f"experiments/{id_}")
    whole = await page.trash()
    assert sorted((each["deletedAt"] for each in whole), reverse=True) == [
        each["deletedAt"] for each in whole
    ]
    found, query = [], "?limit=2"
    for has_more in (True, False):
        answer = await page.ask("GET", f"trash{query}")
        assert answer["hasMore"] is has_more
        found += answer["data"]
        query = f"?limit=2&cursor={answer['cursor']}"
    assert found == whole
    assert (await page.refused("GET", "trash?cursor=x", status=400))[0] == "invalid"


async def test_a_page_of_another_site_changes_nothing(place: TestPlace, page: Page) -> None:
    """Though its browser is signed in: by a link, a form or a script."""
    made(place, "alice/p/a")
    (id_,) = (await page.ids()).values()
    before = await page.ask("GET", f"experiments/{id_}")
    for method, path, body in VERBS:
        for theirs in ({}, {**OURS, "Sec-Fetch-Site": "cross-site"}, {**OURS, "Sec-Fetch-Site": "same-site"}):
            answer = await page.ask(method, path.format(id=id_), body, status=403, headers=theirs)
            assert answer["error"]["code"] == "forbidden"
    page.client.cookie_jar.clear() if place.kind == "server" else page.client.session.cookie_jar.clear()
    for method, path, body in VERBS:
        await page.ask(method, path.format(id=id_), body, status=401)
    assert not (place.directory / "dash" / TRASH).exists()
    if place.kind == "server":
        await page.ask("POST", "session", {"token": TOKEN})
        assert await page.ask("GET", f"experiments/{id_}") == before


# --- a root alone


async def test_what_goes_on_stays_and_what_is_forced_is_deleted(tmp_path: Path) -> None:
    exp = Experiment("alice/p/a", dash_root=tmp_path, echo=False).run.start()
    async with serving(tmp_path) as ui:
        page = Page(ui.client)
        (id_,) = (await page.ids()).values()
        for method, path, body in (
            ("DELETE", f"experiments/{id_}?unless_running=true", None),
            ("POST", f"experiments/{id_}/move", {"to": "alice/p/b"}),
        ):
            assert (await page.refused(method, path, body, status=409))[0] == "running"
        await page.ask("DELETE", f"experiments/{id_}")
        assert await page.ids() == {}
    exp.run.complete()


async def test_a_root_that_may_only_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages are told beforehand, so that they offer nothing. The superuser, who runs tests too, is refused, too."""
    for name in ("a", "b"):
        Experiment(f"alice/p/{name}", dash_root=tmp_path, echo=False).run.start().run.complete()
    async with serving(tmp_path) as ui:
        page = Page(ui.client)
        ids = await page.ids()
        await page.ask("DELETE", f"experiments/{ids['alice/p/b']}")
        (entry,) = await page.trash()

        def refused(*_: object, **__: object) -> None:
            raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

        reading = os.open

        def opened(path: Any, flags: int, *more: int, **others: Any) -> int:
            if flags & os.O_ACCMODE != os.O_RDONLY:
                refused()
            return reading(path, flags, *more, **others)

        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "access", lambda *_: False)
        for name in ("rename", "mkdir"):
            monkeypatch.setattr(os, name, refused)
        assert (await page.ask("GET", "session"))["writes"] == []
        for method, path, body in VERBS:
            id_ = entry["id"] if path.endswith("restore") else ids["alice/p/a"]
            code, message = await page.refused(method, path.format(id=id_), body, status=403)
            assert code == "forbidden"
            assert "may only be read" in message
        monkeypatch.undo()
        assert set(await page.ids()) == {"alice/p/a"}


async def test_what_is_only_a_part_of_a_root_is_not_changed(tmp_path: Path) -> None:
    """Names are shorter there than they are, and what is moved by them would lie where nobody looks for it."""
    Experiment("alice/p/a", dash_root=tmp_path, echo=False).run.start().run.complete()
    before = below(tmp_path)
    for part in ("alice", "alice/p", "alice/p/a"):
        async with serving(tmp_path / part) as ui:
            page = Page(ui.client)
            (id_,) = (await page.ids()).values()
            for method, path, body in VERBS:
                if path.endswith("restore"):
                    continue
                code, message = await page.refused(method, path.format(id=id_), body, status=403)
                assert code == "forbidden"
                assert "over the root itself" in message
    assert below(tmp_path) == before


def below(directory: Path) -> list[Path]:
    """All that is there, but for what lists keep."""
    return [path for path in sorted(directory.rglob("*")) if ".summaries" not in path.parts]


async def test_a_trash_of_a_stranger_leads_nowhere_else(tmp_path: Path) -> None:
    """Its entries may be links, or name what is no name."""
    about = trashed(tmp_path)
    async with serving(tmp_path / "dash") as ui:
        page = Page(ui.client)
        assert await page.trash() == []
        rename_to_elsewhere(about)
        (found,) = await page.trash()
        restore = f"experiments/{found['id']}/restore"
        assert (await page.refused("POST", restore, {}, status=400))[0] == "invalid"
        assert (await page.ask("POST", restore, {"to": "alice/p/b"}))["prefix"] == "alice/p/b"
    assert [path.name for path in below(tmp_path) if path.parent == tmp_path] == ["dash", "secret.json"]


def trashed(directory: Path) -> Path:
    """What says what is in the trash of a root: a link that leads out of it."""
    Experiment("alice/p/a", dash_root=directory / "dash", echo=False).run.start().run.complete()
    entry = Trash(str(directory / "dash")).put("alice/p/a", str(directory / "dash/alice/p/a"))
    about = Path(entry.place, "about.json")
    about.rename(directory / "secret.json")
    about.symlink_to(directory / "secret.json")
    return about


def rename_to_elsewhere(about: Path) -> None:
    text = about.read_text()
    about.unlink()
    about.write_text(text.replace("alice/p/a", "../../elsewhere"))
