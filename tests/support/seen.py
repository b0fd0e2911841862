"""What a server has of an experiment, held against the journal that was to be sent there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_dash import Experiment
from ml_dash.journal.blocks import block_rows
from ml_dash.query.journal_view import JournalView
from ml_dash.series import Kind
from ml_dash.server.runner import EmbeddedServer
from tests.support.looking import Server
from tests.support.processes import PREFIX
from tests.support.rows import Row, as_text

__all__ = ["DEADLINE", "TOKEN", "Seen", "law", "until"]

TOKEN = "mld_" + "e" * 43
"""The admin token of every server here."""
DEADLINE = 45.0
"""Seconds after which something counts as never happening. Not a measure of speed: the machine may be busy."""
_NOTHING_RECOVERED = as_text({"event": "recovered", "rows": 0})


def until(happens: Callable[[], Any], what: str) -> None:
    """Wait for something to happen; fails where it does not."""
    deadline = time.monotonic() + DEADLINE
    while not happens():
        assert time.monotonic() < deadline, f"after {DEADLINE:.0f} s still not: {what}"
        time.sleep(0.02)


def law(exp: Experiment) -> None:
    """Assert that every row that was logged is accounted for, once."""
    status = exp.status()
    assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status


class Seen:
    """An experiment as its server shows it.

    Args:
        server: the server.
        prefix: the experiment's.
    """

    def __init__(self, server: EmbeddedServer, prefix: str = PREFIX) -> None:
        self.server = server
        self.prefix = prefix

    @property
    def api(self) -> Server:
        """The server itself, to be asked anything."""
        return Server(self.server.url, TOKEN)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the experiment."""
        return self.api.experiment(self.prefix)

    @property
    def known(self) -> bool:
        """Whether the server has the experiment."""
        return any(
            record["prefix"] == self.prefix
            for record in self.api.get("/experiments", prefix=self.prefix)["data"]
        )

    @property
    def status(self) -> str | None:
        """The run's status."""
        status: str | None = self.get("run")["status"]
        return status

    def get(self, path: str, **query: str) -> Any:
        """Return the answer to a question about the experiment."""
        return self.api.get(f"/experiments/{self.record['id']}/{path}", **query)

    def values(self, field: str, metric: str = "train") -> list[Any]:
        """Return one field of all rows of a metric, in order."""
        found: list[Any] = []
        while True:
            query = {"name": metric, "start_index": str(len(found)), "limit": "1000"}
            page = self.get("metrics/rows", **query)
            found += [row["data"][field] for row in page["data"]]
            if not page["hasMore"]:
                return found

    def has(self, rows: int, metric: str = "train") -> bool:
        """Whether there are so many rows of a metric, or more."""
        return self.known and self.count(metric) >= rows

    def count(self, metric: str = "train") -> int:
        """Return how many rows of a metric there are."""
        return sum(each["count"] for each in self.get("metrics")["data"] if each["name"] == metric)

    def equals(self, root: Path) -> None:
        """Assert that the server has each row of a journal once, and no other.

        A note that of a dead process nothing was to be recovered may come at any time, of whatever begins a run on this
        machine, and waits there for the next that sends: it is nothing that anybody has logged.

        Args:
            root: in which the prefix begins.
        """
        here = Counter(row for row in journal_rows(root, self.prefix) if row.text != _NOTHING_RECOVERED)
        found = self.api.found(self.prefix).rows
        there = Counter(row for rows in found.values() for row in rows if row.text != _NOTHING_RECOVERED)
        missing, surplus = here - there, there - here
        assert not missing, f"{missing.total()} rows are not at the server: {[*missing][:3]}"
        assert not surplus, f"{surplus.total()} rows too many at the server: {[*surplus][:3]}"


def journal_rows(root: Path, prefix: str) -> list[Row]:
    """Return every row of a journal; fails where any of it is damaged."""
    view = JournalView(str(root / prefix / "journal"))
    view.refresh()
    rows = [
        Row(series, int(when), as_text(fields))
        for kind in Kind
        for series in view.index.series(kind)
        for _, block in view.index.blocks(series)
        for when, fields in zip(block.times, block_rows(block, 0, block.count), strict=True)
    ]
    assert view.index.damage == []
    return rows
