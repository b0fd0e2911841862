"""A server with rules as tests use it: an owner, runs, and somebody who is told."""

from __future__ import annotations

import itertools
from typing import Any

from ml_dash.series import Kind, Series
from ml_dash.server.runner import EmbeddedServer
from tests.support.receiving import Receiver
from tests.support.serving import SECOND, TOKEN, Client, frame, objects, run_row, until
from tests.support.simulated_clock import HandClock

__all__ = ["ALERTS", "MINUTE", "Place"]

_NAMES = itertools.count()
ALERTS = Series(Kind.ALERT, None)
MINUTE = 60 * SECOND


class Place:
    """A server, an owner whose rules are told to a webhook, and writers of runs."""

    def __init__(self, server: EmbeddedServer, clock: HandClock, hook: Receiver) -> None:
        self.server = server
        self.clock = clock
        self.hook = hook
        self.owner = f"owner{next(_NAMES)}"
        self.client = Client(server.url, TOKEN)
        self._frames: dict[str, int] = {}
        self._ids: dict[str, str] = {}

    def rule(self, when: str, **more: Any) -> dict[str, Any]:
        to = {"kind": "webhook", "url": self.hook.url}
        body = {"owner": self.owner, "name": "mine", "when": when, "to": to, **more}
        answer = self.client.post("/rules", body)
        assert answer.status == 201, answer
        return dict(answer.body)

    def told(self, rule: dict[str, Any]) -> dict[str, Any]:
        """The rule as the list has it now."""
        data = self.client.ask("GET", "/rules", owner=self.owner).body["data"]
        return next(each for each in data if each["id"] == rule["id"])

    def run(self, name: str = "run", **said: Any) -> str:
        """The prefix of an experiment with a run that has begun."""
        prefix = f"{self.owner}/p/{name}"
        answer = self.client.post("/experiments", {"prefix": prefix, **said})
        assert answer.status in {200, 201}, answer
        self._ids[prefix] = answer.body["id"]
        self.send(prefix, run_row(self.clock.now_ns, "start"))
        return prefix

    def send(self, prefix: str, *blocks: Any) -> None:
        """Store blocks, as the next frame of the run."""
        number = self._frames[prefix] = self._frames.get(prefix, 0) + 1
        answer = self.client.send(self._ids[prefix], frame(number, *blocks))
        assert answer.status == 200, answer

    def log(self, prefix: str, metric: str | None = "train", **fields: Any) -> None:
        self.send(prefix, objects(Series(Kind.METRIC, metric), [(self.clock.now_ns, fields)]))

    def alert(self, prefix: str, *titles: str, level: str = "warning") -> None:
        rows = [
            (self.clock.now_ns, {"title": title, "text": "", "level": level, "held": 0}) for title in titles
        ]
        self.send(prefix, objects(ALERTS, rows))

    def end(self, prefix: str, status: str = "FAILED", error: str | None = "boom") -> None:
        self.send(prefix, run_row(self.clock.now_ns, "end", status=status, error=error))

    def later(self, minutes: float) -> None:
        """Let time pass, and have the server look."""
        self.clock.now_ns += int(minutes * MINUTE)
        self.look()

    def look(self) -> None:
        assert self.server.store is not None
        self.server.store.alerts.wake()

    def settled(self) -> None:
        """Wait until nothing is left to be done: all that has fired was told, or does not fit."""
        store = self.server.store
        assert store is not None

        def is_done() -> bool:
            from sqlalchemy import text

            self.look()
            with store.database.read() as connection:
                waiting = connection.execute(
                    text("SELECT count(*) FROM rule_firings WHERE state = 0")
                ).scalar_one()
                unsent = connection.execute(
                    text("SELECT count(*) FROM rule_messages WHERE done_ns IS NULL AND attempts = 0")
                ).scalar_one()
            return not waiting and not unsent

        until(is_done, "all firings are told")
