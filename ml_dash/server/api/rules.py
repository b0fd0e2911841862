"""Rules: whom to tell when something happens."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import msgspec

from ml_dash.errors import InvalidArgumentError
from ml_dash.query.listing.filters import parse
from ml_dash.query.patterns import may_mean_below
from ml_dash.query.times import NANOSECONDS
from ml_dash.server.accounts.grants import EVERY_OWNER, Scope, check_owner
from ml_dash.server.alerts.guard import RefusedAddressError
from ml_dash.server.alerts.mail import is_mail_address
from ml_dash.server.alerts.rules import (
    ABOVE,
    ALERT,
    BELOW,
    MAIL,
    NONFINITE,
    SILENT,
    WEBHOOK,
    Condition,
    Destination,
    Rule,
)
from ml_dash.server.alerts.telling import firings_of
from ml_dash.server.api import contract
from ml_dash.server.catalogue.names import metrics_in
from ml_dash.server.catalogue.records import Search
from ml_dash.server.catalogue.searching import OwnedNames, compiled
from ml_dash.server.http.access import not_found, principal, require
from ml_dash.server.http.bodies import answer
from ml_dash.server.http.query_args import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from ml_dash import shapes
    from ml_dash.server.alerts.service import Alerts
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.store import Store

_NEEDED = {
    ABOVE: ("metric", "bound"),
    BELOW: ("metric", "bound"),
    SILENT: ("minutes",),
}
_POSSIBLE = {
    ABOVE: {"metric", "bound", "rearm_minutes"},
    BELOW: {"metric", "bound", "rearm_minutes"},
    NONFINITE: {"metric", "rearm_minutes"},
    SILENT: {"minutes"},
    ALERT: {"level"},
}
_FIELDS = ("metric", "bound", "minutes", "level", "rearm_minutes")


def rule_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes."""
    rules = _Rules(store)
    return [
        bind(contract.RULES, rules.list),
        bind(contract.RULE_METRICS, rules.metrics),
        bind(contract.CREATE_RULE, rules.create, permit=_permit),
        bind(contract.CHANGE_RULE, rules.change, rules.find),
        bind(contract.DELETE_RULE, rules.delete),
        bind(contract.TEST_RULE, rules.test),
    ]


