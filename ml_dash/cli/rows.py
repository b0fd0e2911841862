"""Rows of several series, of a journal or of a server, whichever a command was given."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from ml_dash.cli.select import full_prefix
from ml_dash.client.server_rows import ServerRows
from ml_dash.client.view import RemoteView
from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.blocks import Block
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.sweep import Row, last_rows, rows_of, sweep
from ml_dash.query.axes.ranks import known_rank, rank_of, ranks_of
from ml_dash.query.selection import Shown
from ml_dash.series import Series

AnyRows: TypeAlias = JournalIndex | ServerRows


class Remote(NamedTuple):
    """An experiment at a server: its record there, its rows, and a view of it."""

    prefix: str
    url: str
    record: dict[str, object]
    rows: ServerRows
    view: RemoteView


@contextmanager
def open_server_rows(exp: str, url: str) -> Iterator[Remote]:
    """Give an experiment at a server, for the thread that opens it."""
    # aiohttp takes a fifth of a second, which who stays on this disk need not wait
    from ml_dash.cli.remote import open_line

    prefix = full_prefix(exp)
    with open_line(url, named=True) as (client, call):
        record = call(client.record(prefix))
        if record is None:
            raise InvalidArgumentError(
                f"{client.url} has no experiment {prefix!r}, or none that this token may see: give the whole prefix, "
                "owner/project/name"
            )
        id_ = str(record["id"])
        view = RemoteView(client, call, lambda: id_, prefix)
        yield Remote(prefix, client.url, dict(record), ServerRows(client, call, id_), view)


def swept(rows: AnyRows, wanted: Iterable[Series]) -> Iterator[tuple[int, Block]]:
    """Yield the blocks of some series, each with its first row's number: of a journal in the order written."""
    if isinstance(rows, JournalIndex):
        yield from sweep(rows, wanted)
        return
    for series in wanted:
        yield from rows.blocks(series)


def last_of(rows: AnyRows, wanted: Sequence[Series], limit: int, own: OwnRows | None = None) -> list[Row]:
    """Return the last rows of some series together, by time; `own` has those of a rank, where these alone are meant."""
    if isinstance(rows, JournalIndex):
        return last_rows(rows, wanted, limit, (lambda _: True) if own is None else own.is_writer)
    found: list[Row] = []
    if limit:
        for series in wanted:
            if own is not None:
                found += own.last(series, limit)
                continue
            first = max(rows.count(series) - limit, 0)
            found += rows_of(block for _, block in rows.blocks(series, first))
    found.sort(key=operator.attrgetter("time_ns"))
    return found[max(len(found) - limit, 0) :]


class OwnRows:
    """The rows that one rank of a distributed training has logged.

    Raises:
        InvalidArgumentError: No process of the experiment has this rank; of a journal only if it `checks` that.
    """

    def __init__(
        self, rank: int, rows: AnyRows, view: RemoteView | None = None, *, checks: bool = True
    ) -> None:
        self._rank = rank
        self._view = view
        if isinstance(rows, JournalIndex) and checks:
            known_rank(rank, ranks_of(rows.catalogues))

    def is_writer(self, writer: str) -> bool:
        """Say whether a writer of a journal is this rank."""
        return rank_of(writer) == self._rank

    def pieces(self, series: Series, blocks: Iterable[tuple[int, Block]]) -> Iterator[Block]:
        """Yield what is its own of blocks of a metric at a server."""
        shown = self._shown(series)
        for first, block in blocks:
            yield from (piece for _, piece in shown.pieces(first, block))

    def last(self, series: Series, limit: int) -> list[Row]:
        """Return its last rows of a metric at a server."""
        shown = self._shown(series)
        first, rows = shown.stop, 0
        for start, stop in reversed(shown.ranges_from(0)):
            first, rows = max(start, stop - (limit - rows)), rows + stop - start
            if rows >= limit:
                break
        return rows_of(block for _, block in shown.blocks(first))

    def _shown(self, series: Series) -> Shown:
        # of a journal it is the writers that are told apart
        return (
            Shown(lambda *_: iter(()), 0)
            if self._view is None
            else self._view.shown(series, "all", self._rank)
        )
