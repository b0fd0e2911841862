"""What made rules fire: written down by the transaction that stores the rows, at most once for each occasion.

A firing begins as a candidate: the rows, the owner and the patterns of the filter fit. Whether the rest of the filter
holds is asked beside ingest, see `ml_dash.server.alerts.telling`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select, update

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.alerts.hits import TEXT_CHARACTERS, WatchedRules
from ml_dash.server.alerts.rules import ALERT, new_id
from ml_dash.server.db.database import dialect_insert
from ml_dash.server.db.tables import EXPERIMENTS, OPENINGS, RULE_FIRINGS
from ml_dash.server.recent import Recent
from ml_dash.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from ml_dash.server.alerts.hits import Hit
    from ml_dash.server.alerts.rules import Rule

CANDIDATE, MATCHED, TOLD, UNFIT = 0, 1, 2, 3
"""The states of a firing: whether the filter holds is not known yet; it holds; it is in a message; it does not hold."""
_CLOCKS_NS = 300 * NANOSECONDS
"""By how much a client's clock may be behind: what happened before a rule was made makes it not fire."""
_SILENT_NS = 60 * NANOSECONDS
"""How long a rule is not asked again about an experiment that its filter has left out."""
_KNOWN = 65_536


class Found(NamedTuple):
    """A hit of an experiment, with the opening that its rows are of; None of a writer that opened no run."""

    experiment_id: str
    opening: int | None
    hit: Hit


class RuleWatch:
    """What a server process knows of rules while it stores rows: any thread may use it.

    Attributes:
        rules: Those that there are; another object once they have changed.
    """

    def __init__(self, on_fired: Callable[[], None] = lambda: None) -> None:
        self.rules = WatchedRules()
        self._on_fired = on_fired
        self._has_noted = False
        self._lock = threading.Lock()
        # until when it is known that nothing new would be fired, by rule, experiment and opening; of a rule that was
        # changed that says nothing
        self._quiet: Recent[tuple[str, int, str, int | None], float] = Recent(_KNOWN)

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Take over the rules that there are."""
        self.rules = WatchedRules(rules)

    def leave_out(self, rule: Rule, experiment_id: str, opening: int | None, now_ns: int) -> None:
        """Note that a rule's filter leaves an experiment out."""
        self._note(rule, experiment_id, opening, now_ns + _SILENT_NS)

    def note(
        self,
        connection: Connection,
        found: Sequence[Found],
        ended: Collection[str],
        prefixes: Mapping[str, str],
        now_ns: int,
    ) -> None:
        """Write down what has fired; the rows are stored by this transaction, which has the experiments locked.

        Args:
            connection: The transaction's.
            found: Hits of the rows.
            ended: Experiments of which a run has ended.
            prefixes: Of all of these experiments.
            now_ns: The time.
        """
        rules = self.rules
        # rules may have been removed, or changed, since the rows were looked at
        meant = [
            (rules.by_id[each.hit.rule], each)
            for each in found
            if each.hit.rule in rules.by_id
            and each.hit.since_ns == rules.by_id[each.hit.rule].since_ns
            and rules.may_concern(rules.by_id[each.hit.rule], prefixes[each.experiment_id])
            and self._is_news(rules.by_id[each.hit.rule], each, now_ns)
        ]
        failing = [
            (rule, id_) for id_ in ended for rule in rules.failed if rules.may_concern(rule, prefixes[id_])
        ]
        if meant or failing:
            _Notes(self, connection, now_ns).write(meant, failing)
            self._has_noted = True

    def committed(self) -> None:
        """Have people told of what was written down, now that others see it."""
        if self._has_noted:
            self._has_noted = False
            self._on_fired()

    def know(self, rule: Rule, experiment_id: str, opening: int | None, fired_ns: int) -> None:
        """Note that a rule has fired for an attempt: as another transaction has stored, or this one reads."""
        until = float("inf") if rule.rearm_ns is None else fired_ns + rule.rearm_ns
        self._note(rule, experiment_id, opening, until)

    def _note(self, rule: Rule, experiment_id: str, opening: int | None, until: float) -> None:
        with self._lock:
            self._quiet[rule.id, rule.since_ns, experiment_id, opening] = until

    def _is_news(self, rule: Rule, found: Found, now_ns: int) -> bool:
        if rule.condition.when == ALERT:
            return True  # each is one of its own
        with self._lock:
            until = self._quiet.get((rule.id, rule.since_ns, found.experiment_id, found.opening), 0.0)
        return now_ns >= until


