"""Pages of a server that would never end, or lead nowhere, end with an error that says so: in every list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ml_dash.client import paging
from ml_dash.client.api import Client
from ml_dash.client.blob_api import BlobClient
from ml_dash.client.transport import Answer
from ml_dash.client.view import RemoteView
from ml_dash.errors import RemoteError
from tests.client.canned import Canned, packed
from tests.support.one_server import Call
from tests.support.view_journals import TRAIN

ROW: dict[str, object] = {
    "id": "file_1",
    "path": "/",
    "filename": "a.pt",
    "description": None,
    "tags": [],
    "bindrs": [],
    "contentType": "application/octet-stream",
    "sizeBytes": 7,
    "checksum": "1" * 64,
    "metadata": None,
    "uploadedAt": "2026-11-25T06:00:00.000000Z",
    "updatedAt": "2026-11-25T06:00:00.000000Z",
    "deletedAt": None,
}


class Endless(Canned):
    """A transport whose every answer says that there is more."""

    def __init__(self, entry: Callable[[int], object], cursor: Callable[[int], object]) -> None:
        super().__init__()
        self._entry = entry
        self._cursor = cursor

    @property
    def asked(self) -> int:
        return len(self.requests)

    async def request(self, *where: Any, **what: Any) -> Answer:
        number = self.asked + 1
        assert number < 1000, "it is asked for ever"
        data = {
            "data": [self._entry(number)],
            "total": 10**9,
            "hasMore": True,
            "startIndex": 0,
            "endIndex": 0,
        }
        self.answers.append(packed({**data, "cursor": self._cursor(number)}))
        return await super().request(*where, **what)


def view(line: Canned, call: Call) -> RemoteView:
    return RemoteView(Client(line), call, lambda: "exp_1", "a/b/c")


Listing = Callable[[Endless, Call], object]
LISTS: dict[str, Listing] = {
    "files": lambda line, call: view(line, call).files(),
    "experiments": lambda line, call: call(Client(line).find("a/b/c")),
    "blobs": lambda line, call: call(BlobClient(Client(line), "exp_1").all_missing()),
}
SAME: dict[str, dict[str, object]] = {
    "files": ROW,
    "experiments": {"prefix": "a/b/c/d", "id": "exp_2"},
    "blobs": {"checksum": "1" * 64, "sizeBytes": 1},
}


def numbered(what: str, number: int) -> dict[str, object]:
    key = "checksum" if what == "blobs" else "id"
    return {**SAME[what], key: f"{number:064}"}


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize(
    "cursor", [lambda _: "a", lambda _: None, lambda _: "", str], ids=["same", "none", "empty", "new"]
)
def test_pages_that_bring_nothing_new_or_lead_nowhere_are_left(
    what: str, cursor: Callable[[int], object], call: Call
) -> None:
    line = Endless(lambda _: SAME[what], cursor)
    with pytest.raises(RemoteError, match=r"dash\.example\.org .*(circles|not where)"):
        LISTS[what](line, call)
    assert line.asked <= 2


@pytest.mark.parametrize("what", LISTS)
def test_a_cursor_that_comes_again_is_left_whatever_its_page_brings(what: str, call: Call) -> None:
    line = Endless(lambda asked: numbered(what, asked), lambda _: "a")
    with pytest.raises(RemoteError, match="circles"):
        LISTS[what](line, call)
    assert line.asked == 2


@pytest.mark.parametrize("what", LISTS)
def test_a_list_without_an_end_is_left(what: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "ENTRIES_MAX", 100)
    line = Endless(lambda asked: numbered(what, asked), str)
    with pytest.raises(RemoteError, match="without an end"):
        LISTS[what](line, call)
    assert line.asked == 101


def metric(name: str) -> dict[str, object]:
    return {"name": name, "count": 1, "fields": ["x"], "firstDataAt": "2026", "lastDataAt": "2026"}


NUMBERS = {"count": 7, "nan": 0, "min": 1, "max": 1, "mean": 1, "last": 1}


class EndlessStats(Canned):
    """A transport whose every answer has the fields of this number, of more that there are."""

    def __init__(self, fields: Callable[[int], dict[str, object]]) -> None:
        super().__init__()
        self._fields = fields

    async def request(self, *where: Any, **what: Any) -> Answer:
        number = len(self.requests) + 1
        assert number < 1000, "it is asked for ever"
        fields = self._fields(number)
        nothing = dict.fromkeys(("firstValue", "lastValue", "firstDataAt", "lastDataAt"))
        answer = {"name": "train", "count": 7, "totalDataPoints": 7, **nothing, "fieldsTotal": 10**9}
        self.answers.append(packed({**answer, "fields": fields}))
        return await super().request(*where, **what)


BY_LENGTH: dict[str, Callable[[Callable[[int], str], Call], tuple[Canned, Callable[[], object]]]] = {
    "metrics": lambda name, call: (
        (line := Endless(lambda asked: metric(name(asked)), str)),
        view(line, call).metrics,
    ),
    "stats": lambda name, call: (
        (line := EndlessStats(lambda asked: {name(asked): NUMBERS})),
        lambda: view(line, call).stats(TRAIN),
    ),
}


@pytest.mark.parametrize("what", BY_LENGTH)
def test_a_list_that_is_asked_for_by_its_length_ends_as_well(
    what: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, ask = BY_LENGTH[what](lambda _: "train", call)
    with pytest.raises(RemoteError, match="circles"):
        ask()
    assert len(line.requests) == 2
    monkeypatch.setattr(paging, "ENTRIES_MAX", 100)
    line, ask = BY_LENGTH[what](str, call)
    with pytest.raises(RemoteError, match="without an end"):
        ask()
    assert len(line.requests) == 101


def test_rows_that_are_counted_otherwise_than_they_come_are_refused(call: Call) -> None:
    line = Endless(lambda _: {"index": 0, "data": {}, "createdAt": "2026"}, str)
    with pytest.raises(RemoteError, match="rows from number"):
        view(line, call).read(TRAIN, 5, 10**6)
    assert line.asked == 1
    line = Endless(lambda _: {"index": 0, "data": {}, "createdAt": "2026"}, str)
    with pytest.raises(RemoteError, match="rows from number"):
        view(line, call).read(TRAIN, 0, 10**6)
    assert line.asked == 2


@pytest.mark.parametrize("what", LISTS)
def test_a_cursor_with_which_nobody_can_ask_is_refused(what: str, call: Call) -> None:
    with pytest.raises(RemoteError, match="not where"):
        LISTS[what](Endless(lambda asked: numbered(what, asked), lambda _: "\ud800"), call)
