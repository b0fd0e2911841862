"""Lists of a server's experiments: it filters and sorts, and tells parameters and summaries beside the records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from msgspec import Struct, ValidationError, convert
from msgspec.structs import astuple

from ml_dash import shapes
from ml_dash.client.answers import checked, is_sendable
from ml_dash.client.paging import Pages
from ml_dash.client.transport import ServerError
from ml_dash.errors import InvalidArgumentError, InvalidFilterError, RemoteError
from ml_dash.notices import warn_user
from ml_dash.protocol import API, LISTED_MAX
from ml_dash.query.listing.definitions import BESTS
from ml_dash.query.listing.listed import ListedExperiment
from ml_dash.query.listing.summary import FieldSummary
from ml_dash.query.times import iso_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call

_FIRST_PAGE = 100
"""So many are asked for first: mostly that is all that is looked at."""
_TOLD = (
    *("id", "prefix", "owner", "project", "folder", "name", "readme", "note", "metadata", "status", "stale"),
    *("host", "error", "attempts", "rows", "problem"),
)
"""What a record says as it is."""
_COLUMNS = ("params", "metrics", "readme", "note")
"""What is told beside the records. Of a server that is older than that, lists lack readmes and notes."""
_NO_FILTERS = "this path has no such argument"
"""How a server says that it cannot filter, which is older than that."""


class OlderServerError(RemoteError):
    """A server is of a version that cannot filter."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"the server at {url} is of an older version, which cannot filter experiments: update it. Until then "
            "ml_dash.open() reads one of them by its prefix"
        )


class _Problem(Struct):
    """What the server does not understand, and where."""

    start: int
    stop: int
    message: str


def find(
    client: Client, call: Call, filter: str, order: str | None = None, limit: int | None = None
) -> Iterator[ListedExperiment]:
    """Yield the experiments that a filter asks for, a page at a time.

    Raises:
        InvalidFilterError: The server does not understand the filter or the order.
        ServerUnavailableError: It cannot be reached.
        RemoteError: It refuses, or is too old to be asked so: an `OlderServerError`.
    """
    asked = {"filter": filter, **({} if order is None else {"order": order})}
    for what, text in asked.items():
        if not is_sendable(text):
            raise InvalidArgumentError(f"{what}={text!r} has half a surrogate pair, which no URL can carry")
    left, size = limit, _FIRST_PAGE
    pages = Pages(client.url)
    while not pages.over and left != 0:
        cursor = {"cursor": pages.cursor} if pages.cursor else {}
        most = size if left is None else min(size, left)
        answer = _page(client, call, {**asked, **cursor}, most)
        for record in answer["data"]:
            yield listed(record, client.url)
        left = None if left is None else max(left - len(answer["data"]), 0)
        pages.follow(answer, [each["id"] for each in answer["data"]])
        size = LISTED_MAX


def find_one(client: Client, call: Call, prefix: str) -> ListedExperiment | None:
    """Return the experiment of this prefix; None where there is none. Raises as `find`."""
    text = prefix.replace("\\", "\\\\").replace('"', '\\"')
    # in any case: there may be another one whose prefix differs by that
    return next((each for each in find(client, call, f'prefix = "{text}"') if each.prefix == prefix), None)


def find_known(client: Client, call: Call, prefix: str) -> ListedExperiment | None:
    """Return what `find_one` does; None as well where the server is too old to be asked so."""
    try:
        return find_one(client, call, prefix)
    except OlderServerError:
        return None


def _page(client: Client, call: Call, asked: Mapping[str, str], most: int) -> dict[str, Any]:
    """Return a page of records, with parameters and summaries in each."""
    query = urlencode([*asked.items(), ("limit", most), *(("columns", name) for name in _COLUMNS)])
    try:
        answer = call(client.get(f"{API}/experiments?{query}"))
    except ServerError as error:
        raise _understood(client.url, error, asked) from None
    found = checked(client.url, answer, shapes.Experiments)
    if any("metrics" not in record for record in found["data"]):
        raise OlderServerError(client.url)
    if any(record.get("pending") for record in found["data"]):
        warn_user(
            f"{client.url} is still reading what an older version of it has stored: filters, orders and tables lack "
            "some of that for a while",
            UserWarning,
        )
    return found


def _understood(url: str, error: ServerError, asked: Mapping[str, str]) -> Exception:
    """Return what an error of a list means."""
    try:
        problems = convert(error.details.get("problems"), list[_Problem])
    except ValidationError:
        problems = []
    if problems:
        what = "order" if error.message.startswith("order=") else "filter"
        return InvalidFilterError.of(what, asked.get(what, ""), map(astuple, problems))
    return OlderServerError(url) if error.status == 400 and _NO_FILTERS in error.message else error


def listed(record: Mapping[str, Any], place: str) -> ListedExperiment:
    """Return a server's record, with parameters and summaries, as lists have it."""
    told: dict[str, Any] = {name: record.get(name) for name in _TOLD}
    return ListedExperiment(
        **told,
        place=place,
        tags=tuple(record["tags"]),
        bindrs=tuple(record["bindrs"]),
        created_ns=iso_ns(record["createdAt"]),
        started_ns=iso_ns(record["startedAt"]),
        ended_ns=iso_ns(record["endedAt"]),
        active_ns=iso_ns(record["lastActivity"]),
        params=record["params"],
        metrics={
            name or None: {field: FieldSummary.from_json(summary) for field, summary in fields.items()}
            for name, fields in record["metrics"].items()
        },
        best={
            (each["metric"], each["field"]): each["value"]
            for each in record.get("best") or ()
            if each["value"] in BESTS
        },
    )
