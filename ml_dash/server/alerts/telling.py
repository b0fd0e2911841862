"""From firings to messages: whether filters hold, how many firings one message tells, and what waits to be sent.

Each step is one transaction, and several servers may take them at once on the same database: whoever has a rule's row
locked makes its next message. A rule makes one message a minute at most, of all that has fired since, and none while
its last one waits to be taken: so a storm is one message, with a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, func, insert, or_, select, update

from ml_dash.query.times import NANOSECONDS
from ml_dash.server.alerts.firings import CANDIDATE, MATCHED, TOLD, UNFIT
from ml_dash.server.alerts.rules import SILENT, find, new_id
from ml_dash.server.alerts.wording import TOLD_FIRINGS, Firing, body_of
from ml_dash.server.catalogue.filtered import filtered
from ml_dash.server.catalogue.records import ExperimentFilter, Search
from ml_dash.server.db.tables import EXPERIMENTS, RULE_FIRINGS, RULE_MESSAGES, RULES
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from ml_dash.server.alerts.firings import RuleWatch
    from ml_dash.server.alerts.rules import Rule
    from ml_dash.server.catalogue.experiments import Experiments

_APART_NS = 60 * NANOSECONDS
"""Between two messages of a rule."""
_AT_ONCE = 500
"""Firings that are looked at together."""
_ROUNDS = 100
"""Of these, in one go: others have their turn in between."""
GIVE_UP_NS = 86_400 * NANOSECONDS
"""How long it is tried to have a message taken."""
_KEEP_NS = 30 * 86_400 * NANOSECONDS
"""How long it is known what has fired, and what was told."""
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 3600.0
"""Until a message is tried again, after the first time and at most."""


class Message(NamedTuple):
    """A message that waits to be taken: its id stays the same, however often it is tried."""

    id: str
    rule: Rule
    body: dict[str, Any]
    attempts: int
    created_ns: int


class Teller:
    """Makes messages of firings. Any thread may call it; each call is bounded.

    Args:
        experiments: Where experiments are.
        watch: What ingest knows of rules.
        bring_in: Has filters see all that is stored; False where that takes longer.
        page_url: Returns the address of an experiment's page; None where it is not known.
    """

    def __init__(
        self,
        experiments: Experiments,
        watch: RuleWatch,
        bring_in: Callable[[], bool],
        page_url: Callable[[str], str | None],
    ) -> None:
        self._experiments = experiments
        self._database = experiments.database
        self._clock = experiments.clock
        self._watch = watch
        self._bring_in = bring_in
        self._page_url = page_url

    def settle(self) -> bool:
        """Ask of each candidate whether its rule's filter holds; say whether any does."""
        if not self._candidates_of_rules():
            return False
        # what is stored and not listed yet would be missing: then they wait for the next time
        if not self._bring_in():
            return False
        matched = False
        for _ in range(_ROUNDS):
            found = self._candidates_of_rules()
            if not found:
                break
            for rule_id in found:
                matched = self._settle(rule_id) or matched
        return matched

    def _candidates_of_rules(self) -> list[str]:
        query = select(RULE_FIRINGS.c.rule_id).where(RULE_FIRINGS.c.state == CANDIDATE).distinct()
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(RULE_FIRINGS.c.rule_id)).scalars())

    def _settle(self, rule_id: str) -> bool:
        own = (RULE_FIRINGS.c.rule_id == rule_id, RULE_FIRINGS.c.state == CANDIDATE)
        columns = (RULE_FIRINGS.c.id, RULE_FIRINGS.c.experiment_id, RULE_FIRINGS.c.attempt)
        with self._database.read() as connection:
            rule = find(connection, rule_id)
            rows = connection.execute(
                select(*columns).where(*own).order_by(RULE_FIRINGS.c.fired_ns).limit(_AT_ONCE)
            ).all()
            holds, problem = self._fitting(connection, rule, {row.experiment_id for row in rows})
        fit = [row.id for row in rows if row.experiment_id in holds]
        unfit = [row for row in rows if row.experiment_id not in holds]
        now_ns = self._clock.time_ns()
        with self._database.write() as connection:
            if fit:
                connection.execute(
                    update(RULE_FIRINGS)
                    .where(RULE_FIRINGS.c.id.in_(fit), RULE_FIRINGS.c.state == CANDIDATE)
                    .values(state=MATCHED)
                )
            if unfit:
                mine = RULE_FIRINGS.c.id.in_([row.id for row in unfit])
                if rule is not None and rule.condition.when == SILENT:
                    # it stays silent, and would be found again and again
                    connection.execute(update(RULE_FIRINGS).where(mine).values(state=UNFIT))
                else:
                    connection.execute(delete(RULE_FIRINGS).where(mine))
            if problem is not None:
                connection.execute(update(RULES).where(RULES.c.id == rule_id).values(problem=problem))
        if rule is not None:
            for row in unfit:
                self._watch.leave_out(rule, row.experiment_id, row.attempt, now_ns)
        return bool(fit)

    def _fitting(
        self, connection: Connection, rule: Rule | None, ids: set[str]
    ) -> tuple[set[str], str | None]:
        """Return which experiments a rule's filter means, and why it means none."""
        if rule is None:
            return set(), None
        found: set[str] = set()

        def take(record: dict[str, Any]) -> bool:
            found.add(record["id"])
            return True

        where = ExperimentFilter(owners=frozenset({rule.owner}), ids=frozenset(ids))
        try:
            filtered(self._experiments, connection, take, where, Search(rule.filter), len(ids), None)
        except ApiError as error:
            # names may mean something else, now that there are others
            return set(), f"the filter is not understood: {error.message}"[:2000]
        return found, None

    def compose(self) -> None:
        """Make the messages that are due."""
        # a rule that is gone has no row any more; what it left is removed
        is_due = or_(RULES.c.told_ns.is_(None), RULES.c.told_ns <= self._clock.time_ns() - _APART_NS)
        query = (
            select(RULE_FIRINGS.c.rule_id)
            .outerjoin(RULES, RULES.c.id == RULE_FIRINGS.c.rule_id)
            .where(RULE_FIRINGS.c.state == MATCHED, is_due)
            .distinct()
        )
        with self._database.read() as connection:
            waiting = list(connection.execute(query).scalars())
        for rule_id in waiting:
            with self._database.write() as connection:
                self._compose(connection, rule_id)

    def _compose(self, connection: Connection, rule_id: str) -> None:
        connection.execute(select(RULES.c.id).where(RULES.c.id == rule_id).with_for_update())
        rule, now_ns = find(connection, rule_id), self._clock.time_ns()
        if rule is None:
            connection.execute(delete(RULE_FIRINGS).where(RULE_FIRINGS.c.rule_id == rule_id))
            return
        pending = select(RULE_MESSAGES.c.id).where(
            RULE_MESSAGES.c.rule_id == rule_id, RULE_MESSAGES.c.done_ns.is_(None)
        )
        if (rule.told_ns is not None and now_ns < rule.told_ns + _APART_NS) or connection.execute(
            pending
        ).first():
            return
        message_id = new_id("msg")
        told = connection.execute(
            update(RULE_FIRINGS)
            .where(RULE_FIRINGS.c.rule_id == rule_id, RULE_FIRINGS.c.state == MATCHED)
            .values(state=TOLD, message_id=message_id)
        )
        if not told.rowcount:
            return  # the rule was changed since it was seen that it has fired, or another server has told it
        mine = RULE_FIRINGS.c.message_id == message_id
        count = connection.execute(select(func.sum(RULE_FIRINGS.c.times)).where(mine)).scalar_one()
        runs = connection.execute(
            select(func.count(RULE_FIRINGS.c.experiment_id.distinct())).where(mine)
        ).scalar_one()
        body = body_of(
            message_id, rule, self._first_of(connection, message_id), int(count), int(runs), now_ns
        )
        connection.execute(insert(RULE_MESSAGES).values(**_new_message(message_id, rule_id, body, now_ns)))
        connection.execute(update(RULES).where(RULES.c.id == rule_id).values(told_ns=now_ns))

    def _first_of(self, connection: Connection, message_id: str) -> list[Firing]:
        rows = connection.execute(
            select(RULE_FIRINGS, EXPERIMENTS.c.prefix)
            .join(EXPERIMENTS, EXPERIMENTS.c.id == RULE_FIRINGS.c.experiment_id)
            .where(RULE_FIRINGS.c.message_id == message_id)
            .order_by(RULE_FIRINGS.c.times.desc(), RULE_FIRINGS.c.fired_ns, RULE_FIRINGS.c.id)
            .limit(TOLD_FIRINGS)
        )
        return [
            Firing(
                row.experiment_id,
                row.prefix,
                self._page_url(row.prefix),
                row.fired_ns,
                row.times,
                row.details,
            )
            for row in rows
        ]

    def claim(self, limit: int, lease_ns: int) -> list[Message]:
        """Take messages that are due, for so long: no other server tries them meanwhile."""
        now_ns = self._clock.time_ns()
        is_due = (
            RULE_MESSAGES.c.done_ns.is_(None),
            RULE_MESSAGES.c.due_ns <= now_ns,
            RULE_MESSAGES.c.claimed_ns <= now_ns,
        )
        with self._database.read() as connection:
            query = select(RULE_MESSAGES).where(*is_due).order_by(RULE_MESSAGES.c.due_ns).limit(limit)
            due = connection.execute(query).all()
        found = []
        for row in due:
            with self._database.write() as connection:
                claim = update(RULE_MESSAGES).where(RULE_MESSAGES.c.id == row.id, *is_due)
                if not connection.execute(claim.values(claimed_ns=now_ns + lease_ns)).rowcount:
                    continue
                rule = find(connection, row.rule_id)
                if rule is None:
                    connection.execute(delete(RULE_MESSAGES).where(RULE_MESSAGES.c.id == row.id))
                    continue
            found.append(Message(row.id, rule, row.body, row.attempts, row.created_ns))
        return found

    def delivered(self, message: Message) -> None:
        """Write down that a message was taken."""
        now_ns = self._clock.time_ns()
        with self._database.write() as connection:
            self._done(connection, message, now_ns)
            values = {"delivered_ns": now_ns, "problem": None}
            connection.execute(update(RULES).where(RULES.c.id == message.rule.id).values(**values))

    def failed(self, message: Message, problem: str, *, for_good: bool) -> None:
        """Write down why a message was not taken: it is tried again later, unless that makes no sense."""
        now_ns = self._clock.time_ns()
        gives_up = for_good or now_ns >= message.created_ns + GIVE_UP_NS
        with self._database.write() as connection:
            if gives_up:
                self._done(connection, message, now_ns)
            else:
                wait = min(_LONGEST_SECONDS, _FIRST_SECONDS * 3.0 ** min(message.attempts, 10))
                again = {
                    "attempts": message.attempts + 1,
                    "due_ns": now_ns + int(wait * NANOSECONDS),
                    "claimed_ns": 0,
                }
                connection.execute(
                    update(RULE_MESSAGES).where(RULE_MESSAGES.c.id == message.id).values(**again)
                )
            told = f"{problem} (given up)" if gives_up else problem
            connection.execute(update(RULES).where(RULES.c.id == message.rule.id).values(problem=told[:2000]))

    def _done(self, connection: Connection, message: Message, now_ns: int) -> None:
        own = RULE_MESSAGES.c.id == message.id
        connection.execute(
            update(RULE_MESSAGES).where(own).values(done_ns=now_ns, attempts=message.attempts + 1)
        )

    def prune(self) -> None:
        """Forget what was told long ago. Firings of an attempt stay for a month: then it may be told again."""
        since = self._clock.time_ns() - _KEEP_NS
        old = select(RULE_MESSAGES.c.id).where(RULE_MESSAGES.c.done_ns < since)
        with self._database.write() as connection:
            connection.execute(delete(RULE_FIRINGS).where(RULE_FIRINGS.c.message_id.in_(old)))
            left = (RULE_FIRINGS.c.state == UNFIT, RULE_FIRINGS.c.fired_ns < since)
            connection.execute(delete(RULE_FIRINGS).where(*left))
            connection.execute(delete(RULE_MESSAGES).where(RULE_MESSAGES.c.done_ns < since))


def _new_message(message_id: str, rule_id: str, body: dict[str, Any], now_ns: int) -> dict[str, Any]:
    return {
        "id": message_id,
        "rule_id": rule_id,
        "body": body,
        "created_ns": now_ns,
        "attempts": 0,
        "due_ns": now_ns,
        "claimed_ns": 0,
        "done_ns": None,
    }


def test_message(rule: Rule, now_ns: int) -> Message:
    """Return a message that only says that it is a test; it is nowhere stored."""
    message_id = new_id("msg")
    return Message(message_id, rule, body_of(message_id, rule, [], 0, 0, now_ns), 0, now_ns)


def firings_of(connection: Connection, rule_ids: Sequence[str]) -> dict[str, int]:
    """Return how often each rule has fired, as far as it is known."""
    query = (
        select(RULE_FIRINGS.c.rule_id, func.sum(RULE_FIRINGS.c.times).label("times"))
        .where(RULE_FIRINGS.c.rule_id.in_(list(rule_ids)), RULE_FIRINGS.c.state.in_((MATCHED, TOLD)))
        .group_by(RULE_FIRINGS.c.rule_id)
    )
    return {row.rule_id: int(row.times) for row in connection.execute(query)}
