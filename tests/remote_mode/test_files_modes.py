"""Files of a server that lies: of another content, of another length, with names that lead elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from ml_dash import Experiment
from ml_dash.errors import MLDashError
from ml_dash.server.runner import EmbeddedServer
from tests.support.account_serving import Served
from tests.support.processes import PREFIX

pytestmark = pytest.mark.usefixtures("settings")

WEIGHTS = b"weights of the first epoch"
_HOP = {"content-length", "content-encoding", "transfer-encoding", "connection", "date", "server"}

ENDLESS = 400
"""Pieces of a MiB after which an answer without an end ends after all."""

Change = Callable[[bytes], bytes]


class Liar:
    """Passes on what a server says, but for what it was told to change.

    Attributes:
        content: What becomes of contents.
        row: What becomes of rows of files.
        endless: Whether a content has no end, and no length that could tell.
        pieces: How many pieces of an endless one were sent.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.content: Change = bytes
        self.row: dict[str, Any] = {}
        self.endless = False
        self.pieces = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _go_on(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while self.pieces < ENDLESS:
            await response.write(bytes(1 << 20))
            self.pieces += 1
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.endless and request.path.endswith("/content"):
            return await self._go_on(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        if "/files" in request.path:
            headers["Accept"] = "application/json"
        async with (
            ClientSession(auto_decompress=True) as session,
            session.request(
                request.method, f"{self._url}{request.rel_url}", headers=headers, data=await request.read()
            ) as answer,
        ):
            body, status = await answer.read(), answer.status
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        if status in {200, 206} and request.path.endswith("/content"):
            body = self.content(body)
        elif status == 200 and request.method == "GET" and "/files" in request.path:
            told = json.loads(body)
            for row in told.get("data", [told]):
                row.update(self.row)
            body = json.dumps(told).encode()
        return web.Response(status=status, headers=kept, body=body)


@pytest.fixture
def liar(server: EmbeddedServer) -> Iterator[tuple[Liar, str]]:
    """What stands between the client and the server, and its URL."""
    liar = Liar(server.url)
    with Served(liar.app()) as served:
        yield liar, served.url


@pytest.fixture(params=["hybrid", "remote"])
def exp(request: pytest.FixtureRequest, liar: tuple[Liar, str], tmp_path: Path) -> Experiment:
    """An experiment with one file, the content of which is at the server only."""
    root = tmp_path / "dash" if request.param == "hybrid" else None
    exp = Experiment(PREFIX, dash_url=liar[1], dash_root=root, echo=False)
    with exp.run:
        exp.files("models").save_blob(WEIGHTS, to="a.pt")
        assert exp.flush(60).pending == 0
    for content in Path(exp.directory, "files").glob("??/*"):
        content.unlink()
    return exp


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, with room for what would lead out of it."""
    here = tmp_path / "outer" / "middle" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    return here


@pytest.mark.sample(2)
def test_through_an_honest_one_it_is_what_was_saved(exp: Experiment, here: Path) -> None:
    """Else the others would show nothing."""
    assert exp.files("models/a.pt").download() == "a.pt"
    assert (here / "a.pt").read_bytes() == WEIGHTS


@pytest.mark.sample(8)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: b"W" + body[1:], id="another content"),
        pytest.param(lambda body: body[:-1], id="shorter"),
        pytest.param(lambda body: body + b"!", id="longer"),
        pytest.param(lambda _: b"", id="nothing"),
    ],
)
def test_a_content_that_is_not_the_rows_is_refused_and_what_was_there_stays(
    exp: Experiment, liar: tuple[Liar, str], here: Path, change: Change
) -> None:
    """By `download`, onto an existing file or none, and by `read_bytes`."""
    liar[0].content = change
    (here / "before.pt").write_bytes(b"before")
    for read in (
        lambda: exp.files("models/a.pt").download("before.pt"),
        lambda: exp.files("models/a.pt").download("new.pt"),
        lambda: exp.files("models/**").download("all"),
        lambda: exp.files("models/a.pt").read_bytes(),
    ):
        with pytest.raises(MLDashError):
            read()
    assert (here / "before.pt").read_bytes() == b"before"
    assert [path for path in here.rglob("*") if path.is_file()] == [here / "before.pt"]


@pytest.mark.sample(2)
def test_an_answer_without_an_end_is_broken_off(exp: Experiment, liar: tuple[Liar, str], here: Path) -> None:
    """It would fill the disk."""
    liar[0].endless = True
    with pytest.raises(MLDashError, match="its row says"):
        exp.files("models/a.pt").download("new.pt")
    assert liar[0].pieces < ENDLESS
    assert list(here.iterdir()) == []


@pytest.fixture
def reader(exp: Experiment, liar: tuple[Liar, str]) -> Experiment:
    """The experiment as the server has it: with a journal beside it, rows are read from there."""
    return Experiment(PREFIX, dash_url=liar[1], dash_root=None, echo=False)


@pytest.mark.sample(8)
@pytest.mark.parametrize("exp", ["remote"], indirect=True)
@pytest.mark.parametrize("filename", ["../../x", "/../../x", "..\\..\\x", "../.."])
def test_a_name_from_a_server_never_leads_out_of_the_directory(
    reader: Experiment, liar: tuple[Liar, str], here: Path, tmp_path: Path, filename: str
) -> None:
    """Whether one file is asked for, or all of them."""
    (row,) = reader.files.list()
    liar[0].row = {"path": "/../../..", "filename": filename}
    outside = {path for path in tmp_path.rglob("*") if here not in path.parents and path.is_file()}
    paths = [
        reader.files(file_id=row["id"]).download(),
        reader.files(file_id=row["id"]).download("there/"),
        *reader.files("**").download("all"),
    ]
    assert len(paths) == 3
    for path in paths:
        assert here in Path(path).resolve().parents
        assert Path(path).read_bytes() == WEIGHTS
    new = {path for path in tmp_path.rglob("*") if here not in path.parents and path.is_file()} - outside
    assert {path for path in new if "server" not in path.relative_to(tmp_path).parts} == set()


@pytest.mark.sample(3)
@pytest.mark.parametrize("exp", ["remote"], indirect=True)
@pytest.mark.parametrize("checksum", ["../../x", "A" * 64, 5])
def test_a_row_whose_checksum_is_none_is_refused(
    reader: Experiment, liar: tuple[Liar, str], checksum: Any
) -> None:
    """It would be a path."""
    liar[0].row = {"checksum": checksum}
    with pytest.raises(MLDashError, match=r"makes no sense|does not understand"):
        reader.files.list()
    with pytest.raises(MLDashError, match=r"makes no sense|does not understand"):
        reader.files("models/a.pt").download()
