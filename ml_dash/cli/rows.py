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


def last_of(rows: AnyRows, wanted: Sequence[Series], limit: int) -> list[Row]:
    """Return the last rows of some series together, by time."""
    if isinstance(rows, JournalIndex):
        return last_rows(rows, wanted, limit)
    found: list[Row] = []
    if limit:
        for series in wanted:
            first = max(rows.count(series) - limit, 0)
            found += rows_of(block for _, block in rows.blocks(series, first))
    found.sort(key=operator.attrgetter("time_ns"))
    return found[max(len(found) - limit, 0) :]
