"""What a server says of files is checked, page by page, and what it refuses is told in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport
from ml_dash.client.view import RemoteView
from ml_dash.errors import ContentError, FileMissingError, InvalidArgumentError, RemoteError
from ml_dash.query.files import FileQuery
from tests.support.listening import Quiet, listening
from tests.support.one_server import Call

CONTENT = b"content"
ROW: dict[str, Any] = {
    "id": "file_1",
    "path": "/models",
    "filename": "best.pt",
    "description": None,
    "tags": ["best"],
    "bindrs": [],
    "contentType": "application/octet-stream",
    "sizeBytes": len(CONTENT),
    "checksum": hashlib.sha256(CONTENT).hexdigest(),
    "metadata": {"epoch": 1},
    "aliases": ["best"],
    "uploadedAt": "2026-11-25T06:00:00.000000Z",
    "updatedAt": "2026-11-25T06:00:00.000000Z",
    "deletedAt": None,
}
BASE = "/api/v1/experiments/exp_1/files"


class Answers:
    """Answers by path, of which each may be several, one after the other: status and JSON, or bytes."""

    def __init__(self, answers: dict[str, list[tuple[int, Any]]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []
        self.url = ""

    def view(self, call: Call) -> RemoteView:
        client = Client(AiohttpTransport(self.url, lambda: None))
        return RemoteView(client, call, lambda: "exp_1", "alice/p/e")


@contextmanager
def answering(**answers: list[tuple[int, Any]]) -> Iterator[Answers]:
    """Serve ``list``, ``row`` and ``content``."""
    paths = {"list": BASE, "row": f"{BASE}/file_1", "content": f"{BASE}/file_1/content"}
    told = Answers({paths[name]: found for name, found in answers.items()})

    class _Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            told.asked.append((parts.path, parse_qsl(parts.query)))
            status, body = told.answers[parts.path].pop(0)
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    with listening(_Handler) as told.url:
        yield told


def page(*rows: Any, cursor: Any = None, more: Any = None) -> tuple[int, Any]:
    more = cursor is not None if more is None else more
    return 200, {"data": list(rows), "total": len(rows), "hasMore": more, "cursor": cursor}


def error(status: int, code: str) -> tuple[int, Any]:
    return status, {"error": {"code": code, "message": "no"}}


def test_pages_are_read_to_the_end(call: Call) -> None:
    """Rows have the keys that readers know, and no others."""
    rows = [{**ROW, "id": f"file_{i}"} for i in range(5)]
    pages = [
        page(*({**row, "available": True, "later": 1} for row in rows[:2]), cursor="a"),
        page(*rows[2:4], cursor="b"),
        page(rows[4]),
    ]
    with answering(list=pages) as told:
        found = told.view(call).files()
    assert found == rows
    assert [list(row) for row in found] == [list(ROW)] * 5
    assert [dict(query).get("cursor") for _, query in told.asked] == [None, "a", "b"]


def test_a_query_is_sent_as_it_is(call: Call) -> None:
    query = FileQuery("mod&els/ä", "**/*.p?", ("a&b", "c d"), versions=True, deleted=True)
    with answering(list=[page()]) as told:
        assert told.view(call).files(query) == []
    ((_, asked),) = told.asked
    assert asked[:-1] == [
        ("path", "mod&els/ä"),
        ("pattern", "**/*.p?"),
        ("tag", "a&b"),
        ("tag", "c d"),
        ("versions", "true"),
        ("deleted", "true"),
    ]


def test_what_no_url_can_carry_is_refused_before_anything_is_asked(call: Call) -> None:
    with answering(list=[]) as told:
        with pytest.raises(InvalidArgumentError, match="surrogate"):
            told.view(call).files(FileQuery(path="\udc80"))
        with pytest.raises(InvalidArgumentError, match="surrogate"):
            told.view(call).file("\udc80")
    assert told.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        (200, []),
        (200, {"data": [], "hasMore": "no"}),
        (200, {"data": {}, "hasMore": False}),
        page("a row"),
        *(
            page({**ROW, key: value})
            for key, value in [
                ("id", 1),
                ("path", None),
                ("filename", ["x"]),
                ("description", 1),
                ("tags", "best"),
                ("tags", [1]),
                ("bindrs", None),
                ("contentType", None),
                ("sizeBytes", -1),
                ("sizeBytes", True),
                ("sizeBytes", "7"),
                ("checksum", "../../x"),
                ("checksum", "A" * 64),
                ("metadata", []),
                ("uploadedAt", None),
                ("deletedAt", 0),
            ]
        ),
    ],
)
def test_a_page_that_makes_no_sense_is_refused(call: Call, answer: tuple[int, Any]) -> None:
    with answering(list=[answer]) as told, pytest.raises(RemoteError, match="does not understand"):
        told.view(call).files()


def test_names_that_lead_elsewhere_are_only_text_here(call: Call, tmp_path: Path) -> None:
    row = {**ROW, "path": "/../..", "filename": "../../x"}
    with answering(list=[page(row)], content=[(200, CONTENT)]) as told:
        view = told.view(call)
        (found,) = view.files()
        view.fetch(found, str(tmp_path / "here"))
    assert found == row
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_row_is_had_by_its_id(call: Call) -> None:
    """A deleted one too; one that there is not is None."""
    deleted = {**ROW, "deletedAt": "2026-11-25T07:00:00.000000Z"}
    with answering(row=[(200, {**deleted, "available": False}), error(404, "not_found")]) as told:
        view = told.view(call)
        assert view.file("file_1") == deleted
        assert view.file("file_1") is None


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (error(410, "gone"), "was deleted at .* at 2026-11-25T07"),
        (error(409, "content_missing"), "has not been uploaded .* yet.*ml-dash sync"),
        (error(410, "content_lost"), "was lost at"),
        (error(404, "not_found"), "is not at"),
    ],
)
def test_why_a_content_is_not_there_is_told(
    call: Call, tmp_path: Path, refusal: tuple[int, Any], told: str
) -> None:
    deleted = (200, {**ROW, "deletedAt": "2026-11-25T07:00:00.000000Z"})
    with (
        answering(content=[refusal], row=[deleted]) as server,
        pytest.raises(FileMissingError, match=rf"best\.pt.*file_1.*{told}"),
    ):
        server.view(call).fetch(ROW, str(tmp_path / "best.pt"))
    assert list(tmp_path.iterdir()) == []


def test_another_refusal_is_the_servers_own(call: Call, tmp_path: Path) -> None:
    with (
        answering(content=[error(403, "forbidden")]) as server,
        pytest.raises(RemoteError, match="forbidden"),
    ):
        server.view(call).fetch(ROW, str(tmp_path / "best.pt"))


def test_another_content_than_the_rows_is_refused(call: Call, tmp_path: Path) -> None:
    with (
        answering(content=[(200, b"CONTENT")]) as server,
        pytest.raises(ContentError, match="another content"),
    ):
        server.view(call).fetch(ROW, str(tmp_path / "best.pt"))
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_that_is_not_there_has_no_files(call: Call, tmp_path: Path) -> None:
    gone = error(404, "not_found")
    with answering(list=[gone], row=[gone]) as server:
        view = server.view(call)
        assert view.files() == []
        assert view.file("file_1") is None