class _Notes:
    """Firings of one transaction."""

    def __init__(self, watch: RuleWatch, connection: Connection, now_ns: int) -> None:
        self._watch = watch
        self._connection = connection
        self._now_ns = now_ns

    def write(self, meant: Sequence[tuple[Rule, Found]], failing: Sequence[tuple[Rule, str]]) -> None:
        ids = sorted({found.experiment_id for _, found in meant} | {id_ for _, id_ in failing})
        columns = ("id", "status", "status_ns", "error", "alive_ns", "activity_ns", "newest_attempt")
        query = select(*(EXPERIMENTS.c[name] for name in columns)).where(EXPERIMENTS.c.id.in_(ids))
        stand = {row.id: row for row in self._connection.execute(query)}
        attempts = self._attempts(meant)
        values: list[tuple[Rule, Found, int | None]] = []
        for rule, found in meant:
            experiment = stand[found.experiment_id]
            if not _is_of_now(experiment, rule):
                continue
            attempt = attempts.get((found.experiment_id, found.opening), experiment.newest_attempt)
            if rule.condition.when == ALERT:
                self._add_alert(rule, found, attempt)
            else:
                values.append((rule, found, attempt))
        self._add(values)
        for rule, id_ in failing:
            row = stand[id_]
            if row.status == RunStatus.FAILED and _is_of_now(row, rule):
                error = None if row.error is None else row.error[:TEXT_CHARACTERS]
                store(self._connection, rule, id_, row.newest_attempt, f"failed {row.newest_attempt}",
                      self._now_ns, {"error": error})  # fmt: skip

    def _attempts(self, meant: Sequence[tuple[Rule, Found]]) -> dict[tuple[str, int | None], int]:
        opened = {
            (found.experiment_id, number) for _, found in meant if (number := found.opening) is not None
        }
        if not opened:
            return {}
        query = select(OPENINGS.c.experiment_id, OPENINGS.c.number, OPENINGS.c.attempt).where(
            OPENINGS.c.experiment_id.in_(sorted({id_ for id_, _ in opened})),
            OPENINGS.c.number.in_(sorted({number for _, number in opened})),
        )
        return {(row.experiment_id, row.number): row.attempt for row in self._connection.execute(query)}

    def _add(self, values: Sequence[tuple[Rule, Found, int | None]]) -> None:
        """Write down hits of values: once an attempt, or again when the rule is armed again."""
        if not values:
            return
        query = (
            select(
                RULE_FIRINGS.c.rule_id,
                RULE_FIRINGS.c.experiment_id,
                RULE_FIRINGS.c.attempt,
                func.max(RULE_FIRINGS.c.fired_ns).label("fired_ns"),
            )
            .where(
                RULE_FIRINGS.c.rule_id.in_(sorted({rule.id for rule, _, _ in values})),
                RULE_FIRINGS.c.experiment_id.in_(sorted({found.experiment_id for _, found, _ in values})),
            )
            .group_by(RULE_FIRINGS.c.rule_id, RULE_FIRINGS.c.experiment_id, RULE_FIRINGS.c.attempt)
        )
        fired = {
            (row.rule_id, row.experiment_id, row.attempt): row.fired_ns
            for row in self._connection.execute(query)
        }
        for rule, found, attempt in values:
            key = rule.id, found.experiment_id, attempt
            last_ns = fired.get(key)
            if last_ns is not None and (rule.rearm_ns is None or self._now_ns < last_ns + rule.rearm_ns):
                if last_ns != self._now_ns:  # what this transaction writes is not stored yet
                    self._watch.know(rule, found.experiment_id, found.opening, last_ns)
                continue
            fired[key] = self._now_ns
            occasion = f"value {attempt} {0 if rule.rearm_ns is None else self._now_ns}"
            store(
                self._connection,
                rule,
                found.experiment_id,
                attempt,
                occasion,
                self._now_ns,
                found.hit.details,
            )

    def _add_alert(self, rule: Rule, found: Found, attempt: int | None) -> None:
        """Write down alerts: those that wait to be told are one firing, however many come."""
        own = (
            RULE_FIRINGS.c.rule_id == rule.id,
            RULE_FIRINGS.c.experiment_id == found.experiment_id,
            RULE_FIRINGS.c.state.in_((CANDIDATE, MATCHED)),
        )
        # locked: it may be put into a message at this very moment, and then these are another one
        waiting = self._connection.execute(
            select(RULE_FIRINGS.c.id, RULE_FIRINGS.c.state).where(*own).with_for_update()
        ).first()
        if waiting is not None and waiting.state != TOLD:
            added = {"times": RULE_FIRINGS.c.times + found.hit.times, "details": found.hit.details}
            self._connection.execute(
                update(RULE_FIRINGS).where(RULE_FIRINGS.c.id == waiting.id).values(**added)
            )
            return
        occasion = new_id("alert")
        store(self._connection, rule, found.experiment_id, attempt, occasion, self._now_ns, found.hit.details,
              found.hit.times)  # fmt: skip


def store(
    connection: Connection,
    rule: Rule,
    experiment_id: str,
    attempt: int | None,
    occasion: str,
    now_ns: int,
    details: dict[str, Any],
    times: int = 1,
) -> None:
    """Write down a candidate, unless there is one of this occasion, or the rule is gone."""
    row = {
        "id": new_id("fir"),
        "rule_id": rule.id,
        "experiment_id": experiment_id,
        "attempt": attempt,
        "occasion": occasion,
        "fired_ns": now_ns,
        "times": times,
        "state": CANDIDATE,
        "details": details,
        "message_id": None,
    }
    statement = dialect_insert(connection, RULE_FIRINGS).values(**row)
    connection.execute(statement.on_conflict_do_nothing())


def _is_of_now(experiment: Row[Any], rule: Rule) -> bool:
    """Say whether a run goes on, or ended, since a rule waits for it: years of runs may be sent at once."""
    newest_ns = max(experiment.status_ns or 0, experiment.alive_ns or 0, experiment.activity_ns or 0)
    return newest_ns + _CLOCKS_NS >= rule.since_ns
