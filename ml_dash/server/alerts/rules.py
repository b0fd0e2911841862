"""Rules as they are stored, and as they are told: whose experiments, what they wait for, and whom they tell."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from ml_dash.protocol import RULES_MAX, ErrorCode
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.server.db.database import take_turn
from ml_dash.server.db.tables import RULE_FIRINGS, RULE_MESSAGES, RULES
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row

    from ml_dash.clock import Clock
    from ml_dash.server.db.database import Database

WEBHOOK, SLACK, MAIL = "webhook", "slack", "mail"
ABOVE, BELOW, NONFINITE, FAILED, SILENT, ALERT = "above", "below", "nonfinite", "failed", "silent", "alert"
_MINUTE = 60 * NANOSECONDS


class Condition(NamedTuple):
    """What a rule waits for.

    Attributes:
        when: `ABOVE` or `BELOW` a bound, `NONFINITE`, `FAILED`, `SILENT`, or `ALERT`.
        metric: A field of a metric, as ``val/loss``; None where it is of none, or for `NONFINITE` of all.
        bound: What the field is compared with.
        minutes: For how long nothing may come.
        level: The least level of an alert.
    """

    when: str
    metric: str | None = None
    bound: float | None = None
    minutes: float | None = None
    level: str | None = None

    @property
    def text(self) -> str:
        """What people read."""
        if self.when in {ABOVE, BELOW}:
            return f"{self.metric} {'>' if self.when == ABOVE else '<'} {self.bound:g}"
        if self.when == NONFINITE:
            return f"NaN or infinity in {self.metric or 'any metric'}"
        if self.when == SILENT:
            return f"silent for {self.minutes:g} min"
        return "failed" if self.when == FAILED else f"alert of level {self.level} or above"


class Destination(NamedTuple):
    """Whom a rule tells.

    Attributes:
        kind: `WEBHOOK`, `SLACK` or `MAIL`.
        address: A URL, or an address of mail. A URL may be a secret itself.
        secret: What messages to a webhook are signed with.
    """

    kind: str
    address: str
    secret: str | None = None

    @property
    def shown(self) -> str:
        """What is shown of the address: of a URL, where it leads."""
        if self.kind == MAIL:
            return self.address
        from yarl import URL

        return f"{URL(self.address).origin()}/…"


class Rule(NamedTuple):
    """A rule.

    Attributes:
        since_ns: Since when it waits for what it waits for: what was so before is no news.
        version: How often it was made and changed.
    """

    id: str
    owner: str
    name: str
    filter: str
    condition: Condition
    destination: Destination
    rearm_ns: int | None
    created_ns: int
    who: str
    told_ns: int | None = None
    delivered_ns: int | None = None
    problem: str | None = None
    since_ns: int = 0
    version: int = 1
    changed_ns: int | None = None
    changed_by: str | None = None

    @property
    def waits_for(self) -> tuple[object, ...]:
        """What makes it fire."""
        return self.filter, self.condition, self.rearm_ns

    def told(self) -> dict[str, Any]:
        """Return it as answers have it, without its secrets."""
        return {
            "id": self.id,
            "owner": self.owner,
            "name": self.name,
            "filter": self.filter,
            **self.condition._asdict(),
            "rearmMinutes": None if self.rearm_ns is None else self.rearm_ns / _MINUTE,
            "to": {
                "kind": self.destination.kind,
                "shown": self.destination.shown,
                "signed": self.destination.secret is not None,
            },
            "createdAt": time_or_none(self.created_ns),
            "who": self.who,
            "version": self.version,
            "changedAt": time_or_none(self.changed_ns),
            "changedBy": self.changed_by,
            "lastFiredAt": time_or_none(self.told_ns),
            "lastDeliveredAt": time_or_none(self.delivered_ns),
            "problem": self.problem,
        }


class StoredRules:
    """The rules of a database. Any thread may ask."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def all(self, owners: Collection[str] | None = None) -> list[Rule]:
        """Return the rules of these owners, or all, the oldest first."""
        query = select(RULES).order_by(RULES.c.created_ns, RULES.c.id)
        if owners is not None:
            query = query.where(RULES.c.owner.in_(sorted(owners)))
        with self._database.read() as connection:
            return [_rule(row) for row in connection.execute(query)]

    def version(self) -> tuple[int, int, int]:
        """Return what is another one whenever rules were made, changed or removed."""
        columns = (func.count(), func.max(RULES.c.created_ns), func.sum(RULES.c.version))
        with self._database.read() as connection:
            row = connection.execute(select(*columns)).one()
        return row[0], row[1] or 0, int(row[2] or 0)

    def get(self, id_: str) -> Rule | None:
        """Return a rule; None where there is none of this id."""
        with self._database.read() as connection:
            return find(connection, id_)

    def add(self, rule: Rule) -> Rule:
        """Store a rule, and return it with its id.

        Raises:
            ApiError: 400: the owner has too many.
        """
        now_ns = self._clock.time_ns()
        made = rule._replace(id=new_id("rul"), created_ns=now_ns, since_ns=now_ns)
        with self._database.write() as connection:
            take_turn(connection, "rules", rule.owner)
            count = select(func.count()).where(RULES.c.owner == rule.owner)
            if connection.execute(count).scalar_one() >= RULES_MAX:
                raise ApiError(
                    400,
                    ErrorCode.INVALID,
                    f"{rule.owner} has {RULES_MAX} rules, which is the most: remove one first",
                )
            connection.execute(insert(RULES).values(**_stored(made)))
        return made

    def change(self, rule: Rule, based_on: int | None, who: str) -> Rule:
        """Store what a rule is to be from now on, and return it.

        Where it waits for something else than before, what it has fired for is forgotten, as of one that is new. Its
        messages that were not taken yet go where it tells now.

        Args:
            rule: As it is to be.
            based_on: The version that it takes the place of; None for whichever there is.
            who: What to call whoever changes it.

        Raises:
            ApiError: 404: it is gone. 412: it is of another version.
        """
        now_ns = self._clock.time_ns()
        with self._database.write() as connection:
            # locked, so that no message of it is made meanwhile
            connection.execute(select(RULES.c.id).where(RULES.c.id == rule.id).with_for_update())
            before = find(connection, rule.id)
            if before is None:
                raise ApiError(
                    404, ErrorCode.NOT_FOUND, "the rule was removed meanwhile: make it as a new one"
                )
            if based_on is not None and based_on != before.version:
                by = before.changed_by or before.who
                what = (
                    f"the rule was changed by {by!r:.100} meanwhile: look at what it is now, and change that"
                )
                raise ApiError(412, ErrorCode.CHANGED, what, current=before.told())
            made = before._replace(
                name=rule.name,
                filter=rule.filter,
                condition=rule.condition,
                destination=rule.destination,
                rearm_ns=rule.rearm_ns,
                version=before.version + 1,
                changed_ns=now_ns,
                changed_by=who,
            )
            if made.waits_for != before.waits_for:
                made = made._replace(since_ns=now_ns, problem=None)
                connection.execute(delete(RULE_FIRINGS).where(RULE_FIRINGS.c.rule_id == rule.id))
            if made.destination != before.destination:
                made = made._replace(problem=None)
                waiting = (RULE_MESSAGES.c.rule_id == rule.id, RULE_MESSAGES.c.done_ns.is_(None))
                connection.execute(update(RULE_MESSAGES).where(*waiting).values(due_ns=now_ns))
            connection.execute(update(RULES).where(RULES.c.id == rule.id).values(**_stored(made)))
        return made

    def remove(self, id_: str) -> bool:
        """Remove a rule, with what it has not told yet; say whether it was there."""
        with self._database.write() as connection:
            # locked, so that no message of it is made meanwhile
            connection.execute(select(RULES.c.id).where(RULES.c.id == id_).with_for_update())
            connection.execute(delete(RULE_FIRINGS).where(RULE_FIRINGS.c.rule_id == id_))
            connection.execute(delete(RULE_MESSAGES).where(RULE_MESSAGES.c.rule_id == id_))
            return bool(connection.execute(delete(RULES).where(RULES.c.id == id_)).rowcount)


def _stored(rule: Rule) -> dict[str, Any]:
    lists = {"condition": list(rule.condition), "destination": list(rule.destination)}
    return {**rule._asdict(), **lists}


def find(connection: Connection, id_: str) -> Rule | None:
    """Return a rule; None where there is none of this id."""
    row = connection.execute(select(RULES).where(RULES.c.id == id_)).one_or_none()
    return None if row is None else _rule(row)


def new_id(prefix: str) -> str:
    """Return an id that nothing has."""
    return f"{prefix}_{secrets.token_hex(10)}"


def _rule(row: Row[Any]) -> Rule:
    return Rule(
        row.id,
        row.owner,
        row.name,
        row.filter,
        Condition(*row.condition),
        Destination(*row.destination),
        row.rearm_ns,
        row.created_ns,
        row.who,
        row.told_ns,
        row.delivered_ns,
        row.problem,
        # where an older version has made it
        row.since_ns or row.created_ns,
        row.version,
        row.changed_ns,
        row.changed_by,
    )
