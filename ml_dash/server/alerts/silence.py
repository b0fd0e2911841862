"""Runs of which nothing comes any more, neither rows nor heartbeats, although they have not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ml_dash.query.times import NANOSECONDS, iso_time
from ml_dash.server.alerts.firings import store
from ml_dash.server.db.batches import batches
from ml_dash.server.db.tables import EXPERIMENTS, RULE_FIRINGS
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ml_dash.clock import Clock
    from ml_dash.server.alerts.firings import RuleWatch
    from ml_dash.server.db.database import Database

_MOST = 10_000
"""Runs of a rule that are looked at in one go."""


class Silences:
    """Finds silent runs; any thread may ask.

    While no server listens, nobody can say anything: a silence counts from when this process began, at the earliest.
    """

    def __init__(self, database: Database, clock: Clock, watch: RuleWatch) -> None:
        self._database = database
        self._clock = clock
        self._watch = watch
        self._began_ns = clock.time_ns()

    def find(self) -> None:
        """Write down for which rules runs have become silent."""
        rules, now_ns = self._watch.rules, self._clock.time_ns()
        for rule in rules.silent:
            patience_ns = int((rule.condition.minutes or 0.0) * 60 * NANOSECONDS)
            if now_ns < self._began_ns + patience_ns:
                continue
            query = (
                select(
                    EXPERIMENTS.c.id,
                    EXPERIMENTS.c.prefix,
                    EXPERIMENTS.c.alive_ns,
                    EXPERIMENTS.c.newest_attempt,
                )
                .where(
                    EXPERIMENTS.c.owner == rule.owner,
                    EXPERIMENTS.c.deleted_ns.is_(None),
                    EXPERIMENTS.c.status == RunStatus.RUNNING.value,
                    EXPERIMENTS.c.alive_ns <= now_ns - patience_ns,
                    # those that had been silent for so long when the rule was made, or changed, are no news
                    EXPERIMENTS.c.alive_ns + patience_ns >= rule.since_ns,
                )
                .order_by(EXPERIMENTS.c.alive_ns)
                .limit(_MOST)
            )
            with self._database.read() as connection:
                found = [row for row in connection.execute(query) if rules.may_concern(rule, row.prefix)]
                known = _known(connection, rule.id, [row.id for row in found])
            news = [row for row in found if (row.id, _occasion(row)) not in known]
            if not news:
                continue
            with self._database.write() as connection:
                for row in news:
                    details = {"since": iso_time(row.alive_ns)}
                    store(connection, rule, row.id, row.newest_attempt, _occasion(row), now_ns, details)


def _occasion(row: Any) -> str:
    # whoever comes back, and is silent once more, is told of again
    return f"silent {row.newest_attempt} {row.alive_ns}"


def _known(connection: Connection, rule_id: str, ids: list[str]) -> set[tuple[str, str]]:
    """Return which silences of these experiments were written down already."""
    found: set[tuple[str, str]] = set()
    for batch in batches((id_, 0) for id_ in ids):
        query = select(RULE_FIRINGS.c.experiment_id, RULE_FIRINGS.c.occasion).where(
            RULE_FIRINGS.c.rule_id == rule_id, RULE_FIRINGS.c.experiment_id.in_(batch)
        )
        found.update((row.experiment_id, row.occasion) for row in connection.execute(query))
    return found
