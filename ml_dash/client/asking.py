"""How a server is asked about one experiment: whole answers, in as many requests as it takes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ml_dash.client.answers import checked
from ml_dash.client.api import Client, experiment_path
from ml_dash.client.download import Frames
from ml_dash.client.paging import Pages, row_page
from ml_dash.client.transport import ServerError
from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import READ_LIMIT_MAX, ErrorCode
from ml_dash.query.pages import page

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

    from msgspec import Struct

    from ml_dash.client.bridge import Call
    from ml_dash.journal.blocks import Block
    from ml_dash.series import Series

_T = TypeVar("_T")
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Asking:
    """Asks a server about one experiment; where it does not have that, answers are empty."""

    def __init__(
        self,
        client: Client,
        call: Call,
        experiment_id: Callable[[], str | None],
        prefix: str,
        missing: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._call = call
        self._known_id = experiment_id
        self._prefix = prefix
        self._missing = missing
        self._found_id: str | None = None

    def _blocks(self, series: Series, start: int = 0, stop: int | None = None) -> list[Block]:
        id_ = self._id()
        if id_ is None:
            return []
        bounds = {"start": str(start), **({} if stop is None else {"stop": str(stop)})}
        query = {"kind": str(int(series.kind)), **named(series), **bounds}

        async def download() -> list[Block]:
            frames = Frames()
            async for piece in self._client.frames(experiment_path(id_, "blocks"), query):
                frames.add(piece)
            return frames.finish()

        return self._known(download, [])

    def _pages(
        self, what: str, query: dict[str, str], start: int, limit: int, shape: type[Struct]
    ) -> dict[str, Any]:
        """Return one page, in as many requests as the server wants."""
        rows: list[dict[str, Any]] = []
        at = start
        while True:
            least = min(limit - len(rows), READ_LIMIT_MAX)
            nothing = page([], start, 0, has_more=False)
            asked = {**query, "start_index": str(at), "limit": str(least)}
            answer = self._ask(what, asked, nothing, shape)
            found, total, has_more = row_page(self._client.url, answer, at)
            rows += found
            notes = {"superseded": answer["superseded"]} if "superseded" in answer else {}
            at = answer["endIndex"] + 1
            # no rows, and yet more: what is there is damaged, and asking again would go on for ever
            if not has_more or len(rows) >= limit or not found:
                return {**page(rows, start, total, has_more=has_more), **notes}

    def _all(
        self,
        what: str,
        shape: type[Struct],
        name: Callable[[dict[str, Any]], str],
        query: Mapping[str, str] = _NOTHING,
    ) -> list[dict[str, Any]]:
        """Return all items of a list; `name` tells each from the others."""
        found: list[dict[str, Any]] = []
        pages = Pages(self._client.url)
        while not pages.over:
            start = {"start": str(len(found))} if found else {}
            answer = self._ask(what, {**query, **start}, {"data": [], "total": 0}, shape)
            found += answer["data"]
            pages.count(answer["total"], map(name, answer["data"]))
        return found

    def _following(
        self,
        what: str,
        query: dict[str, str],
        field: str,
        shape: type[Struct],
        names: Callable[[Any], Iterable[str]],
    ) -> Iterator[Any]:
        """Yield a field of all pages of an answer; `names` gives what tells its items from those of other pages."""
        pages = Pages(self._client.url)
        while not pages.over:
            asked = query if pages.cursor is None else {**query, "cursor": pages.cursor}
            answer = self._ask(what, asked, {field: {}}, shape)
            pages.follow(answer, names(answer[field]))
            yield answer[field]

    def _ask(
        self, what: str, query: dict[str, str], nothing: dict[str, Any], shape: type[Struct]
    ) -> dict[str, Any]:
        id_ = self._id()
        answer = None
        if id_ is not None:
            answer = self._known(lambda: self._client.get(experiment_path(id_, what), query), None)
        return nothing if answer is None else checked(self._client.url, answer, shape)

    def _known(self, ask: Callable[[], Coroutine[Any, Any, _T]], nothing: _T) -> _T:
        """Ask, and look the id up again where it is not that of the experiment any more."""
        try:
            return self._call(ask())
        except ServerError as error:
            if error.code == ErrorCode.INVALID:  # as on this disk: it is the caller's argument
                raise InvalidArgumentError(error.message) from error
            if error.status not in {404, 410}:
                raise
            # it was deleted, and may be made anew by the same name, which then has another id
            self._found_id = None
            return nothing

    def _id(self) -> str | None:
        known = self._known_id() or self._found_id
        if known is None:
            record = self._call(self._client.find(self._prefix))
            known = self._found_id = record["id"] if record else None
            if known is None:
                self._missing()
        return known


def named(series: Series) -> dict[str, str]:
    """Return what names a series in a query.

    Raises:
        InvalidArgumentError: No URL can carry the name.
    """
    if series.name is None:
        return {}
    try:
        series.name.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"the name {series.name!r} has a lone surrogate, which no URL can carry: it can only be read locally"
        ) from None
    return {"name": series.name}