class _Rules:
    """Answers requests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alerts = store.alerts
        self._write = store.database.run

    async def list(self, request: web.Request, asked: contract.WhichRules) -> web.Response:
        folder = asked.folder
        if folder is not None and asked.owner is not None:
            raise invalid("owner", asked.owner, "a folder begins with its owner: give the folder alone")
        owner = asked.owner if folder is None else folder.partition("/")[0]
        if owner is not None:
            require(request, owner, Scope.WRITE)
            owners: Sequence[str] | None = [_owner(owner)]
        else:
            writes = principal(request).writes()
            owners = None if EVERY_OWNER in writes else writes

        def shown() -> Sequence[dict[str, Any]]:
            rules = self._alerts.stored.all(owners)
            return self._told([rule for rule in rules if folder is None or _may_fire_in(folder, rule)])

        return answer(request, {"data": await self._store.query(shown)})

    async def metrics(self, request: web.Request, asked: contract.WhichMetrics) -> web.Response:
        require(request, _owner(asked.folder.partition("/")[0]), Scope.WRITE)

        def found() -> tuple[list[str], bool]:
            with self._store.database.read() as connection:
                return metrics_in(connection, asked.folder, asked.search, asked.limit)

        data, has_more = await self._store.query(found)
        return answer(request, {"data": data, "hasMore": has_more})

    async def create(self, request: web.Request, new: shapes.NewRule) -> web.Response:
        condition = _condition(new)
        destination = await _destination(self._alerts, new.to)
        who = principal(request).name
        await self._write(_check_filter, self._store, new.owner, new.filter)
        rule = Rule("", new.owner, new.name, new.filter, condition, destination, _rearm_ns(new), 0, who)
        made = await self._write(self._alerts.stored.add, rule)
        await self._write(self._alerts.refresh)
        return answer(request, {**made.told(), "fired": 0}, status=201)

    async def change(self, request: web.Request, rule: Rule, new: shapes.ChangedRule) -> web.Response:
        based_on = _based_on(request)
        condition = _condition(new)
        destination = rule.destination if new.to is None else await _destination(self._alerts, new.to)
        await self._write(_check_filter, self._store, rule.owner, new.filter)
        changed = rule._replace(
            name=new.name,
            filter=new.filter,
            condition=condition,
            destination=destination,
            rearm_ns=_rearm_ns(new),
        )
        made = await self._write(self._alerts.stored.change, changed, based_on, principal(request).name)
        await self._write(self._alerts.refresh)
        # what waits to be told may go elsewhere now
        self._alerts.wake()
        return answer(request, (await self._store.query(self._told, [made]))[0])

    async def delete(self, request: web.Request) -> web.Response:
        rule = await self.find(request)
        deleted = await self._write(self._alerts.stored.remove, rule.id)
        await self._write(self._alerts.refresh)
        return answer(request, {"deleted": deleted})

    async def test(self, request: web.Request) -> web.Response:
        problem = await self._alerts.test(await self.find(request))
        return answer(request, {"delivered": problem is None, "problem": problem})

    async def find(self, request: web.Request, scope: Scope = Scope.WRITE) -> Rule:
        """Return the rule that a path names, if the request may change it."""
        id_ = request.match_info["rule"]
        stored = self._alerts.stored
        rule = await self._store.query(stored.get, id_) if id_.isascii() and id_.isprintable() else None
        if rule is None or not principal(request).may(rule.owner, Scope.READ):
            raise not_found(request)
        require(request, rule.owner, scope)
        return rule

    def _told(self, rules: Sequence[Rule]) -> Sequence[dict[str, Any]]:
        with self._store.database.read() as connection:
            fired = firings_of(connection, [rule.id for rule in rules])
        return [{**rule.told(), "fired": fired.get(rule.id, 0)} for rule in rules]


def _permit(request: web.Request, body: dict[str, Any]) -> None:
    # before all other fields: what they may hold is nothing to tell who may not write
    require(request, _owner(body.get("owner")), Scope.WRITE)


def _owner(given: object) -> str:
    """Return whose rules a request is about.

    Raises:
        ApiError: 400: nobody can be called so.
    """
    if not isinstance(given, str) or given == EVERY_OWNER:
        raise invalid("owner", given, "name whose experiments it is about: the first part of their prefixes")
    try:
        return check_owner(given)
    except InvalidArgumentError as error:
        raise invalid("owner", given, str(error)) from None


def _may_fire_in(folder: str, rule: Rule) -> bool:
    """Say whether a rule may be about experiments in a folder, whichever there are, as far as its patterns tell."""
    return all(may_mean_below(glob, folder.rstrip("/")) for glob in parse(rule.filter).globs)


def _based_on(request: web.Request) -> int | None:
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return None
    version = re.fullmatch(r'"([0-9]{1,18})"', given, re.ASCII)
    if version is None:
        raise invalid("If-Match", given, "give the version of the rule, in quotes, or *")
    return int(version[1])


def _rearm_ns(new: shapes.RuleTerms) -> int | None:
    return None if new.rearm_minutes is None else int(new.rearm_minutes * 60 * NANOSECONDS)


def _condition(new: shapes.RuleTerms) -> Condition:
    when = new.when
    given = {name for name in _FIELDS if getattr(new, name) is not None}
    for name in _NEEDED.get(when, ()):
        if name not in given:
            raise invalid(name, None, f"a rule for {when!r} needs it")
    if odd := sorted(given - _POSSIBLE.get(when, set())):
        shown = msgspec.to_builtins(getattr(new, odd[0]))
        raise invalid(_json_name(odd[0]), shown, f"it is not for {when!r}: leave it out")
    if new.bound is not None and not math.isfinite(new.bound):
        raise invalid("bound", new.bound, "give a finite number; for NaN and infinities there is 'nonfinite'")
    level = (new.level or "info") if when == ALERT else None
    return Condition(when, new.metric, new.bound, new.minutes, level)


def _json_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


async def _destination(alerts: Alerts, to: shapes.Destination) -> Destination:
    """Return whom a rule tells, if it may be told: a host is looked up now, and once more with each message.

    Raises:
        ApiError: 400.
    """
    if to.kind == MAIL:
        if to.url is not None or to.secret is not None:
            raise invalid("to", "…", "mail has an address, and neither a url nor a secret")
        if to.address is None or not is_mail_address(to.address):
            raise invalid("to.address", to.address, "give one address, such as me@example.org")
        if alerts.mail is None:
            raise invalid(
                "to.kind", MAIL, "this server sends no mail: its operator names a mail server by --smtp"
            )
        return Destination(MAIL, to.address)
    if to.url is None or to.address is not None:
        raise invalid("to", "…", f"a {to.kind} has a url, and no address")
    if to.secret is not None and to.kind != WEBHOOK:
        raise invalid("to.secret", "…", "it is for webhooks alone")
    try:
        url = alerts.guard.checked_url(to.url)
        await alerts.guard.addresses_in_time(url)
    except RefusedAddressError as error:
        raise invalid("to.url", "…", str(error)) from None
    except OSError as error:
        raise invalid("to.url", "…", f"its host cannot be looked up: {error}") from None
    return Destination(to.kind, to.url, to.secret)


def _check_filter(store: Store, owner: str, filter: str) -> None:
    """Refuse a filter that cannot be understood, or that has names which nothing has.

    Raises:
        ApiError: 400, with ``problems``.
    """
    store.lists.bring_in()
    with store.database.read() as connection:
        names = OwnedNames(connection, {owner})
        compiled(
            Search(filter),
            names,
            "sqlite" if store.database.dialect == "sqlite" else "postgresql",
            store.clock.time_ns(),
            store.settings.stale_after,
        )
