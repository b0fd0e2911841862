"""The rows of an experiment at a server, asked for as those of a journal are: see `RowSource`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash import shapes
from ml_dash.client.answers import checked
from ml_dash.client.api import experiment_path
from ml_dash.client.download import Frames
from ml_dash.client.paging import Pages
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import Call
    from ml_dash.journal.blocks import Block

_AT_ONCE = 1 << 16
"""Rows of one request: they are in memory together."""
_MESSAGES: dict[Kind, tuple[str, type[Any]]] = {
    Kind.LOG: ("logs", shapes.Logs),
    Kind.CONSOLE: ("console", shapes.Console),
    Kind.ALERT: ("alerts", shapes.Alerts),
}


class ServerRows:
    """Rows of one experiment, for the thread that asks; how many there are is asked once, until `refresh`."""

    def __init__(self, client: Client, call: Call, experiment_id: str) -> None:
        self._client = client
        self._call = call
        self._id = experiment_id
        self._known: dict[Kind, dict[Series, dict[str, Any]]] = {}

    def refresh(self) -> None:
        """Ask again how many rows there are."""
        self._known = {}

    def series(self, kind: Kind) -> list[Series]:
        """See `RowSource.series`; of metrics, tracks, messages, alerts and what was printed."""
        return list(self._of(kind))

    def count(self, series: Series) -> int:
        """See `RowSource.count`."""
        known = self._of(series.kind).get(series)
        return 0 if known is None else int(known["count"])

    def fields(self, series: Series) -> list[str]:
        """See `RowSource.fields`."""
        return list(self._of(series.kind).get(series, {}).get("fields", ()))

    def blocks(self, series: Series, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Block]]:
        """See `RowSource.blocks`."""
        end = self.count(series) if stop is None else min(stop, self.count(series))
        at = start
        while at < end:
            some = self._download(series, at, min(at + _AT_ONCE, end))
            for block in some:
                yield at, block
                at += block.count
            if not some:  # damaged there, and asking again would go on for ever
                return

    def blocks_by_writer(self, series: Series) -> Iterable[tuple[str, Iterable[Block]]]:
        """See `RowSource.blocks_by_writer`: the server has the rows of all writers together."""
        return [("", (block for _, block in self.blocks(series)))]

    def _download(self, series: Series, start: int, stop: int) -> list[Block]:
        name = {} if series.name is None else {"name": series.name}
        query = {"kind": str(int(series.kind)), **name, "start": str(start), "stop": str(stop)}

        async def download() -> list[Block]:
            frames = Frames()
            async for piece in self._client.frames(experiment_path(self._id, "blocks"), query):
                frames.add(piece)
            return frames.finish()

        return self._call(download())

    def _of(self, kind: Kind) -> dict[Series, dict[str, Any]]:
        if kind not in self._known:
            self._known[kind] = self._ask(kind)
        return self._known[kind]

    def _ask(self, kind: Kind) -> dict[Series, dict[str, Any]]:
        if kind in _MESSAGES:
            what, shape = _MESSAGES[kind]
            answer = self._call(self._client.get(experiment_path(self._id, what), {"limit": "0"}))
            total = checked(self._client.url, answer, shape)["total"]
            return {Series(kind, None): {"count": total}} if total else {}
        if kind is Kind.TRACK:
            found = self._all("tracks", shapes.Tracks)
            return {Series(kind, each["topic"]): {**each, "fields": ()} for each in found}
        return {Series(kind, each["name"]): each for each in self._all("metrics", shapes.Metrics)}

    def _all(self, what: str, shape: type[Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        pages = Pages(self._client.url)
        while not pages.over:
            query = {"start": str(len(found))} if found else None
            answer = self._call(self._client.get(experiment_path(self._id, what), query))
            page = checked(self._client.url, answer, shape)
            found += page["data"]
            pages.count(page["total"], (repr(each.get("name", each.get("topic"))) for each in page["data"]))
        return found
